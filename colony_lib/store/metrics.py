"""Metrics as they are written: checked points appended to a journal for each name, and which names there are."""

from __future__ import annotations

import os

from colony_lib.base import clock, files, jsonl, locks
from colony_lib.base.errors import USAGE, ColonyError, unknown
from colony_lib.base.text import check_name, escape
from colony_lib.store import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

TYPES = ("gauge", "counter")
LABELS_LIMIT = 16
LABEL_VALUE_LIMIT = 256  # characters
# Sets and no regular expressions: `record` is a short program, and half of it would go into importing them.
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ID = frozenset(_LETTERS + " ._:/@+-")
_UNIT = frozenset(_LETTERS + "%_/.-")
_NUMBER = frozenset("0123456789.eE+-")
# The last word of a name that is a unit: pipeline_duration_seconds, agent.cost_usd, data_quality_score.
_LAST_WORD = {
    "seconds": "seconds", "milliseconds": "milliseconds", "ms": "milliseconds", "usd": "usd", "bytes": "bytes",
    "total": "count", "count": "count", "ratio": "ratio", "score": "ratio", "rate": "ratio", "percent": "percent",
    "celsius": "celsius",
}  # fmt: skip
# A word anywhere in the name that says what is counted: pipeline_records_processed, agent.tokens.input.
_ANY_WORD = ("records", "rows", "tokens", "errors", "files", "requests", "runs")


def describe(name: str) -> tuple[str, str | None]:
    """(type, unit) as the name tells them: `_total` is a counter, all else a gauge; the unit is the name's last
    word where that is one (seconds, usd, bytes, count, ratio…), else the counted thing it names, else None."""
    words = name.lower().replace(".", "_").replace("-", "_").split("_")
    kind = "counter" if words[-1] == "total" else "gauge"
    unit = _LAST_WORD.get(words[-1])
    if unit in (None, "count"):
        unit = next((word for word in words if word in _ANY_WORD), unit)
    return kind, unit


