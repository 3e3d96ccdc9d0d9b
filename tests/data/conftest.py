"""Fixtures of the data tools' tests: a working folder without a colony, and fetching in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, empty, with no colony in or above it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Fetched:
    """The end of a fetch of one or more sources, and what it wrote."""

    def __init__(self, folder: Path, outcomes: list[Any], code: int) -> None:
        self.folder = folder
        self.outcomes = {outcome.name: outcome for outcome in outcomes}
        self.code = code

    def figures(self, name: str = "s") -> dict[str, Any]:
        figures: dict[str, Any] = self.outcomes[name].figures
        return figures

    def error(self, name: str = "s") -> str:
        return str(self.outcomes[name].error)

    def rows(self, name: str = "s", date: str = "2013-02-08") -> list[Any]:
        envelope = json.loads((self.folder / f"staging/raw/{name}_{date}.json").read_text())
        assert envelope["record_count"] == len(envelope["data"])
        rows: list[Any] = envelope["data"]
        return rows

    def raw(self, name: str = "s", date: str = "2013-02-08") -> bool:
        """Whether there is a raw file."""
        return (self.folder / f"staging/raw/{name}_{date}.json").exists()

    def quarantine(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted((self.folder / "staging/quarantine").glob("*"))]


@pytest.fixture
def fetch(folder: Path) -> Callable[..., Fetched]:
    """`fetch(settings, name=…, since=…)`: fetch the source `s` with these settings (or several, by `sources=`)."""

    def run(settings: dict[str, Any] | None = None, **more: Any) -> Fetched:
        from colony_lib.data import fetch as fetching
        from colony_lib.data import outcomes, pipeline

        sources = more.pop("sources", {"s": settings})
        quick = {"delay": "1ms", "max_delay": "2ms"}
        for source in sources.values():
            if source.get("type") == "rest":
                source["retry"] = {**quick, **source.get("retry", {})}
        (folder / "pipeline.yml").write_text(json.dumps({"version": 1, "sources": sources, **more.pop("pipeline", {})}))
        one = fetching.Fetch(pipeline.load(), (), "2013-02-08", **more)
        found = one.run()
        return Fetched(folder, found, outcomes.code(found))

    return run
