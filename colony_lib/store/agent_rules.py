"""What an agent of colony.yml may use: its limits, tools, scripts and permissions, checked and filled in."""

from __future__ import annotations

import re

from colony_lib.base import text
from colony_lib.base.errors import USAGE, ColonyError, nearest
from colony_lib.base.text import escape
from colony_lib.store import schema, yamltext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Lines = dict[tuple[str | int, ...], int]
    Path = tuple[str | int, ...]
    Record = dict[str, Any]

FILES = ("read_file", "list_files", "write_file", "edit_file")
BUILT_IN = ("bash", "files", *FILES, "colony")
# What counts where nothing is said: a step that goes round in circles ends, and nobody's money is decided for him.
LIMITS = {
    "turns": 50,
    "tool_calls": 200,
    "tokens": None,
    "usd": None,
    "time_seconds": None,
    "usd_per_day": None,
    "tokens_per_day": None,
}
MAX_OUTPUT_TOKENS = 16_000
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}\Z")
_VALUE = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_PERMISSION = re.compile(r"([a-zA-Z][a-zA-Z0-9_-]*)(?:\((.+)\))?\Z", re.DOTALL)


def is_inside(path: str) -> bool:
    """Whether the text names a folder below the colony's root, by its letters."""
    parts = path.strip("/").split("/")
    return not path.startswith(("/", "~")) and ".." not in parts and bool(path.strip("./")) and "\0" not in path


class Rules:
    """Asks of defaults and agents what a schema cannot say; `found` is everything that is wrong."""

    def __init__(self, value: Record, lines: Lines, file: str) -> None:
        self._lines = lines
        self._file = file
        self.found: list[ColonyError] = []
        defaults = _part(value, "defaults", dict)
        ours = self._scripts(defaults, ("defaults",))
        self._holder(defaults, ("defaults",), ours)
        for index, agent in enumerate(_part(value, "agents", list)):
            if isinstance(agent, dict):
                path: Path = ("agents", index)
                self._holder(agent, path, ours + self._scripts(agent, path))

    def _add(self, what: str, path: Path, fix: str | None) -> None:
        where = yamltext.where(self._lines, path, self._file)
        self.found.append(ColonyError(what, where=where, fix=fix, code=USAGE))

    def _holder(self, holder: Record, path: Path, scripts: list[str]) -> None:
        """The rules for what the defaults and agents have in common; `scripts` are the names that tools may have."""
        known = [*BUILT_IN, *scripts]
        for index, name in enumerate(_part(holder, "tools", list)):
            if isinstance(name, str) and name not in known:
                self._add(f"unknown tool '{escape(name)[:80]}'", (*path, "tools", index), _hint(name, known))
        permissions = _part(holder, "permissions", dict)
        for kind in ("allow", "deny"):
            for index, pattern in enumerate(_part(permissions, kind, list)):
                if isinstance(pattern, str) and pattern:
                    self._permission(pattern, (*path, "permissions", kind, index), known)
        self._duration(_part(holder, "limits", dict).get("time"), (*path, "limits", "time"))

    def _permission(self, pattern: str, path: Path, known: list[str]) -> None:
        match = _PERMISSION.match(pattern)
        if match is None:
            what = f"'{escape(pattern)[:80]}' is not the form of a permission"
            self._add(what, path, 'write a tool\'s name, or NAME(PATTERN) as in "bash(git status)"')
        elif match[1] not in known:
            self._add(f"the permission is for an unknown tool '{escape(match[1])[:80]}'", path, _hint(match[1], known))

    def _duration(self, value: Any, path: Path) -> None:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            try:
                text.duration(value)
            except ColonyError as error:
                self._add(error.what, path, error.fix)

    def _scripts(self, holder: Record, path: Path) -> list[str]:
        """The names of the holder's scripts, each of which is checked."""
        seen: dict[str, int] = {}
        for index, script in enumerate(_part(holder, "scripts", list)):
            if not isinstance(script, dict):
                continue
            at = (*path, "scripts", index)
            name = script.get("name")
            if isinstance(name, str):
                self._script_name(name, seen, (*at, "name"))
                seen.setdefault(name, self._lines.get((*at, "name"), 0))
            named = f"the script '{escape(name)[:80]}'" if isinstance(name, str) else "a script"
            self._script(script, named, at)
        return list(seen)

    def _script_name(self, name: str, seen: dict[str, int], path: Path) -> None:
        if name in BUILT_IN:
            self._add(f"'{name}' is a tool of Colony's own", path, "call the script something else")
        elif name in seen:
            self._add(f"the script '{escape(name)}' is there twice (first in line {seen[name]})", path, "rename one")
        elif name.endswith("\n"):
            self._add(f"'{escape(name)}' cannot be a script's name", path, "take the line break out")

    def _script(self, script: Record, named: str, path: Path) -> None:
        given = script.get("input")
        properties = _part(_part(script, "input", dict), "properties", dict)
        for index, word in enumerate(_part(script, "command", list)):
            if isinstance(word, str):
                self._word(word, index, named, list(properties), (*path, "command", index))
        if isinstance(given, dict):
            self._input(given, named, (*path, "input"))
        for index, folder in enumerate(_part(script, "writes", list)):
            if isinstance(folder, str) and folder and not is_inside(folder):
                what = f"{named} writes '{escape(folder)}', which is not a folder inside the colony"
                self._add(what, (*path, "writes", index), "name one relative to the root")
        self._duration(script.get("timeout"), (*path, "timeout"))

    def _word(self, word: str, index: int, named: str, keys: list[str], path: Path) -> None:
        values = _VALUE.findall(word)
        if index == 0 and (values or not word.strip()):
            self._add(f"{named} does not say which program it runs", path, "begin 'command' with the program's name")
            return
        for key in values:
            if key not in keys:
                what = f"{named} takes '{{{{{escape(key)[:60]}}}}}', which its input does not declare"
                self._add(what, path, (keys and nearest(key, keys)) or "add it to input.properties")

    def _input(self, given: Record, named: str, path: Path) -> None:
        try:
            schema.check_schema(given)
            schema.mismatches({}, given)
        except ColonyError as error:
            self._add(f"the input of {named}: {error.what}", path, error.fix)
            return
        if given.get("type", "object") != "object":
            self._add(f"the input of {named} is no object", (*path, "type"), "write 'type: object'")


