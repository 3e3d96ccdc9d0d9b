"""The tool `bash`: a shell command in the agent's folder, confined."""

from __future__ import annotations

import os

from colony_lib.work import confine
from colony_lib.work.tools import permissions, setting
from colony_lib.work.tools.setting import Call, Outcome, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.work.tools.permissions import Permissions

    Record = dict[str, Any]

NAME = "bash"
_SHELL = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
_DESCRIPTION = (
    "Run a shell command in your working folder and get what it prints (standard output and error together) "
    "and its exit status when that is not 0. Nothing is left running when it ends. It can write in your "
    "working folder, the shared folders and $TMPDIR only{network}. Long output is shortened. Commands stop "
    "after 120 seconds unless you ask for more (at most 600)."
)


def definition(given: Setting) -> Record:
    network = "" if given.network else ", and has no network"
    return {
        "name": NAME,
        "description": _DESCRIPTION.format(network=network),
        "input_schema": {
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "the command, as for bash -c"},
                "timeout_seconds": {"type": "integer", "minimum": 1, "maximum": 600},
            },
            "required": ["command"],
            "additionalProperties": False,
        },
    }


def effect(given: Record) -> str:
    return "write"  # nobody knows what a command does


def words(given: Record) -> str:
    return str(given["command"]).strip()


def call(where: Setting, given: Record, how: Call, allowed: Permissions) -> Outcome:
    command = given["command"]
    line = [_SHELL, "-c", command]
    if allowed.wants_words(NAME):
        if not permissions.is_plain(command):
            return Outcome("not permitted: only one plain command, without ; & | < > $ or ` in it", is_error=True)
        try:
            line = permissions.split(command)
        except ValueError as error:
            return Outcome(f"the command cannot be read: {error}", is_error=True)
        if not line or not line[0]:
            return Outcome("the command is empty", is_error=True)
        wrong = allowed.problem(NAME, " ".join(line))  # as it is run, whatever quotes and spaces were in it
        if wrong is not None:
            return Outcome(wrong, is_error=True)
    home = setting.home(where, NAME)
    bounds = confine.bounds(
        root=where.root, folder=where.folder, shared=where.shared, scratch=home, more_writes=[],
        network=where.network, env_file=where.env_file,
    )  # fmt: skip
    return setting.run(where, how, line, bounds, folder=where.folder, home=home, seconds=given.get("timeout_seconds"))
