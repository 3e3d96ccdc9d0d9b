"""What a backfill may use in all, and what its runs have used, as their journals tell it."""

from __future__ import annotations

import os

from colony_lib.base import clock, jsonl
from colony_lib.base.errors import USAGE, ColonyError, nearest
from colony_lib.base.text import duration, escape, show_duration
from colony_lib.store import paths, runfold, runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

KEYS = ("usd", "tokens", "time")


def parse(text: str) -> dict[str, float]:
    """'usd=5,tokens=100000,time=2h' as {usd, tokens, time in seconds}, those that are given. ColonyError (USAGE)."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (each.strip() for each in part.partition("="))
        if name not in KEYS or not equals:
            fix = nearest(name, KEYS) if equals and name else None
            fix = fix or "write it like usd=5,tokens=100000,time=2h"
            raise ColonyError(f"'{escape(part.strip())}' is no part of a budget", fix=fix, code=USAGE)
        if name in found:
            raise ColonyError(f"the budget says '{name}' twice", fix="keep one", code=USAGE)
        found[name] = duration(value) if name == "time" else _number(name, value)
    return found


def _number(name: str, text: str) -> float:
    try:
        value = float(text) if name == "usd" else int(text)
        if not (text.isascii() and 0 < value < 1e15):
            raise ValueError
    except (ValueError, OverflowError):
        kind = "an amount of dollars" if name == "usd" else "a whole number"
        raise ColonyError(f"the budget's {name} must be {kind} above 0, not '{escape(text)}'", code=USAGE) from None
    return value


class Used:
    """An amount of tokens, dollars and seconds of runs' wall time."""

    __slots__ = ("seconds", "tokens", "usd")

    def __init__(self, tokens: int = 0, usd: float = 0.0, seconds: float = 0.0) -> None:
        self.tokens = tokens
        self.usd = usd
        self.seconds = seconds

    def __add__(self, other: Used) -> Used:
        return Used(self.tokens + other.tokens, self.usd + other.usd, self.seconds + other.seconds)

    def reaches(self, budget: dict[str, float]) -> bool:
        """Whether any of what the budget limits is used up."""
        used = {"usd": self.usd, "tokens": self.tokens, "time": self.seconds}
        return any(used[name] >= limit for name, limit in budget.items())

    def words(self, budget: dict[str, float]) -> str:
        """'$3.20 of $5, 1,200 of 100,000 tokens, 12m of 2h'"""
        parts = []
        if "usd" in budget:
            parts.append(f"${self.usd:,.2f} of ${budget['usd']:,.2f}")
        if "tokens" in budget:
            parts.append(f"{self.tokens:,} of {budget['tokens']:,} tokens")
        if "time" in budget:
            parts.append(f"{show_duration(self.seconds)} of {show_duration(budget['time'])}")
        return ", ".join(parts)


def used(run_id: str, backfill: str) -> Used:
    """What the run has used in those of its lives in which that backfill ran it."""
    total = Used()
    seen: set[str] = set()
    ours, began, last = False, None, 0.0
    for record in jsonl.iterate(os.path.join(paths.run(run_id), "journal.jsonl")):
        moment = _moment(record)
        if record["id"] in seen or moment is None:
            continue
        seen.add(record["id"])
        kind = record.get("type")
        if kind == "run_started":
            total.seconds += last - began if began is not None else 0.0  # the life before ended without a word
            ours = record.get("backfill") == backfill
            began = moment if ours else None
        elif ours and kind == "attempt_ended":
            tokens, cost = runfold.usage(record)
            total.tokens += tokens
            total.usd += cost
        elif began is not None and kind == "run_ended":
            total.seconds += max(moment - began, 0.0)
            began = None
        last = max(last, moment)
    if began is not None:
        total.seconds += max((clock.epoch() if runs.is_alive(run_id) else last) - began, 0.0)
    return total


def _moment(record: Record) -> float | None:
    try:
        return clock.seconds(record["ts"])
    except (KeyError, TypeError, ValueError):
        return None  # somebody else's line
