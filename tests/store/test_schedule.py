"""Cron expressions, zones and their gaps, and a colony's block in a crontab."""

from __future__ import annotations

import datetime
import shlex
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.store import crontab, schedule

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
KOLKATA = ZoneInfo("Asia/Kolkata")


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


NOW = at("2026-11-23 06:00")

# ── expressions ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expression", "fields"),
    [
        ("0 2 * * *", "0 2 * * *"),
        ("  0\t2 *  * * ", "0 2 * * *"),
        ("@daily", "0 0 * * *"),
        ("@Weekly", "0 0 * * 0"),
        ("*/15 8-18 1,15 jan-mar MON-fri", "*/15 8-18 1,15 1-3 1-5"),
        ("0 0 * * sat-sun", "0 0 * * 6-7"),
        ("0 0 * * sun-tue", "0 0 * * 0-2"),
        ("0 0 31 1,2 *", "0 0 31 1,2 *"),
        ("0 0 31 2 1", "0 0 31 2 1"),
    ],
)
def test_an_expression_becomes_five_fields_of_numbers(expression: str, fields: str) -> None:
    assert schedule.expand(expression) == fields


@pytest.mark.parametrize(
    ("expression", "what", "fix"),
    [
        ("", "has 0", "minute, hour"),
        ("0 2 * *", "a cron expression has five fields, '0 2 * *' has 4", "minute, hour"),
        ("0 0 2 * * *", "has 6", "minute, hour"),
        ("@dayly", "'@dayly' is not a time of cron's", "did you mean '@daily'"),
        ("@reboot", "'@reboot' is not a time of cron's", "@yearly"),
        ("60 * * * *", "the minute '60' of a cron expression is not from 0 to 59", ""),
        ("* 24 * * *", "the hour '24'", ""),
        ("* * 0 * *", "the day of the month '0'", ""),
        ("* * * 13 *", "the month '13'", ""),
        ("* * * * 8", "the day of the week '8'", ""),
        ("* * * * mondy", "the day of the week 'mondy' of a cron expression cannot be read", "did you mean 'mon'?"),
        ("-5 * * * *", "the minute '-5' of a cron expression cannot be read", "numbers from 0 to 59"),
        ("1.5 * * * *", "the minute '1.5' of a cron expression cannot be read", ""),
        ("0 0 L * *", "the day of the month 'L'", ""),
        ("0 0 * * 1#2", "the day of the week '1#2'", ""),
        ("*/0 * * * *", "has a step of 0", ""),
        ("5/10 * * * *", "steps without a range", "write 5-59/10"),
        ("30-10 * * * *", "runs backwards", "write 30-59,0-10"),
        ("*-5 * * * *", "mixes '*' and a range", ""),
        ("0 0 30 2 *", "'0 0 30 2 *' never comes: no such month has a day 30", ""),
        ("1,, * * * *", "cannot be read", ""),
        ("\x1b[31m * * * *", "\\x1b[31m", ""),
    ],
)
def test_what_cron_does_not_take_is_refused_with_what_to_write(expression: str, what: str, fix: str) -> None:
    with pytest.raises(ColonyError) as caught:
        schedule.expand(expression, "w.yaml:4")
    assert what in caught.value.what
    assert fix in (caught.value.fix or "")
    assert (caught.value.where, caught.value.code) == ("w.yaml:4", 2)


def test_the_values_of_fields() -> None:
    minutes, hours, days, months, weekdays = schedule.parse("*/20 8-10,22 1-31/15 2 5-7")
    assert (minutes, hours, days, months, weekdays) == ({0, 20, 40}, {8, 9, 10, 22}, {1, 16, 31}, {2}, {5, 6, 0})


# ── times ──────────────────────────────────────────────────────────────────────────────────────────────────────


def times(expression: str, zone: ZoneInfo, after: str, count: int) -> list[str]:
    return [time.isoformat() for time in schedule.next_times(expression, zone, at(after), count)]


