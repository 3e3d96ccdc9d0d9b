"""The ledger of what agents' requests may cost, cost, and may no longer cost: one journal a day (UTC), one lock.

Before a request is sent, what it may use at most is *reserved*, under the lock, against every limit that counts for it;
afterwards it is *settled* with what it did use. What nobody settles counts in full: a killed process can only make the
ledger too high. So no limit is passed, whoever asks at the same time and whoever dies.

Records of `.colony/spending/DAY.jsonl`, of the day on which the request was reserved: `reserved` {id, run, workflow,
step, batch, attempt, agent, model, tokens, usd}, `settled` {reservation, outcome, requests, usage, usd}, and `used`
{…as both, reported: true} for what was reported after the fact, and `called` {…who, calls} for calls of tools, where
the workflow's budget has a number for them. `usage` is {input, output, cache_read, cache_write};
`input` counts what was read from and written to the cache as well. Files of days whose runs have all ended are only
read for reports: nothing in Colony removes them, and people may.
"""

from __future__ import annotations

import os

from colony_lib.base import clock, jsonl, jsontext, locks
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape
from colony_lib.store import paths, prices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Record = dict[str, Any]
    Key = tuple[Any, ...]

WHO = ("run", "workflow", "step", "batch", "attempt", "agent", "model")
KEYS = ("turns", "tokens", "usd")
OUTCOMES = ("settled", "lost", "released")
_SLACK = 1e-9  # dollars by which sums of floats may be off


class LimitReached(ColonyError):
    """A limit has no room for what is about to be done."""


class Call:
    """One request, as the ledger knows it: `outcome` is open, settled, lost or released; `tokens` and `usd` are what it
    counts for, `usage` what it used, None while nobody knows."""

    __slots__ = ("id", "outcome", "reported", "requests", "tokens", "ts", "usage", "usd", "who")

    def __init__(self, record: Record) -> None:
        self.id: str = record["id"]
        self.ts: str = record["ts"]
        self.who: Record = {key: record.get(key) for key in WHO}
        self.requests = 1
        self.tokens = _number(record.get("tokens"))
        self.usd = float(_number(record.get("usd")))
        self.usage: Record | None = None
        self.outcome = "open"
        self.reported = bool(record.get("reported"))

    def settle(self, record: Record) -> None:
        """Take in the record that says what became of it; the first one counts."""
        self.outcome = record["outcome"]
        self.requests = _number(record.get("requests", 1))
        usage = record.get("usage")
        if self.outcome == "released":
            self.requests, self.tokens, self.usd = 0, 0, 0.0
        elif self.outcome == "settled" and isinstance(usage, dict):
            self.usage = usage
            self.tokens = _number(usage.get("input")) + _number(usage.get("output"))
            if record.get("usd") is not None:
                self.usd = float(_number(record["usd"]))

    def scopes(self) -> list[Key]:
        """What it counts for."""
        who = self.who
        run = who["run"]
        return [("step", run, who["step"], who["batch"]), ("run", run), ("agent", who["agent"]), ("colony",)]

    def amounts(self) -> tuple[float, float, float]:
        return self.requests, self.tokens, self.usd


