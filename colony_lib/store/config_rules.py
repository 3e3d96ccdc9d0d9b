"""What colony.yml must be: from its text to the checked configuration, or to everything that is wrong with it."""

from __future__ import annotations

import re

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.store import agent_rules, alert_rules, executor_rules, schema, variables, yamltext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Lines = dict[tuple[str | int, ...], int]

SHARED_PATHS = ["staging", "reports", "metrics", "logs"]
# `NO`, `010` and `1_000` are what was written when they stand in an env, or are words of a script.
_AS_TEXT = tuple(
    (*holder, *rest)
    for holder in (("agents", None), ("defaults",))
    for rest in (("env", None), ("scripts", None, "command", None))
)
_BAD_IN_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|^[-./]|\.lock(/|$)|[/.]$|^@$")
_AGENT = {
    "role": "",
    "description": "",
    "model": None,
    "runner": "api",
    "command": None,
    "worktree_branch": None,
    "startup_prompt": "",
}


def checked(source: str, file: str, default_name: str) -> tuple[dict[str, Any], list[ColonyError]]:
    """(configuration, problems): the configuration counts only when there are no problems.

    `file` is the name that problems show; `default_name` the colony's where the file gives none.
    """
    try:
        value, lines = yamltext.load(source, file, as_text=_AS_TEXT)
    except ColonyError as error:
        return {}, [error]
    if value is None:
        return {}, [
            ColonyError("the file is empty", where=file, fix="run 'colony init --force' for a new one", code=USAGE)
        ]
    found = schema.problems(value, "colony", lines, file)
    if isinstance(value, dict):
        said = {error.where for error in found}
        found += _rules(value, lines, file)
        more = [*agent_rules.Rules(value, lines, file).found, *alert_rules.problems(value.get("alerts"), lines, file)]
        more += executor_rules.problems(value.get("executors"), lines, file)
        found += [error for error in more if error.where not in said]
    if found:
        return {}, sorted(found, key=_line_of)
    return _filled(value, lines, default_name), []


def _line_of(error: ColonyError) -> int:
    number = (error.where or "").rpartition(":")[2]
    return int(number) if number.isdigit() else 0


def _part(value: dict[str, Any], key: str, kind: type) -> Any:
    """The part of that kind, or an empty one: what has the wrong type has been said by the schema."""
    part = value.get(key)
    return part if isinstance(part, kind) else kind()


def _error(what: str, file: str, lines: Lines, path: tuple[str | int, ...], fix: str) -> ColonyError:
    return ColonyError(what, where=yamltext.where(lines, path, file), fix=fix, code=USAGE)


def _rules(value: dict[str, Any], lines: Lines, file: str) -> Iterator[ColonyError]:
    """What a schema cannot say, of all that has the right type."""
    yield from _agent_rules(value, lines, file)
    yield from _dollar_rules(value, lines, file)
    yield from _state_rules(_part(value, "shared_state", dict), lines, file)
    for index, path in enumerate(_part(value, "shared_paths", list)):
        if isinstance(path, str) and not agent_rules.is_inside(path):
            what = f"shared path '{escape(path)}' is not a folder inside the colony"
            yield _error(what, file, lines, ("shared_paths", index), "name one relative to the root")
    yield from _alias_rules(_part(value, "aliases", dict), lines, file)


def _agent_rules(value: dict[str, Any], lines: Lines, file: str) -> Iterator[ColonyError]:
    defaults = _part(value, "defaults", dict)
    taken = {_part(value, "shared_state", dict).get("branch", "colony/state"): "the shared state"}
    seen: dict[str, int] = {}
    for index, agent in enumerate(_part(value, "agents", list)):
        path = ("agents", index)
        name = agent.get("id") if isinstance(agent, dict) else None
        if not isinstance(name, str):
            continue
        at = (*path, "id")
        if name in seen:
            what = f"the agent id '{escape(name)}' is there twice (first in line {seen[name]})"
            yield _error(what, file, lines, at, "rename one")
        seen.setdefault(name, lines.get(at, 0))
        if name == "all" or ".." in name or name.endswith("\n"):
            yield _error(f"'{escape(name)}' cannot be an agent's id", file, lines, at, "choose another name")
        runner = agent.get("runner") or defaults.get("runner", "api")
        if runner == "command" and not (agent.get("command") or defaults.get("command")):
            what = f"agent '{escape(name)}' has the runner 'command' but no command"
            yield _error(what, file, lines, (*path, "runner"), "add 'command:'")
        if "command" in agent and runner != "command":
            what = f"agent '{escape(name)}' has a command, but its runner is '{escape(runner)}'"
            yield _error(what, file, lines, (*path, "command"), "add 'runner: command'")
        branch = agent.get("worktree_branch")
        if isinstance(branch, str):
            at = (*path, "worktree_branch")
            yield from _branch_rule(branch, file, lines, at)
            if branch in taken:
                what = f"agent '{escape(name)}' has the branch '{escape(branch)}' of {taken[branch]}"
                yield _error(what, file, lines, at, "give each its own branch")
            taken.setdefault(branch, f"agent '{escape(name)}'")


