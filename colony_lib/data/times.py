"""Reads dates and times from text, in the formats that were declared and in no other: nothing ambiguous is guessed.

Formats: `default` (ISO 8601, as Table Schema says), `any` (also other forms that can mean one day only: 2013/01/15,
20130115, 15 Jan 2013, January 15, 2013, Tue, 15 Jan 2013 05:00:00 GMT), strptime patterns (%m/%d/%Y), `epoch_seconds`
and `epoch_milliseconds`. A datetime without an offset is in the zone that was declared, else UTC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import escape

EPOCHS = {"epoch_seconds": "s", "epoch_milliseconds": "ms"}
_DIRECTIVES = set("YymdHIMSfpzjbBaA%")
_NAT = np.datetime64("NaT", "us")
_DAY = r"\d{4}-\d\d-\d\d"
_CLOCK = r"\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?"
_ZONE = r"(?:Z|[+-]\d\d(?::?\d\d)?)"
_DATE = re.compile(_DAY, re.ASCII)
_DATETIME = re.compile(rf"{_DAY}T{_CLOCK}{_ZONE}?", re.ASCII)
_ANY_ISO = re.compile(rf"{_DAY}(?:[T ]{_CLOCK} ?{_ZONE}?)?|\d{{8}}(?:T\d{{6}}{_ZONE}?)?", re.ASCII)
_OFFSET = re.compile(rf"T.*{_ZONE}$")
_TIME = re.compile(rf"\d\d:\d\d:\d\d(?:\.\d{{1,6}})?{_ZONE}?", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,17}(?:\.\d{1,9})?", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})[a-z]*"
_DAY_NAME = "(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +)?"
_REST = rf"(?:[ T]+(?P<clock>{_CLOCK}))?(?: *(?P<zone>GMT|UTC|{_ZONE}))?"
_WORDS = (
    re.compile(rf"{_DAY_NAME}(?P<day>\d\d?)[ -]{_MONTH}\.?[ -](?P<year>\d{{4}}){_REST}", re.IGNORECASE | re.ASCII),
    re.compile(rf"{_DAY_NAME}{_MONTH}\.? (?P<day>\d\d?),? (?P<year>\d{{4}}){_REST}", re.IGNORECASE | re.ASCII),
)
_SLASHES = re.compile(rf"(\d{{4}})/(\d\d?)/(\d\d?)((?:[T ]{_CLOCK}{_ZONE}?)?)", re.ASCII)


def check_format(kind: str, form: object, where: str | None) -> None:
    """ColonyError (USAGE) unless `form` is a format for that kind of field: date, datetime or time."""
    if not isinstance(form, str):
        raise ColonyError(f"the format {escape(form)} is not a text", where=where, code=USAGE)
    if form in ("default", "any") or (form in EPOCHS and kind == "datetime"):
        return
    found = set(re.findall(r"%(.?)", form, re.DOTALL))
    if not found:
        fix = "use default, any, a pattern like %m/%d/%Y" + (
            ", epoch_seconds or epoch_milliseconds" if kind == "datetime" else ""
        )
        raise ColonyError(f"'{escape(form)}' is not a format for a {kind}", where=where, fix=fix, code=USAGE)
    unknown = sorted(found - _DIRECTIVES)
    if unknown:
        raise ColonyError(
            f"'%{escape(unknown[0])}' in the format '{escape(form)}' is not supported",
            where=where,
            fix="use " + " ".join(f"%{c}" for c in sorted(_DIRECTIVES)),
            code=USAGE,
        )
    day = found & {"Y", "y"} and (("d" in found and found & {"m", "b", "B"}) or "j" in found)
    if not day if kind != "time" else not found & {"H", "I"}:
        needs = "an hour" if kind == "time" else "a year, a month and a day"
        raise ColonyError(f"the format '{escape(form)}' does not give {needs}", where=where, code=USAGE)


def check_zone(name: object, where: str | None) -> str:
    """The zone's name, if this machine knows it; else ColonyError (USAGE)."""
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(str(name))
    except (OSError, ValueError, KeyError):
        raise ColonyError(
            f"unknown timezone '{escape(name)}'", where=where, fix="write it like America/New_York", code=USAGE
        ) from None
    return str(name)


def parse(
    texts: Sequence[str], kind: str, forms: Sequence[str], zone: str | None = None
) -> tuple[np.ndarray, dict[int, str]]:
    """The moments (datetime64[us], UTC; midnight for a date) of the texts, NaT where there is none.

    Several forms are tried on every text; a text that they read differently is ambiguous. Besides the moments:
    reasons, by index, where there is more to say than that a text is not of the format.
    """
    found = np.full(len(texts), _NAT)
    reasons: dict[int, str] = {}
    for form in forms:
        moments = _one(texts, kind, form, zone, reasons)
        clash = ~np.isnat(found) & ~np.isnat(moments) & (found != moments)
        found = np.where(np.isnat(found), moments, found)
        reasons.update(
            (int(i), f"is ambiguous: {' and '.join(forms)} read it differently") for i in np.flatnonzero(clash)
        )
    for i in reasons:
        if "ambiguous" in reasons[i]:
            found[i] = _NAT
    return found, {i: why for i, why in reasons.items() if np.isnat(found[i])}


