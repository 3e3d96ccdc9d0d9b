"""Key o: the report page of the run that is seen, in a browser, or its path where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BIN, Colony
from tests.tui.screen import drive, failed_run, until, until_seen

WIDE = (240, 30)


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A browser that writes down what it is given; the file that it writes."""
    asked = tmp_path / "asked"
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >>"{asked}"\n')
    script.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(script))
    monkeypatch.setenv("PATH", f"{BIN}:/usr/bin:/bin")
    return asked


def test_o_makes_the_page_of_the_run_and_opens_it(colony: Colony, browser: Path) -> None:
    run = failed_run(colony)
    page = colony.root / f"reports/run_{run}.html"

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, run, "load failed")
        await pilot.press("o")
        await until_seen(app, pilot, f"opened {page}")
        made = page.stat().st_mtime_ns
        await pilot.press("o")
        await until(app, pilot, lambda: browser.read_text().count("\n") == 2)
        assert page.stat().st_mtime_ns == made  # it was there

    drive(colony, body, size=WIDE)
    assert browser.read_text() == f"{page.as_uri()}\n" * 2


def test_without_a_browser_the_path_is_said(colony: Colony, browser: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = failed_run(colony)
    monkeypatch.setenv("BROWSER", "false")
    monkeypatch.setenv("PATH", f"{BIN}:/usr/bin:/bin")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, run, "load failed")
        await pilot.press("o")
        await until_seen(app, pilot, f"no browser here: the page is {colony.root}/reports/run_{run}.html")

    drive(colony, body, size=WIDE)
    assert not browser.exists()


def test_a_screen_that_only_reads_opens_what_is_there_and_makes_nothing(colony: Colony, browser: Path) -> None:
    run = failed_run(colony)

    async def body(app: Any, pilot: Any) -> None:
        await until_seen(app, pilot, run, "load failed")
        await pilot.press("o")
        await until_seen(app, pilot, f"there is no page yet: colony report --run={run}")
        assert not (colony.root / "reports").exists()
        colony("report", "--run", run)
        await pilot.press("o")
        await until_seen(app, pilot, f"opened {colony.root}/reports/run_{run}.html")

    drive(colony, body, size=WIDE, read_only=True)


def test_without_a_run_there_is_nothing_to_open(colony: Colony) -> None:
    async def body(app: Any, pilot: Any) -> None:
        await pilot.press("4", "o")
        await until_seen(app, pilot, "there is no run yet")

    drive(colony, body)
