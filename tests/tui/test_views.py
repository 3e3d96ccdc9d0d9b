"""What the screen makes of the files: attempts on an axis, words about what holds a run up, chains, trends, charts."""

from __future__ import annotations

from typing import Any

import pytest

from colony_lib.base import clock
from colony_lib.store import metrics, paths, runs
from colony_lib.tui import bars, frame, paint, plot, runacts, runview, taskboard
from colony_lib.tui.feed import Feed
from colony_lib.tui.runview import Attempt, RunView
from colony_lib.tui.trends import Trend, Trends
from tests.conftest import Colony
from tests.tui.screen import WAITING, failed_run


def attempt(start: float, end: float | None, status: str = "completed") -> Attempt:
    made = Attempt(None, 1, start)
    made.ended, made.status = end, status
    return made


def words(line: paint.Line) -> str:
    return "".join(text for text, _ in line)


def test_each_attempt_is_a_bar_with_its_times_and_its_end(colony: Colony) -> None:
    run = failed_run(colony)
    paths.use(str(colony.root))
    view = RunView(run)
    assert {name: [(one.number, one.status) for one in own] for name, own in view.attempts.items()} == {
        "extract": [(1, "completed")],
        "clean": [(1, "failed"), (2, "completed")],
        "load": [(1, "failed")],
    }
    for own in view.attempts.values():
        assert all(one.ended is not None and one.ended >= one.started for one in own)
    times = {"extract": [(0, 10)], "clean": [(10, 20), (25, 30)], "load": [(30, 40)]}  # however quick the machine is
    for name, spans in times.items():
        for one, (started, ended) in zip(view.attempts[name], spans):
            one.started, one.ended = started, ended
    axis = bars.axis_of(view, 40)
    drawn = {step["name"]: words(bars.bars(view, step["name"], axis)) for step in view.steps}
    assert drawn == {
        "extract": "━━━━━━━━━━━                             ",
        "clean": "          ╌╌╌╌╌╌╌╌╌╌✗    ━━━━━━         ",
        "load": "                              ╌╌╌╌╌╌╌╌╌✗",
        "report": " " * 40,
    }
    assert words(runview.sentence(view)).startswith("✗ load failed (R goes on): exit status 3: ERROR [bold]no[/bold]")
    assert view.first_problem() == "load" and view.done() == 2


def test_a_run_that_died_is_told_as_interrupted_and_so_are_its_attempts(colony: Colony) -> None:
    run = failed_run(colony)
    journal = colony.root / ".colony/runs" / run / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    begun = next(place for place, line in enumerate(lines) if '"attempt_started"' in line and '"load"' in line)
    journal.write_text("".join(lines[: begun + 1]))
    paths.use(str(colony.root))
    view = RunView(run)
    assert view.status == "interrupted" and view.attempts["load"][0].status == "interrupted"
    assert words(runview.sentence(view)) == "! interrupted: its process is gone; load is next   R resumes it"


def test_a_waiting_run_says_for_whom(colony: Colony) -> None:
    colony.workflow("waiting", WAITING)
    run = colony("workflow", "run", "waiting", check=False).out.split("\n")[0]
    paths.use(str(colony.root))
    assert words(runview.sentence(RunView(run))) == "? publish waits for approval   A approves or rejects"


def test_a_run_that_waits_for_the_models_api_is_not_a_persons_to_approve(colony: Colony) -> None:
    colony.workflow("waiting", WAITING)
    run = colony("workflow", "run", "waiting", check=False).out.split("\n")[0]
    paths.use(str(colony.root))
    identity: dict[str, Any] = {"step": "publish", "batch": None, "attempt": 1}
    journal = runs.Journal(run)
    journal.append(
        runs.record("attempt_started", **identity, slot="slot-9", scratch="/nowhere"),
        runs.record("attempt_ended", **identity, status="limited", exit_code=75, until="2026-11-23T06:18:00.000Z"),
    )
    journal.close()
    view = RunView(run)
    said = "? publish waits for the model's API, which limits the rate until 2026-11-23T06:18:00.000Z"
    assert words(runview.sentence(view)) == f"{said}   R goes on when it is over"
    assert runacts.approve(view, "publish") == "no step waits for a person"
    again = runacts.again(view, "publish")
    assert not isinstance(again, str) and again.commands[0] == ["workflow", "resume", run, "--detach"]


