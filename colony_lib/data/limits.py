"""Limits that processes share through locked files: how often a source is asked, and when it is left alone.

Both files are this machine's own and may be deleted: then the bucket is full and the breaker closed. The clock
is the machine's, never a frozen one, for other processes and the source live by it.
"""

from __future__ import annotations

import os
import time

from colony_lib.base import clock, files, locks
from colony_lib.base.errors import BUSY, ColonyError
from colony_lib.base.text import escape, show_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CLOSED = "CLOSED"
OPEN = "OPEN"
HALF_OPEN = "HALF_OPEN"


def _read(path: str) -> dict[str, Any]:
    """The document; {} when it is not there or damaged, for a limit must not stop what it protects."""
    try:
        value = files.read_json(path, {}, follow=False)
    except ColonyError:
        return {}
    return value if isinstance(value, dict) else {}


def _change(path: str, lock: str, what: str, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Read, change and replace under the lock; nothing is written when `change` gives None."""
    with locks.held(lock, what=what):
        new = change(_read(path))
        if new is not None:
            files.write_json(path, {"v": 1, **new}, indent=None, durable=False)


def _number(value: Any, default: float) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default


class Bucket:
    """A token bucket: `requests` may start in each `per` seconds, whoever asks; it holds as many when full.

    A place in the queue is taken under the lock and waited for outside it, so that many processes come in turn.
    """

    __slots__ = ("lock", "path", "per", "requests", "what")

    def __init__(self, folder: str, name: str, lock: str, *, requests: int, per: float) -> None:
        self.path = os.path.join(folder, f"bucket-{name}.json")
        self.lock = lock
        self.requests = requests
        self.per = per
        self.what = f"the rate limit of '{name}'"

    def take(self, longest: float) -> float:
        """Take a token; returns for how many seconds to wait before using it (0 mostly).

        ColonyError (BUSY), and nothing taken, when that would be more than `longest`.
        """
        wait = 0.0

        def change(old: dict[str, Any]) -> dict[str, Any]:
            nonlocal wait
            now = time.time()
            passed = max(0.0, now - _number(old.get("at"), now))
            tokens = (
                min(_number(old.get("tokens"), self.requests) + passed * self.requests / self.per, self.requests) - 1
            )
            # A clock that was set back, or a larger limit of before, must not make anyone wait for ever.
            tokens = max(tokens, -self.requests * 100.0)
            wait = max(0.0, -tokens * self.per / self.requests)
            if wait > longest:
                again = clock.stamp(now + wait - longest)
                raise ColonyError(
                    f"{self.what} is used up for {show_duration(wait)}", fix=f"try again after {again}", code=BUSY
                )
            return {"tokens": tokens, "at": now}

        _change(self.path, self.lock, self.what, change)
        return wait


class Breaker:
    """A circuit breaker: after `failures` in a row the source is left alone for `timeout` seconds (OPEN), then one
    request may try it (HALF_OPEN): its success closes the breaker, its failure opens it again."""

    __slots__ = ("failures", "lock", "name", "path", "timeout")

    def __init__(self, folder: str, name: str, lock: str, *, failures: int = 5, timeout: float = 60.0) -> None:
        self.path = os.path.join(folder, f"breaker-{name}.json")
        self.lock = lock
        self.name = name
        self.failures = failures
        self.timeout = timeout

    def _changed(self, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
        _change(self.path, self.lock, f"the circuit breaker of '{self.name}'", change)

    def state(self) -> dict[str, Any]:
        """The breaker's file as it is: {state, failures, until, last_error, …}; {} when it never failed."""
        return _read(self.path)

    def before(self) -> None:
        """Call it before a request; ColonyError (BUSY) saying when to try again while the breaker is open."""
        if self.state().get("state", CLOSED) == CLOSED:
            return

        def change(old: dict[str, Any]) -> dict[str, Any] | None:
            now = time.time()
            if old.get("state", CLOSED) == CLOSED:
                return None
            # `until` lies at most one timeout ahead: more is a clock that was set back.
            until = min(_number(old.get("until_epoch"), 0), now + self.timeout)
            if now < until:
                raise self._open(old, until)
            # One may try; `until` now bounds the try, so that one who died trying does not block the rest.
            return {
                **old,
                "state": HALF_OPEN,
                "until": clock.stamp(now + self.timeout),
                "until_epoch": now + self.timeout,
            }

        self._changed(change)

    def _open(self, old: dict[str, Any], until: float) -> ColonyError:
        if old["state"] == HALF_OPEN:
            what = f"the circuit breaker of '{self.name}' is being tried by another fetch"
        else:
            count = int(_number(old.get("failures"), self.failures))
            last = escape(old.get("last_error") or "unknown")
            what = f"the circuit breaker of '{self.name}' is open after {count} failures in a row (the last: {last})"
        wait = show_duration(max(until - time.time(), 0.0))
        return ColonyError(what, fix=f"try again after {clock.stamp(until)}, in {wait}", code=BUSY)

    def succeeded(self) -> None:
        """Call it after an answer, good or bad: whoever answers is alive."""
        seen = self.state()
        if seen.get("state", CLOSED) == CLOSED and not seen.get("failures"):
            return
        self._changed(lambda _: {"state": CLOSED, "failures": 0})

    def failed(self, reason: str) -> None:
        """Call it when there was no answer, or one that says the source is ill."""

        def change(old: dict[str, Any]) -> dict[str, Any]:
            now = time.time()
            count = int(_number(old.get("failures"), 0)) + 1
            new: dict[str, Any] = {
                "state": CLOSED,
                "failures": count,
                "last_error": reason,
                "last_failure": clock.stamp(now),
            }
            if count >= self.failures or old.get("state") == HALF_OPEN:
                until = now + self.timeout
                new |= {"state": OPEN, "until": clock.stamp(until), "until_epoch": until}
            return new

        self._changed(change)
