"""Text, strict JSON, the clock: the small things that all else stands on."""

from __future__ import annotations

from typing import Any

import pytest

from colony_lib.base import clock, jsontext
from colony_lib.base.errors import ColonyError, nearest, unknown
from colony_lib.base.text import check_name, cut, duration, escape, show_duration, width


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1h30m", 5400), ("1.5s", 1.5), (5, 5)],
)
def test_durations_are_read(text: Any, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "ten", "-1s", "1s2", "0s", "1 h", None, True, [], "9999999d", "٣s", float("nan")]
)
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(ColonyError, match="is not a duration"):
        duration(text)


def test_durations_are_shown_short() -> None:
    shown = [show_duration(seconds) for seconds in (None, 0.04, 9.94, 12, 59.6, 412, 3780, 187200)]
    assert shown == ["-", "0.0s", "9.9s", "12s", "1m00s", "6m52s", "1h03m", "2d04h"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "-a", ".a", "a..b", "a b", "a\n", "x" * 129, "é", None, 7]
)
def test_names_that_would_not_be_one_safe_path_component_are_refused(name: Any) -> None:
    with pytest.raises(ColonyError, match="is not a name"):
        check_name(name, "thing")


def test_control_characters_are_made_visible() -> None:
    assert escape("a\x1b[31m\r\n\x9b\u202eb") == "a\\x1b[31m\\r\\n\\x9b\\u202eb"
    assert escape("a\nb", keep="\n") == "a\nb"
    assert escape("zürich 🚨") == "zürich 🚨"


def test_columns_count_wide_and_combining_characters() -> None:
    assert [width(text) for text in ("abc", "日本", "e\u0301", "⚠️")] == [3, 4, 1, 1]
    assert cut("日本語です", 5) == "日本…"
    assert cut("abc", 3) == "abc"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "[1,]",
        "'a'",
        '"\\ud800"',
        "[" * 100_000,
        b"\xff",
        "1 2",
        "\x00",
    ],
)
def test_what_is_not_json_is_refused_in_one_line(text: Any) -> None:
    with pytest.raises(ColonyError, match="not JSON") as caught:
        jsontext.loads(text, where="x.json")
    assert "\n" not in str(caught.value)


def test_json_reads_back_exactly() -> None:
    for value in ({"a": [1, 2**70, 0.1, "é\u2028🚨", None, True]}, "\\ud83d", "🚨", 10**30):
        assert jsontext.loads(jsontext.dumps(value)) == value
        assert "\n" not in jsontext.dumps(value)


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    ids = [clock.new_id() for _ in range(2000)]
    assert len(set(ids)) == 2000 and len(ids[0]) == 20
    clock.freeze("2026-01-01T00:00:00Z")
    early = clock.new_id()
    clock.freeze("2026-01-01T00:00:00.001Z")
    assert early < clock.new_id()
    assert clock.now() == "2026-01-01T00:00:00.001Z"


def test_times_go_both_ways() -> None:
    assert clock.stamp(clock.seconds("2013-02-08T05:06:07.089Z")) == "2013-02-08T05:06:07.089Z"
    assert clock.stamp(1.9996) == "1970-01-01T00:00:02.000Z"


def test_hints_name_the_nearest() -> None:
    assert nearest("loder", ["loader", "reader"]) == "did you mean 'loader'?"
    assert nearest("zzz", ["loader"]) is None
    assert (
        str(unknown("agent", "loder", ["loader"], where="w.yaml:3"))
        == "unknown agent 'loder' at w.yaml:3; did you mean 'loader'?"
    )
    assert "there is none yet" in str(unknown("run", "x", []))
