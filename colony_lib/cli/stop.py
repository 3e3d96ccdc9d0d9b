"""`colony stop`: ends the agents' workers, so that what they do can be gone on with."""

from __future__ import annotations

from colony_lib.base.errors import OK, unknown
from colony_lib.cli import args, show


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony stop",
        "end the agents' workers",
        ["colony stop", "colony stop data-fetcher --timeout 2m"],
        details="A worker interrupts what it does and puts its task back: the next 'colony start' goes on with\n"
        "the same run. One that does not end in time is killed: a command that it was at may go on, and the next\n"
        "start takes over what comes of it.",
    )
    parser.add_argument("agents", metavar="AGENT", nargs="*", help="only these agents' workers (default all)")
    parser.add_argument(
        "--timeout", metavar="T", type=args.positive_duration, default=30.0, help="how long to wait (default 30s)"
    )
    given = parser.parse_args(argv)
    from colony_lib.store import agents, config
    from colony_lib.work import background

    known = [agent["id"] for agent in config.load()["agents"]]
    for name in given.agents:
        if name not in known and agents.worker_pid(name) is None:
            raise unknown("agent", name, known)
    names = list(dict.fromkeys(given.agents)) or agents.with_workers(known)
    found = background.stop(names, given.timeout)
    for name, what in found.items():
        print(f"{name}: {what}")
    if not found:
        show.note("no worker runs")
    return OK
