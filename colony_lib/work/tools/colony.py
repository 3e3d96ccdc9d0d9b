"""The tool `colony`: Colony's own commands, by their words and without a shell.

They are the project's own code and so not confined as a model's commands are; what they may be asked is. Nothing that
names another pipeline file, another root or an endless look is passed on: a pipeline that a model has written could
send the secrets, which the data tools have, to an address of its choice.
"""

from __future__ import annotations

import os

from colony_lib.base import beneath
from colony_lib.base.errors import ColonyError, nearest
from colony_lib.base.text import escape
from colony_lib.work.tools import files, setting
from colony_lib.work.tools.setting import Call, Outcome, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

NAME = "colony"
_TASK_VERBS = ("add", "claim", "update", "complete", "fail", "cancel", "assign", "block", "unblock")
# Command: {the words that may follow: effect}; "" for any, or none.
_COMMANDS: dict[str, dict[str, str]] = {
    "fetch": {"": "idempotent"},
    "transform": {"": "idempotent"},
    "validate-data": {"": "idempotent"},
    "load": {"": "idempotent"},
    "report": {"": "idempotent"},
    "status": {"": "read"},
    "logs": {"": "read"},
    "lineage": {"": "read"},
    "help": {"": "read"},
    "broadcast": {"": "write"},
    "messages": {"list": "read", "send": "write"},
    "metrics": {"show": "read", "list": "read", "export": "read", "check": "read", "record": "write"},
    "workflow": dict.fromkeys(("list", "show", "validate", "graph", "status", "history"), "read"),
    "state": {
        **{f"task {verb}": "read" for verb in ("list", "ready", "show")},
        **{f"task {verb}": "write" for verb in _TASK_VERBS},
        "memory search": "read", "memory add": "write", "get": "read", "set": "write",
    },
}  # fmt: skip
_REFUSED = ("-C", "--pipeline", "-f", "--follow", "--watch")
_PATHS = ("transform", "validate-data", "workflow")  # whose arguments may be paths of files
_SECONDS = 3600.0  # a load may take long; the step's own time limits it
_DESCRIPTION = (
    "Run one of Colony's own commands and get what it prints. `arguments` are its words, each by itself and "
    'without a shell, for example ["fetch", "--date", "2013-02-08"], ["state", "task", "list", "--json"], '
    '["broadcast", "the API is down"]. Commands: fetch, transform, validate-data, load and report move and '
    "check the data (each takes --date and --json and is safe to run again); state task|memory|get|set, "
    "messages, broadcast, metrics, logs, status, lineage and workflow list|show|status|history are for "
    'looking and telling. ["help", NAME] explains one.'
)


def definition() -> Record:
    return {
        "name": NAME,
        "description": _DESCRIPTION,
        "input_schema": {
            "type": "object",
            "properties": {"arguments": {"type": "array", "minItems": 1, "items": {"type": "string"}}},
            "required": ["arguments"],
            "additionalProperties": False,
        },
    }


def _kind(arguments: list[str]) -> str | None:
    """The effect of such a command; None for one that an agent may not use."""
    allowed = _COMMANDS.get(arguments[0], {})
    said = [word for word in arguments[1:] if not word.startswith("-")]
    for length in (2, 1, 0):
        found = allowed.get(" ".join(said[:length]) if length <= len(said) else "\0")
        # The verb stands first: an option before it could have it mean something else.
        if found is not None and arguments[1 : 1 + length] == said[:length]:
            return found
    return None


def effect(given: Record) -> str:
    arguments = given.get("arguments")
    if not isinstance(arguments, list) or not all(isinstance(word, str) for word in arguments) or not arguments:
        return "read"
    return _kind(arguments) or "read"


def words(given: Record) -> str:
    return " ".join(given["arguments"])


def problem(arguments: list[str]) -> str | None:
    """Why the command is not run; None when it is."""
    if arguments[0] not in _COMMANDS:
        near = nearest(arguments[0], list(_COMMANDS)) or "there is " + ", ".join(_COMMANDS)
        return f"'{escape(arguments[0])}' is no command that an agent may use; {near}"
    if _kind(arguments) is None:
        verbs = ", ".join(verb for verb in _COMMANDS[arguments[0]] if verb)
        return f"an agent may use 'colony {arguments[0]}' with {verbs} only, as its next word"
    if arguments[1:3] == ["task", "claim"] and "--" in arguments:
        return "an agent may not run a command by 'task claim … --': claim the task, and use another tool"
    for word in arguments[1:]:
        if word.split("=")[0] in _REFUSED or (arguments[0] == "logs" and _has_short(word, "f")):
            return f"an agent may not use '{escape(word)}' here"
    if any("\0" in word for word in arguments):
        return "an argument holds a NUL character"
    return None


def _has_short(word: str, letter: str) -> bool:
    return word.startswith("-") and not word.startswith("--") and letter in word[1:]


def _path_problem(where: Setting, arguments: list[str]) -> str | None:
    """Why a file that the words name is not read: it is none that the agent may read by itself, or lies behind a
    link (which a shell command may have laid)."""
    for word in arguments[1:] if arguments[0] in _PATHS else ():
        path = os.path.join(where.root, word)
        is_name = os.sep not in word and (
            not os.path.lexists(path) or (os.path.isdir(path) and not os.path.islink(path))
        )
        if word.startswith("-") or is_name:
            continue
        try:
            os.close(beneath.file(*files.place(where, path, writing=False)))
        except FileNotFoundError:
            continue  # the command has the better words for that
        except (ColonyError, OSError) as error:
            return error.what if isinstance(error, ColonyError) else f"cannot read '{escape(word)}': {error.strerror}"
    return None


def call(where: Setting, given: Record, how: Call) -> Outcome:
    arguments = given["arguments"]
    wrong = problem(arguments) or _path_problem(where, arguments)
    if wrong is not None:
        return Outcome(wrong, is_error=True)
    line = [os.path.join(where.bin, "colony"), *arguments]
    # In a home that no other tool can write: nothing confines this one.
    return setting.run(where, how, line, None, folder=where.root, home=setting.home(where, NAME), seconds=_SECONDS)