def number(value: Any) -> int | float:
    """The finite number that `value` is or spells; ColonyError (USAGE) for anything else, NaN and infinities
    included. Python's own extras (`1_000`, blanks, other scripts' digits) are refused too."""
    if isinstance(value, str):
        value = _spelled(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ColonyError(f"a metric's value is a number, not {type(value).__name__}", code=USAGE)
    try:
        finite = float(value) - float(value) == 0.0
    except OverflowError:
        finite = False
    if not finite:
        raise ColonyError("a metric's value must be finite, and this number is too large", code=USAGE)
    return value


_newest: tuple[int, str, int] = (0, "", 0)  # process, id, how many more since in the same millisecond


def _new_id() -> str:
    """An id that is greater than this process's ones before: of points with one time the later one is current."""
    global _newest
    process, base, count = _newest
    fresh = clock.new_id()
    if process == os.getpid() and fresh[:10] == base[:10]:
        _newest = (process, base, count + 1)
        return f"{base}-{count + 1:07d}"
    _newest = (os.getpid(), fresh, 0)
    return fresh


def _own_id(point_id: Any) -> str:
    if (
        not isinstance(point_id, str)
        or len(point_id) > 200
        or not (point_id[:1].isalnum() and _ID.issuperset(point_id))
    ):
        fix = "use letters, digits, blanks and '._:/@+-', at most 200"
        raise ColonyError(f"'{escape(point_id)[:60]}' is not an id for a point", fix=fix, code=USAGE)
    return point_id


def _spelled(text: str) -> int | float:
    try:
        if not _NUMBER.issuperset(text):
            raise ValueError
        return int(text) if text.lstrip("+-").isdigit() and len(text) <= 300 else float(text)
    except ValueError:
        fix = "write it without group separators" if text and not text.strip("0123456789,_' ") else None
        raise ColonyError(f"'{escape(text)[:60]}' is not a number", fix=fix, code=USAGE) from None


def moment(iso: str) -> str:
    """The time as points carry it (UTC, milliseconds, Z); ColonyError (USAGE) when it is no ISO 8601 time."""
    try:
        stamp = clock.stamp(clock.seconds(iso))
    except (ValueError, OverflowError, OSError):
        stamp = ""
    if len(stamp) != 24:
        raise ColonyError(f"'{escape(iso)[:60]}' is not a time", fix="write it like 2026-11-23T06:18:00Z", code=USAGE)
    return stamp


def check_labels(labels: Mapping[str, Any]) -> dict[str, str]:
    """The labels as text, ordered by name; ColonyError (USAGE) for what no label can be."""
    if len(labels) > LABELS_LIMIT:
        raise ColonyError(f"{len(labels)} labels are too many", fix=f"use at most {LABELS_LIMIT}", code=USAGE)
    checked = {}
    for key, value in sorted(labels.items()):
        if not _is_label(key):
            fix = "use letters, digits and '_', not starting with a digit or '__', at most 64"
            raise ColonyError(f"'{escape(key)[:80]}' is not a name for a label", fix=fix, code=USAGE)
        text = str(value)
        if len(text) > LABEL_VALUE_LIMIT or any(c < " " or c == "\x7f" for c in text):
            why = "holds control characters" if len(text) <= LABEL_VALUE_LIMIT else "is too long"
            fix = "labels name things: keep them short"
            raise ColonyError(f"the value of label '{key}' {why}", fix=fix, code=USAGE)
        checked[key] = text
    return checked


def label_pairs(given: Iterable[str]) -> dict[str, str]:
    """The checked labels of texts such as source=sales_api."""
    labels: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise ColonyError(f"'{escape(text)[:60]}' is not a label", fix="write it like source=sales_api", code=USAGE)
        labels[key] = value
    return check_labels(labels)


def _is_label(key: object) -> bool:
    """Prometheus' rule, so that an export never has to rename."""
    is_word = isinstance(key, str) and key.isascii() and key.isidentifier()
    return is_word and len(str(key)) <= 64 and not str(key).startswith("__")


def point(
    name: str,
    value: Any,
    labels: Mapping[str, Any] | None = None,
    ts: str | None = None,
    point_id: str | None = None,
    type: str | None = None,
    unit: str | None = None,
) -> dict[str, Any]:
    """The checked point {v, id, ts, value, labels[, type, unit]} as the journal holds it; nothing is written.

    `type` and `unit` are kept only where they differ from what the name tells. ColonyError (USAGE) on bad input.
    """
    check_name(name, "metric")
    made: dict[str, Any] = {
        "v": 1,
        "id": _new_id() if point_id is None else _own_id(point_id),
        "ts": clock.now() if ts is None else moment(ts),
        "value": number(value),
        "labels": check_labels(labels) if labels else {},
    }
    if type is not None and type not in TYPES:
        raise ColonyError(f"'{escape(type)[:40]}' is not a type of metric", fix="use gauge or counter", code=USAGE)
    if unit is not None and not (isinstance(unit, str) and 0 < len(unit) <= 32 and _UNIT.issuperset(unit)):
        raise ColonyError(f"'{escape(unit)[:40]}' is not a unit", fix="use a word such as seconds", code=USAGE)
    if type is not None or unit is not None:
        told = describe(name)
        if type not in (None, told[0]):
            made["type"] = type
        if unit not in (None, told[1]):
            made["unit"] = unit
    return made


def record(
    name: str,
    value: Any,
    labels: Mapping[str, Any] | None = None,
    ts: str | None = None,
    point_id: str | None = None,
    type: str | None = None,
    unit: str | None = None,
) -> dict[str, Any]:
    """Append one point and return it. A `point_id` that is there already makes the repeat count once.
    ColonyError: USAGE for bad input, BUSY, or a failed write."""
    made = point(name, value, labels, ts, point_id, type, unit)
    append(name, [made])
    return made


def record_many(points: Iterable[Mapping[str, Any]]) -> int:
    """Append many points [{name, value[, labels, ts, id, type, unit]}]: all are checked before any is written,
    then one write for each name. Returns how many."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    batch = clock.new_id()
    count = 0
    for given in points:
        by_name.setdefault(str(given.get("name")), []).append(from_mapping(given, f"{batch}-{count:07d}"))
        count += 1
    for name, made in by_name.items():
        append(name, made)
    return count


def from_mapping(given: Mapping[str, Any], point_id: str) -> dict[str, Any]:
    """The checked point of {name, value[, labels, ts, id, type, unit]}; `point_id` where it brings none. Ids that
    rise within a batch make the later of two points with one time the current one."""
    extra = set(given) - {"name", "value", "labels", "ts", "id", "type", "unit"}
    if extra or "name" not in given or "value" not in given:
        what = f"a point has no key '{escape(min(extra))}'" if extra else "a point needs 'name' and 'value'"
        raise ColonyError(what, code=USAGE)
    labels, ts = given.get("labels") or {}, given.get("ts")
    if not isinstance(labels, dict) or not isinstance(ts, (str, type(None))):
        raise ColonyError("a point's 'labels' are an object and its 'ts' is a text", code=USAGE)
    return point(
        given["name"], given["value"], labels, ts, given.get("id") or point_id, given.get("type"), given.get("unit")
    )


def append(name: str, points: list[dict[str, Any]]) -> None:
    """Append points made by `point`, by one write without fsync: they survive any kill, not a power cut."""
    jsonl.append(paths.metric(name), points, lock=_lock(name))


def _lock(name: str) -> str:
    return paths.lock(f"metric-{name}")


def names() -> list[str]:
    """The names of the metrics that have a journal, sorted."""
    return paths.journals_in(paths.metrics_folder(), "metric")


def find(reference: str) -> str:
    """The metric of that name, else the only one whose name starts so; ColonyError (FAILED, with the nearest
    names) when there is none or more than one."""
    check_name(reference, "metric")
    known = names()
    if reference in known:
        return reference
    starting = [name for name in known if name.startswith(reference)]
    if len(starting) == 1:
        return starting[0]
    if starting:
        several = ", ".join(f"'{name}'" for name in starting[:6]) + (", …" if len(starting) > 6 else "")
        raise ColonyError(f"several metrics start with '{reference}'", fix=f"say which: {several}")
    raise unknown("metric", reference, known)


def clear(name: str, before: str | None = None) -> int:
    """Remove the metric's points, or those before that time (a stamp of `moment`), and return how many.

    The journal is rewritten under the lock that every append takes, so none is lost. With `before`, lines that
    cannot be read stay as they are; a journal that keeps nothing is deleted, and the metric is then unknown.
    """
    path = paths.metric(name)
    with locks.held(_lock(name), what=f"the metric '{name}'"):
        if before is None:
            removed = sum(1 for _, line, ended in jsonl.lines(path) if line and ended)
            kept = 0
        else:
            removed, kept = _rewrite(path, before)
        if not kept and os.path.lexists(path):
            os.unlink(path)
    return removed


def _rewrite(path: str, before: str) -> tuple[int, int]:
    """(removed, kept) lines. The caller holds the lock."""
    removed = kept = 0
    with files.replacing(path) as fd:
        batch: list[bytes] = []
        for _, line, ended in jsonl.lines(path):
            if not ended and not _time(line):
                continue  # a torn end: its writer never had its acknowledgement
            time = _time(line)
            if time and time < before:
                removed += 1
                continue
            kept += 1
            batch.append(line + b"\n")
            if len(batch) >= 4096:
                files.write_all(fd, b"".join(batch))
                batch = []
        files.write_all(fd, b"".join(batch))
    return removed, kept


def _time(line: bytes) -> str | None:
    from colony_lib.base import jsontext

    try:
        record = jsontext.loads(line)
        return moment(record["ts"]) if isinstance(record, dict) else None
    except (ColonyError, KeyError, TypeError):
        return None
