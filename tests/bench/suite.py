"""What a benchmark is made of: rows of the table, the sizes they are measured at, and what measuring needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from tests.bench.measure import Command, Failed, Pairs, Stopwatch, number, pairs


class Sizes(NamedTuple):
    """How much of everything; the defaults are the real thing."""

    runs: int = 9  # pairs a figure is the median of
    steps: int = 1_000  # of a run without dependencies
    chain: int = 100  # steps that each wait for the one before
    tasks: int = 1_000  # of the colony that the small commands run in
    small_log: int = 10_000_000  # bytes of its log
    many_tasks: int = 100_000
    points: int = 1_000_000
    long_log: int = 1_000_000_000  # bytes
    flights: int = 336_776  # rows: all of 2013
    hands: int = 32  # processes that write at once
    seconds: float = 3.0  # that they do so
    rounds: int = 5  # at most so many pairs of that


QUICK = Sizes(
    runs=3, steps=100, chain=20, tasks=200, small_log=1_000_000, many_tasks=10_000, points=100_000,
    long_log=100_000_000, flights=30_000, seconds=0.5, rounds=2,
)  # fmt: skip


class Row(NamedTuple):
    """A line of the table: what is measured and what it should be ('' where there is no aim)."""

    what: str
    aim: str


class Figure(NamedTuple):
    """What was measured, the least and the most of its single measurements, and how many of them (or pairs) there were."""

    measured: str
    spread: str
    pairs: int


class Group(Protocol):
    """A module of `tests.bench.rows`: some rows, and their figures in the same order."""

    def rows(self, sizes: Sizes) -> list[Row]: ...

    def measure(self, bench: Bench) -> Iterator[Figure]: ...


class Bench:
    """What a group measures with: the stopwatch, the sizes, and a folder of its own that is gone afterwards."""

    def __init__(self, watch: Stopwatch, sizes: Sizes, folder: Path) -> None:
        self.watch = watch
        self.sizes = sizes
        self.folder = folder

    def colony(self) -> Path:
        """A new colony, made as a user makes one."""
        root = self.folder / "colony"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        self.tell(root, "init")
        return root

    def tell(self, root: Path, *words: str, input: str | None = None) -> str:
        """What `colony WORDS…` prints; not measured. Failed when it does not exit with 0."""
        done = subprocess.run(
            ["colony", *words], cwd=root, env=self.watch.environment, input=input, text=True, capture_output=True
        )
        if done.returncode:
            raise Failed(f"'colony {' '.join(words)[:80]}' ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def pairs(self, floor: Command, ours: Command) -> Pairs:
        """The two measured in turn; see `measure.pairs`."""
        return pairs(self.watch, floor, ours, self.sizes.runs)

    def beside_python(self, ours: Command) -> Pairs:
        """Measured beside the start of a bare Python."""
        return self.pairs(python(ours.folder), ours)


def python(folder: Path) -> Command:
    """The floor of every command: the same interpreter starts and ends."""
    return Command(("python3", "-c", "pass"), folder)


def figure(made: Pairs, note: str = "") -> Figure:
    """The ratio and what it is made of."""
    return Figure(f"**{number(made.ratio)} ×** ({made.detail()}{note})", made.spread(), len(made.ratios))


def say(text: str) -> None:
    """Progress, to standard error."""
    print(text, file=sys.stderr, flush=True)


def forget_caches(root: Path) -> None:
    """Remove what commands keep to be quicker the next time; all of it is derived."""
    shutil.rmtree(root / ".colony" / "cache", ignore_errors=True)
