"""Which times of a schedule are due, which are gone, and that days on which clocks change have cron's times, once each."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from colony_lib.base import clock
from colony_lib.base.errors import ColonyError
from colony_lib.store import paths, schedule, ticks

UTC = datetime.UTC
BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = datetime.timedelta(minutes=1)


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


def trigger(cron: str, missed: str = "skip", window: float = 7 * 86400.0) -> dict[str, Any]:
    return {"type": "schedule", "cron": cron, "timezone": None, "missed": missed, "window_seconds": window}


# ── which are due ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("missed", "now", "due", "gone"),
    [
        ("skip", "2026-11-23 04:00:00", "23", "20 21 22"),
        ("skip", "2026-11-23 04:00:59", "23", "20 21 22"),
        ("skip", "2026-11-23 04:01:00", "", "20 21 22 23"),
        ("skip", "2026-11-23 03:59:59", "", "20 21 22"),
        ("latest", "2026-11-23 04:00:00", "23", "20 21 22"),
        ("latest", "2026-11-23 03:59:59", "22", "20 21"),
        ("latest", "2026-11-23 12:00:00", "23", "20 21 22"),
        ("all", "2026-11-23 12:00:00", "20 21 22 23", ""),
        ("all", "2026-11-27 04:00:59", "20 21 22 23 24 25 26 27", ""),
        ("all", "2026-11-27 04:01:00", "21 22 23 24 25 26 27", "20"),
        ("latest", "2026-12-20 12:00:00", "20", "20 7 8 9 10 11 12 13 14 15 16 17 18 19"),
        ("skip", "2026-11-20 03:00:00", "", ""),
    ],
)
def test_the_policy_decides_which_missed_times_are_run(missed: str, now: str, due: str, gone: str) -> None:
    found = ticks.outstanding(trigger("0 4 * * *", missed), ZoneInfo("UTC"), at("2026-11-19 12:00"), at(now))
    assert [[moment.day for moment, _ in times] for times in found[:2]] == [
        [int(day) for day in days.split()] for days in (due, gone)
    ]
    assert found[2] is (now < "2026-12")  # of what lies behind two windows the first alone is told


def test_a_window_that_is_shorter_than_a_minute_holds_the_time_of_this_minute() -> None:
    for missed in ("latest", "all"):
        hourly = trigger("0 * * * *", missed, 1.0)
        due, gone, _ = ticks.outstanding(hourly, ZoneInfo("UTC"), at("2026-11-23 01:30"), at("2026-11-23 04:00:40"))
        assert [moment.hour for moment, _ in due] == [4] and [moment.hour for moment, _ in gone] == [2, 3]


def test_clocks_seventy_years_ahead_ask_for_no_more_than_the_window() -> None:
    for missed, most in (("skip", 1), ("latest", 1), ("all", 7 * 1440 + 1)):
        due, gone, counted = ticks.outstanding(
            trigger("* * * * *", missed), BERLIN, at("2026-11-23 00:00"), at("2096-11-23 00:00")
        )
        assert len(due) == most and len(due) + len(gone) == 14 * 1440 + 1 and not counted


# ── days on which clocks change ────────────────────────────────────────────────────────────────────────────────


def cron8(expression: str, zone: ZoneInfo, start: datetime.datetime, end: datetime.datetime) -> list[datetime.datetime]:
    """The minutes in which Debian's cron would start a job, by the rules of its main loop: it counts the minutes of
    the wall clock, and looks each real minute how far that clock has gone since.

    A clock that is as expected runs all jobs; one that is ahead by at most three hours runs the jobs with a '*' for
    now and the others for each minute that was skipped; one that is behind by less runs those with a '*' only, until
    it has caught up; any other clock is believed.
    """
    fields = schedule.expand(expression)
    minutes, hours, *_ = values = schedule.parse(fields)
    wild = any(field.startswith("*") for field in fields.split()[:2])
    first = datetime.datetime(1970, 1, 1)

    def wall(moment: datetime.datetime) -> int:
        return int((moment.astimezone(zone).replace(tzinfo=None) - first).total_seconds()) // 60

    def names(number: int) -> bool:
        time = first + datetime.timedelta(minutes=number)
        return time.minute in minutes and time.hour in hours and schedule._on_day(fields, values, time.date())

    found = []
    virtual = wall(start) - 1
    moment = start
    while moment < end:
        running = wall(moment)
        ahead = running - virtual
        if -180 < ahead <= 0:
            starts = wild and names(running)
        elif 5 < ahead <= 180:
            skipped = range(virtual + 1, running + 1)
            starts, virtual = (names(running) if wild else any(map(names, skipped))), running
        else:
            assert ahead == 1 or abs(ahead) > 180
            starts, virtual = names(running), running
        if starts:
            found.append(moment)
        moment += MINUTE
    return found


DAYS = [
    ("Europe/Berlin", "2027-03-27 12:00"),
    ("Europe/Berlin", "2026-10-24 12:00"),
    ("America/New_York", "2027-03-13 18:00"),
    ("America/New_York", "2026-10-31 18:00"),
    ("Australia/Lord_Howe", "2026-10-03 03:00"),
    ("Australia/Lord_Howe", "2027-04-03 03:00"),
    ("America/Santiago", "2026-09-05 16:00"),
    ("America/Santiago", "2027-04-03 16:00"),
    ("America/Nuuk", "2026-03-28 13:00"),
    ("Pacific/Apia", "2011-12-29 22:00"),
]


@pytest.mark.parametrize(("name", "start"), DAYS)
@pytest.mark.parametrize(
    "expression",
    ["30 2 * * *", "0 0 * * *", "45 1,23 * * *", "0,30 2 * * sun", "5 * * * *", "0 */4 * * *", "*/20 2 * * *"],
)
def test_ticks_each_minute_of_a_day_around_a_change_fire_as_cron_does_and_once(
    name: str, start: str, expression: str
) -> None:
    zone = ZoneInfo(name)
    moment = at(start)
    end = moment + datetime.timedelta(hours=30)
    expected = cron8(expression, zone, moment, end)
    decided = moment - MINUTE
    fired, dates = [], []
    while moment < end:
        due, gone, _ = ticks.outstanding(trigger(expression), zone, decided, moment + datetime.timedelta(seconds=7))
        assert gone == [] and len(due) <= 1
        for time, day in due:
            decided = time
            fired.append(moment)
            dates.append(day)
        moment += MINUTE
    assert fired == expected
    if expression.count("*") == 3 and "," not in expression:  # once a day: each day once
        assert len(set(dates)) == len(dates)


@pytest.mark.parametrize(
    ("expression", "zone", "start", "end", "expected"),
    [
        # Off over the night in which 02:30 is not: it comes as three o'clock, for its own day.
        ("30 2 * * *", BERLIN, "2027-03-26 12:00", "2027-03-29 12:00", ["27T01:30", "28T01:00", "29T00:30"]),
        # Off over the night in which 02:30 is twice: it comes once, the first time.
        ("30 2 * * *", BERLIN, "2026-10-24 12:00", "2026-10-26 12:00", ["25T00:30", "26T01:30"]),
        # Each hour keeps its own, the repeated one both.
        ("0 * * * *", BERLIN, "2026-10-24 23:30", "2026-10-25 02:30", ["25T00:00", "25T01:00", "25T02:00"]),
    ],
)
def test_what_was_missed_across_a_change_is_what_would_have_been_run(
    expression: str, zone: ZoneInfo, start: str, end: str, expected: list[str]
) -> None:
    due, gone, counted = ticks.outstanding(trigger(expression, "all"), zone, at(start), at(end))
    assert ([moment.strftime("%dT%H:%M") for moment, _ in due], gone, counted) == (expected, [], True)
    if expression == "30 2 * * *":
        assert [day[-2:] for _, day in due] == [text[:2] for text in expected]
    newest, older, _ = ticks.outstanding(trigger(expression, "latest"), zone, at(start), at(end))
    assert newest == due[-1:] and older == due[:-1]


# ── the document ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def plan(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / ".colony").mkdir()
    paths.use(str(tmp_path))
    clock.freeze("2026-11-23T06:00:00.250Z")
    return {"name": "w", "trigger": {**trigger("@daily", "all"), "timezone": "Europe/Berlin"}}


def test_a_watch_begins_now_and_goes_on_until_the_schedule_is_another(plan: dict[str, Any]) -> None:
    assert ticks.read("w") is None
    ticks.watch(plan, anew=False)
    first = ticks.read("w")
    assert first == {
        "v": 1,
        "workflow": "w",
        "cron": "0 0 * * *",
        "timezone": "Europe/Berlin",
        "since": "2026-11-23T06:00:00.250Z",
        "decided": "2026-11-23T06:00:00.250Z",
        "seen": "",
        "open": [],
        "said": None,
    }
    clock.freeze("2026-11-24T06:00:00Z")
    ticks.watch(plan, anew=False)
    ticks.watch({**plan, "trigger": {**plan["trigger"], "cron": "0 0 * * *", "missed": "latest"}}, anew=False)
    assert ticks.read("w") == first
    for changed in ({"cron": "0 1 * * *"}, {"timezone": "Europe/Paris"}):
        ticks.watch({**plan, "trigger": {**plan["trigger"], **changed}}, anew=False)
        again = ticks.read("w")
        assert again is not None and again["decided"] == "2026-11-24T06:00:00.000Z"
        ticks.keep(first)
    ticks.watch(plan, anew=True)
    assert ticks.read("w") != first
    ticks.forget("w")
    ticks.forget("w")
    assert ticks.read("w") is None


def test_a_damaged_document_is_an_error_and_is_begun_anew(plan: dict[str, Any]) -> None:
    ticks.watch(plan, anew=False)
    whole = ticks.read("w")
    assert whole is not None
    file = Path(paths.schedule("w"))
    entry = {"scheduled": "2026-11-23T00:00:00.000Z", "run_id": "r1", "resumed": 0}
    file.write_text(json.dumps({**whole, "open": [entry]}))
    assert ticks.read("w") == {**whole, "open": [entry]}
    for text in [
        "",
        "{",
        "null",
        "[]",
        json.dumps({**whole, "v": 2}),
        json.dumps({**whole, "decided": "yesterday"}),
        json.dumps({**whole, "since": 3}),
        json.dumps({**whole, "said": 3}),
        json.dumps({**whole, "open": None}),
        json.dumps({**whole, "open": [{**entry, "resumed": True}]}),
        json.dumps({**whole, "open": [{**entry, "scheduled": None}]}),
        json.dumps({key: whole[key] for key in whole if key != "seen"}),
    ]:
        file.write_text(text)
        with pytest.raises(ColonyError):
            ticks.read("w")
        ticks.watch(plan, anew=False)
        assert ticks.read("w") == whole
    file.unlink()
    file.symlink_to("/dev/null")
    with pytest.raises(ColonyError):
        ticks.read("w")
