"""A colony in a folder of its own, whose processes meet faults (tests/faults/inject) and are then held to account."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, TypeVar

from tests.conftest import BIN, Result, clean_environment

INJECT = Path(__file__).resolve().parent / "inject"
# COLONY_TEST_LONG=1 tries every fault at every point, COLONY_TEST_LONG=8 at every eighth; else a small sample is tried.
STRIDE = int(os.environ.get("COLONY_TEST_LONG") or 0)
LONG = STRIDE > 0
LONG_LIMIT = 24 * 3600 if LONG else 400  # seconds that a test may take


def _layer() -> ModuleType:
    """The injection layer as a module, where nothing is injected."""
    spec = importlib.util.spec_from_file_location("faults_layer", INJECT / "sitecustomize.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


layer = _layer()


class Fault(NamedTuple):
    """What is to happen at a point: the n-th time that the label comes up. See tests/faults/inject/sitecustomize.py."""

    kind: str
    when: str
    label: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.kind} {self.when} {self.label} #{self.number}"


Point = tuple[str, int]  # a label, and the how-manieth of its kind
T = TypeVar("T")


class Place:
    """A folder with a colony and a folder for temporary files, and the processes that run there."""

    def __init__(self, folder: Path, make: Callable[[Path], None]) -> None:
        self.folder = folder.resolve()
        self.root = self.folder / "colony"
        self.root.mkdir(parents=True)
        (self.folder / "tmp").mkdir()
        make(self.root)
        self._armed = 0
        self.faults: Path | None = None

    def arm(self, *faults: Fault, record: bool = False) -> None:
        """From now on each process has the layer, with these faults in this order; with `record` what reaches the
        files is kept (`events`)."""
        self._armed += 1
        self.faults = self.folder / f"faults-{self._armed}"
        self.faults.mkdir()
        lines = ["\t".join((fault.kind, fault.when, fault.label, str(fault.number))) + "\n" for fault in faults]
        (self.faults / "plan").write_text("".join(lines))
        self._record = record

    def disarm(self) -> None:
        """What is started from now on meets no fault: the disk is free again."""
        self.faults = None

    def environment(self, **more: str) -> dict[str, str]:
        armed = {}
        if self.faults is not None:
            armed = {"PYTHONPATH": str(INJECT), "FAULTS": str(self.faults), "FAULTS_ROOT": str(self.folder)}
            armed |= {"FAULTS_RECORD": "1"} if self._record else {}
            armed |= {"FAULTS_WITNESS": str(self.root / "ledger")} if (self.root / "ledger").exists() else {}
        return clean_environment(TMPDIR=str(self.folder / "tmp"), PYTHONDONTWRITEBYTECODE="1", **armed, **more)

    def __call__(self, *words: str, input: str | None = None, timeout: float = 240, **env: str) -> Result:
        """Run `colony WORDS…`, by the executable itself: the dispatcher starts Python without its site packages."""
        done = subprocess.run(
            [sys.executable, str(BIN / f"colony-{words[0]}"), *words[1:]],
            cwd=self.root,
            env=self.environment(**env),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
        )
        return Result(done)

    def fired(self) -> list[str]:
        """The faults that have happened, each with its point."""
        path = None if self.faults is None else self.faults / "fired"
        return path.read_text().splitlines() if path is not None and path.exists() else []

    def trace(self) -> list[str]:
        """The labels of all points since the arming, in order."""
        assert self.faults is not None
        return [line.split(" ", 1)[1] for line in (self.faults / "trace").read_text().splitlines()]

    def events(self) -> list[tuple[int, str]]:
        """What reached the files since an arming with `record`: (how long the ledger was, the event)."""
        assert self.faults is not None
        found = (line.split("\t", 1) for line in (self.faults / "disk").read_text().splitlines())
        return [(int(size), event) for size, event in found]

    def points(self) -> list[Point]:
        seen: Counter[str] = Counter()
        found = []
        for label in self.trace():
            seen[label] += 1
            found.append((label, seen[label]))
        return found

    # -- what is left

    def processes(self) -> list[int]:
        """The live processes that work in this colony."""
        mark = f"TMPDIR={self.folder / 'tmp'}".encode()
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    if mark in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                        found.append(int(name))
        return found

    def end_processes(self) -> None:
        """Kill what is left, so that a failed test leaves nothing behind."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_for_quiet(self, seconds: float = 60) -> list[str]:
        """Wait until nothing runs here; what still does, in words."""
        deadline = time.monotonic() + seconds
        while found := self.processes():
            if time.monotonic() > deadline:
                return [f"the process {pid} is left: {_command(pid)}" for pid in found]
            time.sleep(0.01)
        return []

    def held_locks(self) -> list[str]:
        """The lock files that somebody holds."""
        found = []
        for path in sorted((self.root / ".colony/locks").rglob("*.lock")):
            with path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.append(f"the lock {path.name} is held")
        return found

    def temporary_files(self) -> list[str]:
        """What killed processes have left: files relative to the colony, and folders for their commands' output. (A
        file there is Python's own, which tries so whether it can write.)"""
        files = sorted(str(path.relative_to(self.root)) for path in self.root.rglob(".*.tmp"))
        return files + sorted(str(path) for path in (self.folder / "tmp").iterdir() if path.is_dir())

    def remove(self) -> None:
        self.end_processes()
        shutil.rmtree(self.folder)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "(gone)"


_LINE = re.compile(r"colony[ a-z-]*: .+")


def untidy(done: Result, codes: Iterable[int]) -> list[str]:
    """What is wrong with how a command ended: its status, or what it said on standard error."""
    wrong = []
    if done.code not in codes:
        wrong.append(f"exit status {done.code}")
    if "Traceback" in done.err or "bug in Colony" in done.err:
        wrong.append("a traceback, or a bug")
    lines = done.err.splitlines() if done.code == 1 else []
    wrong += [f"no line of an error: {line}" for line in lines if not _LINE.fullmatch(line)]
    return [f"{each}: {done!r}" for each in wrong]


def evenly(items: Sequence[T], count: int, start: int = 0) -> list[T]:
    """At most `count` of the items, evenly spread, from another place on for each `start`."""
    step = max(len(items) / count, 1.0)
    return [items[int(start + index * step) % len(items)] for index in range(min(count, len(items)))]