def test_a_step_whose_effect_is_in_doubt_can_be_said_to_be_done(colony: Colony) -> None:
    colony.workflow("doubt", "steps: [{name: pay, run: 'true', idempotent: false}]")
    run = colony("workflow", "run", "doubt").out.split("\n")[0]
    paths.use(str(colony.root))
    file = colony.root / ".colony/runs" / run / "journal.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if "attempt_started" in line or "run_started" in line))
    journal = runs.Journal(run)
    identity: dict[str, Any] = {"step": "pay", "batch": None, "attempt": 1}
    journal.append(runs.record("attempt_ended", **identity, status="interrupted", begun=True))
    journal.close()
    question = runacts.approve(RunView(run), None)
    assert not isinstance(question, str)
    assert question.commands[-1] == ["workflow", "approve", run, "pay", "--done"]


def test_medians_are_of_the_completed_runs_before(colony: Colony) -> None:
    assert runview.medians([{"a": 1.0, "": 9.0}, {"a": 3.0}, {"a": 2.0, "b": 5.0}]) == {"a": 2.0, "": 9.0, "b": 5.0}
    colony.workflow("two", "steps: [{name: one, run: 'true'}, {name: other, run: 'true', depends_on: [one]}]")
    for _ in range(3):
        colony("workflow", "run", "two")
    paths.use(str(colony.root))
    found = Feed().look(None, 24, with_metrics=False)
    assert found.view is not None and set(found.view.usual) == {"", "one", "other"} and found.troubles == []


def test_long_pauses_are_cut_out_of_the_axis_and_marked() -> None:
    hours = 3600.0
    axis = bars.Axis([attempt(0, 60), attempt(20 * hours, 20 * hours + 60)], 20 * hours + 60, 30)
    assert axis.length == pytest.approx(60 + 30 + 60)
    assert axis.place(0) == 0 and axis.place(60) == 12 and axis.place(20 * hours) == 18
    assert axis.cuts == [18] and axis.ruler()[18] == "╎" and "cut" in axis.ruler()
    whole = bars.Axis([attempt(0, 60), attempt(100, 160)], 160, 32)
    assert whole.cuts == [] and whole.ruler().split()[:2] == ["0", "1m"] and len(whole.ruler()) == 32


def test_an_empty_axis_and_times_that_go_backwards_are_drawn_all_the_same() -> None:
    assert bars.Axis([], 5.0, 10).place(3.0) == 9
    backwards = bars.Axis([attempt(100, 50)], 100, 10)
    assert 0 <= backwards.place(50) < 10 and 0 <= backwards.place(100) < 10


@pytest.mark.parametrize(
    ("seconds", "text"), [(600, "10m"), (90, "1m30s"), (7200, "2h"), (30, "30s"), (5.0, "5s"), (0.5, "0.5s")]
)
def test_limits_are_said_as_they_are_written(seconds: float, text: str) -> None:
    assert bars.short(seconds) == text


def test_a_chain_names_every_blocker_once_and_its_root(colony: Colony) -> None:
    colony("state", "task", "add", "a")
    colony("state", "task", "add", "b", "--blockers", "a")
    colony("state", "task", "add", "c", "--blockers", "a,b")
    top = colony("state", "task", "add", "d", "--blockers", "b,c").out.strip()
    paths.use(str(colony.root))
    way = taskboard.chain(top)
    assert [(depth, task["title"]) for depth, task in way] == [(0, "d"), (1, "b"), (2, "a"), (1, "c")]
    found = taskboard.root(way)
    assert found is not None and found["title"] == "a"
    assert taskboard.root(taskboard.chain(way[2][1]["id"])) is None
    colony("state", "task", "fail", "a")
    found = taskboard.root(taskboard.chain(top))
    assert found is not None and (found["title"], found["status"]) == ("a", "failed")


def test_a_board_shows_the_most_urgent_and_the_last_done_of_very_many_tasks(colony: Colony) -> None:
    more = "".join(f'{{"title": "task {i}", "priority": {i % 10}}}\n' for i in range(2000))
    colony("state", "task", "add", "-", input=more)
    colony("state", "task", "complete", "task 7")
    paths.use(str(colony.root))
    board = taskboard.Board()
    assert board.total == 2000 and board.count("ready") == 1999 and board.count("done") == 1
    assert len(board.groups["ready"]) == taskboard.MOST
    assert {task["priority"] for task in board.groups["ready"]} <= {0, 1}
    assert [task["title"] for task in board.groups["done"]] == ["task 7"]


