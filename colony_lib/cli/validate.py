"""`colony validate`: everything that is wrong with colony.yml and the workflows, one line each."""

from __future__ import annotations

from colony_lib.base.errors import OK, USAGE, ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony validate",
        "check colony.yml and every workflow",
        [
            "colony validate",
            "colony validate --json | jq -r .message",
            "colony validate && colony workflow run daily-etl",
        ],
        details="Prints each problem as 'file:line: what is wrong; what to do' and exits 2, or says ok and exits 0.",
    )
    args.add_json(parser)
    given = parser.parse_args(argv)
    from colony_lib.store import checkup

    found, checked = checkup.problems()
    for problem in found:
        if given.json:
            show.record(_record(problem))
        else:
            print(_line(problem))
    if found:
        show.note(f"{plural(len(found), 'problem')} in {plural(checked, 'file')} checked")
        return USAGE
    for warning in checkup.warnings():
        show.warn(warning)
    if not given.json:
        show.value(f"ok: colony.yml and {plural(checked - 1, 'workflow')}")
    return OK


def _record(problem: ColonyError) -> dict[str, Any]:
    """A problem as --json prints it (schemas/problem.schema.json)."""
    file, line = _place(problem)
    return {"file": file, "line": line, "message": problem.what, "fix": problem.fix}


def _place(problem: ColonyError) -> tuple[str | None, int | None]:
    file, colon, line = (problem.where or "").rpartition(":")
    if colon and line.isdigit():
        return file, int(line)
    return problem.where, None


def _line(problem: ColonyError) -> str:
    where = f"{problem.where}: " if problem.where else ""
    fix = f"; {problem.fix}" if problem.fix else ""
    return escape(f"{where}{problem.what}{fix}")
