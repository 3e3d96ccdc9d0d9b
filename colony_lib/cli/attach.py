"""`colony attach`: what an agent does now, and its log as it grows."""

from __future__ import annotations

import os
import sys

from colony_lib.base import clock
from colony_lib.base.errors import unknown
from colony_lib.base.text import show_duration
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Record = dict[str, Any]

LINES = 20


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony attach",
        "watch what an agent does, until Ctrl-C",
        ["colony attach data-fetcher", "colony attach"],
        details=f"Says what it does now, then the last {LINES} lines of its log and each new one as it comes, as\n"
        f"'colony logs -n {LINES} -f AGENT' does. Ctrl-C ends the watching; the worker goes on.",
    )
    parser.add_argument("agent", metavar="AGENT", nargs="?", help="whose log (default: those of all agents)")
    given = parser.parse_args(argv)
    from colony_lib.store import agents, config

    settings = config.load()
    known = [agent["id"] for agent in settings["agents"]]
    if given.agent is not None and given.agent not in known:
        raise unknown("agent", given.agent, known)
    for state in agents.states(settings, agents.Survey()):
        if given.agent in (None, state["id"]):
            show.note(_now(state))
    _follow(["-n", str(LINES), "-f", *([given.agent] if given.agent else [])])


def _now(state: Record) -> str:
    """One line: what the agent does."""
    words = f"{state['id']}: {state['status']}"
    if state["since"]:
        words += f" for {show_duration(clock.epoch() - clock.seconds(state['since']))}"
    doing = [f"{key} {state[name]}" for key, name in (("task", "task"), ("run", "run_id"), ("step", "step"))]
    doing = [text for text in doing if not text.endswith(" None")]
    if state["status"] in ("stopped", "failed"):
        doing.append(f"'colony start {state['id']}' starts its worker")
    return f"{words}: {', '.join(doing)}" if doing else words


def _follow(words: list[str]) -> NoReturn:
    """Become `colony logs` with these words."""
    sys.stdout.flush()
    sys.stderr.flush()
    logs = os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), "colony-logs")
    site = ["-S"] if sys.flags.no_site else []
    os.execv(sys.executable, [sys.executable, *site, logs, *words])
