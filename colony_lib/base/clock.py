"""Now, as text and as seconds, and ids that sort by time: the seam that tests freeze."""

from __future__ import annotations

import os
import time

_frozen: float | None = None
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


def freeze(iso: str | None) -> None:
    """Stand still at that time (or go on, with None); for tests, by COLONY_NOW."""
    global _frozen
    _frozen = None if iso is None else seconds(iso)


def epoch() -> float:
    """Seconds since 1970, UTC."""
    return time.time() if _frozen is None else _frozen


def stamp(moment: float) -> str:
    """ISO 8601 in UTC with milliseconds and Z: '2026-11-23T06:18:00.123Z'."""
    milliseconds = int(moment * 1000 + 0.5)
    whole, fraction = divmod(milliseconds, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{fraction:03d}Z"


def now() -> str:
    return stamp(epoch())


def seconds(iso: str) -> float:
    """Seconds since 1970 of an ISO 8601 time; without a zone it is UTC. ValueError when it is none."""
    import datetime

    moment = datetime.datetime.fromisoformat(iso)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()


def _base32(number: int, digits: int) -> str:
    return "".join(_DIGITS[number >> 5 * place & 31] for place in range(digits - 1, -1, -1))


def new_id(prefix: str = "") -> str:
    """A unique id of 20 characters that sorts by time: 50 bits of milliseconds, 50 bits of chance."""
    chance = int.from_bytes(os.urandom(7), "big") >> 6
    return prefix + _base32(int(epoch() * 1000) & (1 << 50) - 1, 10) + _base32(chance, 10)


def short_id(prefix: str) -> str:
    """A short unique id that people can type: the prefix and 8 characters of chance (40 bits)."""
    return prefix + _base32(int.from_bytes(os.urandom(5), "big"), 8)
