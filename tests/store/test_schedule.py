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
    assert schedule.is_due(expression, zone, at(moment)) is due


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 0 * * *", "15,45 1-3 * * sun", "59 23 31 12 *", "7 2 1 * *"])
@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, KOLKATA, ZoneInfo("Australia/Lord_Howe")])
@pytest.mark.parametrize("machine", [UTC, BERLIN, KOLKATA, NEW_YORK])
def test_every_time_of_another_zone_falls_on_a_minute_at_which_the_machine_asks(
    expression: str, zone: ZoneInfo, machine: ZoneInfo
) -> None:
    minutes = schedule.candidate_minutes(expression, zone, machine, NOW)
    for time in schedule.next_times(expression, zone, NOW, 20 if " 12 *" not in expression else 2):
        if time < NOW + datetime.timedelta(days=700):
            assert time.astimezone(machine).minute in minutes


def test_without_the_package_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cronsim" else found(name))
    with pytest.raises(ColonyError) as caught:
        schedule.next_times("0 2 * * *", UTC, NOW, 1)
    assert str(caught.value) == (
        "the times of a schedule need the package 'cronsim'; install Colony's extra: pip install 'colony[schedule]'"
    )


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
    assert schedule.gaps("0 2 * * *", BERLIN, NOW) == [("2027-03-28 02:00", "03:00"), ("2028-03-26 02:00", "03:00")]
    assert schedule.gaps("0 2 * * *", NEW_YORK, NOW)[0] == ("2027-03-14 02:00", "03:00")
    assert schedule.gaps("30 2 * * 1-5", BERLIN, NOW) == []
    assert schedule.gaps("0 3 * * *", BERLIN, NOW) == []
    assert schedule.gaps("*/10 * * * *", BERLIN, NOW) == []
    assert schedule.gaps("0 2 * * *", UTC, NOW) == []
    assert schedule.gaps("0 2 26 3 *", BERLIN, NOW) == [("2028-03-26 02:00", "03:00")]


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


def plan(**trigger: Any) -> dict[str, Any]:
    return {"name": "daily-etl", "trigger": {"cron": "0 2 * * *", "timezone": None, **trigger}}


def test_a_line_has_absolute_paths_and_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "machine_zone", lambda: BERLIN)
    line = crontab.line(plan(), ROOT, "/usr/bin/python3", "/opt/colony/bin")
    assert line == (
        b"0 2 * * * cd /srv/flights && /usr/bin/python3 /opt/colony/bin/colony-workflow run daily-etl "
        b">> .colony/logs/cron.log 2>&1"
    )
    assert crontab.line(plan(timezone="Europe/Paris"), ROOT, "/usr/bin/python3", "/opt/colony/bin") == line


def test_a_line_for_another_zone_asks_each_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "machine_zone", lambda: UTC)
    line = crontab.line(plan(cron="15 2 * * mon", timezone="Asia/Kolkata"), ROOT, "/p", "/b").decode()
    assert line == (
        "45 * * * * cd /srv/flights && { /p /b/colony-cron due daily-etl && /p /b/colony-workflow run daily-etl; } "
        ">> .colony/logs/cron.log 2>&1"
    )
    assert crontab.line(plan(timezone="Europe/Berlin"), ROOT, "/p", "/b").startswith(b"0 * * * * cd ")
    assert crontab.line(plan(cron="30 2 * * *", timezone="Europe/Berlin"), ROOT, "/p", "/b").startswith(
        b"0,30 * * * * "
    )


def test_odd_paths_are_quoted_for_the_shell_and_for_cron(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "machine_zone", lambda: UTC)
    root = '/srv/it\'s 100% $HOME; "é" `x`'
    line = crontab.line(plan(), root, "/p", "/b").decode()
    assert "100\\%" in line and "100%" not in line
    assert shlex.split(line.replace("\\%", "%"))[6] == root
    with pytest.raises(ColonyError, match="control characters"):
        crontab.line(plan(), "/srv/a\nb", "/p", "/b")
    with pytest.raises(ColonyError, match="cron takes 998"):
        crontab.line(plan(), "/srv/" + "x" * 1000, "/p", "/b")
