"""`colony health`: finds what is wrong with a set-up, and says how to mend it."""

from __future__ import annotations

from colony_lib.base.errors import FAILED, OK
from colony_lib.base.text import escape, plural
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony health",
        "find what is wrong with this set-up, and how to mend it",
        ["colony health", "colony health --json | jq -r 'select(.status != \"ok\") | .fix'"],
        details="Exits 1 when something fails; warnings alone leave it at 0. Changes nothing.",
    )
    args.add_json(parser)
    args.add_lock_timeout(parser)
    given = parser.parse_args(argv)
    from itertools import chain

    from colony_lib.store import health

    counts = {"ok": 0, "warn": 0, "fail": 0}
    for check in chain(health.checks(), _executors()):
        counts[check["status"]] += 1
        if given.json:
            show.record(check)
        else:
            _print(check)
    show.note(f"{counts['ok']} ok, {plural(counts['warn'], 'warning')}, {plural(counts['fail'], 'failure')}")
    return FAILED if counts["fail"] else OK


def _executors() -> Iterator[dict[str, Any]]:
    """The clusters of colony.yml, if it has any."""
    from colony_lib.store import paths

    if paths.root_or_none() is not None:
        from colony_lib.work import cluster_check

        yield from cluster_check.findings()


def _print(check: dict[str, Any]) -> None:
    status = show.colour(f"{check['status']:4}", show.STATUS_COLOURS.get(check["status"]))
    print(f"{status}  {check['check']:<11}  {escape(check['message'])}")
    if check["fix"]:
        print(f"{'':17}  {escape(check['fix'])}")
