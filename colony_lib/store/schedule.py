"""Cron expressions: what they may be, and the times that they name in a zone.

The grammar is that of crontab(5), for a line of a crontab is what it becomes; and the times are those of cron(8): a
fixed time that the clock skips in spring comes right after the gap, one that it passes twice in autumn comes once. A
schedule whose minute or hour begins with '*' follows the clock as it is, as does every schedule when the clock changes
by more than three hours.
"""

from __future__ import annotations

import os
import re

from colony_lib.base.errors import USAGE, ColonyError, nearest
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterator

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))
_MONTHS = dict(zip("jan feb mar apr may jun jul aug sep oct nov dec".split(), range(1, 13)))  # noqa: SIM905
_DAYS = dict(zip("sun mon tue wed thu fri sat".split(), range(7)))  # noqa: SIM905
_TERM = re.compile(r"(\*|[0-9]{1,2})(?:-([0-9]{1,2}))?(?:/([0-9]{1,2}))?\Z")
_LONGEST_MONTH = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_AHEAD = 2  # years in which changes of the clock are looked for
_CORRECTION = 3 * 3600  # seconds; a clock that is changed by more was wrong, and is followed at once
_RAREST = 40  # years in which every schedule comes that comes at all: a 29 February on a given day of the week


def _bad(what: str, where: str | None, fix: str | None) -> ColonyError:
    return ColonyError(what, where=where, fix=fix, code=USAGE)


def expand(expression: str, where: str | None = None) -> str:
    """The five fields in numbers, with '@daily', 'mon' and the like written out; ColonyError (USAGE) for what cron
    does not take."""
    text = " ".join(expression.split())
    if text.startswith("@"):
        if text.lower() not in NICKNAMES:
            fix = nearest(text, NICKNAMES) or "use one of " + ", ".join(NICKNAMES)
            raise _bad(f"'{escape(text)}' is not a time of cron's", where, fix)
        return NICKNAMES[text.lower()]
    fields = text.split(" ")
    if len(fields) != 5:
        fix = "write minute, hour, day of the month, month, day of the week: '0 2 * * *' is every day at 02:00"
        raise _bad(
            f"a cron expression has five fields, '{escape(text)[:60]}' has {len(fields) if text else 0}", where, fix
        )
    for i, names in ((3, _MONTHS), (4, _DAYS)):
        for name in re.findall("[A-Za-z]+", fields[i]):
            fields[i] = fields[i].replace(name, str(names.get(name.lower(), name)))
    fields[4] = re.sub(r"(?<=[1-7]-)0(?![0-9])", "7", fields[4])  # 'sat-sun': a range ends with Sunday as 7
    text = " ".join(fields)
    parse(text, where)
    return text


def parse(fields: str, where: str | None = None) -> list[set[int]]:
    """The values that each of the five fields allows (Sunday is 0). ColonyError (USAGE) naming the field."""
    values = [_field(text, *_FIELDS[i], where) for i, text in enumerate(fields.split())]
    values[4] = {day % 7 for day in values[4]}
    days, months = values[2], values[3]
    if fields.split()[4].startswith("*") and min(days) > max(_LONGEST_MONTH.get(month, 31) for month in months):
        raise _bad(f"'{escape(fields)}' never comes: no such month has a day {min(days)}", where, None)
    return values


def _field(text: str, name: str, low: int, high: int, where: str | None) -> set[int]:
    found: set[int] = set()
    top = 6 if high == 7 else high
    for term in text.split(","):
        match = _TERM.match(term)
        if match is None:
            names = {"month": list(_MONTHS), "day of the week": list(_DAYS)}.get(name, [])
            fix = f"use numbers from {low} to {high}, '*', ranges (1-5), steps (*/10) and lists (1,15)"
            raise _bad(
                f"the {name} '{escape(text)[:40]}' of a cron expression cannot be read",
                where,
                nearest(text.lower(), names) or fix,
            )
        first, last, step = match.groups()
        if first == "*" and last:
            raise _bad(f"the {name} '{escape(term)}' mixes '*' and a range", where, None)
        for number in (first, last):
            if number and number != "*" and not low <= int(number) <= high:
                raise _bad(f"the {name} '{number}' of a cron expression is not from {low} to {high}", where, None)
        start = low if first == "*" else int(first)
        end = top if first == "*" else int(last or first)
        if step and first != "*" and not last:
            raise _bad(f"the {name} '{term}' steps without a range", where, f"write {first}-{top}/{step}")
        if end < start:
            raise _bad(f"the {name} '{term}' runs backwards", where, f"write {first}-{top},{low}-{last}")
        if step and int(step) == 0:
            raise _bad(f"the {name} '{term}' has a step of 0", where, None)
        found.update(range(start, end + 1, int(step or 1)))
    return found