def test_next_times_are_in_the_zone() -> None:
    assert times("0 2 * * *", UTC, "2026-11-23 02:00", 2) == ["2026-11-24T02:00:00+00:00", "2026-11-25T02:00:00+00:00"]
    assert times("0 2 * * mon", BERLIN, "2026-11-23 02:00", 1) == ["2026-11-30T02:00:00+01:00"]


def test_a_time_that_the_clock_skips_runs_after_the_gap_once() -> None:
    assert times("30 2 * * *", BERLIN, "2027-03-27 12:00", 2) == [
        "2027-03-28T03:00:00+02:00",
        "2027-03-29T02:30:00+02:00",
    ]


def test_a_time_that_the_clock_passes_twice_runs_once() -> None:
    assert times("30 2 * * *", BERLIN, "2026-10-24 12:00", 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]


@pytest.mark.parametrize(
    ("expression", "zone", "moment", "due"),
    [
        ("0 2 * * *", BERLIN, "2026-11-23 01:00:00", True),
        ("0 2 * * *", BERLIN, "2026-11-23 01:00:59", True),
        ("0 2 * * *", BERLIN, "2026-11-23 01:01:00", False),
        ("0 2 * * *", BERLIN, "2026-11-23 00:59:59", False),
        ("0 2 * * *", BERLIN, "2026-07-01 00:00:30", True),
        ("30 2 * * *", BERLIN, "2027-03-28 01:00:00", True),
        ("30 2 * * *", BERLIN, "2027-03-28 01:30:00", False),
        ("30 2 * * *", BERLIN, "2026-10-25 00:30:00", True),
        ("30 2 * * *", BERLIN, "2026-10-25 01:30:00", False),
        ("*/5 * * * *", KOLKATA, "2026-11-23 00:05:10", True),
    ],
)
def test_whether_a_minute_is_due(expression: str, zone: ZoneInfo, moment: str, due: bool) -> None:
    assert (schedule.at_minute(expression, zone, at(moment)) is not None) is due


@pytest.mark.parametrize(
    ("expression", "moment", "expected"),
    [
        # In the second pass of the repeated hour the first one's times are over, though the clock reads less.
        ("30 2 * * *", "2026-10-25 01:10", "2026-10-26T02:30:00+01:00"),
        ("30 * * * *", "2026-10-25 00:40", "2026-10-25T02:30:00+01:00"),
        # Two times that a gap swallows come together, once.
        ("0,30 2 * * *", "2027-03-28 00:10", "2027-03-28T03:00:00+02:00"),
        ("0,30 2 * * *", "2027-03-28 01:00", "2027-03-29T02:00:00+02:00"),
        ("0 0 * 3 1", "2028-02-29 00:00", "2028-03-06T00:00:00+01:00"),
        ("0 0 29 2 */7", "2026-01-01 00:00", "2032-02-29T00:00:00+01:00"),
    ],
)
def test_a_next_time_is_after_the_moment_that_is_asked_about(expression: str, moment: str, expected: str) -> None:
    assert times(expression, BERLIN, moment, 1) == [expected]


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        # The clock goes from 02:00 to 02:30 on 4 October 2026, and from 02:00 back to 01:30 on 4 April 2027.
        ("0 */4 * * *", "2026-10-03 13:30", ["04:00+11:00", "08:00+11:00"]),
        ("15 2 * * *", "2026-10-03 13:30", ["02:30+11:00", "02:15+11:00"]),
        ("5 * * * *", "2026-10-03 14:00", ["01:05+10:30", "03:05+11:00"]),
        ("0 */2 * * *", "2027-04-03 13:00", ["02:00+10:30", "04:00+10:30"]),
        ("45 1 * * *", "2027-04-03 13:00", ["01:45+11:00", "01:45+10:30"]),
        ("45 */1 * * *", "2027-04-03 14:00", ["01:45+11:00", "01:45+10:30"]),
    ],
)
def test_a_change_of_half_an_hour_loses_no_hour(expression: str, start: str, expected: list[str]) -> None:
    found = times(expression, ZoneInfo("Australia/Lord_Howe"), start, 2)
    assert [time[11:16] + time[19:] for time in found] == expected


