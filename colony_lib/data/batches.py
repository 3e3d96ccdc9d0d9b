"""Batches: which I of N a command line asks for, and which days of a range there are."""

from __future__ import annotations

import datetime

from colony_lib.base.errors import BUSY, USAGE, ColonyError
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DAYS = 3660  # the most days of a range


def batch(text: str, most: int) -> tuple[int, int]:
    """(I, N) of 'I/N', I from 0 to N - 1, N at most `most`; ColonyError (USAGE) for anything else."""
    number, slash, count = text.partition("/")
    if not slash or not (_is_number(number) and _is_number(count)) or not 0 <= int(number) < int(count) <= most:
        raise ColonyError(
            f"'{escape(text)[:40]}' is not a batch",
            fix=f"write I/N, as 0/4, I from 0 to N-1, N at most {most}",
            code=USAGE,
        )
    return int(number), int(count)


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= 9


def share(total: int, number: int, count: int) -> tuple[int, int]:
    """(begin, end) of the number-th of `count` shares of so many things, all as large as each other, or by one."""
    return total * number // count, total * (number + 1) // count


def check_part(head: dict[str, Any], fingerprint: str, shown: str) -> None:
    """ColonyError (BUSY) for a part that another process has made of another input, or taken away, since it was found
    to be there; the head of one that is gone is {}."""
    if head.get("fingerprint") != fingerprint:
        raise ColonyError(
            "the part is gone, or was made of another input meanwhile",
            where=shown,
            fix="make the batches again",
            code=BUSY,
        )


def days(first: str, last: str) -> list[str]:
    """The days from the first to the last, both included. ColonyError (USAGE) when there are none, or very many."""
    start, end = datetime.date.fromisoformat(first), datetime.date.fromisoformat(last)
    count = (end - start).days + 1
    if count < 1:
        raise ColonyError(f"{last} is before {first}", fix="--from is the first day, --to the last", code=USAGE)
    if count > DAYS:
        raise ColonyError(f"{first} to {last} are {count:,} days, at most {DAYS:,}", fix="take fewer", code=USAGE)
    return [(start + datetime.timedelta(days=number)).isoformat() for number in range(count)]
