"""The scripts that colony.yml declares for an agent: each a tool of its own, run by its words without a shell."""

from __future__ import annotations

import os
import re

from colony_lib.base import jsontext
from colony_lib.work import confine
from colony_lib.work.tools import setting
from colony_lib.work.tools.setting import Call, Outcome, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

_VALUE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_ABSENT = object()


def definition(script: Record) -> Record:
    return {
        "name": script["name"],
        "description": script.get("description") or f"Runs {' '.join(script['command'])}",
        "input_schema": script.get("input") or {"type": "object"},
    }


class Unfit(Exception):
    """A value that cannot stand where the script's command has it."""


def line(script: Record, given: Record) -> list[str]:
    """The script's words with the input's values in them. A word that is a value alone is left out where there is none,
    and may not begin with '-': the options of a command are its author's to choose. Unfit when a value does not fit."""
    found = []
    for word in script["command"]:
        whole = _VALUE.fullmatch(word)
        if whole is None:
            found.append(_VALUE.sub(lambda match: _text(given.get(match[1], "")), word))
            continue
        value = given.get(whole[1], _ABSENT)
        if value is _ABSENT or value is None:
            continue
        text = _text(value)
        if text.startswith("-") and not isinstance(value, (int, float)):
            raise Unfit(f"'{whole[1]}' must not begin with '-'")
        found.append(text)
    if any("\0" in word for word in found):
        raise Unfit("a value holds a NUL character")
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else jsontext.dumps(value)


def call(where: Setting, script: Record, given: Record, how: Call) -> Outcome:
    try:
        words = line(script, given)
    except Unfit as wrong:
        return Outcome(str(wrong), is_error=True)
    home = setting.home(where, script["name"])
    bounds = confine.bounds(
        root=where.root, folder=where.folder, shared=where.shared, scratch=home,
        more_writes=[os.path.join(where.root, path) for path in script.get("writes") or []],
        network=bool(script.get("network")), env_file=where.env_file,
    )  # fmt: skip
    return setting.run(
        where, how, words, bounds, folder=where.folder, home=home, seconds=script.get("timeout_seconds"),
        input=jsontext.dumps(given).encode(),
    )  # fmt: skip