def _part(value: Record, key: str, kind: type) -> Any:
    found = value.get(key)
    return found if isinstance(found, kind) else kind()


def _hint(name: str, known: list[str]) -> str:
    return nearest(name, known) or "there is " + ", ".join(f"'{each}'" for each in known if each not in FILES)


# -- the defaults, of a file in which nothing is wrong


def filled(defaults: Record, given: Record) -> Record:
    """{limits, tools, scripts, permissions, network, max_output_tokens} of an agent, as store.config describes them."""
    limits = {**LIMITS, **seconds(defaults.get("limits")), **seconds(given.get("limits"))}
    scripts = {script["name"]: _script(script) for script in defaults.get("scripts", [])}
    scripts |= {script["name"]: _script(script) for script in given.get("scripts", [])}
    return {
        "limits": limits,
        "tools": given.get("tools", defaults.get("tools")),
        "scripts": list(scripts.values()),
        "permissions": _permissions(defaults.get("permissions", {}), given.get("permissions", {})),
        "network": given.get("network", defaults.get("network", False)),
        "max_output_tokens": given.get("max_output_tokens", defaults.get("max_output_tokens", MAX_OUTPUT_TOKENS)),
    }


def seconds(limits: Record | None) -> Record:
    """The limits as given, `time` as `time_seconds`; {} for None."""
    found = dict(limits or {})
    if "time" in found:
        found["time_seconds"] = text.duration(found.pop("time"))
    return found


def _script(given: Record) -> Record:
    return {
        "name": given["name"],
        "description": given.get("description", ""),
        "command": given["command"],
        "input": {"type": "object", **given.get("input", {})},
        "effect": given.get("effect", "write"),
        "network": given.get("network", False),
        "writes": given.get("writes", []),
        "timeout_seconds": text.duration(given.get("timeout", "10m")),
    }


def _permissions(defaults: Record, given: Record) -> Record:
    """What is allowed is the agent's own list, where it has one; what the defaults deny stays denied."""
    denied = [*defaults.get("deny", []), *given.get("deny", [])]
    return {
        "allow": _by_tool(given.get("allow") or defaults.get("allow") or []),
        "deny": list(dict.fromkeys(_by_tool(denied))),
    }


def _by_tool(patterns: list[str]) -> list[str]:
    """The patterns with `files` spelled out as the four tools that it stands for."""
    found = []
    for pattern in patterns:
        name, bracket, rest = pattern.partition("(")
        found += [each + bracket + rest for each in FILES] if name == "files" else [pattern]
    return found