def days(expression: str, zone: str, after: str, until: str) -> list[tuple[str, str]]:
    found = schedule.times(expression, ZoneInfo(zone), at(after), at(until))
    return [(moment.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes"), day) for moment, day in found]


def test_a_time_that_the_clock_skips_counts_for_its_own_day() -> None:
    # In Nuuk midnight comes an hour early on 28 March 2026: half past eleven that day is midnight.
    assert days("30 23 * * *", "America/Nuuk", "2026-03-28 12:00", "2026-03-30 12:00") == [
        ("2026-03-29T00:00-01:00", "2026-03-28"),
        ("2026-03-29T23:30-01:00", "2026-03-29"),
    ]
    # Where that midnight is a time of the schedule by itself, it is its own day's.
    assert days("0 0,23 * * *", "America/Nuuk", "2026-03-28 12:00", "2026-03-29 12:00") == [
        ("2026-03-29T00:00-01:00", "2026-03-29"),
    ]
    # In Santiago the sixth of September 2026 has no midnight, and the day before it two of its last hours.
    assert days("0 0 * * *", "America/Santiago", "2026-09-05 12:00", "2026-09-07 12:00") == [
        ("2026-09-06T01:00-03:00", "2026-09-06"),
        ("2026-09-07T00:00-03:00", "2026-09-07"),
    ]
    assert days("30 23 * * *", "America/Santiago", "2026-04-04 12:00", "2026-04-05 12:00") == [
        ("2026-04-04T23:30-03:00", "2026-04-04"),
    ]


def test_a_clock_that_goes_back_over_midnight_keeps_the_order() -> None:
    # St. John's changed at one minute past midnight: the eleventh hour of the day before came again after that.
    assert [time for time, _ in days("*/30 * * * *", "America/St_Johns", "2010-11-07 01:50", "2010-11-07 04:00")] == [
        "2010-11-06T23:30-02:30",
        "2010-11-07T00:00-02:30",
        "2010-11-06T23:30-03:30",
        "2010-11-07T00:00-03:30",
        "2010-11-07T00:30-03:30",
    ]


def test_a_day_that_a_zone_leaves_out_is_left_out() -> None:
    # Samoa crossed the date line: 30 December 2011 never was. That is no gap to be made good.
    found = days("0 2 * * *", "Pacific/Apia", "2011-12-28 00:00", "2012-01-01 00:00")
    assert [day for _, day in found] == ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]


@pytest.mark.parametrize(
    "zone", [UTC, BERLIN, NEW_YORK, KOLKATA, ZoneInfo("Africa/Casablanca"), ZoneInfo("America/Nuuk")]
)
def test_times_are_those_of_cronsim_where_clocks_change_by_whole_hours(zone: ZoneInfo) -> None:
    import random

    from cronsim import CronSim

    dice = random.Random(zone.key)

    def field(low: int, high: int) -> str:
        first, last = sorted((dice.randint(low, high), dice.randint(low, high)))
        return dice.choice(["*", "*/5", "*/7", str(first), f"{first}-{last}", f"{first},{last}"])

    for _ in range(20):
        days_and_months = f"{dice.choice(['*', '*', '1-7', '15,31'])} {dice.choice(['*', '*', '3', '10-12'])}"
        expression = f"{field(0, 59)} {field(0, 23)} {days_and_months} {dice.choice(['*', '*', '0', '1-5'])}"
        start = at(f"2026-{dice.choice([2, 3, 9, 10]):02d}-{dice.randint(1, 28):02d} 12:00")
        end = start + datetime.timedelta(days=40)
        wanted = set()
        for time in CronSim(expression, start.astimezone(zone)):
            if time > end:
                break
            wanted.add(time.astimezone(datetime.UTC))
        # It gives a time that is over in the repeated hour, and one that two skipped ones share twice.
        found = [moment for moment, _ in schedule.times(expression, zone, start, end)]
        assert found == sorted(moment for moment in wanted if moment > start), expression


# ── zones ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "fix"),
    [("berlin", "did you mean 'Europe/Berlin'?"), ("Europe/Berln", "Europe/Berlin"), ("", ""), ("../etc/passwd", "")],
)
def test_an_unknown_zone_names_the_nearest(name: str, fix: str) -> None:
    with pytest.raises(ColonyError, match="unknown time zone") as caught:
        schedule.zone(name)
    assert fix in (caught.value.fix or "")


