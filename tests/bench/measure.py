"""Measures by comparison: a command and its floor in turn, A B A B …, and the ratio pair by pair."""

from __future__ import annotations

import marshal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

STOPWATCH = Path(__file__).with_name("stopwatch.py")


class Failed(Exception):
    """A command did not do what was to be measured; in one line."""


class Command(NamedTuple):
    """A command as it is typed. `words` may be a function that gives others each time; `before` and `after` are done
    around each run and are not measured; `seconds` is the longest it may take; `environment` adds to the
    stopwatch's."""

    words: Sequence[str] | Callable[[], Sequence[str]]
    folder: Path
    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None
    statuses: tuple[int, ...] = (0,)
    seconds: float = 600.0
    environment: Mapping[str, str] = {}


class Run(NamedTuple):
    """What one run of a command took."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class Stopwatch:
    """Runs commands, each as a process of its own, in one environment."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, environment: dict[str, str]) -> None:
        self._process = process
        self._out, self._err = folder / "stdout", folder / "stderr"
        self.environment = environment

    def __call__(self, command: Command) -> Run:
        """Run it once. Failed when it ends otherwise than it should, or not in its time."""
        if command.before:
            command.before()
        words = list(command.words() if callable(command.words) else command.words)
        job: dict[str, Any] = {"words": words, "folder": str(command.folder), "limit": command.seconds}
        job["env"] = {**self.environment, **command.environment}
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(marshal.dumps({**job, "out": str(self._out), "err": str(self._err)}))
        self._process.stdin.flush()
        told: dict[str, Any] = marshal.load(self._process.stdout)
        if told["late"]:
            raise Failed(f"'{' '.join(words)[:80]}' was not done in {command.seconds:.0f} s")
        if told["status"] not in command.statuses:
            said = self._err.read_text(errors="replace").strip() or self._out.read_text(errors="replace").strip()
            last = said.rsplit("\n", 1)[-1][:300]
            raise Failed(f"'{' '.join(words)[:80]}' ended with {told['status']}: {last}")
        if command.after:
            command.after()
        return Run(told["seconds"], told["cpu_seconds"], told["peak_bytes"])

    def said(self) -> str:
        """What the last command wrote, to standard output and then to standard error."""
        return self._out.read_text(errors="replace") + self._err.read_text(errors="replace")


@contextmanager
def stopwatch(folder: Path, environment: dict[str, str]) -> Iterator[Stopwatch]:
    """A stopwatch that keeps the output of the command it ran last in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-I", "-S", STOPWATCH], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield Stopwatch(process, folder, environment)
        except BaseException:
            process.terminate()  # what it measures ends with it
            raise


class Pairs:
    """Runs of a command and of its floor, in pairs that were made one right after the other."""

    def __init__(self, floor: Sequence[Run], ours: Sequence[Run]) -> None:
        self.floor = floor
        self.ours = ours
        self.ratios = [one.seconds / other.seconds for one, other in zip(ours, floor, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return statistics.median(self.ratios)

    def spread(self) -> str:
        """The smallest and the greatest ratio of a pair."""
        return f"{number(min(self.ratios))}–{number(max(self.ratios))}"

    def detail(self) -> str:
        """The medians behind the ratio: our time and the floor's, the ratio of CPU time, our peak of memory."""
        cpu = statistics.median(one.cpu_seconds / max(other.cpu_seconds, 1e-4) for one, other in self._both())
        peak = max(run.peak_bytes for run in self.ours)
        return f"{duration(self.ours)} to {duration(self.floor)}; CPU {number(cpu)} ×; {peak / 1e6:.0f} MB"

    def _both(self) -> Iterator[tuple[Run, Run]]:
        return zip(self.ours, self.floor, strict=True)


def pairs(watch: Stopwatch, floor: Command, ours: Command, runs: int) -> Pairs:
    """So many pairs, after one of each that does not count (it warms the caches of disk and colony)."""
    made = [(watch(floor), watch(ours)) for _ in range(runs + 1)][1:]
    return Pairs([pair[0] for pair in made], [pair[1] for pair in made])


def number(value: float) -> str:
    """With as many digits as mean something: 0.48, 2.6, 33."""
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def duration(runs: Sequence[Run]) -> str:
    """The median time of the runs: 41 ms, 1.31 s."""
    seconds = statistics.median(run.seconds for run in runs)
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.2f} s"
