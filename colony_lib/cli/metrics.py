"""`colony metrics`: record numbers over time, show, check, list, export and clear them."""

from __future__ import annotations

import gc
import sys

from colony_lib.base.errors import FAILED, OK, USAGE, ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.cli import args, show
from colony_lib.store import metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from colony_lib.store.points import Window

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
AGGREGATES = ("latest", "avg", "min", "max", "sum", "p50", "p95", "count")
_HOLDS: dict[str, Callable[[float, float], bool]] = {  # the longer sign before its start
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


def main(argv: list[str]) -> int:
    # A million points are ten million objects without one cycle: looking for cycles would take half the time.
    gc.disable()
    if argv and argv[0] in _VERBS:
        # Only the parser of the verb that is asked for: `record` stands in other programs' loops.
        summary, examples, arguments, act = _VERBS[argv[0]]
        plain = _plain(argv[0], argv[1:])
        if plain is not None:
            return act(plain)
        parser = args.Parser(prog=f"colony metrics {argv[0]}", summary=summary, examples=examples)
        arguments(parser)
        return act(parser.parse_args(argv[1:]))
    parser = args.Parser(prog="colony metrics", summary=SUMMARY, examples=EXAMPLES, details=DETAILS)
    verbs = parser.commands()
    for name, (summary, *_) in _VERBS.items():
        verbs.add_parser(name, prog=f"colony metrics {name}", help=summary)
    parser.parse_args(argv)
    return OK  # not reached: without a known command the line above raises, and with one we are not here


def _plain(verb: str, words: list[str]) -> Any:
    """What an ordinary line of the verbs that stand in loops and in `watch` says, without a parser; None for others."""
    given = None
    if verb == "record":
        values = ["--label", "--at", "--id", "--type", "--unit"]
        given = args.simple(words, ["--json"], values, ["name", "value"], least=2)
    elif verb == "show":
        given = args.simple(words, ["--json"], ["--hours", "--label"], ["name"], least=1)
    elif verb == "check":
        values = ["--hours", "--label", "--aggregate"]
        given = args.simple(words, ["--json", "--quiet"], values, ["name", "condition"], least=2)
        if given is not None:
            given.condition, given.aggregate = [given.condition], given.aggregate or "latest"
    elif verb == "list":
        given = args.simple(words, ["--json"])
    if given is None or getattr(given, "aggregate", "latest") not in AGGREGATES:
        return None
    if hasattr(given, "label"):
        if sum(word.startswith("--label") for word in words) > 1:
            return None  # a label may be repeated; a plain line's value is its last
        given.label = [given.label] if given.label else []
    if hasattr(given, "hours"):
        given.hours = _hours(given.hours) if given.hours else 24
    return given


# --- record


def _record_arguments(parser: args.Parser) -> None:
    import re

    # argparse takes -1e5 for an option, and -5 not.
    parser._negative_number_matcher = re.compile(r"-[\d.in]")
    parser.add_argument("name", metavar="NAME", help="letters, digits, '.', '_' and '-'; the last word tells the unit")
    parser.add_argument(
        "value", metavar="VALUE", help="a number; '-' reads standard input, a number or JSON point a line"
    )
    _label_argument(parser, "what the number belongs to")
    parser.add_argument("--at", metavar="TIME", help="when it was so (ISO 8601; default now)")
    parser.add_argument("--id", metavar="ID", help="an id of your own: the same one recorded again counts once")
    parser.add_argument("--type", metavar="TYPE", help="gauge or counter, where the name does not tell")
    parser.add_argument("--unit", metavar="UNIT", help="seconds, usd, …, where the name does not tell")
    args.add_lock_timeout(parser)
    args.add_json(parser)


def _record(given: Any) -> int:
    labels = _labels(given.label)
    if given.value == "-":
        metrics.append(given.name, list(_from_input(given, labels)))
        return OK
    point = metrics.record(given.name, given.value, labels, given.at, given.id, given.type, given.unit)
    if given.at is not None:
        _warn_of_future(point["ts"])
    if given.json:
        show.record({"name": given.name, **point})
    return OK


def _from_input(given: Any, labels: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The points of standard input, one a line: a number, or an object as `export` prints it."""
    from colony_lib.base import clock, jsontext
    from colony_lib.base.text import check_name

    check_name(given.name, "metric")
    if given.id is not None:
        raise ColonyError("--id is for one point", fix="give each line its own 'id'", code=USAGE)
    batch = clock.new_id()
    default = {"ts": given.at, "type": given.type, "unit": given.unit}
    for number, line in enumerate(sys.stdin.buffer.read().split(b"\n"), 1):
        if not line.strip():
            continue
        where = f"standard input:{number}"
        value = jsontext.loads(line, where=where)
        point = {**default, "name": given.name, **(value if isinstance(value, dict) else {"value": value})}
        try:
            if point["name"] != given.name:
                raise ColonyError(f"the point is of '{escape(point['name'])}', not of '{given.name}'", code=USAGE)
            if isinstance(point.get("labels"), dict):
                point["labels"] = {**point["labels"], **labels}
            else:
                point.setdefault("labels", labels)
            yield metrics.from_mapping(point, f"{batch}-{number:07d}")
        except ColonyError as error:
            raise ColonyError(error.what, where=where, fix=error.fix, code=USAGE) from None


def _warn_of_future(ts: str) -> None:
    from colony_lib.base import clock

    if ts > clock.stamp(clock.epoch() + 300):
        show.warn(f"{ts} lies in the future: 'show' and 'check' leave the point out until then", "metrics")


# --- show


def _show_arguments(parser: args.Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="a metric; a unique start of its name is enough")
    _window_arguments(parser)
    args.add_json(parser)


def _window_arguments(parser: args.Parser) -> None:
    parser.add_argument(
        "--hours", metavar="H", type=_hours, default=24, help="how far back (default 24; 168 is a week)"
    )
    _label_argument(parser, "only the points with this label")


def _window(given: Any) -> Window:
    """The window that was asked for; what is peculiar about it is said on standard error."""
    from colony_lib.store.points import Window

    name = _find(given.name)
    window = Window(name, given.hours, _labels(given.label))
    show.problems(window.problems, "metrics")
    if window.future:
        show.warn(f"left out as lying in the future: {plural(window.future, 'point')}", "metrics")
    return window


def _find(reference: str) -> str:
    name = metrics.find(reference)
    if name != reference:
        show.warn(f"'{reference}' is taken for '{name}'", "metrics")
    return name


def _show(given: Any) -> int:
    window = _window(given)
    head = {"name": window.name, "type": window.type, "unit": window.unit, "hours": given.hours, **window.statistics()}
    if given.json:
        sys.stdout.writelines(window.document(head))
    else:
        _print_plain(head, window)
    return OK


def _print_plain(head: dict[str, Any], window: Window) -> None:
    what = ", ".join(filter(None, (window.type, window.unit, f"last {head['hours']:g} h")))
    print(f"{window.name}  ({what})")
    if not head["count"]:
        last = window.last and f"; the last was {_amount(window.last[1], window.unit)} at {window.last[0]}"
        print(f"no points in the last {head['hours']:g} h{last or ''}")
        return
    for key in ("current", "average", "min", "max", "p50", "p95", "sum", "count"):
        unit = None if key == "count" else window.unit
        at = f"  at {window.last[0]}{_braces(window.last[2])}" if key == "current" and window.last else ""
        print(f"{key:<8} {_amount(head[key], unit)}{at}")
    _draw(window)


def _draw(window: Window) -> None:
    """A line of bars; on a terminal that has the room a chart of six lines."""
    from colony_lib.store import chart

    ascii_only = not chart.fits(sys.stdout.encoding)
    room = show.columns()
    if room < 75:
        print(chart.sparkline(window.buckets(min(room - 1, 60) if room > 10 else 60), ascii_only=ascii_only))
        return
    averages = window.buckets(60 if ascii_only else 120)
    for line in chart.framed(averages, window.start[:16] + "Z", "now", ascii_only=ascii_only):
        print(line)


def _amount(value: float, unit: str | None) -> str:
    """The number, and for durations of a minute and more the way people say it."""
    from colony_lib.base.text import show_duration

    text = str(value) if isinstance(value, int) else f"{value:.6g}"
    return f"{text} ({show_duration(value)})" if unit == "seconds" and value >= 60 else text


def _braces(labels: dict[str, str]) -> str:
    return escape(" {" + ", ".join(f"{key}={value}" for key, value in labels.items()) + "}") if labels else ""


# --- list


def _list(given: Any) -> int:
    from colony_lib.store import points

    rows = []
    for name in metrics.names():
        newest = points.Newest(name)
        found = {"type": newest.type, "unit": newest.unit, "current": newest.value, "updated": newest.time}
        rows.append({"name": name, **found})
    if given.json:
        show.records(rows)
    elif rows:
        show.table(rows, ["name", "current", "unit", "type", "updated"])
    else:
        show.note("no metrics yet: record one with 'colony metrics record NAME VALUE'")
    return OK


# --- export


def _export_arguments(parser: args.Parser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="metrics (default all)")
    meaning = "json: each point a line (default); prometheus: the newest sample of every set of labels"
    parser.add_argument("--format", choices=("json", "prometheus"), default="json", metavar="FORMAT", help=meaning)
    parser.add_argument("--hours", metavar="H", type=_hours, help="how far back (default all there is)")
    meaning = "prometheus without times, as node_exporter's textfile collector wants it"
    parser.add_argument("--no-timestamps", action="store_true", help=meaning)


def _export(given: Any) -> int:
    from colony_lib.store import points, prometheus

    names = [_find(name) for name in given.names] or metrics.names()
    if given.format == "prometheus":
        found = [points.Latest(name, given.hours) for name in names]
        for metric in found:
            show.problems(metric.problems, "metrics")
        for line in prometheus.lines(found, timestamps=not given.no_timestamps):
            sys.stdout.write(line + "\n")
        return OK
    for name in names:
        window = points.Window(name, given.hours)
        show.problems(window.problems, "metrics")
        sys.stdout.writelines(window.lines())
    return OK


# --- check


def _check_arguments(parser: args.Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="a metric; a unique start of its name is enough")
    meaning = "one of < <= > >= == != and a number, quoted: '< 0.95'"
    parser.add_argument("condition", metavar="CONDITION", nargs="+", help=meaning)
    meaning = f"what is compared: {', '.join(AGGREGATES)} (default latest)"
    parser.add_argument("--aggregate", choices=AGGREGATES, default="latest", metavar="AGGREGATE", help=meaning)
    _window_arguments(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing, only exit 0 or 1")
    args.add_json(parser)


def _check(given: Any) -> int:
    operator, bound = _condition(" ".join(given.condition))
    window = _window(given)
    statistics = window.statistics()
    key = {"latest": "current", "avg": "average"}.get(given.aggregate, given.aggregate)
    value = statistics[key]
    if not statistics["count"] and given.aggregate != "count":
        last = f" (the last was at {window.last[0]})" if window.last else ""
        show.warn(f"nothing to compare: '{window.name}' has no point in the last {given.hours:g} h{last}", "metrics")
    holds = value is not None and _HOLDS[operator](value, bound)
    if given.json:
        show.record({
            "name": window.name, "aggregate": given.aggregate, "value": value, "condition": f"{operator} {bound!r}",
            "holds": holds, "hours": given.hours, "count": statistics["count"],
        })  # fmt: skip
    elif not given.quiet and value is not None:
        answer = "yes" if holds else "no"
        print(f"{window.name} {given.aggregate} {show.cell(value)} {operator} {bound:g}: {answer}")
    return OK if holds else FAILED


def _condition(text: str) -> tuple[str, int | float]:
    stripped = text.strip()
    operator = next((sign for sign in (*_HOLDS, "=") if stripped.startswith(sign)), None)
    bound = stripped[len(operator or "") :].lstrip()
    if operator is None or not bound or " " in bound:
        fix = "write a comparison and a number in quotes, such as '< 0.95'"
        raise ColonyError(f"'{escape(text)[:60]}' is not a condition", fix=fix, code=USAGE)
    return "==" if operator == "=" else operator, metrics.number(bound)


# --- clear


def _clear_arguments(parser: args.Parser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="the metric's whole name")
    parser.add_argument("--all", action="store_true", help="every metric")
    parser.add_argument("--before", metavar="TIME", help="only points older than this: a time, or 30d for 30 days")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    args.add_lock_timeout(parser)


def _clear(given: Any) -> int:
    if (given.name is None) != given.all:
        raise ColonyError("name one metric, or say --all", fix="see 'colony metrics clear --help'", code=USAGE)
    before = _before(given.before) if given.before else None
    known = metrics.names()
    if given.name is not None and given.name not in known:
        from colony_lib.base.errors import unknown
        from colony_lib.base.text import check_name

        raise unknown("metric", check_name(given.name, "metric"), known)
    names = known if given.all else [given.name]
    if given.all and not given.yes:
        _ask(f"remove {'points of ' if before else ''}all {len(names)} metrics?")
    removed = sum(metrics.clear(name, before) for name in names)
    show.note(f"removed {plural(removed, 'point')} of {names[0] if len(names) == 1 else plural(len(names), 'metric')}")
    return OK


def _ask(question: str) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ColonyError("this removes every metric", fix="say --yes to do it without being asked", code=USAGE)
    print(f"colony metrics: {question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ColonyError("nothing was removed", code=FAILED)


def _before(text: str) -> str:
    from colony_lib.base import clock
    from colony_lib.base.text import duration
    from colony_lib.store.points import stamp

    try:
        return stamp(clock.epoch() - duration(text))
    except ColonyError:
        return metrics.moment(text)


# --- what the verbs share


def _label_argument(parser: args.Parser, meaning: str) -> None:
    parser.add_argument("--label", metavar="K=V", action="append", default=[], help=f"{meaning}; may be repeated")


def _labels(given: list[str]) -> dict[str, str]:
    labels = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise ColonyError(f"'{escape(text)[:60]}' is not a label", fix="write it like source=sales_api", code=USAGE)
        labels[key] = value
    return metrics.check_labels(labels)


def _hours(text: str) -> int | float:
    try:
        hours = metrics.number(text)
    except ColonyError:
        hours = 0
    if not 0 < hours <= 1_000_000:
        fix = "write it like 24, 168 or 0.5"
        raise ColonyError(f"'{escape(text)[:40]}' is not a number of hours", fix=fix, code=USAGE)
    return hours


_VERBS: dict[str, tuple[str, list[str], Callable[[args.Parser], None], Callable[[Any], int]]] = {
    "record": (
        "record a number; nothing is printed",
        [
            "colony metrics record pipeline_records_processed 10543",
            "colony metrics record fetch_duration_seconds 12.5 --label source=sales_api",
            "colony metrics record data_quality_score 0.98 --at 2026-11-22T02:30:00Z",
            "seq 5 | colony metrics record queue_length -",
        ],
        _record_arguments,
        _record,
    ),
    "show": (
        "a metric's current value, statistics and course over the last hours",
        [
            "colony metrics show pipeline_records_processed",
            "colony metrics show pipeline_duration --hours 168",
            "colony metrics show workflow.step.duration_seconds --label step=load-data --json | jq .p95",
        ],
        _show_arguments,
        _show,
    ),
    "list": ("the metrics there are, each with its newest value", ["colony metrics list"], args.add_json, _list),
    "export": (
        "all points as JSON Lines, or the newest ones for Prometheus",
        ["colony metrics export", "colony metrics export --format prometheus > colony.prom"],
        _export_arguments,
        _export,
    ),
    "check": (
        "exit 0 when the condition holds, 1 when it does not or there is no point to compare",
        [
            "if colony metrics check data_quality_score '< 0.95'; then colony broadcast 'quality is low'; fi",
            "colony metrics check pipeline_error_count '> 10' --aggregate sum --hours 168 --quiet",
        ],
        _check_arguments,
        _check,
    ),
    "clear": (
        "remove a metric's points",
        ["colony metrics clear queue_length", "colony metrics clear --all --before 90d --yes"],
        _clear_arguments,
        _clear,
    ),
}
