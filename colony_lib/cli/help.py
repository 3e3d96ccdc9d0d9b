"""`colony help`: the list of commands from their second lines, help on one, and hints for unknown names."""

from __future__ import annotations

import os
import sys

from colony_lib import __version__
from colony_lib.base.errors import OK, USAGE, unknown
from colony_lib.cli import catalog
from colony_lib.cli.catalog import TOPICS

# The order of the list follows the order of work; what is not named here comes after, by name.
GROUPS = {
    "a colony": ["init", "validate", "status", "health", "completions"],
    "workflows": ["workflow", "run-step", "cron"],
    "what steps and agents share": ["state", "messages", "broadcast", "logs", "metrics", "lineage"],
    "data": ["fetch", "transform", "validate-data", "load", "report"],
}


def _found() -> dict[str, str]:
    """Every command there is: those beside this one, then those on PATH; the first of a name wins."""
    here = os.path.dirname(os.path.realpath(sys.argv[0]))
    found: dict[str, str] = {}
    for folder in [here, *os.environ.get("PATH", "").split(os.pathsep)]:
        if folder:
            for name, summary in catalog.commands(folder):
                found.setdefault(name, summary)
    return found


def _overview() -> None:
    found = _found()
    found.pop("help", None)
    print("Colony: data pipelines done by agents and commands that meet in plain files\n")
    print("examples:\n  colony init\n  colony workflow run hello\n  colony workflow status\n")
    print("usage: colony [-C DIR] COMMAND [ARGUMENTS…]\n")
    named = {name for names in GROUPS.values() for name in names}
    groups = {**GROUPS, "also on your PATH": sorted(set(found) - named)}
    for title, names in groups.items():
        there = [name for name in names if name in found]
        if there:
            print(f"{title}:")
            for name in there:
                print(f"  {name:<14} {found[name]}".rstrip())
            print()
    print("'colony help COMMAND' says more; topics: " + ", ".join(TOPICS))


def main(argv: list[str]) -> int:
    if argv[:1] == ["--unknown"]:
        raise_unknown(argv[1] if len(argv) > 1 else "")
    if argv[:1] in (["--version"], ["-V"], ["version"]):
        print(f"colony {__version__}")
        return OK
    words = [word for word in argv if word not in ("help", "-h", "--help")]
    if not words:
        _overview()
        return OK if argv else USAGE
    name = words[0]
    if name in TOPICS:
        print(TOPICS[name], end="")
        return OK
    if "/" in name or name not in _found():
        raise_unknown(name)
    command = os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), f"colony-{name}")
    rest = [*words[1:], "--help"]
    if os.path.exists(command):
        os.execv(command, [command, *rest])
    os.execvp(f"colony-{name}", [f"colony-{name}", *rest])


def raise_unknown(name: str) -> None:
    raise unknown("command", name, {**_found(), **dict.fromkeys(TOPICS, "")}, code=USAGE)
