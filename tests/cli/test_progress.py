"""Long work says on a terminal how far it is, in one line that goes again; in a pipe it says nothing."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from colony_lib.data import envelope
from colony_lib.store import progress
from tests.conftest import Colony, clean_environment


@pytest.fixture
def big(colony: Colony) -> Colony:
    colony.write("pipeline.yml", "version: 1\ndatasets:\n  rows: {schema: {fields: [{name: t, type: datetime}]}}\n")
    rows = ({"n": n, "t": f"2013-01-15T00:{n % 60:02d}:{n % 59:02d}+01:00", "note": f"n{n}"} for n in range(60_000))
    envelope.write(str(colony.root / "staging/raw/rows_2013-01-15.json"), {"source": "rows"}, rows)
    return colony


def on_terminal(colony: Colony, *words: str, **more: str) -> tuple[str, str]:
    """(standard output, all that came on the terminal that is standard error)."""
    ours, theirs = pty.openpty()
    environment = clean_environment(**{"TERM": "xterm", **more})
    with subprocess.Popen(
        ["colony", *words], cwd=colony.root, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
        assert process.stdout is not None
        out = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0, said
    return out, said.decode()


def test_a_terminal_sees_one_line_that_goes_again(big: Colony) -> None:
    out, said = on_terminal(big, "transform", "--date", "2013-01-15", "--json")
    assert json.loads(out)["record_count"] == 60_000
    drawn = [line.removesuffix("\x1b[K") for line in said.split("\r")]
    assert drawn[0] == "" and drawn[-1] == "", said  # the last thing is that the line is empty again
    assert said.endswith("\r\x1b[K") and "\n" not in said
    assert any(
        line.startswith(("rows: writing █", "rows: writing ░")) and "of 60,000 rows" in line for line in drawn
    ), drawn


def test_a_terminal_that_has_no_blocks_sees_signs(big: Colony) -> None:
    _, said = on_terminal(big, "transform", "--date", "2013-01-15", LC_ALL="C", PYTHONIOENCODING="latin-1")
    assert re.search("rows: writing [#-]{16} [0-9,]+ of 60,000 rows", said) and "\\u" not in said


def test_a_pipe_and_a_dumb_terminal_see_nothing(big: Colony) -> None:
    done = big("transform", "--date", "2013-01-15")
    assert done.err == ""
    _, said = on_terminal(big, "transform", "--date", "2013-01-15", TERM="dumb")
    assert said == ""


def test_several_things_at_once_are_shown_beside_each_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_is_terminal", lambda: True)
    monkeypatch.setattr(progress, "AFTER", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.working():
        progress.tell("flights", "fetching", 1000)
        progress.tell("weather", "fetching", 50, 200)
        progress.tell("flights", "")
        with progress.working():  # within other work nothing begins anew
            progress.tell("weather", "fetching", 200, 200)
    lines = capsys.readouterr().err.replace("\x1b[K", "").split("\r")
    assert lines == [
        "",
        "flights: fetching 1,000 rows",
        "weather: fetching ████░░░░░░░░░░░░ 50 of 200 rows · flights: fetching 1,000 ro…",
        "weather: fetching ████░░░░░░░░░░░░ 50 of 200 rows",
        "weather: fetching ████████████████ 200 of 200 rows",
        "",
    ]
    progress.tell("flights", "fetching", 1)
    assert capsys.readouterr().err == ""


def test_who_waits_for_another_machine_sees_for_which(colony: Colony, tmp_path: Path) -> None:
    remote = tmp_path / "shared.git"
    subprocess.run(["git", "init", "-q", "--bare", remote], check=True, env=clean_environment())
    far = tmp_path / "far"
    far.write_text('#!/bin/sh\nsleep 0.6\nfor last; do :; done\nexec sh -c "$last"\n')
    far.chmod(0o755)
    colony.write("colony.yml", f"shared_state: {{backend: git-backed, location: 'ssh://far{remote}'}}\n")
    colony("state", "task", "add", "one")
    out, said = on_terminal(colony, "state", "sync", GIT_SSH=str(far))
    drawn = said.split("\r")
    assert out == ""
    for line in ("state: asking 'ssh://far/", "state: sending to 'ssh://far/"):
        assert any(text.startswith(line) for text in drawn), drawn
    assert said.endswith("\r\x1b[Ksent tasks: 1 added\r\n"), drawn
    quiet = colony("state", "sync", env={"GIT_SSH": str(far)})
    assert (quiet.out, quiet.err) == ("", "unchanged\n")
