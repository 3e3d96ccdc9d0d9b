"""Text for people: visible control characters, durations, safe names, display columns."""

from __future__ import annotations

from colony_lib.base.errors import USAGE, ColonyError

# C0, DEL, C1, and the characters that reorder or hide text on a terminal (CWE-150).
_CONTROLS = (
    (0x00, 0x1F), (0x7F, 0x9F), (0x61C, 0x61C), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x2069), (0xFEFF, 0xFEFF),
    (0xD800, 0xDFFF),
)  # fmt: skip
_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_DURATION = r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 3650 * 86400.0


class _Visible(dict[int, str]):
    """What str.translate asks for each character; it fills itself as it is asked."""

    def __missing__(self, code: int) -> str:
        shown = chr(code)
        if any(first <= code <= last for first, last in _CONTROLS):
            known = {9: "\\t", 10: "\\n", 13: "\\r"}.get(code)
            shown = known or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
        self[code] = shown
        return shown


_visible: dict[str, _Visible] = {}  # by the characters that stay as they are


def escape(text: object, keep: str = "") -> str:
    """The text with every control character made visible; characters in `keep` stay as they are."""
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    if keep not in _visible:
        _visible[keep] = _Visible({ord(character): character for character in keep})
    return text.translate(_visible[keep])


def duration(value: object) -> float:
    """Seconds of '500ms', '30s', '10m', '2h', '1d', '1h30m' or '1.5s'; a bare number is seconds.

    Raises ColonyError (USAGE) for anything else, for zero and below, and for more than ten years.
    """
    import re

    seconds = 0.0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str):
        text = value.strip()
        parts = re.findall(_DURATION, text)
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
    safe = isinstance(name, str) and 0 < len(name) <= 128 and _NAME.issuperset(name) and name[0] not in "._-"
    if not isinstance(name, str) or not safe or ".." in name:
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


def plural(count: int, noun: str, many: str | None = None) -> str:
    """'1 step', '2 steps', '1,200 rows'; '3 batches' with `many`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
