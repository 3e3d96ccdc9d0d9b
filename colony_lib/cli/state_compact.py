"""`colony state compact`: the command line of compaction."""

from __future__ import annotations

from colony_lib.base.errors import USAGE, unknown
from colony_lib.base.text import plural
from colony_lib.cli import args, show

COLUMNS: list[str | tuple[str, str]] = [
    "journal",
    ("lines_before", "LINES"),
    ("lines", "NOW"),
    ("bytes_before", "BYTES"),
    ("bytes", "NOW"),
]


def main(argv: list[str]) -> int:
    from colony_lib.store import compaction, tasks

    parser = args.Parser(
        "colony state compact",
        "make the journals of tasks, memory and messages shorter, with nothing lost",
        ["colony state compact --dry-run", "colony state compact", "colony state compact tasks --json"],
        details="Repeated lines go, and the events of each finished task come together in one line; what is shown of\n"
        "them stays the same. Safe beside writers. The task list is also compacted by itself, when it is larger\n"
        f"than {tasks.VERY_LONG >> 20} MiB, has doubled since the last time and holds mostly finished tasks.",
    )
    parser.add_argument("names", metavar="JOURNAL", nargs="*", help="tasks, memory or messages (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="say what would become of them, and change nothing")
    args.add_json(parser)
    args.add_lock_timeout(parser)
    given = parser.parse_args(argv)
    there = {journal.name: journal for journal in compaction.every()}
    for name in given.names:
        if name not in there:
            raise unknown("journal", name, there, code=USAGE)
    found = [compaction.compact(there[name], dry_run=given.dry_run) for name in given.names or there]
    removed = 0 if given.dry_run or "tasks" not in (given.names or there) else compaction.remove_dead_leases()
    if given.json:
        show.records(found)
    else:
        show.table(found, COLUMNS)
    if removed:
        show.note(f"removed {plural(removed, 'lock file')} of claims that are over")
    return 0
