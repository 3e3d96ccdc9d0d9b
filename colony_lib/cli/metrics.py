"""`colony metrics`: record numbers over time, show, check, list, export and clear them."""

from __future__ import annotations

import gc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

SUMMARY = "record numbers over time, show, check and export them"
EXAMPLES = [
    "colony metrics record pipeline_records_processed 10543",
    "colony metrics record fetch_duration_seconds 12.5 --label source=sales_api",
    "colony metrics show pipeline_duration_seconds --hours 168",
    "if colony metrics check data_quality_score '< 0.95'; then colony broadcast 'quality is low'; fi",
]
DETAILS = """\
Points lie in .colony/metrics/NAME.jsonl, one a line. Percentiles interpolate linearly between the two nearest
ranks (type 7, as numpy and pandas do). Points with a time more than five minutes ahead of now are left out."""
WRITING = ("record", "clear")
READING = ("show", "list", "export", "check")


def main(argv: list[str]) -> int:
    # A million points are ten million objects without one cycle: looking for cycles would take half the time.
    gc.disable()
    from colony_lib.cli import args

    verb = argv[0] if argv else ""
    if verb in WRITING or verb in READING:
        # Only the half and the parser that are asked for: `record` stands in other programs' loops.
        half = _half(verb)
        summary, examples, arguments, act = half.VERBS[verb]
        given = half.plain(verb, argv[1:])
        if given is None:
            parser = args.Parser(prog=f"colony metrics {verb}", summary=summary, examples=examples)
            arguments(parser)
            given = parser.parse_args(argv[1:])
        status: int = act(given)
        return status
    parser = args.Parser(prog="colony metrics", summary=SUMMARY, examples=EXAMPLES, details=DETAILS)
    verbs = parser.commands()
    for name in (WRITING[0], *READING, WRITING[1]):
        verbs.add_parser(name, prog=f"colony metrics {name}", help=_half(name).VERBS[name][0])
    parser.parse_args(argv)
    return 0


def _half(verb: str) -> ModuleType:
    if verb in WRITING:
        from colony_lib.cli import metrics_write

        return metrics_write
    from colony_lib.cli import metrics_read

    return metrics_read
