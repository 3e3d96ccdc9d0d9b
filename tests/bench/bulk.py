"""Large inputs, made in seconds: journals as the library writes them, line for line, the same each time but for the
times, which end now."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from colony_lib.base import clock, jsontext

LINES = 2_000  # of a log in one batch
_BATCH, _TIME = "@batch of 20 chars..", "@time of 24 characters.."
_WORDS = ("fetched", "page", "rows", "from", "api", "of", "sales", "in", "staging", "checked", "written", "file")


def task_id(number: int) -> str:
    return f"t-{number:08d}"


def tasks(count: int) -> Iterator[str]:
    """The journal's lines of so many tasks: of ten, one is completed, one waits for the one before it, and the rest
    are ready, of all priorities, half of them assigned to one of eight agents."""
    chance = random.Random(count)
    start = clock.epoch() - count
    ticks = 0

    def line(number: int, **fields: object) -> str:
        nonlocal ticks
        ticks += 1
        stamp = clock.stamp(start + number)
        head = {"v": 1, "id": f"e{ticks:019d}", "clock": ticks, "ts": stamp, "by": "user"}
        return jsontext.dumps({**head, **fields}) + "\n"

    for number in range(count):
        blockers = [task_id(number - 1)] if number % 10 == 5 else []
        title = f"{chance.choice(_WORDS)} {chance.choice(_WORDS)} number {number}"
        yield line(
            number,
            type="add",
            task=task_id(number),
            title=title,
            description=f"{title}: what there is to know about it, in a line of usual length",
            agent=f"agent-{number % 8}" if number % 2 else None,
            priority=number % 10,
            blockers=blockers,
        )
        if number % 10 == 9:
            yield line(number, type="finish", task=task_id(number), status="completed", result=None)


def points(count: int) -> Iterator[str]:
    """The journal's lines of so many points of one metric, evenly over the last 20 hours."""
    chance = random.Random(count)
    now = clock.epoch()
    step = 20 * 3600 / count
    batch = "0123456789abcdefghjk"
    labels = [jsontext.dumps({"source": name}) for name in ("sales_api", "stock_api", "files", "weather")]
    for number in range(count):
        stamp = clock.stamp(now - (count - number) * step)
        value = chance.randrange(1_000_000) / 1000
        yield (
            f'{{"v":1,"id":"{batch}-{number:07d}","ts":"{stamp}","value":{value!r},"labels":{labels[number % 4]}}}\n'
        )


def log(size: int, agent: str, *, errors: int | None = None) -> Iterator[str]:
    """At least `size` bytes of an agent's log, in pieces of 2,000 lines: one in 100 is an error, or just so many of
    the first are and no other."""
    chance = random.Random(size)
    made = 0
    now = clock.epoch()
    first = _batch(chance, agent, errors)
    rest = first if errors is None else _batch(chance, agent, 0)
    for number in range(size // len(first) + 1):
        stamp = clock.stamp(now - 86400 + number)
        piece = (rest if number else first).replace(_BATCH, f"0{number:019d}").replace(_TIME, stamp)
        made += len(piece)
        yield piece
        if made >= size:
            return


def _batch(chance: random.Random, agent: str, errors: int | None) -> str:
    """2,000 lines with marks where their ids and times belong."""
    lines = []
    for number in range(LINES):
        level = chance.choice(("info", "info", "info", "debug", "warn"))
        if number < errors if errors is not None else number % 100 == 50:
            level = "error"
        message = " ".join(chance.choices(_WORDS, k=chance.randrange(4, 16))) + f" {chance.randrange(10**6)}"
        record = {"v": 1, "id": f"{_BATCH}-{number:04d}", "ts": _TIME, "level": level, "agent": agent}
        context = {"run_id": "r20261124-061800-abcde", "step": "fetch-data", "attempt": 1}
        lines.append(jsontext.dumps({**record, "message": message, **context}) + "\n")
    return "".join(lines)


def write(path: Path, lines: Iterator[str]) -> None:
    """Make the file of these lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", buffering=1 << 20) as file:
        file.writelines(lines)