def _branch_rule(branch: str, file: str, lines: Lines, path: tuple[str | int, ...]) -> Iterator[ColonyError]:
    if _BAD_IN_BRANCH.search(branch):
        what = f"'{escape(branch)}' is not a branch name that git takes"
        yield _error(what, file, lines, path, "use letters, digits, '-', '_' and '/'")


def _dollar_rules(value: dict[str, Any], lines: Lines, file: str) -> Iterator[ColonyError]:
    holders: list[tuple[tuple[str | int, ...], dict[str, Any]]] = [
        (("agents", index, "env"), _part(agent, "env", dict))
        for index, agent in enumerate(_part(value, "agents", list))
        if isinstance(agent, dict)
    ]
    holders.append((("defaults", "env"), _part(_part(value, "defaults", dict), "env", dict)))
    for path, texts in holders:
        for name, text in texts.items():
            wrong = variables.fault(text) if isinstance(text, str) else None
            if wrong:
                yield _error(f"{escape(name)}: {wrong}", file, lines, (*path, name), "write $$ for a dollar sign")


def _state_rules(state: dict[str, Any], lines: Lines, file: str) -> Iterator[ColonyError]:
    location, branch = state.get("location"), state.get("branch")
    path = ("shared_state", "location")
    if isinstance(location, str):
        wrong = variables.fault(location)
        if wrong:
            yield _error(f"location: {wrong}", file, lines, path, "write $$ for a dollar sign")
        # git would take the one as an option and the other as a program to run.
        if (
            location.startswith("-")
            or re.match(r"[A-Za-z0-9+.-]+::", location)
            or re.search(r"[\x00-\x1f\x7f]", location)
        ):
            what = f"'{escape(location)}' is not a place for shared state"
            yield _error(what, file, lines, path, "write in-repo, a path, or an https, ssh or git URL")
    if isinstance(branch, str):
        yield from _branch_rule(branch, file, lines, ("shared_state", "branch"))


def _alias_rules(aliases: dict[str, Any], lines: Lines, file: str) -> Iterator[ColonyError]:
    for start in aliases:
        model, steps = start, 0
        while isinstance(model, str) and model in aliases and steps <= len(aliases):
            model, steps = aliases[model], steps + 1
        if steps > len(aliases):
            what = f"the alias '{escape(start)}' leads back to itself"
            yield _error(what, file, lines, ("aliases", start), "point it at a model")


def _filled(value: dict[str, Any], lines: Lines, default_name: str) -> dict[str, Any]:
    """The configuration with its defaults, as store.config describes it."""
    defaults = value.get("defaults", {})
    env_file = value.get("env_file")
    agents = []
    for index, given in enumerate(value.get("agents", [])):
        agent = {"id": given["id"], **_AGENT, **{key: defaults[key] for key in _AGENT if key in defaults}}
        agent |= {key: given[key] for key in _AGENT if key in given}
        if agent["runner"] != "command":
            agent["command"] = None
        agent |= agent_rules.filled(defaults, given)
        agent["env"] = {**defaults.get("env", {}), **given.get("env", {})}
        agent["env_file"] = env_file
        agent["line"] = lines.get(("agents", index), 1)
        agent["env_lines"] = {
            name: lines.get(("agents", index, "env", name)) or lines.get(("defaults", "env", name), agent["line"])
            for name in agent["env"]
        }
        agents.append(agent)
    return {
        "v": 1,
        "name": value.get("name", default_name),
        "shared_state": {
            "backend": "files",
            "location": "in-repo",
            "branch": "colony/state",
            **value.get("shared_state", {}),
        },
        "defaults": defaults,
        "limits": {"usd_per_day": None, "tokens_per_day": None, **value.get("limits", {})},
        "aliases": value.get("aliases", {}),
        "env_file": env_file,
        "shared_paths": value.get("shared_paths", SHARED_PATHS),
        "durability": value.get("durability", "process"),
        "alerts": alert_rules.filled(value.get("alerts", [])),
        "executors": executor_rules.filled(value.get("executors", [])),
        "agents": agents,
    }
