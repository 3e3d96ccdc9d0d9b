"""The runner 'command': a program of the user's own does the agent's steps.

It finds on standard input what every command finds, with `agent` {id, role, startup_prompt}, `instructions` and
`output_schema` besides, and gives its output as every command does: in the file $COLONY_OUTPUT, else on standard
output. Exit 0 is success, 75 asks to be tried again.
"""

from __future__ import annotations

from colony_lib.base import jsontext
from colony_lib.base.errors import BUSY, USAGE, ColonyError
from colony_lib.base.text import cut, escape
from colony_lib.work.agent.place import Ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.work.agent.place import Place


def missing(known: dict[str, str]) -> ColonyError | None:
    """Nothing is needed but the command itself, and only its shell knows whether that is there."""
    return None


def perform(place: Place, context: dict[str, Any]) -> Ending:
    """Run the agent's command in its folder, with our own streams."""
    import subprocess

    command = place.task["agent"]["command"]
    given = {key: value for key, value in context.items() if key != "task"}
    words = ["sh", "-c", command] if isinstance(command, str) else command
    try:
        child = subprocess.Popen(words, cwd=place.folder, stdin=subprocess.PIPE)
    except OSError as error:
        raise ColonyError(f"cannot run '{escape(cut(words[0], 80))}': {error.strerror}", code=USAGE) from None
    try:
        child.communicate(jsontext.dumps(given).encode())
    except BrokenPipeError:
        child.wait()  # it does not read its input, which is its right
    code = child.returncode if child.returncode >= 0 else 128 - child.returncode
    status = "completed" if code == 0 else "limited" if code == BUSY else "failed"
    return Ending(status, error=None if code == 0 else f"exit status {code}", code=code)
