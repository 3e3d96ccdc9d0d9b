"""The verbs of `colony metrics` that write: record and clear."""

from __future__ import annotations

import sys

from colony_lib.base.errors import FAILED, OK, USAGE, ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.cli import args, show
from colony_lib.store import metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


LABEL = "what the number belongs to; may be repeated"


def plain(verb: str, words: list[str]) -> Any:
    """What an ordinary line of `record` says, without a parser; None for any other."""
    values = ["--label", "--at", "--id", "--type", "--unit"]
    given = args.simple(words, ["--json"], values, ["name", "value"], least=2) if verb == "record" else None
    if given is None or sum(word.startswith("--label") for word in words) > 1:
        return None  # a label may be repeated, and this reader keeps one
    given.label = [given.label] if given.label else []
    return given


def _record_arguments(parser: args.Parser) -> None:
    import re

    # argparse takes -1e5 for an option, and -5 not.
    parser._negative_number_matcher = re.compile(r"-[\d.in]")
    parser.add_argument("name", metavar="NAME", help="letters, digits, '.', '_' and '-'; the last word tells the unit")
    parser.add_argument(
        "value", metavar="VALUE", help="a number; '-' reads standard input, a number or JSON point a line"
    )
    parser.add_argument("--label", metavar="K=V", action="append", default=[], help=LABEL)
    parser.add_argument("--at", metavar="TIME", help="when it was so (ISO 8601; default now)")
    parser.add_argument("--id", metavar="ID", help="an id of your own: the same one recorded again counts once")
    parser.add_argument("--type", metavar="TYPE", help="gauge or counter, where the name does not tell")
    parser.add_argument("--unit", metavar="UNIT", help="seconds, usd, …, where the name does not tell")
    args.add_lock_timeout(parser)
    args.add_json(parser)


def _record(given: Any) -> int:
    labels = metrics.label_pairs(given.label)
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


VERBS: dict[str, tuple[str, list[str], Callable[[args.Parser], None], Callable[[Any], int]]] = {
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
    "clear": (
        "remove a metric's points",
        ["colony metrics clear queue_length", "colony metrics clear --all --before 90d --yes"],
        _clear_arguments,
        _clear,
    ),
}