def test_zones_with_one_clock_are_the_same() -> None:
    assert schedule.same_clock(UTC, ZoneInfo("Etc/GMT"), NOW)
    assert schedule.same_clock(BERLIN, ZoneInfo("Europe/Paris"), NOW)
    assert not schedule.same_clock(BERLIN, UTC, NOW)
    # In winter they are an hour apart, in summer too, but for the weeks between their changes.
    assert not schedule.same_clock(ZoneInfo("Europe/London"), UTC, NOW)


def test_times_in_a_gap_are_found_ahead() -> None:
    assert schedule.gaps("0 2 * * *", BERLIN, NOW) == [
        ("2027-03-28 02:00", "2027-03-28 03:00"),
        ("2028-03-26 02:00", "2028-03-26 03:00"),
    ]
    assert schedule.gaps("0 2 * * *", NEW_YORK, NOW)[0] == ("2027-03-14 02:00", "2027-03-14 03:00")
    assert schedule.gaps("0 0 * * *", ZoneInfo("America/Santiago"), NOW)[0] == ("2027-09-05 00:00", "2027-09-05 01:00")
    assert schedule.gaps("30 23 * * *", ZoneInfo("America/Nuuk"), NOW)[0] == ("2027-03-27 23:30", "2027-03-28 00:00")
    assert schedule.gaps("15 2 * * *", ZoneInfo("Australia/Lord_Howe"), NOW)[0] == (
        "2027-10-03 02:15",
        "2027-10-03 02:30",
    )
    assert schedule.gaps("30 2 * * 1-5", BERLIN, NOW) == []
    assert schedule.gaps("0 3 * * *", BERLIN, NOW) == []
    assert schedule.gaps("*/10 * * * *", BERLIN, NOW) == []
    assert schedule.gaps("0 2 * * *", UTC, NOW) == []
    assert schedule.gaps("0 2 26 3 *", BERLIN, NOW) == [("2028-03-26 02:00", "2028-03-26 03:00")]


# ── the crontab's block ────────────────────────────────────────────────────────────────────────────────────────

ROOT = "/srv/flights"
FOREIGN = b'# my own\n\nMAILTO=""\n0 5 * * *\t/bin/backup \xe9 100\\%  \n'


def test_a_block_is_put_at_the_end_and_taken_out_without_a_trace() -> None:
    entries = {"b": b"0 2 * * * b", "a": b"0 3 * * * a"}
    new = crontab.changed(FOREIGN, ROOT, entries)
    name = crontab.mark(ROOT).encode()
    assert new == FOREIGN + (
        b"# >>> colony " + name + b" /srv/flights (by 'colony cron install') >>>\n"
        b"# workflow a\n0 3 * * * a\n# workflow b\n0 2 * * * b\n"
        b"# <<< colony " + name + b" <<<\n"
    )
    assert crontab.entries(new, ROOT) == entries
    assert crontab.changed(new, ROOT, {}) == FOREIGN
    assert crontab.changed(FOREIGN, ROOT, {}) == FOREIGN
    assert crontab.changed(b"", ROOT, {}) == b""
    assert crontab.changed(crontab.changed(b"", ROOT, entries), ROOT, {}) == b""


