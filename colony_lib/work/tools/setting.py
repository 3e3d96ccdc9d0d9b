"""What the tools of one step share: where they work, what they see, and how a child process of theirs is run."""

from __future__ import annotations

import os
import sys
import time

from colony_lib.base import files
from colony_lib.base.text import escape, show_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from colony_lib.work.confine import Bounds

    Record = dict[str, Any]

MOST = 30_000  # bytes of a result that the model is given
_SECONDS = 120.0  # a command's time unless it asks for another …
_LONGEST = 600.0  # … and the longest that it can ask for


class Setting:
    """All that the tools of one step need: the colony's `root` and the `folder` in which the agent works (the root
    where it has no worktree), the folders they share, a `scratch` folder outside the colony, the folder for `outputs`
    too long for the model, the `environment` of their processes besides a small base, `bin` (where Colony's commands
    are), what colony.yml says of the agent's `tools`, `scripts`, `permissions` and `network`, its `env_file`, and what
    takes secrets out of a text (`redact`)."""

    def __init__(
        self, *, root: str, folder: str, shared: list[str], scratch: str, outputs: str, environment: dict[str, str],
        bin: str, tools: list[str] | None, scripts: list[Record], permissions: Record, network: bool,
        env_file: str | None, redact: Callable[[str], str],
    ) -> None:  # fmt: skip
        self.root = root
        self.folder = folder
        self.shared = shared
        self.scratch = scratch
        self.outputs = outputs
        self.environment = environment
        self.bin = bin
        self.tools = tools
        self.scripts = scripts
        self.permissions = permissions
        self.network = network
        self.env_file = env_file
        self.redact = redact


class Outcome:
    """What a call gave: `content` for the model, whether it is an error, the exit status of its process, the file that
    holds what was too long for the model, and how long it took in seconds."""

    __slots__ = ("content", "exit_status", "is_error", "output_file", "seconds")

    def __init__(
        self, content: str, *, is_error: bool = False, exit_status: int | None = None, output_file: str | None = None
    ) -> None:
        self.content = content
        self.is_error = is_error
        self.exit_status = exit_status
        self.output_file = output_file
        self.seconds = 0.0


class Call:
    """One call of a tool, as the loop asks for it: its key, the time by which it must be over (monotonic), and the two
    ways in which it tells and hears."""

    __slots__ = ("asked", "deadline", "key", "started")

    def __init__(
        self, key: str, deadline: float | None, started: Callable[[int], None], asked: Callable[[], bool]
    ) -> None:
        self.key = key
        self.deadline = deadline
        self.started = started
        self.asked = asked

    def is_over(self) -> bool:
        """Whether it has to end now."""
        return self.asked() or (self.deadline is not None and time.monotonic() >= self.deadline)


def home(setting: Setting, tool: str) -> str:
    """The tool's own folder in `scratch`. Each has one: what a shell command leaves in its home (settings, Python's
    user packages, a .netrc) is not what a script with the network, or a command of Colony, begins with."""
    path = os.path.join(setting.scratch, tool)
    files.make_dirs(path)
    return path


def environment(setting: Setting, key: str, home: str) -> dict[str, str]:
    """The environment of a tool's process, made from nothing: a small base, and what the agent's own `env` names."""
    known = dict(setting.environment)
    # The names of the secrets that are here; of others, the API key above all, not even the name.
    secrets = [name for name in known.pop("COLONY_SECRETS", "").split(":") if name in known]
    path = [setting.bin, os.path.dirname(sys.executable), "/usr/local/bin", "/usr/bin", "/bin"]
    return {
        "PATH": os.pathsep.join(dict.fromkeys(path)),
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        **known,
        **({"COLONY_SECRETS": ":".join(secrets)} if secrets else {}),
        "COLONY_TOOL_KEY": key,
    }


def run(
    setting: Setting, call: Call, words: list[str], bounds: Bounds | None, *, folder: str, home: str,
    seconds: float | None = None, input: bytes | None = None,
) -> Outcome:  # fmt: skip
    """Run the words as a process of a tool's and give what it printed, and its exit status where it is not 0."""
    from colony_lib.work import child

    timeout = min(seconds or _SECONDS, _LONGEST) if seconds is None or seconds <= _LONGEST else seconds
    if call.deadline is not None:
        timeout = min(timeout, call.deadline - time.monotonic())
    if timeout <= 0:
        return Outcome("not done: the step's time is up", is_error=True)
    name = f"{call.key}.txt"
    whole = os.path.join(setting.outputs, name)
    try:
        done = child.run(
            words,
            folder=folder,
            environment=environment(setting, call.key, home),
            bounds=bounds,
            input=input,
            timeout=timeout,
            most=MOST,
            whole=whole,
            started=call.started,
            asked=call.asked,
            redact=lambda data: redacted(setting, data),
        )
    except OSError as error:
        return Outcome(f"cannot run '{escape(words[0])}': {error.strerror}", is_error=True)
    kept = done.whole is not None
    text = shown(setting, done.data, done.size if kept else len(done.data), name)
    head = {"timeout": f"ended: it took longer than {show_duration(timeout)}\n", "asked": "ended\n"}.get(
        done.ended_by or "", ""
    )
    if not head and done.status:
        head = f"exit status {done.status}\n"
    outcome = Outcome(head + text, is_error=bool(head), exit_status=done.status)
    outcome.output_file = os.path.relpath(whole, setting.root) if kept else None
    return outcome


def redacted(setting: Setting, data: bytes) -> bytes:
    return setting.redact(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def shown(setting: Setting, data: bytes, size: int, name: str) -> str:
    """The output as the model is given it; of a long one its head and its tail, and where the whole is."""
    if size > len(data):
        cut = len(data) * 6 // 10
        note = f"\n… {size - len(data):,} bytes are left out here; read_file gives the whole as .outputs/{name} …\n"
        data = data[:cut] + note.encode() + data[cut:]
    text = setting.redact(data.decode("utf-8", "replace"))
    return escape(text, keep="\n\t")