# ── zones ──────────────────────────────────────────────────────────────────────────────────────────────────────


def zone(name: str | None, where: str | None = None) -> datetime.tzinfo:
    """The zone of that name, or the machine's for None. ColonyError (USAGE) with the nearest names."""
    import zoneinfo

    if name is None:
        return machine_zone()
    try:
        return zoneinfo.ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        known = zoneinfo.available_timezones()
        if not known:
            fix: str | None = "this machine has no time zone database: install tzdata (pip install tzdata)"
        else:
            same = sorted(other for other in known if other.rpartition("/")[2].lower() == name.lower())
            fix = f"did you mean '{same[0]}'?" if same else nearest(name, known) or "write it like Europe/Berlin or UTC"
        raise _bad(f"unknown time zone '{escape(name)[:60]}'", where, fix) from None


def machine_zone() -> datetime.tzinfo:
    """The zone in which this machine's cron reads its crontabs: the system's, whatever TZ says here."""
    import zoneinfo

    try:
        real = os.path.realpath("/etc/localtime")
        if "/zoneinfo/" in real:
            return zoneinfo.ZoneInfo(real.split("/zoneinfo/", 1)[1])
        with open("/etc/localtime", "rb") as file:
            return zoneinfo.ZoneInfo.from_file(file, key="localtime")
    except (LookupError, ValueError, OSError):
        return zoneinfo.ZoneInfo("UTC")


def zone_name(zone: datetime.tzinfo) -> str:
    return str(getattr(zone, "key", None) or zone)


def _changes(zone: datetime.tzinfo, start: datetime.datetime) -> Iterator[tuple[datetime.datetime, datetime.timedelta]]:
    """(moment in UTC, by how much the clock jumps) of the zone's changes in the next years."""
    import datetime as dt

    def offset(moment: dt.datetime) -> dt.timedelta:
        return moment.astimezone(zone).utcoffset() or dt.timedelta()

    moment = start.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    for _ in range(_AHEAD * 366):
        later = moment + dt.timedelta(days=1)
        if offset(moment) != offset(later):
            low, high = moment, later
            while high - low > dt.timedelta(minutes=1):
                middle = low + (high - low) // 2
                low, high = (middle, high) if offset(middle) == offset(moment) else (low, middle)
            change = high.replace(second=0, microsecond=0)
            yield change, offset(later) - offset(moment)
        moment = later


def same_clock(one: datetime.tzinfo, other: datetime.tzinfo, start: datetime.datetime) -> bool:
    """Whether two zones show the same time now and through the next years."""
    moments = [start, *(at for each in (one, other) for at, _ in _changes(each, start))]
    return all(at.astimezone(one).utcoffset() == at.astimezone(other).utcoffset() for at in moments)


def is_machines(name: str | None) -> bool:
    """Whether the zone of that name shows the time of the machine's clock, as `same_clock` has it."""
    import datetime as dt

    from colony_lib.base import clock

    return same_clock(zone(name), machine_zone(), dt.datetime.fromtimestamp(clock.epoch(), dt.UTC))