def test_a_trend_is_read_again_only_when_its_file_has_changed(colony: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    paths.use(str(colony.root))
    metrics.record("rows", 10)
    metrics.record("rows", 20)
    trends = Trends()
    (first,) = trends.look(24)
    assert (first.count, first.median, first.change) == (2, 15, pytest.approx(1 / 3))
    assert trends.look(24)[0] is first
    first.took = 0.0
    metrics.record("rows", 60)
    assert trends.look(24)[0].last is not None and trends.look(24)[0].count == 3
    assert trends.look(168)[0].hours == 168


def test_thresholds_come_from_the_alerts_and_a_broken_file_has_none(colony: Colony) -> None:
    paths.use(str(colony.root))
    colony.write("pipeline.yml", 'alerts: {quality_score: "< 0.95", error_count: "> 10"}\n')
    metrics.record("data_quality_score", 0.9)
    metrics.record("pipeline_error_count", 3)
    trends = Trends()
    found = {trend.name: trend for trend in trends.look(24)}
    assert found["data_quality_score"].threshold == ("<", 0.95) and found["data_quality_score"].is_over(0.9)
    assert found["pipeline_error_count"].threshold == (">", 10.0) and not found["pipeline_error_count"].is_over(3)
    colony.write("pipeline.yml", "alerts: [\n")
    assert [trend.threshold for trend in trends.look(24)] == [None, None]


def test_a_chart_shows_its_threshold_on_its_scale(colony: Colony) -> None:
    paths.use(str(colony.root))
    for value in (1, 2, 3):
        metrics.record("pipeline_error_count", value)
    trend = Trend("pipeline_error_count", 24, (0, 0), (">", 10.0))
    drawn = plot.draw(trend, 60, 5)
    text = [words(line) for line in drawn]
    assert "10" in text[0] and "┄" in text[0] and "now" in text[-1] and len(drawn) == 7
    assert not [role for line in drawn for _, role in line if role == "bad"]
    over = plot.draw(Trend("pipeline_error_count", 24, (0, 0), (">", 0.5)), 60, 5)
    assert [role for line in over for _, role in line if role == "bad"]
    assert all(
        words(line).isascii()
        for line in plot.draw(trend, 60, 5, ascii_only=True)
        if "┄" not in words(line) and "│" not in words(line) and "└" not in words(line)
    )


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (412.0, "seconds", "6m52s"), (0.987, "ratio", "0.987"), (10498, "rows", "10,498"), (0.0123, "usd", "$0.0123"),
        (1_234_567, "bytes", "1.23 MB"), (None, None, "-"), (1e15, None, "1e+15"), (-5.0, "seconds", "-5.0s"),
    ],
)  # fmt: skip
def test_amounts_are_said_as_people_say_them(value: Any, unit: str | None, text: str) -> None:
    assert plot.amount(value, unit) == text


def test_the_header_fits_and_says_first_what_is_wrong(colony: Colony) -> None:
    failed_run(colony)
    paths.use(str(colony.root))
    found = Feed().look(None, 24, with_metrics=False)
    for columns in (60, 80, 200):
        text = words(frame.header(found, columns, read_only=False))
        assert "1 failed" in text[:columns]
    assert paint.columns_of(frame.header(found, 200, read_only=True)) == 199


def test_a_painted_line_has_the_width_it_is_given_whatever_is_in_it() -> None:
    for palette in paint.PALETTES:
        painter = paint.Painter(palette)
        for text in ("", "plain", "x" * 50, "表" * 30, "e\u0301" * 10, "⚠\ufe0f warned", "\x1b[31mred\x00\u202e"):
            for under in ("", "chosen"):
                strip = painter.strip([(text, "bad")], 20, under)
                assert strip.cell_length == 20
                assert not [c for c in strip.text if c < " " or c == "\u202e"]


def test_the_run_that_matters_most_is_opened(colony: Colony) -> None:
    failed = failed_run(colony)
    colony.workflow("fine", "steps: [{name: one, run: 'true'}]")
    colony("workflow", "run", "fine")
    paths.use(str(colony.root))
    found = Feed().look(None, 24, with_metrics=False)
    assert found.view is not None and found.view.run_id == failed and found.newest() == failed
    colony("workflow", "rerun", failed, "--failed", check=False)
    found = Feed().look(None, 24, with_metrics=False)
    assert found.newest() == runs.find("latest")
    assert clock.seconds(found.view.record["started"]) > 0 if found.view else False


def test_long_lines_are_broken_at_blanks_and_lose_nothing_else() -> None:
    line: paint.Line = [("error: ", "bad"), ("could not connect to the warehouse " + "x" * 50, "text")]
    rows = paint.wrapped(line, 20)
    assert [words(row) for row in rows] == [
        "error: could not", "connect to the", "warehouse " + "x" * 10, "x" * 20, "x" * 20,
    ]  # fmt: skip
    assert rows[0][0] == ("error: ", "bad") and paint.wrapped([], 20) == [[]]
    assert [words(row) for row in paint.wrapped([("表" * 12, "text")], 10)] == ["表" * 5, "表" * 5, "表" * 2]
