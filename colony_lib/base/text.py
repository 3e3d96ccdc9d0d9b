"""Text for people: visible control characters, durations, safe names, display columns."""

from __future__ import annotations

import re

from colony_lib.base.errors import USAGE, ColonyError

# C0, DEL, C1, and the characters that reorder or hide text on a terminal (CWE-150).
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 3650 * 86400.0


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    known = {9: "\\t", 10: "\\n", 13: "\\r"}.get(code)
    return known or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def escape(text: object, keep: str = "") -> str:
    """The text with every control character made visible; characters in `keep` stay as they are."""
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub(lambda m: m.group() if m.group() in keep else _visible(m), text)


def duration(value: object) -> float:
    """Seconds of '500ms', '30s', '10m', '2h', '1d', '1h30m' or '1.5s'; a bare number is seconds.

    Raises ColonyError (USAGE) for anything else, for zero and below, and for more than ten years.
    """
    seconds = 0.0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str):
        text = value.strip()
        parts = _DURATION.findall(text)
        if parts and "".join(a + b for a, b in parts) == text:
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 0 < seconds <= _LONGEST:
        raise ColonyError(f"'{escape(value)}' is not a duration", fix="write it like 30s, 10m or 1h30m", code=USAGE)
    return seconds


def show_duration(seconds: float | None) -> str:
    """0.4s, 12s, 6m52s, 1h03m, 2d04h; '-' for None."""
    if seconds is None:
        return "-"
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def check_name(name: object, kind: str, *, where: str | None = None) -> str:
    """The name, if it is safe as one component of a path; else ColonyError (USAGE)."""
    if not isinstance(name, str) or not _NAME.match(name) or ".." in name:
        raise ColonyError(
            f"'{escape(name)[:80]}' is not a name for a {kind}",
            where=where,
            fix="use letters, digits, '.', '_' and '-', starting with a letter or digit, at most 128",
            code=USAGE,
        )
    return name


def width(text: str) -> int:
    """Columns the text takes on a terminal: wide characters count two, combining marks none."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(c) or c == "\ufe0f" else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def cut(text: str, columns: int) -> str:
    """The text in at most that many columns; what was cut ends in '…'."""
    if width(text) <= columns:
        return text
    kept = ""
    used = 0
    for character in text:
        used += width(character)
        if used > columns - 1:
            break
        kept += character
    return kept + "…"


def plural(count: int, noun: str) -> str:
    """'1 step', '2 steps', '1,200 rows'."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
