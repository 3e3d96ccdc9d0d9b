"""Charts: the picture of the numbers, with gaps, in braille and in ASCII."""

from __future__ import annotations

import pytest

from colony_lib.store import chart


def test_a_sparkline_goes_from_the_smallest_to_the_largest_value() -> None:
    assert chart.sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert chart.sparkline([100, 0, 50], ascii_only=True) == "#_~"


def test_gaps_show_as_gaps() -> None:
    assert chart.sparkline([None, 1, None, 2]) == "·▁·█"
    assert chart.sparkline([None, 1, None, 2], ascii_only=True) == " _ #"
    assert chart.sparkline([None, None]) == "··"
    assert chart.sparkline([]) == ""


def test_values_that_are_all_the_same_stand_in_the_middle() -> None:
    assert chart.sparkline([5, 5, 5]) == "▄▄▄"
    assert chart.sparkline([0]) == "▄"


def test_the_largest_numbers_there_are_make_a_chart() -> None:
    assert chart.sparkline([-1.7e308, -0.9e308, 1.7e308]) == "▁▃█"
    assert len(chart.lines([-1.7e308, 1.7e308])) == 4


def test_a_line_chart_is_drawn_in_braille() -> None:
    assert chart.lines([0, 1, 2, 3, 4, 5, 6, 7], 2) == ["  ⡠⠊", "⡠⠊  "]
    assert chart.lines([0, 7], 2) == ["⢸", "⡸"]  # a stroke joins neighbours


def test_a_line_chart_breaks_at_gaps_and_marks_empty_columns() -> None:
    assert chart.lines([0, 0, None, None, None, 3, 3, 3], 1) == ["⣀·⠈⠉"]


def test_a_line_chart_in_ascii_has_one_value_a_column() -> None:
    assert chart.lines([0, 1, 2, None, 0], 3, ascii_only=True) == ["  *  ", " *   ", "*   *"]


def test_the_frame_names_the_largest_and_smallest_value_and_the_ends() -> None:
    assert chart.framed([1000.0, 2000.0] * 10, "old", "now", 2, ascii_only=True) == [
        "2000 | * * * * * * * * * *",
        "1000 |* * * * * * * * * *",
        "     +--------------------",
        "      old              now",
    ]
    assert chart.framed([None] * 20, "a", "b", 2)[0] == "0 │"


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-8", True), ("latin-1", False), ("ascii", False), (None, False), ("?", False)]
)
def test_only_an_encoding_with_the_characters_gets_them(encoding: str | None, shown: bool) -> None:
    assert chart.fits(encoding) is shown


def test_the_frame_of_values_that_are_all_the_same_has_their_number_once_beside_their_line() -> None:
    assert chart.framed([3.0] * 20, "old", "now", 3, ascii_only=True) == [
        "  |",
        "3 |********************",
        "  |",
        "  +--------------------",
        "   old              now",
    ]
