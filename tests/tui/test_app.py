"""The screen, driven by its own pilot on the files of real runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from colony_lib.store import logs, metrics, paths
from colony_lib.tui import dialogs, keys, logtail
from tests.conftest import Colony
from tests.tui.screen import LONG, WAITING, answer, drive, failed_run, seen, until, until_seen


def test_it_opens_on_the_failure_with_the_steps_last_log_lines(colony: Colony) -> None:
    run = failed_run(colony)

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(
            app, pilot, run, "load failed", "ERROR [bold]no[/bold] warehouse", "load  orchestrator  1 attempt"
        )
        assert app.tab.main().key == "load"
        text = seen(app)
        assert "3 of 4" not in text and "2 of 4" in text  # load failed and report was never begun
        assert "✗" in next(line for line in text.split("\n") if " load " in line and "━" not in line)

    drive(colony, body)


def test_numbers_choose_tabs_and_each_shows_what_its_files_say(colony: Colony) -> None:
    run = failed_run(colony)
    colony("state", "task", "add", "first", "--agent", "worker")
    colony("state", "task", "add", "second", "--blockers", "first")
    colony("broadcast", "the API is slow")
    colony("metrics", "record", "rows_loaded", "10498")

    async def body(app: Any, pilot: Any) -> None:
        for number, texts in {
            "1": ("AGENT", "orchestrator", "failed", "worker"),
            "2": ("READY 1", "first", "BLOCKED 1", "second", "waits for first", "0 of 2 done"),
            "3": ("user", "all", "the API is slow"),
            "5": ("rows_loaded", "10,498", "[24 h]"),
            "6": ("all agents", "following", f"run {run} of nightly failed"),
            "4": ("nightly", "load failed"),
        }.items():
            await pilot.press(number)
            await until_seen(app, pilot, *texts)
            assert app.active == keys.TABS[int(number) - 1]
        await pilot.press("tab")
        assert app.active == "Metrics"
        await pilot.press("shift+tab", "shift+tab")
        assert app.active == "Messages"

    drive(colony, body)


def test_it_follows_a_run_and_says_what_it_waits_for(colony: Colony) -> None:
    colony.workflow("long", LONG)

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, "no run yet")
        run = colony("workflow", "run", "long", "--detach").out.strip()
        await until_seen(app, pilot, run, "endless runs for", "of at most 10m", "after waits for it", "begun")
        await pilot.press("X")
        assert "leave it as it is" in seen(app) and f"colony workflow cancel {run}" in seen(app)
        await answer(app, pilot, "enter")  # the cursor stands on No
        assert colony.json("workflow", "status", run, "--json")["status"] == "running"
        await pilot.press("X")
        await answer(app, pilot, "y")
        await until_seen(app, pilot, "cancelled")
        assert colony.json("workflow", "status", run, "--json")["status"] == "cancelled"

    drive(colony, body)


def test_keys_that_come_in_one_go_answer_no_question(colony: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialogs, "DEAD", 1e9)  # all keys come too soon, however slow the machine
    colony.workflow("long", LONG)
    run = colony("workflow", "run", "long", "--detach").out.strip()

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, "endless runs")
        await pilot.press("X")
        assert isinstance(app.screen, dialogs.Choose)
        await pilot.press("y", "enter", "down", "enter")
        assert isinstance(app.screen, dialogs.Choose)
        await pilot.press("escape", "b")
        assert isinstance(app.screen, dialogs.Form)
        await pilot.press(*"text", "enter")
        assert isinstance(app.screen, dialogs.Form)
        assert colony.json("workflow", "status", run, "--json")["status"] == "running"

    try:
        drive(colony, body)
    finally:
        colony("workflow", "cancel", run)
    assert colony.lines("messages", "list", "--json") == []


def test_a_waiting_step_is_approved_and_the_run_goes_on(colony: Colony) -> None:
    colony.workflow("waiting", WAITING)
    run = colony("workflow", "run", "waiting", check=False).out.split("\n")[0]

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, "publish waits for approval")
        await pilot.press("A")
        await answer(app, pilot, "y")
        await until_seen(app, pilot, f"✓ colony workflow approve {run} publish")
        await until(app, pilot, lambda: app.found.view.status == "waiting" or app.found.view.status == "interrupted")
        await pilot.press("R")
        await answer(app, pilot, "y")
        await until_seen(app, pilot, "✓ completed")

    drive(colony, body)
    assert (colony.root / "published").exists()


def test_a_failed_run_is_done_again_from_a_step(colony: Colony) -> None:
    run = failed_run(colony)
    colony.workflow(
        "nightly", "steps: [{name: extract, run: 'true'}, {name: load, run: 'true', depends_on: [extract]}]"
    )

    async def body(app: Any, pilot: Any) -> None:
        await until(app, pilot, lambda: app.tab.main().key == "load")
        await pilot.press("R")
        await until(app, pilot, lambda: len(app.screen_stack) > 1 and app.screen._is_awake())
        assert f"colony workflow rerun {run} --from=load --detach" in seen(app)
        await pilot.press("down", "down", "enter")
        await until(app, pilot, lambda: app.found.view is not None and app.found.view.record["rerun_of"] == run)
        await until_seen(app, pilot, "✓ completed", f"rerun of {run}")

    drive(colony, body)


def test_a_task_is_added_and_its_chain_names_the_root(colony: Colony) -> None:
    colony("state", "task", "add", "fetch")
    colony("state", "task", "add", "load", "--blockers", "fetch")

    async def body(app: Any, pilot: Any) -> None:
        await pilot.press("2")
        await until_seen(app, pilot, "fetch", "load")
        await pilot.press("a")
        await until(app, pilot, lambda: isinstance(app.screen, dialogs.Form))
        await pilot.press(*"--report", "tab", *"worker", "tab", *"load")
        await until_seen(app, pilot, "colony state task add --agent=worker --blockers=load -- --report")
        await pilot.pause(dialogs.DEAD)
        await pilot.press("enter")
        await until_seen(app, pilot, "✓ colony state task add", "waits for load")
        task = next(task for task in colony.lines("state", "task", "list", "--json") if task["title"] == "--report")
        assert (task["agent"], task["blocked_by"]) == ("worker", ["load"])
        assert app.tab.main().put_on(task["id"])
        await pilot.press("d")
        await until_seen(app, pilot, "waits in the end for fetch (ready)")
        text = seen(app)
        assert text.index("└ ⊘ load") < text.index("  └ ○ fetch")
        await pilot.press("escape")
        assert app.tab.main().put_on(colony.lines("state", "task", "list", "--json")[0]["id"])
        await pilot.press("C")
        await answer(app, pilot, "y")
        await until_seen(app, pilot, "1 of 3 done")

    drive(colony, body)
    done = [task["title"] for task in colony.lines("state", "task", "list", "--json") if task["status"] == "completed"]
    assert done == ["fetch"]


def test_messages_are_sent_as_they_are_typed_and_counted_while_unread(colony: Colony) -> None:
    async def body(app: Any, pilot: Any) -> None:
        colony("messages", "send", "worker", "news")
        await until_seen(app, pilot, "3 Messages 1")
        await pilot.press("b")
        await until(app, pilot, lambda: isinstance(app.screen, dialogs.Form))
        await pilot.press(*"-n", "space", *"$(id)")
        await pilot.pause(dialogs.DEAD)
        await pilot.press("enter")
        await until_seen(app, pilot, "✓ colony broadcast", "3 Messages 2")
        await pilot.press("3")
        await until_seen(app, pilot, "-n $(id)", "news")
        assert app.tabs["Messages"].unread == 0

    drive(colony, body)
    assert [message["text"] for message in colony.lines("messages", "list", "--json")] == ["news", "-n $(id)"]


def test_read_only_switches_off_all_that_changes(colony: Colony) -> None:
    failed_run(colony)

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, "read-only", "load failed")
        assert "Re-run" not in seen(app)
        for tab, pressed in ((name, key) for name in keys.TABS for key in keys.of_tab(name) if key.changes):
            app.action_tab(tab)
            await pilot.press(pressed.keys.split(",")[0])
            await until_seen(app, pilot, f"read-only: '{pressed.label.lower()}' is switched off")
            assert len(app.screen_stack) == 1

    before = {path: path.read_bytes() for path in (colony.root / ".colony").rglob("*.jsonl")}
    drive(colony, body, read_only=True)
    assert {path: path.read_bytes() for path in (colony.root / ".colony").rglob("*.jsonl")} == before


def test_text_from_files_is_no_markup_and_sends_nothing_to_the_terminal(colony: Colony) -> None:
    evil = "[bold red]x[/] \x1b[31m\x1b]52;c;aGk=\a\u202e\r\n[@click=app.quit]y[/]"
    paths.use(str(colony.root))
    logs.write("worker", [{"message": evil, "level": "error"}])
    colony("state", "task", "add", "--", evil)
    colony("messages", "send", "worker", "--", evil)
    shown = "[bold red]x[/] \\x1b[31m\\x1b]52;c;aGk=\\x07\\u202e"

    async def body(app: Any, pilot: Any) -> None:
        for number in "1236":
            await pilot.press(number)
            await until_seen(app, pilot, "[bold red]x[/] \\x1b[31m")
            assert not [c for c in seen(app) if (c < " " or "\x7f" <= c < "\xa0") and c != "\n"]
        await until_seen(app, pilot, shown)
        await pilot.press("up", "enter")
        await until_seen(app, pilot, "Log line", "[@click=app.quit]y[/]")

    drive(colony, body, size=(200, 30))


def test_a_filter_is_seen_and_escape_shows_all_again(colony: Colony) -> None:
    failed_run(colony)

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, "load failed")
        await pilot.press("6")
        await until_seen(app, pilot, "slow answer", "connection reset")
        await pilot.press(
            "slash", *"level", "colon", *"error", "space", *"agent", "colon", *"work", "asterisk", "enter"
        )
        await until_seen(app, pilot, "level:error agent:work*", "Esc shows all", "connection reset")
        await until(app, pilot, lambda: "slow answer" not in seen(app) and "warehouse" not in seen(app))
        await pilot.press("escape")
        await until_seen(app, pilot, "slow answer", "warehouse")
        assert "Esc shows all" not in seen(app)
        await pilot.press("escape")  # never quits
        await pilot.press("4", "slash", *"!load", "enter")
        await until(
            app, pilot, lambda: [step["name"] for step in app.tab.main().items] == ["extract", "clean", "report"]
        )

    drive(colony, body)


def test_a_log_follows_pauses_when_one_looks_back_and_goes_on_at_the_end(
    colony: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logtail, "PAGE", 200)
    paths.use(str(colony.root))
    logs.write("worker", [{"message": f"line {i}"} for i in range(500)])

    async def body(app: Any, pilot: Any) -> None:
        await pilot.press("6")
        await until_seen(app, pilot, "line 499", "following")
        logs.write("worker", [{"message": "a new one"}])
        await until_seen(app, pilot, "a new one")
        await pilot.press("k")
        logs.write("worker", [{"message": f"more {i}"} for i in range(412)])
        await until_seen(app, pilot, "paused: 412 new, End follows")
        assert "more" not in seen(app)
        while len(app.tab.main().items) < 501:  # a page of older lines each time that the top comes near
            await pilot.press("pageup")
        assert "line 0" not in seen(app) or app.tab.main().tail.at_top
        await pilot.press("g")
        await until_seen(app, pilot, "line 0")
        await pilot.press("end")
        await until_seen(app, pilot, "more 411", "following")

    drive(colony, body)


def test_help_and_the_list_of_commands_name_every_key_of_the_tab(colony: Colony) -> None:
    failed_run(colony)

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, "load failed")
        await pilot.press("question_mark")
        await until_seen(app, pilot, "Keys in Workflow", "go on with the run")
        await pilot.press("escape", "colon")
        await until(app, pilot, lambda: isinstance(app.screen, dialogs.Commands))
        await pilot.press(*"history", "enter")
        await until_seen(app, pilot, "Runs, newest first")
        await pilot.press("escape", "colon", *"broadcast", "enter")
        await until(app, pilot, lambda: isinstance(app.screen, dialogs.Form))

    drive(colony, body, size=(110, 44))


@pytest.mark.parametrize("tab", keys.TABS)
def test_every_key_of_a_tab_does_something_also_when_there_is_nothing(colony: Colony, tab: str) -> None:
    async def body(app: Any, pilot: Any) -> None:
        app.action_tab(tab)
        for key in keys.of_tab(tab):
            if key.action not in ("quit", "mouse"):
                await pilot.press(key.keys.split(",")[0])
                while len(app.screen_stack) > 1:
                    app.pop_screen()
                app._line.display = False
                app.action_tab(tab)

    drive(colony, body)


def test_the_id_under_the_cursor_is_copied(colony: Colony) -> None:
    task = colony("state", "task", "add", "something").out.strip()

    async def body(app: Any, pilot: Any) -> None:
        await pilot.press("2")
        await until_seen(app, pilot, "something")
        await pilot.press("y")
        assert app.clipboard == task
        await pilot.press("Y")
        assert "something" in app.clipboard and app.clipboard.startswith("○")

    drive(colony, body)


def test_e_leads_from_one_thing_that_is_wrong_to_the_next(colony: Colony) -> None:
    failed_run(colony)
    colony("state", "task", "add", "broken")
    colony("state", "task", "fail", "broken")

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, "load failed")
        visited = []
        for _ in range(3):
            await pilot.press("e")
            await pilot.pause(0.1)
            visited.append((app.active, app.tab.main().key))
        task = colony.lines("state", "task", "list", "--json")[0]["id"]
        assert visited == [("Agents", "orchestrator"), ("Tasks", task), ("Workflow", "load")]

    drive(colony, body)


@pytest.mark.parametrize("size", [(80, 24), (60, 15)])
def test_what_matters_fits_a_small_screen(colony: Colony, size: tuple[int, int]) -> None:
    run = failed_run(colony)
    colony("state", "task", "add", "something")

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(
            app, pilot, run, "1 failed", "load failed", "✗ load", "? Help", "q Quit", "no[/bold]", "Agents"
        )
        await pilot.press("2")
        await until_seen(app, pilot, "READY 1", "something")
        assert max(map(len, seen(app).split("\n"))) <= size[0]

    drive(colony, body, size=size)


def test_a_screen_that_is_too_small_says_what_it_needs(colony: Colony) -> None:
    async def body(app: Any, pilot: Any) -> None:
        assert seen(app).split() == ["needs", "60x15"]
        await pilot.resize_terminal(80, 24)
        await until_seen(app, pilot, "4 Workflow")

    drive(colony, body, size=(40, 10))


def test_without_colours_states_are_told_by_marks_and_words(colony: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    failed_run(colony)
    monkeypatch.setenv("NO_COLOR", "1")

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, "✗ load", "failed")
        for _ in range(2):
            rows = app.screen._compositor.render_full_update().strips
            segments = [segment for row in rows for strip in row for segment in strip]
            colours = {str(style.color.name) for _, style, _ in segments if style and style.color}
            colours |= {str(style.bgcolor.name) for _, style, _ in segments if style and style.bgcolor}
            assert colours <= {"default"}, colours
            await pilot.press("question_mark")

    drive(colony, body, palette="plain")


def test_ascii_only_is_ascii(colony: Colony) -> None:
    failed_run(colony)
    colony("metrics", "record", "rows_loaded", "1")
    colony("metrics", "record", "rows_loaded", "3")

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, "x load")
        for tab in keys.TABS:
            app.action_tab(tab)
            await pilot.pause(0.3)
            text = seen(app).replace("▁", "_").replace("▎", "|")  # the scrollbar is Textual's own
            assert text.isascii(), text

    drive(colony, body, ascii_only=True)


def test_a_broken_colony_yml_is_told_and_the_rest_goes_on(colony: Colony) -> None:
    failed_run(colony)

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, "load failed")
        colony.write("colony.yml", "agents: [")
        await until_seen(app, pilot, "colony.yml:1", "load failed")
        await pilot.press("6")
        await until_seen(app, pilot, "warehouse")

    drive(colony, body, size=(200, 30))


def test_a_metric_over_its_alerts_threshold_comes_first_with_its_chart(colony: Colony) -> None:
    colony.write("pipeline.yml", 'alerts: {quality_score: "< 0.95"}\n')
    paths.use(str(colony.root))
    metrics.record("aaa", 1)
    for value in (0.99, 0.98, 0.91):
        metrics.record("data_quality_score", value)

    async def body(app: Any, pilot: Any) -> None:
        await pilot.press("5")
        await until_seen(app, pilot, "✗ data_quality_score", "< 0.95", "aaa")
        await pilot.press("g")
        await until_seen(app, pilot, "data_quality_score  24 h", "┄┄┄", "min 0.91", "max 0.99", "3 points")
        await pilot.press("plus")
        await until_seen(app, pilot, "24 h  [7 d]  30 d", "data_quality_score  7 d")
        await pilot.press("plus", "minus", "minus")
        await until_seen(app, pilot, "[24 h]")

    drive(colony, body)


def test_an_old_run_is_opened_by_its_id_and_its_attempts_are_kept_apart(colony: Colony) -> None:
    run = failed_run(colony)
    colony.workflow("other", "steps: [{name: one, run: 'true'}]")
    colony("workflow", "run", "other")

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, run)
        app.tab.main().put_on("clean")
        await until_seen(app, pilot, "clean  worker  2 attempts", "connection reset")
        await pilot.press("left_square_bracket")
        await until_seen(app, pilot, "attempt 2 of 2")
        await until(app, pilot, lambda: "connection reset" not in seen(app).split("attempt 2 of 2")[1])
        await pilot.press("left_square_bracket")
        await until_seen(app, pilot, "attempt 1 of 2", "connection reset")
        await pilot.press("v")
        await until_seen(app, pilot, "GRAPH", "│")
        await pilot.press("v")
        await until_seen(app, pilot, "AGENT")

    drive(colony, body, run=run)
    assert json.loads(colony("workflow", "status", run, "--json").out)["status"] == "failed"


@pytest.mark.parametrize("size", [(80, 24), (60, 15)])
def test_a_question_shows_the_whole_command_on_a_small_screen(colony: Colony, size: tuple[int, int]) -> None:
    run = failed_run(colony)

    async def body(app: Any, pilot: Any) -> None:
        await until(app, pilot, lambda: app.tab.main().key == "load")
        await pilot.press("R")
        await until(app, pilot, lambda: len(app.screen_stack) > 1 and app.screen._is_awake())
        words = " ".join(" ".join(line.strip(" │") for line in seen(app).split("\n")).split())
        assert f"colony workflow rerun {run} --from=load --detach" in words
        assert f"colony workflow resume {run} --detach" in words

    drive(colony, body, size=size)


def test_on_a_small_screen_the_meaning_of_a_key_stays_in_its_column(colony: Colony) -> None:
    async def body(app: Any, pilot: Any) -> None:
        await pilot.press("6", "question_mark")
        await until_seen(app, pilot, "Keys in Logs")
        lines = [line.strip("│ ") for line in seen(app).split("\n")]
        assert [line for line in lines if line.startswith("--level")] == ["--level LEVEL"]
        (row,) = [line for line in seen(app).split("\n") if "--level LEVEL" in line]
        (above,) = [line for line in seen(app).split("\n") if "show from debug" in line]
        assert row.index("--level") == above.index("show from")

    drive(colony, body, size=(80, 24))


def test_a_filter_that_lets_nothing_through_is_told_from_nothing_there(colony: Colony) -> None:
    async def body(app: Any, pilot: Any) -> None:
        await pilot.press("5")
        await until_seen(app, pilot, "no metrics yet")
        metrics.record("aaa", 1)
        await until_seen(app, pilot, "aaa")
        await pilot.press("slash", *"zzz", "enter")
        await until_seen(app, pilot, "nothing fits the filter: Esc shows all")
        assert "no metrics yet" not in seen(app)

    drive(colony, body)


def test_a_metric_is_compared_with_points_of_its_own_labels(colony: Colony) -> None:
    paths.use(str(colony.root))
    for date in ("2013-02-07", "2013-02-08"):
        for table, value in (("planes", 3000), ("flights", 900)):
            metrics.record("loaded", value, labels={"date": date, "table": table})

    async def body(app: Any, pilot: Any) -> None:
        await pilot.press("5")
        await until_seen(app, pilot, "newest: date=2013-02-08 table=flights")
        (row,) = [line for line in seen(app).split("\n") if line.startswith("   loaded")]
        assert row.split()[1:3] == ["900", "="]

    drive(colony, body)
