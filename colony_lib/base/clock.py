"""Now, as text and as seconds, and ids that sort by time: the seam that tests freeze."""

from __future__ import annotations

import os
import time

_frozen: float | None = None
_seconds: dict[str, int] = {}  # seconds since 1970 of '2026-11-23T06:18:00', of those met lately
_second: tuple[int, str] = (-1, "")  # the last second that was spelled, and how
_millisecond: tuple[int, str] = (-1, "")  # the last one that an id began with, and how
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_BYTE_AS_DIGIT = bytes(ord(_DIGITS[byte & 31]) for byte in range(256))


def freeze(iso: str | None) -> None:
    """Stand still at that time (or go on, with None); for tests, by COLONY_NOW."""
    global _frozen
    _frozen = None if iso is None else seconds(iso)


def epoch() -> float:
    """Seconds since 1970, UTC."""
    return time.time() if _frozen is None else _frozen


def stamp(moment: float) -> str:
    """ISO 8601 in UTC with milliseconds and Z: '2026-11-23T06:18:00.123Z'."""
    global _second
    milliseconds = int(moment * 1000 + 0.5)
    whole, fraction = divmod(milliseconds, 1000)
    if _second[0] != whole:
        _second = (whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)))
    return f"{_second[1]}.{fraction:03d}Z"


def now() -> str:
    return stamp(epoch())


def seconds(iso: str) -> float:
    """Seconds since 1970 of an ISO 8601 time; without a zone it is UTC. ValueError when it is none."""
    second = _seconds.get(iso[:19])
    if second is not None and len(iso) == 24 and iso[19] == "." and iso[23] == "Z" and iso[20:23].isdecimal():
        return second + int(iso[20:23]) / 1000  # one as `stamp` writes it, in a second that was met before
    import datetime

    moment = datetime.datetime.fromisoformat(iso)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    found = moment.timestamp()
    if len(iso) == 24 and iso[10] == "T" and iso[19] == "." and iso[23] == "Z":
        if len(_seconds) > 1000:
            _seconds.clear()
        _seconds[iso[:19]] = int(found // 1)
    return found


def _base32(number: int, digits: int) -> str:
    return "".join(_DIGITS[number >> 5 * place & 31] for place in range(digits - 1, -1, -1))


def _by_chance(digits: int) -> str:
    return os.urandom(digits).translate(_BYTE_AS_DIGIT).decode()


def new_id(prefix: str = "") -> str:
    """A unique id of 20 characters that sorts by time: 50 bits of milliseconds, 50 bits of chance."""
    global _millisecond
    now = int(epoch() * 1000) & (1 << 50) - 1
    if _millisecond[0] != now:
        _millisecond = (now, _base32(now, 10))
    return prefix + _millisecond[1] + _by_chance(10)


def short_id(prefix: str, digits: int = 8) -> str:
    """A short unique id that people can type: the prefix and so many characters of chance (5 bits each)."""
    return prefix + _by_chance(digits)
