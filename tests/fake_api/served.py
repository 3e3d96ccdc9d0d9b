"""The double as a process of its own, for tests that kill everything else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.fake_api.forms import KEY, Object
from tests.fake_api.record import Account, Request, read

_ROOT = Path(__file__).resolve().parents[2]


class Served(Account):
    """`with Served(script, folder) as api`: its script and its log lie in the folder; `requests` is read from the log each time."""

    def __init__(self, script: dict[str, list[Object]], folder: Path, port: int = 0) -> None:
        self.script = folder / "fake-api-script.json"
        self.log = folder / "fake-api-log.jsonl"
        self._port = port
        folder.mkdir(parents=True, exist_ok=True)
        self.script.write_text(json.dumps(script), "utf-8")

    def __enter__(self) -> Served:
        from tests.conftest import clean_environment

        words = ["--script", str(self.script), "--log", str(self.log), "--port", str(self._port), "--until-eof"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fake_api", *words],
            cwd=_ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, f"the double did not start: exit {self._process.wait()}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # ends its standard input

    @property
    def requests(self) -> list[Request]:  # type: ignore[override]
        return read(self.log)

    def environment(self) -> dict[str, str]:
        return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": KEY}