class Day:
    """The ledger of one day, read as far as it was when last looked at."""

    def __init__(self, day: str) -> None:
        self.day = day
        self.path = paths.spending(day)
        self._forget()

    def _forget(self) -> None:
        self._file: tuple[int, int] | None = None  # which one it was
        self._offset = 0
        self.calls: dict[str, Call] = {}
        self._sums: dict[Key, list[float]] = {}
        self.called: dict[str, tuple[str | None, int]] = {}  # calls of tools, by the record's id: (run, how many)

    def refresh(self) -> None:
        """Read the lines that are new. A last line without its end was never acknowledged, and is none yet."""
        try:
            state = os.stat(self.path)
        except FileNotFoundError:
            self._forget()
            return
        if self._file != (state.st_dev, state.st_ino) or state.st_size < self._offset:
            self._forget()
            self._file = state.st_dev, state.st_ino
        if state.st_size == self._offset:
            return
        for offset, line, ended in jsonl.lines(self.path, start=self._offset):
            if not ended:
                break
            self._offset = offset + len(line) + 1
            try:
                self._apply(jsontext.loads(line))
            except (ColonyError, KeyError, TypeError, AttributeError):
                continue  # somebody's damage: no reason to stop all agents for the rest of the day

    def _apply(self, record: Record) -> None:
        kind = record["type"]
        if kind in ("reserved", "used") and record["id"] not in self.calls:
            call = Call(record)
            if kind == "used":
                call.settle(record)
            self.calls[call.id] = call
            self._count(call, 1)
        elif kind == "called":
            self.called.setdefault(record["id"], (record["run"], _number(record["calls"])))
        elif kind == "settled" and record["outcome"] in OUTCOMES:
            found = self.calls.get(record["reservation"])
            if found is not None and found.outcome == "open":
                self._count(found, -1)
                found.settle(record)
                self._count(found, 1)

    def _count(self, call: Call, sign: int) -> None:
        for scope in call.scopes():
            sums = self._sums.setdefault(scope, [0, 0, 0.0])
            for place, amount in enumerate(call.amounts()):
                sums[place] += sign * amount

    def used(self, scope: Key, key: str) -> float:
        """How much of 'turns', 'tokens' or 'usd' counts for the scope."""
        return self._sums[scope][KEYS.index(key)] if scope in self._sums else 0

    def counts(self) -> dict[str | None, tuple[int, float]]:
        """{agent, or None for the colony: (tokens, dollars)} that count for the day."""
        scopes = {("colony",): None} | {scope: scope[1] for scope in self._sums if scope[0] == "agent"}
        return {who: (int(self.used(scope, "tokens")), self.used(scope, "usd")) for scope, who in scopes.items()}

    def append(self, record: Record) -> int:
        """Write the record, and return the descriptor to `sync` and close. The lock is held."""
        fd = jsonl.open_append(self.path)
        try:
            jsonl.append_to(fd, self.path, [record])
        except BaseException:
            os.close(fd)
            raise
        return fd


