"""Large inputs, as Colony itself would have written them: deterministic by their seed, and written in seconds.

from tests.bench import inputs
inputs.points(root / ".colony/metrics/load_seconds.jsonl")
inputs.log(root / ".colony/logs/worker.jsonl", error_every=500_000)
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

_STEPS = ("fetch-data", "transform-data", "validate-data", "load-data")
_WORDS = (
    "fetched", "page", "flights", "warehouse", "rows", "merged", "retry", "after", "waiting", "lock", "upsert",
    "committed", "checking", "null", "rate", "quality", "gate", "passed", "of", "for",
)  # fmt: skip
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_ID, _TIME = "<a batch's own id-->", "<a time of 24 letters-->"  # as long as what takes their places


def points(
    path: Path, count: int = 1_000_000, *, seed: int = 2013, end: float | None = None, hours: float = 23
) -> None:
    """A metric's journal of so many points, spread evenly over the hours before `end` (seconds since 1970, default
    now); values of 16 or 17 digits, one label of four values, ids as a batch gets them: about 135 bytes a point."""
    dice = random.Random(seed)
    end = time.time() if end is None else end
    start, step = (end - hours * 3600) * 1000, hours * 3_600_000 / count
    labels = [f'"labels":{{"step":"{name}"}}}}\n' for name in _STEPS]
    path.parent.mkdir(parents=True, exist_ok=True)
    second, text = -1, ""
    with path.open("w", encoding="ascii") as file:
        for number in range(count):
            if number % 10_000 == 0:
                batch = _batch(dice)
            whole, thousandths = divmod(int(start + number * step), 1000)
            if whole != second:
                second, text = whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
            file.write(
                f'{{"v":1,"id":"{batch}-{number % 10_000:07d}","ts":"{text}.{thousandths:03d}Z",'
                f'"value":{dice.expovariate(0.01)!r},{labels[number * 7 // 3 % 4]}'
            )


def log(
    path: Path, size: int = 1 << 30, *, seed: int = 2013, end: float | None = None, error_every: int | None = 100
) -> int:
    """An agent's log of about so many bytes; returns how many of its lines are errors: one in each `error_every`, a
    multiple of 4 (None: none). The last line is of `end` (seconds since 1970, default now), the first a week older."""
    dice = random.Random(seed)
    end = time.time() if end is None else end
    pattern = _lines(dice, path.stem)
    blocks = max(size // (sum(map(len, pattern)) + len(pattern)), 1)
    errors = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii") as file:
        for block in range(blocks):
            lines = pattern
            if error_every:
                lines = pattern.copy()
                first = error_every - 1 - block * len(lines) % error_every
                for place in range(first, len(lines), error_every):
                    lines[place] = lines[place].replace('"level":"info"', '"level":"error"')
                    errors += 1
            text = "\n".join(lines) + "\n"
            when = time.gmtime(end - 7 * 86400 * (blocks - 1 - block) / blocks)
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", when)
            file.write(text.replace(_ID, _batch(dice)).replace(_TIME, stamp))
    return errors


def tasks(count: int = 1000) -> str:
    """Standard input for `colony state task add -`."""
    return "".join(
        json.dumps({"title": f"task-{i}", "description": f"Fetch page {i} of the flights"}) + "\n" for i in range(count)
    )


def _lines(dice: random.Random, agent: str) -> list[str]:
    """About 1 MB of lines without errors, with places for what they differ in from block to block. Every line that
    may be made an error is one of level info."""
    lines = []
    for number in range(4000):
        level = "info" if number % 4 == 3 else dice.choice(("info", "info", "debug", "warn"))
        message = " ".join(dice.choices(_WORDS, k=dice.randrange(5, 20)))
        lines.append(
            f'{{"v":1,"id":"{_ID}-{number:04d}","ts":"{_TIME}","level":"{level}","agent":"{agent}",'
            f'"message":"{message}","run_id":"daily-etl-20130208-0001","step":"load-data","attempt":1}}'
        )
    return lines


def _batch(dice: random.Random) -> str:
    return "01" + "".join(dice.choices(_DIGITS, k=18))
