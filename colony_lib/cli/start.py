"""`colony start`: one background worker for each agent."""

from __future__ import annotations

from colony_lib.base.errors import FAILED, OK, ColonyError, unknown
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

DETAILS = """\
A worker claims the ready tasks that are assigned to its agent, one after the other, does each as a run of one step,
and completes or fails it with {"run_id": ..., "output": ...} as its result. Tasks that are assigned to nobody are the
orchestrator's: the agent of that id, else the first of colony.yml. What a killed worker was doing is gone on with
by whoever takes its task next. No key is needed until there is work; what cannot be done now (no key, a rate limit)
is put back and tried again later. A worker's environment is that of this command, and the env_file as it is then."""


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony start",
        "start the agents' workers in the background",
        ["colony start", "colony start data-fetcher data-loader", "colony start --foreground orchestrator"],
        details=DETAILS,
    )
    parser.add_argument("agents", metavar="AGENT", nargs="*", help="only these agents' workers (default all)")
    parser.add_argument("--foreground", action="store_true", help="be the worker of one agent, until Ctrl-C or TERM")
    given = parser.parse_args(argv)
    from colony_lib.store import config

    settings = config.load()
    known = {agent["id"]: agent for agent in settings["agents"]}
    for name in given.agents:
        if name not in known:
            raise unknown("agent", name, known)
    names = list(dict.fromkeys(given.agents or known))
    if given.foreground and len(names) != 1:
        parser.error("--foreground takes one agent")
    if not names:
        show.note("colony.yml has no agents yet")
    if given.foreground:
        from colony_lib.work import background

        _make_ready(known[names[0]], settings)
        return background.foreground(names[0])
    code = max((_start(known[name], settings) for name in names), default=OK)
    lacking = [name for name in names if _lacks(known[name])]
    if lacking:
        show.note(f"{', '.join(lacking)}: no task can be done yet: {_lacks(known[lacking[0]])}")
    return code


def _lacks(agent: Record) -> str | None:
    """What the worker needs before it can do a task, and has not: a key, a program, a variable."""
    from colony_lib.store import config
    from colony_lib.work import runners

    try:
        wrong = runners.get(agent["runner"]).missing(config.agent_env(agent)[0])
    except ColonyError as error:
        wrong = error
    return str(wrong) if wrong else None


def _make_ready(agent: Record, settings: Record) -> None:
    if agent["worktree_branch"]:
        from colony_lib.work import worktree

        _, warning = worktree.ready(agent, settings["shared_paths"])
        if warning:
            show.warn(warning, "start")


def _start(agent: Record, settings: Record) -> int:
    from colony_lib.store import agents
    from colony_lib.work import background

    name = agent["id"]
    try:
        _make_ready(agent, settings)
        pid = background.start(name)
    except ColonyError as error:
        show.warn(str(error), "start")
        return FAILED
    print(f"{name}: runs already (process {agents.worker_pid(name)})" if pid is None else f"{name}: started ({pid})")
    return OK
