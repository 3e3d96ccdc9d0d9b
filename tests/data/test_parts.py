"""Parts of a day that another process changes between being found and being put together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from colony_lib import cli
from colony_lib.data import fetch_parts, transform_parts

PIPELINE = """\
version: 1
sources: {s: {type: file, path: "in/*.json"}}
datasets: {s: {}}
"""
SAID = "the part is gone, or was made of another input meanwhile at staging/parts/s_2013-02-08{}.0-of-2.json; make the batches again"


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(("tool", "module", "kind"), [("fetch", fetch_parts, ".raw"), ("transform", transform_parts, "")])
def test_parts_that_change_before_they_are_put_together_are_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, tool: str, module: Any, kind: str, gone: bool
) -> None:
    (folder / "pipeline.yml").write_text(PIPELINE)
    (folder / "in").mkdir()
    for name in "abc":
        (folder / f"in/{name}.json").write_text(json.dumps([{"id": name}, {"id": name * 2}]))
    words = ["--date", "2013-02-08"]
    if tool == "transform":
        assert cli.run("fetch", words) == 0
    assert cli.run(tool, [*words, "--batch", "0/2"]) == 0
    part = folder / f"staging/parts/s_2013-02-08{kind}.0-of-2.json"
    found = module._Part.missing

    def missing(self: Any) -> Any:
        waiting = found(self)
        if gone:
            part.unlink()
        else:
            part.write_text(part.read_text().replace(self.fingerprint, "0" * 64))
        return waiting

    monkeypatch.setattr(module._Part, "missing", missing)
    capsys.readouterr()
    assert cli.run(tool, [*words, "--batch", "1/2"]) == 75
    assert capsys.readouterr().err.endswith(SAID.format(kind) + "\n")
    assert not list((folder / "staging").glob("transformed/*" if tool == "transform" else "raw/*"))
    monkeypatch.setattr(module._Part, "missing", found)
    for batch in ("0/2", "1/2"):
        assert cli.run(tool, [*words, "--batch", batch]) == 0
    raw = json.loads((folder / "staging/raw/s_2013-02-08.json").read_text())
    assert [row["id"] for row in raw["data"]] == ["a", "aa", "b", "bb", "c", "cc"]
