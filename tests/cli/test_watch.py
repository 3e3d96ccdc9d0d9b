"""`--watch`: drawn in place on a terminal, told in blocks when something has changed in a pipe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Colony
from tests.terminals import terminal

STEPS = """steps:
  - name: first
    run: until [ -e gate ]; do sleep 0.05; done
  - name: second
    depends_on: [first]
    run: until [ -e gate2 ]; do sleep 0.05; done; exit 3
"""


@pytest.fixture
def running(colony: Colony) -> Iterator[str]:
    """The id of a run whose first step waits for the file `gate`, and the second, which fails, for `gate2`."""
    colony.workflow("gated", STEPS)
    yield colony("workflow", "run", "gated", "--detach").out.split()[0]
    open_gate(colony.root, "gate")  # also after a test that failed, the run comes to its end
    open_gate(colony.root, "gate2")


def open_gate(folder: Path, name: str) -> None:
    (folder / name).touch()


def test_in_a_pipe_a_block_is_printed_only_when_something_has_changed(colony: Colony, running: str) -> None:
    watch = colony.start("workflow", "status", "--watch=0.1", "--exit-status")
    assert watch.stdout is not None
    seen = [watch.stdout.readline() for _ in range(4)]
    assert "running" in seen[0] and "0/2" in seen[0]
    colony("state", "task", "list")  # a few looks go by, with nothing to say
    open_gate(colony.root, "gate")
    seen += [watch.stdout.readline() for _ in range(5)]
    assert seen[4] == "\n" and running in seen[5]
    open_gate(colony.root, "gate2")
    rest, err = watch.communicate(timeout=60)
    text = "".join(seen) + rest
    assert (watch.returncode, err) == (1, "")
    assert "\x1b" not in text
    blocks = [re.sub(r"\d+(\.\d+)?s", "T", block) for block in text.split("\n\n")]
    assert 3 <= len(blocks) == len(set(blocks)), text
    assert "exit status 3" in blocks[-1] and "next: " in blocks[-1]


def test_watched_as_json_it_is_one_run_a_line_and_exits_0_whatever_the_run_did(colony: Colony, running: str) -> None:
    watch = colony.start("workflow", "status", running, "--watch=0.1", "--json")
    assert watch.stdout is not None
    first = json.loads(watch.stdout.readline())
    open_gate(colony.root, "gate")
    open_gate(colony.root, "gate2")
    rest, _ = watch.communicate(timeout=60)
    lines = [first, *map(json.loads, rest.splitlines())]
    assert watch.returncode == 0
    assert (first["status"], lines[-1]["status"]) == ("running", "failed")


def test_on_a_terminal_it_is_drawn_over_itself_until_the_run_ends(colony: Colony, running: str) -> None:
    def go_on(shown: str) -> bool:
        if shown.count("\x1b[H") >= 3:
            open_gate(colony.root, "gate")
            open_gate(colony.root, "gate2")
        return False

    shown, code = terminal(colony, "workflow", "status", "--watch=0.1", "--exit-status", on=go_on)
    assert code == 1
    assert shown.count("\x1b[2J") == 1 and shown.count("\x1b[H") > 3  # cleared once, so that nothing flickers
    assert all(line.endswith("\x1b[K") for line in shown.split("\x1b[J")[0].split("\r\n")[:-1])
    assert "exit status 3" in shown.split("\x1b[H")[-1]


def test_a_view_longer_than_the_screen_is_cut_while_it_is_watched_and_whole_at_its_end(
    colony: Colony, running: str
) -> None:
    def go_on(shown: str) -> bool:
        if "more lines" in shown:
            open_gate(colony.root, "gate")
            open_gate(colony.root, "gate2")
        return False

    shown, _ = terminal(colony, "workflow", "status", "--watch=0.1", rows=4, on=go_on)
    frames = shown.split("\x1b[H")[1:]
    assert frames[0].count("\r\n") == 3 and "… 2 more lines" in frames[0]
    assert "next: " in frames[-1] and "more lines" not in frames[-1]


def test_status_is_watched_until_it_is_interrupted(colony: Colony, running: str) -> None:
    shown, code = terminal(colony, "status", "--watch=0.1", on=lambda shown: shown.count("\x1b[H") >= 3)
    assert code == 130 and running in shown
    watch = colony.start("status", "--watch=0.1")
    assert watch.stdout is not None
    while running not in (line := watch.stdout.readline()):
        assert line
    open_gate(colony.root, "gate")
    open_gate(colony.root, "gate2")
    while "last failure" not in (line := watch.stdout.readline()):
        assert line
    watch.terminate()
    assert watch.wait(timeout=60) == 143


@pytest.mark.parametrize("words", [["workflow", "status"], ["status"]])
@pytest.mark.parametrize("value", ["x", "0", "-1", "nan", "1e9", ""])
def test_a_time_that_is_none_is_refused(colony: Colony, words: list[str], value: str) -> None:
    result = colony(*words, f"--watch={value}", check=False)
    assert (result.code, result.out) == (2, "") and len(result.err.splitlines()) == 1
    assert "--watch=5" in result.err


def test_history_on_a_terminal_begins_with_how_the_runs_went(colony: Colony) -> None:
    colony.workflow("f", "steps:\n  - name: a\n    run: test ! -e bad\n")
    colony("workflow", "run", "f")
    (colony.root / "bad").touch()
    colony("workflow", "run", "f", check=False)
    (colony.root / "bad").unlink()
    colony("workflow", "run", "f")
    shown, code = terminal(colony, "workflow", "history", env={"NO_COLOR": "1"})
    assert code == 0
    assert re.match(r"f  ✓✗✓  [▁▂▃▄▅▆▇█]{3}  usually [0-9.]+s\r\n", shown), shown
    assert colony("workflow", "history").out.startswith("RUN ID")