class Ledger:
    """The ledger as one process uses it: what it has read it does not read again."""

    def __init__(self) -> None:
        self._days: dict[str, Day] = {}

    def reserve(self, who: Record, tokens: int, usd: float, limits: Iterable[Record]) -> str:
        """Take one request, at most so many tokens and dollars, from all limits; returns the reservation's id, which is
        on the disk by then.

        `who` is {run, workflow, step, batch, attempt, agent, model}; `limits` [{scope: step|run|agent-day|colony-day,
        key: turns|tokens|usd, most}]. A step's is over all its attempts. LimitReached when one has no room: nothing is
        reserved then.
        """
        today = clock.now()[:10]
        limits = list(limits)
        days = self._read(who["run"], today)  # most of the reading, before anybody has to wait for it
        with _lock():
            self._refresh(days)
            need = {"turns": 1, "tokens": tokens, "usd": usd}
            for limit in limits:
                self._check(limit, who, need[limit["key"]], days)
            record = {"v": 1, "id": f"{today}.{clock.new_id()}", "ts": clock.now(), "type": "reserved"}
            record |= {**{key: who.get(key) for key in WHO}, "tokens": tokens, "usd": usd}
            fd = days[-1].append(record)
        _sync(fd, days[-1])
        return str(record["id"])

    def settle(self, reservation: str, usage: Record | None, usd: float | None, outcome: str) -> bool:
        """Say what became of a reservation; returns whether that was new. Again, or for one that is not there, it does
        nothing.

        `settled`: it used `usage` (as the API has it) and cost `usd`; what is None counts as reserved. `lost`: it was
        sent and nobody knows: it counts in full. `released`: it was surely not charged: it counts for nothing.
        """
        if outcome not in OUTCOMES:
            raise AssertionError(f"no outcome: {outcome}")
        day = self._day(reservation[:10])
        day.refresh()
        with _lock():
            day.refresh()
            call = day.calls.get(reservation)
            if call is None or call.outcome != "open":
                return False
            record = {"v": 1, "id": f"{reservation}.end", "ts": clock.now(), "type": "settled"}
            record |= {"reservation": reservation, "outcome": outcome}
            if outcome == "settled":
                record |= {"requests": 1, "usage": None if usage is None else counted(usage), "usd": usd}
            fd = day.append(record)
        _sync(fd, day)
        return True

    def record(self, who: Record, usage: Record, usd: float | None, *, key: str = "", requests: int = 1) -> bool:
        """Note what a program of its own reports to have used; returns whether that was new. With a `key` (of letters,
        digits, '.', '_' and '-'), once for the run and key, whoever says it again."""
        today = clock.now()[:10]
        days = self._read(who["run"], today)
        name = f"{who['run']}.{key}" if key else clock.new_id()
        with _lock():
            self._refresh(days)
            if any(f"{day.day}.{name}" in day.calls for day in days):
                return False
            record = {"v": 1, "id": f"{today}.{name}", "ts": clock.now(), "type": "used", "reported": True}
            record |= {**{key: who.get(key) for key in WHO}, "tokens": 0, "usd": usd or 0.0, "outcome": "settled"}
            fd = days[-1].append(record | {"requests": requests, "usage": counted(usage)})
        _sync(fd, days[-1])
        return True

    def call(self, who: Record, key: str, most: float | None, *, calls: int = 1) -> None:
        """Take calls of tools from the `most` that the run may make altogether; with None they are only counted. The
        same `key` (of letters and digits) is taken once. LimitReached, and nothing is taken, when they are too many."""
        today = clock.now()[:10]
        name = f"{who['run']}.called.{key}"
        days = self._read(who["run"], today)
        with _lock():
            self._refresh(days)
            if any(f"{day.day}.{name}" in day.called for day in days):
                return
            used = sum(count for day in days for run, count in day.called.values() if run == who["run"])
            if most is not None and used + calls > most:
                raise _reached({"scope": "run", "key": "tool_calls", "most": most}, who, used, 0)
            record = {"v": 1, "id": f"{today}.{name}", "ts": clock.now(), "type": "called"}
            fd = days[-1].append(record | {key: who.get(key) for key in WHO} | {"calls": calls})
        _sync(fd, days[-1])

    def calls_left(self, who: Record, most: float) -> float:
        """How many calls of tools the run may still make."""
        days = self._read(who["run"], clock.now()[:10])
        return max(most - sum(count for day in days for run, count in day.called.values() if run == who["run"]), 0)

    def left(self, who: Record, limits: Iterable[Record]) -> dict[str, float | None]:
        """{turns, tokens, usd}: how much the narrowest of the limits leaves now, 0 when it is used up; None where no
        limit counts. For programs that hold a limit themselves."""
        days = self._read(who["run"], clock.now()[:10])
        found: dict[str, float | None] = dict.fromkeys(KEYS)
        for limit in limits:
            room = max(limit["most"] - _used(limit, who, days), 0)
            known = found[limit["key"]]
            found[limit["key"]] = room if known is None else min(known, room)
        return found

    def check(self, who: Record, limits: Iterable[Record]) -> None:
        """LimitReached when one of the limits is used up already; nothing is reserved."""
        days = self._read(who["run"], clock.now()[:10])
        for limit in limits:
            if _used(limit, who, days) >= limit["most"]:
                raise _reached(limit, who, _used(limit, who, days), 0)

    def _check(self, limit: Record, who: Record, need: float, days: list[Day]) -> None:
        used = _used(limit, who, days)
        if used + need > limit["most"] + _SLACK:
            raise _reached(limit, who, used, need)

    def _day(self, day: str) -> Day:
        if day not in self._days:
            self._days[day] = Day(day)
        return self._days[day]

    def _read(self, run: str | None, today: str) -> list[Day]:
        """The days since the run's first one, read to their ends; today is the last."""
        first = _first_day(run, today)
        known = [day for day in days() if first <= day != today] if first < today else []
        found = [*(self._day(day) for day in known), self._day(today)]
        self._refresh(found)
        return found

    @staticmethod
    def _refresh(days: list[Day]) -> None:
        for day in days:
            day.refresh()


def _lock() -> locks.held:
    return locks.held(paths.lock("spending"), what="the ledger of what agents spend")


def _sync(fd: int, day: Day) -> None:
    """After the lock was given back: the fsyncs of many share the disk's work."""
    try:
        jsonl.sync(fd, day.path, new=len(day.calls) < 2)
    finally:
        os.close(fd)


def _first_day(run: str | None, today: str) -> str:
    """The day on which a run was made, by its id; the first of all when the id does not tell."""
    text = (run or "")[1:9]
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdigit() else ""


