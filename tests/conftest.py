"""What the tests share: a real colony in a temporary folder, driven by the real executables."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
BIN = REPOSITORY / "bin"
sys.path.insert(0, str(REPOSITORY))
# A suite that was started in the background ignores SIGINT, and so would every child that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A shell that starts the tests in the background has SIGINT ignored, and what is ignored stays so in every child.
signal.signal(signal.SIGINT, signal.default_int_handler)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment of every child of a test: no key, endpoint, proxy or colony of the outside gets in."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANTHROPIC_", "COLONY_", "OPENLINEAGE_", "GIT_", "PYTHONDONTWRITE"))
        and not name.lower().endswith("_proxy")
    }
    kept["PATH"] = os.pathsep.join([str(BIN), str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    kept["NO_PROXY"] = "127.0.0.1,localhost"
    kept["LC_ALL"] = "C.UTF-8"
    kept.update(more)
    return kept


class Result:
    """What a finished command left: `code`, `out` and `err`."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


class Colony:
    """A colony's folder and the means to run commands in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(
        self,
        *words: str,
        input: str | None = None,
        env: dict[str, str] | None = None,
        check: bool = True,
        cwd: Path | None = None,
        timeout: float = 300,
    ) -> Result:
        """Run `colony WORDS…` through the dispatcher; with `check` it must exit 0."""
        result = Result(
            subprocess.run(
                ["colony", *words],
                cwd=cwd or self.root,
                env=clean_environment(**(env or {})),
                input=input,
                stdin=subprocess.DEVNULL if input is None else None,
                text=True,
                encoding="utf-8",
                capture_output=True,
                timeout=timeout,
            )
        )
        if check:
            assert result.code == 0, f"colony {' '.join(words)}\n{result!r}"
        return result

    def start(self, *words: str, env: dict[str, str] | None = None, **settings: Any) -> subprocess.Popen[str]:
        """Start `colony WORDS…` and do not wait; standard output and error are pipes unless told."""
        settings.setdefault("stdout", subprocess.PIPE)
        settings.setdefault("stderr", subprocess.PIPE)
        settings.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(
            ["colony", *words],
            cwd=self.root,
            env=clean_environment(**(env or {})),
            text=True,
            encoding="utf-8",
            **settings,
        )

    def json(self, *words: str, **settings: Any) -> Any:
        """The one JSON value that `colony WORDS… ` prints."""
        return json.loads(self(*words, **settings).out)

    def lines(self, *words: str, **settings: Any) -> list[Any]:
        """The JSON Lines that `colony WORDS…` prints."""
        return [json.loads(line) for line in self(*words, **settings).out.split("\n") if line]

    def write(self, path: str, text: str) -> Path:
        """Write a file of the colony's folder by hand, as a user would."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def workflow(self, name: str, text: str) -> Path:
        """Write a workflow definition; `text` is the YAML under (and with) its `steps:`."""
        return self.write(f".colony/workflows/{name}.yaml", f"name: {name}\n{text}")

    def journal(self, path: str) -> list[dict[str, Any]]:
        """The parsed lines of a journal under `.colony/`."""
        text = (self.root / ".colony" / path).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.split("\n") if line]


CONFIG = """\
name: test-colony
agents:
  - id: orchestrator
    role: coordinates
  - id: worker
    role: does the work
"""


class NoLock:
    """Stands for a lock that does not exclude."""

    def __init__(self, path: str, *_: Any, **__: Any) -> None:
        self.path = path

    def __enter__(self) -> NoLock:
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT)
        return self

    def __exit__(self, *_: Any) -> None:
        os.close(self.fd)


@pytest.fixture
def colony(tmp_path: Path) -> Colony:
    """A small colony with the agents `orchestrator` and `worker` and no workflows."""
    root = tmp_path / "colony"
    for folder in ("workflows", "state", "runs", "logs", "metrics", "messages", "agents", "lineage", "locks"):
        (root / ".colony" / folder).mkdir(parents=True)
    (root / "colony.yml").write_text(CONFIG, encoding="utf-8")
    return Colony(root)


@pytest.fixture(autouse=True)
def _no_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test imports and calls directly must not see the outside either."""
    for name in list(os.environ):
        if name.startswith(("ANTHROPIC_", "COLONY_", "OPENLINEAGE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    from colony_lib.base import clock, files
    from colony_lib.store import paths

    paths.use(None)
    clock.freeze(None)
    files.set_redactor(None)