def test_a_block_keeps_its_place_and_other_colonies_keep_theirs() -> None:
    first = crontab.changed(FOREIGN, ROOT, {"a": b"1 * * * * a"})
    second = crontab.changed(first, "/srv/other", {"a": b"2 * * * * a"}) + b"9 9 * * * last\n"
    third = crontab.changed(second, ROOT, {"a": b"3 * * * * a"})
    assert third == second.replace(b"1 * * * * a", b"3 * * * * a")
    assert crontab.entries(third, "/srv/other") == {"a": b"2 * * * * a"}
    assert crontab.changed(third, ROOT, {}) == second.replace(first[len(FOREIGN) :], b"")


def test_a_last_line_without_an_end_gets_one() -> None:
    assert crontab.changed(b"1 * * * * x", ROOT, {"a": b"y"}).startswith(b"1 * * * * x\n# >>> colony")


def test_half_a_block_is_an_error_and_not_a_guess() -> None:
    whole = crontab.changed(FOREIGN, ROOT, {"a": b"y"})
    lines = whole.split(b"\n")
    for broken in (b"\n".join(lines[:-2]), b"\n".join(line for line in lines if b">>>" not in line)):
        with pytest.raises(ColonyError, match="its other end is missing"):
            crontab.changed(broken, ROOT, {})


def test_a_block_that_is_there_twice_becomes_one() -> None:
    block = crontab.changed(b"", ROOT, {"a": b"y"})
    assert crontab.changed(block + FOREIGN + block, ROOT, {"a": b"z"}) == block.replace(b"y\n#", b"z\n#") + FOREIGN


def test_settings_that_change_the_lines_below_are_told() -> None:
    assert crontab.warnings(FOREIGN, ROOT) == []
    found = crontab.warnings(b"CRON_TZ=Asia/Tokyo\nSHELL = /usr/bin/fish\n" + FOREIGN, ROOT)
    assert [text.split(",")[0] for text in found] == [
        "the crontab sets CRON_TZ=Asia/Tokyo",
        "the crontab sets SHELL=/usr/bin/fish",
    ]
    after = crontab.changed(FOREIGN, ROOT, {"a": b"y"}) + b"CRON_TZ=Asia/Tokyo\n"
    assert crontab.warnings(after, ROOT) == []


def test_workflows_that_share_a_line_have_it_once() -> None:
    shared = b"* * * * * cd /srv/flights && /p /b/colony-cron tick a c >> .colony/logs/cron.log 2>&1"
    entries = {"a": shared, "b": b"0 2 * * * b", "c": shared}
    new = crontab.changed(FOREIGN, ROOT, entries)
    assert new.split(b"\n")[-7:-2] == [b"# workflow a", b"# workflow c", shared, b"# workflow b", b"0 2 * * * b"]
    assert crontab.entries(new, ROOT) == entries
    assert crontab.together(shared) == ["a", "c"] and crontab.together(b"0 2 * * * b") == []
    alone = shared.replace(b" a c ", b" c ")
    assert crontab.without(entries, "a") == {"b": entries["b"], "c": alone}
    assert crontab.without(entries, "b") == {"a": shared, "c": shared}
    wider = shared.replace(b" a c ", b" a b c ")
    assert crontab.joined(entries, "b", shared.replace(b" a c ", b" b ")) == dict.fromkeys("abc", wider)
    assert crontab.joined(entries, "a", b"0 3 * * * a") == {"a": b"0 3 * * * a", "b": entries["b"], "c": alone}
    # Another Python, or another place of Colony's: it stays apart.
    other = shared.replace(b"/p", b"/q").replace(b" a c ", b" d ")
    assert crontab.joined(entries, "d", other) == {**entries, "d": other}
    assert crontab.same(shared, alone) and not crontab.same(shared, other) and not crontab.same(shared, entries["b"])


