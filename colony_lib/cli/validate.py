"""`colony validate`: everything that is wrong with colony.yml, the workflows and pipeline.yml, one line each."""

from __future__ import annotations

import os

from colony_lib.base.errors import OK, USAGE
from colony_lib.base.text import plural
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from colony_lib.base.errors import ColonyError


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony validate",
        "check colony.yml and every workflow",
        [
            "colony validate",
            "colony validate --json | jq -r .message",
            "colony validate && colony workflow run daily-etl",
        ],
        details="Prints each problem as 'file:line: what is wrong; what to do' and exits 2, or says ok and exits 0.\n"
        "A pipeline.yml is checked too, but for what it takes from the environment.",
    )
    args.add_json(parser)
    given = parser.parse_args(argv)
    from colony_lib.store import checkup

    found, checked = checkup.problems()
    data = _pipeline()
    if data is not None:
        found, checked = [*found, *data[0]], checked + 1
    for problem in found:
        show.fault(problem, given.json)
    if found:
        show.note(f"{plural(len(found), 'problem')} in {plural(checked, 'file')} checked")
        return USAGE
    for warning in [*checkup.warnings(), *(data[1] if data else [])]:
        show.warn(warning)
    if not given.json:
        count, more = (checked - 1, "") if data is None else (checked - 2, ", and pipeline.yml")
        show.value(f"ok: colony.yml and {plural(count, 'workflow')}{more}")
    return OK


def _pipeline() -> tuple[list[ColonyError], list[str]] | None:
    from colony_lib.store import paths

    if not os.path.lexists(os.path.join(paths.root(), "pipeline.yml")):
        return None  # most colonies need not know the data tools
    from colony_lib.data import pipeline_check

    return pipeline_check.check()