def gaps(fields: str, zone: datetime.tzinfo, start: datetime.datetime) -> list[tuple[str, str]]:
    """The times of the schedule that the clock skips in the next years: [('2027-03-28 02:00', '2027-03-28 03:00')],
    the second being when it runs instead. Empty for schedules that name no fixed hour."""
    import datetime as dt

    minutes, hours, *_ = values = parse(fields)
    if fields.split()[0].startswith("*") or fields.split()[1].startswith("*"):
        return []
    found = []
    for change, jump in _changes(zone, start):
        if not 0 < jump.total_seconds() <= _CORRECTION:
            continue
        after = change.astimezone(zone).replace(tzinfo=None)
        before = after - jump
        for minute in range(int(jump.total_seconds()) // 60):
            skipped = before + dt.timedelta(minutes=minute)
            if skipped.minute in minutes and skipped.hour in hours and _on_day(fields, values, skipped):
                found.append((f"{skipped:%Y-%m-%d %H:%M}", f"{after:%Y-%m-%d %H:%M}"))
                break
    return found


def _on_day(fields: str, values: list[set[int]], day: datetime.date) -> bool:
    """Cron's rule for days: both fields must fit when one begins with '*', else either."""
    texts = fields.split()
    in_month, in_week = day.day in values[2], (day.weekday() + 1) % 7 in values[4]
    both = texts[2].startswith("*") or texts[4].startswith("*")
    return day.month in values[3] and ((in_month and in_week) if both else (in_month or in_week))


# ── times ──────────────────────────────────────────────────────────────────────────────────────────────────────


def times(
    expression: str, zone: datetime.tzinfo, after: datetime.datetime, until: datetime.datetime
) -> Iterator[tuple[datetime.datetime, str]]:
    """(moment in UTC, the day in the zone that it counts for) of the schedule's times after `after` up to `until`, in
    order, no moment twice. A time that the clock skips counts for the day on which it was to be.

    Own code, because cronsim (2.8) is right where clocks change by whole hours only (the tests hold this against it
    there): of '0 */4 * * *' at Lord Howe it loses a time, and in a repeated hour it may give one that is over.
    """
    import datetime as dt

    fields = expand(expression)
    values = parse(fields)
    walls = [dt.timedelta(hours=hour, minutes=minute) for hour in sorted(values[1]) for minute in sorted(values[0])]
    fixed = not any(field.startswith("*") for field in fields.split()[:2])
    one = dt.timedelta(days=1)
    day = after.astimezone(zone).date() - one  # whose last times a gap may have put off till now
    midnight = dt.datetime.combine(day, dt.time())
    begin = _moment(midnight, zone, 0)
    found: dict[dt.datetime, str] = {}
    while begin <= until:
        next_begin = _moment(midnight + one, zone, 0)
        if _on_day(fields, values, day):
            clear = begin == _moment(midnight, zone, 1) and next_begin == _moment(midnight + one, zone, 1)
            plain = clear and next_begin - begin == one  # a day of which the clock shows each time once
            text = day.isoformat()
            for wall in walls:
                for moment, exists in [(begin + wall, True)] if plain else _moments(midnight + wall, zone, fixed):
                    if after < moment <= until and (exists or moment not in found):
                        found[moment] = text
        # What a later day gives comes no earlier than it begins, whatever the clock does at its midnight.
        for moment in sorted(moment for moment in found if moment < next_begin):
            yield moment, found.pop(moment)
        day, midnight, begin = day + one, midnight + one, next_begin
    yield from sorted(found.items())


def _moment(wall: datetime.datetime, zone: datetime.tzinfo, fold: int) -> datetime.datetime:
    import datetime as dt

    return wall.replace(tzinfo=zone, fold=fold).astimezone(dt.UTC)


def _moments(wall: datetime.datetime, zone: datetime.tzinfo, fixed: bool) -> list[tuple[datetime.datetime, bool]]:
    """[(moment in UTC, whether the clock shows that time then)] at which a time of the wall clock runs."""
    import datetime as dt

    first, second = _moment(wall, zone, 0), _moment(wall, zone, 1)
    if first == second:
        return [(first, True)]
    follows = not fixed or abs((first - second).total_seconds()) > _CORRECTION
    if first < second:  # the clock shows it twice
        return [(first, True), (second, True)] if follows else [(first, True)]
    if follows:
        return []
    low, high = second, first  # the gap's end lies between them
    before = low.astimezone(zone).utcoffset()
    while high - low > dt.timedelta(seconds=1):
        middle = low + (high - low) // 2
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    end = high.replace(microsecond=0)
    return [(end + dt.timedelta(seconds=-end.second % 60), False)]


def next_times(expression: str, zone: datetime.tzinfo, after: datetime.datetime, count: int) -> list[datetime.datetime]:
    """The next `count` times after that moment, in the zone."""
    import datetime as dt
    from itertools import islice

    until = after + dt.timedelta(days=_RAREST * 366)
    found = [moment.astimezone(zone) for moment, _ in islice(times(expression, zone, after, until), count)]
    if len(found) < count:
        raise ColonyError(f"'{escape(expand(expression))}' never comes", code=USAGE)
    return found


def at_minute(
    expression: str, zone: datetime.tzinfo, moment: datetime.datetime
) -> tuple[datetime.datetime, str] | None:
    """The time that the schedule names in the minute in which that moment lies, as `times` has it, or None."""
    import datetime as dt

    minute = moment.astimezone(dt.UTC).replace(second=0, microsecond=0)
    return next(times(expression, zone, minute - dt.timedelta(minutes=1), minute), None)