def _used(limit: Record, who: Record, days: list[Day]) -> float:
    scope = limit["scope"]
    if scope in ("agent-day", "colony-day"):
        return days[-1].used(("agent", who["agent"]) if scope == "agent-day" else ("colony",), limit["key"])
    key: Key = ("run", who["run"])
    if scope == "step":
        key = ("step", who["run"], who["step"], who["batch"])
    return sum(day.used(key, limit["key"]) for day in days)


def _reached(limit: Record, who: Record, used: float, need: float) -> LimitReached:
    """Which limit of whom, what is used of it, what this would have needed, and where it is set."""
    scope, key, most = limit["scope"], limit["key"], limit["most"]
    whose, fix = {
        "step": (f"step '{who['step']}'", f"raise limits.{key} of the step or its agent"),
        "run": (f"run {who['run']}", f"raise budget.{key} of the workflow '{who.get('workflow')}'"),
        "agent-day": (f"agent '{who['agent']}'", f"raise its limits.{key}_per_day, or go on tomorrow (UTC)"),
        "colony-day": ("the colony", f"raise limits.{key}_per_day in colony.yml, or go on tomorrow (UTC)"),
    }[scope]
    when = " today" if scope.endswith("-day") else ""
    if key == "usd":
        what, more = f"{prices.shown(used)} of {prices.shown(most)}", f"may cost up to {prices.shown(need)}"
    else:
        what, more = f"{used:,.0f} of {most:,} {key}", f"may take up to {need:,} more"
    wants = f", and this request {more}" if need and key != "turns" else ""
    return LimitReached(escape(f"{whose} has used {what}{when}{wants}"), fix=escape(fix), code=FAILED)


def counted(usage: Record) -> Record:
    """{input, output, cache_read, cache_write} of a reply's `usage` as the API has it."""
    read = _number(usage.get("cache_read_input_tokens"))
    write = _number(usage.get("cache_creation_input_tokens"))
    fresh = _number(usage.get("input_tokens"))
    output = _number(usage.get("output_tokens"))
    return {"input": fresh + read + write, "output": output, "cache_read": read, "cache_write": write}


def _number(value: Any) -> Any:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else 0


# -- reports


def days() -> list[str]:
    """The days of which there is a ledger, oldest first."""
    return paths.journals_in(paths.spending_folder(), "day")


def calls(since: str = "", until: str | None = None) -> Iterator[Call]:
    """The requests that count, reserved from `since` on and before `until` (ISO 8601, UTC), oldest day first."""
    for day in days():
        if day < since[:10] or (until is not None and day > until[:10]):
            continue
        ledger = Day(day)
        ledger.refresh()
        for call in ledger.calls.values():
            if call.outcome != "released" and call.ts >= since and (until is None or call.ts < until):
                yield call


def rows(since: str = "", until: str | None = None) -> Iterator[Record]:
    """The same as records: {id, ts, day, run, workflow, step, batch, attempt, agent, model, outcome, requests, input,
    output, cache_read, cache_write, usd, unsure_usd, reported}. What a reply cost is `usd`; what a request whose reply
    nobody knows may have cost at most is `unsure_usd`."""
    for call in calls(since, until):
        sure = call.outcome == "settled" and call.usage is not None
        usage = call.usage or {"input": 0, "output": 0, "cache_read": 0, "cache_write": 0}
        yield {
            "id": call.id,
            "ts": call.ts,
            "day": call.id[:10],
            **call.who,
            "outcome": call.outcome,
            "requests": call.requests,
            **usage,
            "usd": call.usd if sure else 0.0,
            "unsure_usd": 0.0 if sure else call.usd,
            "reported": call.reported,
        }


def today() -> dict[str, tuple[int, float]]:
    """{agent: (tokens, dollars)} of the replies of the day so far (UTC), of those agents that have had any."""
    found: dict[str, tuple[int, float]] = {}
    for call in calls(clock.now()[:10]):
        if call.outcome == "settled" and call.usage is not None and call.who["agent"] is not None:
            tokens, usd = found.get(call.who["agent"], (0, 0.0))
            found[call.who["agent"]] = tokens + call.tokens, round(usd + call.usd, 9)
    return found


def day_counts() -> dict[str | None, tuple[int, float]]:
    """{agent, or None for the colony: (tokens, dollars)} that count for the day's limits now: what is reserved and not
    settled in full."""
    ledger = Day(clock.now()[:10])
    ledger.refresh()
    return ledger.counts()