def test_settings_are_read_as_cron_reads_them() -> None:
    table = b'A=1\n  B = two words  \n"C" = \' x \'\n# D=1\n0 5 * * * E=1 x\n@daily F=1\nA="2"\n'
    assert crontab.settings(table, ROOT) == {"A": "2", "B": "two words", "C": " x "}
    below = crontab.changed(table, ROOT, {"a": b"0 2 * * * a"}) + b"G=1\n"
    assert crontab.settings(below, ROOT) == {"A": "2", "B": "two words", "C": " x "}


# ── the lines ──────────────────────────────────────────────────────────────────────────────────────────────────


def plan(name: str = "daily-etl", **trigger: Any) -> dict[str, Any]:
    return {"name": name, "trigger": {"cron": "0 2 * * *", "timezone": None, "missed": "skip", **trigger}}


def line_of(root: str = ROOT, **trigger: Any) -> bytes:
    return crontab.lines([plan(**trigger)], root, "/usr/bin/python3", "/opt/colony/bin")["daily-etl"]


def test_a_line_has_absolute_paths_and_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "machine_zone", lambda: BERLIN)
    line = line_of()
    assert line == (
        b"0 2 * * * cd /srv/flights && /usr/bin/python3 /opt/colony/bin/colony-workflow run daily-etl --scheduled "
        b">> .colony/logs/cron.log 2>&1"
    )
    assert line_of(timezone="Europe/Paris") == line


@pytest.mark.parametrize("trigger", [{"timezone": "Asia/Kolkata"}, {"missed": "latest"}, {"missed": "all"}])
def test_what_cron_cannot_know_is_asked_each_minute(monkeypatch: pytest.MonkeyPatch, trigger: dict[str, str]) -> None:
    monkeypatch.setattr(schedule, "machine_zone", lambda: BERLIN)
    assert line_of(**trigger) == (
        b"* * * * * cd /srv/flights && /usr/bin/python3 /opt/colony/bin/colony-cron tick daily-etl "
        b">> .colony/logs/cron.log 2>&1"
    )


def test_one_line_asks_for_all_that_cannot_be_left_to_cron(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "machine_zone", lambda: UTC)
    plans = [plan("c", missed="all"), plan("b"), plan("a", timezone="Asia/Kolkata")]
    found = crontab.lines(plans, ROOT, "/p", "/b")
    assert found["a"] == found["c"] and crontab.together(found["a"]) == ["a", "c"]
    assert found["b"].startswith(b"0 2 * * * ")
    # So many that no line of cron's could name them stand in several.
    names = [f"workflow-{number:03}" for number in range(200)]
    found = crontab.lines([plan(name, missed="all") for name in names], ROOT, "/p", "/b")
    lines = sorted(set(found.values()))
    assert len(lines) == 3 and all(len(line) < crontab.LONGEST + 10 for line in lines)
    assert [name for line in lines for name in crontab.together(line)] == names
    assert all(name in crontab.together(found[name]) for name in names)


def test_odd_paths_are_quoted_for_the_shell_and_for_cron(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "machine_zone", lambda: UTC)
    root = '/srv/it\'s 100% $HOME; "é" `x`'
    for trigger in ({}, {"missed": "all"}):
        line = crontab.lines([plan(**trigger)], root, "/p", "/a b/it's")["daily-etl"]
        text = line.decode()
        assert "100\\%" in text and "100%" not in text
        assert shlex.split(text.replace("\\%", "%"))[6] == root
        assert crontab.together(line) == (["daily-etl"] if trigger else [])
        with pytest.raises(ColonyError, match="control characters"):
            line_of("/srv/a\nb", **trigger)
        with pytest.raises(ColonyError, match="cron takes 998"):
            line_of("/srv/" + "x" * 1000, **trigger)