def _one(texts: Sequence[str], kind: str, form: str, zone: str | None, reasons: dict[int, str]) -> np.ndarray:
    if form in EPOCHS:
        return _epoch(texts, 1_000_000 if form == "epoch_seconds" else 1000)
    if form == "any":
        return _iso([_any(text) for text in texts], zone, reasons, whole_days=kind == "date")
    if form == "default":
        pattern = _DATE if kind == "date" else _DATETIME
        return _iso([text if pattern.fullmatch(text) else None for text in texts], zone, reasons)
    aware = "%z" in form
    moments = pd.to_datetime(pd.Series(list(texts), dtype=object), format=form, errors="coerce", utc=aware)
    if kind == "date":
        moments = _wall(moments).dt.normalize()
        days: np.ndarray = moments.to_numpy().astype("datetime64[us]")
        return days
    return _placed(moments, None if aware else zone, np.arange(len(texts)), reasons)


def _wall(moments: pd.Series) -> pd.Series:
    return moments.dt.tz_localize(None) if moments.dt.tz is not None else moments


def _epoch(texts: Sequence[str], scale: int) -> np.ndarray:
    found = np.full(len(texts), _NAT)
    for i, text in enumerate(texts):
        if _NUMBER.fullmatch(text):
            whole, _, fraction = text.partition(".")
            digits = len(str(scale)) - 1
            micro = int(whole) * scale + (-1 if text.startswith("-") else 1) * int((fraction + "000000")[:digits] or 0)
            if abs(micro) < 253_402_300_800_000_000:  # year 9999
                found[i] = np.datetime64(micro, "us")
    return found


def _iso(
    texts: Sequence[str | None], zone: str | None, reasons: dict[int, str], whole_days: bool = False
) -> np.ndarray:
    found = np.full(len(texts), _NAT)
    offset = np.fromiter(
        (text is not None and bool(_OFFSET.search(text)) for text in texts), dtype=bool, count=len(texts)
    )
    given = np.fromiter((text is not None for text in texts), dtype=bool, count=len(texts))
    for aware in (True, False):
        which = np.flatnonzero(given & (offset == aware))
        if len(which):
            part = pd.Series([texts[int(i)] for i in which], dtype=object)
            moments = pd.to_datetime(part, format="ISO8601", errors="coerce", utc=aware)
            found[which] = _placed(moments, None if aware or whole_days else zone, which, reasons)
    if whole_days:  # a moment is no day: which day it is depends on the zone
        found = np.where(found == found.astype("datetime64[D]"), found, _NAT)
    return found


def _placed(moments: pd.Series, zone: str | None, which: np.ndarray, reasons: dict[int, str]) -> np.ndarray:
    """The moments in UTC; wall-clock times of `zone` that did not exist, or existed twice, are NaT with a reason."""
    if zone and moments.dt.tz is None:
        placed = moments.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
        for i in np.flatnonzero((placed.isna() & moments.notna()).to_numpy()):
            reasons[int(which[i])] = f"is skipped or ambiguous in {zone}, where the clocks change"
        moments = placed.dt.tz_convert("UTC")
    utc: np.ndarray = _wall(moments).to_numpy().astype("datetime64[us]")
    return utc


def _any(text: str) -> str | None:
    """The text in ISO 8601, when it can mean one thing only."""
    text = text.strip()
    if _ANY_ISO.fullmatch(text):
        if "-" not in text[:8]:
            return f"{text[:4]}-{text[4:6]}-{text[6:8]}" + (
                f"T{text[9:11]}:{text[11:13]}:{text[13:]}" if len(text) > 8 else ""
            )
        return text[:10] + text[10:].replace(" ", "T", 1).replace(" ", "")
    if match := _SLASHES.fullmatch(text):
        year, month, day, rest = match.groups()
        return f"{year}-{month:0>2}-{day:0>2}{rest.replace(' ', 'T')}"
    for pattern in _WORDS:
        if match := pattern.fullmatch(text):
            day = f"{match['year']}-{_MONTHS.index(match['month'].lower()) + 1:02d}-{match['day']:0>2}"
            zone = (match["zone"] or "").upper().replace("GMT", "Z").replace("UTC", "Z")
            return day + (f"T{match['clock']}{zone}" if match["clock"] else "")
    return None


def parse_date(text: str) -> np.datetime64 | None:
    """The day (datetime64[s]) of YYYY-MM-DD, or None."""
    found = parse([text], "date", ["default"])[0][0]
    return None if np.isnat(found) else found.astype("datetime64[s]")


def parse_datetime(text: str) -> np.datetime64 | None:
    """The UTC moment (datetime64[us]) of an ISO 8601 datetime, or None."""
    found = parse([text], "datetime", ["default"])[0][0]
    return None if np.isnat(found) else found


def time_of_day(text: str, form: str) -> str | None:
    """hh:mm:ss[.ffffff][zone] of a time of day, or None."""
    import datetime

    try:
        if form in ("default", "any"):
            if not _TIME.fullmatch(text) and not (form == "any" and re.fullmatch(_CLOCK, text, re.ASCII)):
                return None
            return datetime.time.fromisoformat(text).isoformat().replace("+00:00", "Z")
        return datetime.datetime.strptime(text, form).time().isoformat()
    except ValueError:
        return None
