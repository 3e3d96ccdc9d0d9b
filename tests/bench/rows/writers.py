"""Many writers at once, each acknowledged only when its write is on the disk.

What the disk can give: R1 is how many times a second one process alone can write a line and fdatasync; R32 the same
for 32 processes that append to one file at once, as to a journal, without any lock. The kernel joins their fsyncs, so
R32 = R1 × B, and B is the batch that a group commit reaches here. The figure of a row is A ÷ R32, where A is how many
writes a second the 32 had acknowledged through Colony, measured right after R32 in each pair; the aim, half of rate ×
batch, is 0.5. (Writers that each have a file of their own, which no journal gives them, the disk serves quicker still;
the first row says how much.) As commands, 32 loops that start `colony state task add` are beside 32 loops of a bare
Python that appends a line and makes it durable.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.bench.measure import Failed, number
from tests.bench.suite import Bench, Figure, Row, Sizes
from tests.conftest import REPOSITORY

Rate = Callable[[], float]  # acknowledgements a second, measured now
THROUGH = {
    "journal": "`jsonl.append` to one journal",
    "task": "`tasks.add`",
    "document": "`documents.change` of one document",
}


def rows(sizes: Sizes) -> list[Row]:
    many = f"{sizes.hands} writers"
    return [
        Row(f"the disk itself: writes with fdatasync a second, {many} beside one", ""),
        *(Row(f"{many}, acknowledged and fsynced: {what}", "≥ 0.5 of the disk") for what in THROUGH.values()),
        Row(f"{many}: `colony state task add`", f"≤ 4 × {sizes.hands} bare Pythons that append and fsync"),
    ]


def measure(bench: Bench) -> Iterator[Figure]:
    root = bench.colony()

    def disk(hands: int = bench.sizes.hands) -> float:
        return rate(bench, root, "disk", hands)

    def through(kind: str) -> float:
        return rate(bench, root, kind, bench.sizes.hands)

    alone, together, batches = in_turn(bench, partial(disk, 1), disk)
    own = through("files")
    note = f"{together:,.0f} a second to {alone:,.0f}; to a file each {own:,.0f}"
    yield Figure(f"**{number(statistics.median(batches))} ×** ({note})", spread(batches), len(batches))
    for kind in THROUGH:
        most, ours, shares = in_turn(bench, disk, partial(through, kind))
        note = f"{ours:,.0f} of {most:,.0f} a second"
        yield Figure(f"**{number(statistics.median(shares))}** ({note})", spread(shares), len(shares))
    ours, bare, ratios = in_turn(bench, partial(through, "command"), partial(through, "bare"))
    note = f"{ours:,.0f} a second to {bare:,.0f}"
    yield Figure(f"**{number(statistics.median(ratios))} ×** ({note})", spread(ratios), len(ratios))


def in_turn(bench: Bench, first: Rate, second: Rate) -> tuple[float, float, list[float]]:
    """(the median of the first, that of the second, second ÷ first pair by pair)."""
    pairs = [(first(), second()) for _ in range(min(bench.sizes.runs, bench.sizes.rounds))]
    one, other = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    return one, other, [second / first for first, second in pairs]


def spread(values: list[float]) -> str:
    return f"{number(min(values))}–{number(max(values))}"


def rate(bench: Bench, root: Path, kind: str, hands: int) -> float:
    """Acknowledgements a second; see `tests.bench.hands`."""
    words = [sys.executable, "-m", "tests.bench.hands", kind, str(hands), str(bench.sizes.seconds), str(root)]
    done = subprocess.run(words, cwd=REPOSITORY, env=bench.watch.environment, text=True, capture_output=True)
    if done.returncode:
        raise Failed(f"the hands of '{kind}': {done.stderr.strip()[-300:]}")
    return float(done.stdout)
