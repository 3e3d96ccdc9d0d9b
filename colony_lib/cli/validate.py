"""`colony validate`: everything that is wrong with colony.yml and the workflows, one line each."""

from __future__ import annotations

from colony_lib.base.errors import OK, USAGE
from colony_lib.base.text import plural
from colony_lib.cli import args, show


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
        show.fault(problem, given.json)
    if found:
        show.note(f"{plural(len(found), 'problem')} in {plural(checked, 'file')} checked")
        return USAGE
    for warning in checkup.warnings():
        show.warn(warning)
    if not given.json:
        show.value(f"ok: colony.yml and {plural(checked - 1, 'workflow')}")
    return OK
