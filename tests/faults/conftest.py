"""What the tests of this folder share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import scenario
from tests.faults.harness import LONG, Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An empty colony whose processes can meet faults; none of them outlives the test."""
    made = Place(tmp_path / "place", scenario.empty)
    yield made
    made.end_processes()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """With COLONY_TEST_LONG, how many faults of each kind were survived."""
    if not LONG:
        return
    tried: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            tried.update(str(value) for name, value in getattr(report, "user_properties", []) if name == "tried")
    failed = len(terminalreporter.stats.get("failed", []))
    terminalreporter.section("faults")
    for kind in sorted(tried):
        terminalreporter.write_line(f"{tried[kind]:6}  {kind}")
    terminalreporter.write_line(f"{sum(tried.values()):6}  tried" + (f", {failed} tests failed" if failed else ", all survived"))
