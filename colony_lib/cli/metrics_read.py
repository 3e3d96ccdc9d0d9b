"""The verbs of `colony metrics` that read: show, list, export and check."""

from __future__ import annotations

import sys

from colony_lib.base.errors import FAILED, OK, USAGE, ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.cli import args, show
from colony_lib.store import metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from colony_lib.store.points import Window

AGGREGATES = ("latest", "avg", "min", "max", "sum", "p50", "p95", "count")
_HOLDS: dict[str, Callable[[float, float], bool]] = {  # the longer sign before its start
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


def plain(verb: str, words: list[str]) -> Any:
    """What an ordinary line of show, list or check says, without a parser; None for any other."""
    given = None
    if verb == "list":
        return args.simple(words, ["--json"])
    if verb == "show":
        given = args.simple(words, ["--json"], ["--hours", "--label"], ["name"], least=1)
    elif verb == "check":
        values = ["--hours", "--label", "--aggregate"]
        given = args.simple(words, ["--json", "--quiet", "-q"], values, ["name", "condition"], least=2)
    if given is None or sum(word.startswith("--label") for word in words) > 1:
        return None  # a label may be repeated, and this reader keeps one
    given.label = [given.label] if given.label else []
    given.hours = _hours(given.hours) if given.hours else 24
    if verb == "check":
        given.condition, given.aggregate = [given.condition], given.aggregate or "latest"
        given.quiet = given.quiet or given.q
        return given if given.aggregate in AGGREGATES else None
    return given


def _show_arguments(parser: args.Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="a metric; a unique start of its name is enough")
    _window_arguments(parser)
    args.add_json(parser)


def _window_arguments(parser: args.Parser) -> None:
    parser.add_argument(
        "--hours", metavar="H", type=_hours, default=24, help="how far back (default 24; 168 is a week)"
    )
    meaning = "only the points with this label; may be repeated"
    parser.add_argument("--label", metavar="K=V", action="append", default=[], help=meaning)


def _window(given: Any) -> Window:
    """The window that was asked for; what is peculiar about it is said on standard error."""
    from colony_lib.store.points import Window

    name = _find(given.name)
    window = Window(name, given.hours, metrics.label_pairs(given.label))
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


def _hours(text: str) -> int | float:
    try:
        hours = metrics.number(text)
    except ColonyError:
        hours = 0
    if not 0 < hours <= 1_000_000:
        fix = "write it like 24, 168 or 0.5"
        raise ColonyError(f"'{escape(text)[:40]}' is not a number of hours", fix=fix, code=USAGE)
    return hours


VERBS: dict[str, tuple[str, list[str], Callable[[args.Parser], None], Callable[[Any], int]]] = {
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
}
