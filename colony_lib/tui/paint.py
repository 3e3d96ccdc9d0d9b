"""How a line of the screen is made: pieces of (text, role) become cells; here all text is made harmless.

Text comes from logs, tasks, agents: nothing in it is markup, and control characters are shown, not sent (CWE-150).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from colony_lib.base.text import cut, escape, width

Piece = tuple[str, str]  # text, and the name of its role
Line = list[Piece]

# role → colour (dark, light), and what a terminal without colours gets instead.
_ROLES: dict[str, tuple[str, str, str]] = {
    "text": ("#c8ccd4", "#2b2f38", ""),
    "bold": ("#eceff4", "#11141a", "bold"),
    "dim": ("#7d8590", "#6b7280", ""),
    "faint": ("#4a515c", "#b4bac4", ""),
    "ok": ("#7fb685", "#2e7d46", ""),
    "run": ("#6cb0e8", "#1b6cb5", "bold"),
    "warn": ("#e0b050", "#9a6700", "bold"),
    "bad": ("#ee6d6d", "#c22f2f", "bold"),
    "accent": ("#a99bea", "#6546c3", "bold"),
    "key": ("#a99bea", "#6546c3", "bold"),
    "tab": ("#11141a on #a99bea", "#ffffff on #6546c3", "reverse"),
    "badline": ("#ffd9d9 on #5a2328", "#8b1a1a on #ffe3e3", "bold"),
    "waitline": ("#fbe6b8 on #4a3a16", "#6b4a00 on #fff1cc", "bold"),
    "chosen": ("on #2b3140", "on #e3e6f3", "reverse"),
    "unfocused": ("on #20242c", "on #eef0f5", ""),
    "marked": ("#11141a on #8fa3bf", "#ffffff on #4b5f80", "reverse"),
}
PALETTES = ("dark", "light", "plain")
# What a status looks like: its mark (and in ASCII), and the role of its colour.
_STATES: dict[str, tuple[str, str, str]] = {
    "completed": ("✓", "+", "ok"),
    "cached": ("✓", "+", "ok"),
    "failed": ("✗", "x", "bad"),
    "running": ("●", "*", "run"),
    "working": ("●", "*", "run"),
    "in_progress": ("●", "*", "run"),
    "retrying": ("↻", "!", "warn"),
    "waiting": ("?", "?", "warn"),
    "interrupted": ("!", "!", "warn"),
    "busy": ("!", "!", "warn"),
    "limited": ("!", "!", "warn"),
    "ready": ("○", "o", "accent"),
    "idle": ("○", "o", "ok"),
    "blocked": ("⊘", "#", "dim"),
    "pending": ("·", ".", "dim"),
    "skipped": ("–", "-", "dim"),
    "cancelled": ("–", "-", "dim"),
    "stopped": ("·", ".", "dim"),
}
LEVELS = {"error": "bad", "warn": "warn", "info": "text", "debug": "dim"}
_TO_ASCII = str.maketrans({
    "│": "|", "─": "-", "┄": "-", "┆": ":", "╭": ".", "╮": ".", "╰": "'", "╯": "'", "├": "|", "┤": "|", "┬": "-",
    "┴": "-", "┼": "+", "●": "*", "◂": "<", "▸": ">", "█": "#", "▓": "#", "▒": "=", "░": "-", "·": ".", "…": "~",
    "↑": "^", "↓": "v", "→": ">", "←": "<", "⊘": "#", "○": "o", "✓": "+", "✗": "x", "–": "-", "↻": "!", "×": "x",
    "└": "`", "━": "=", "╌": "-", "╎": ":",
})  # fmt: skip


# Asks that a sign be drawn as an emoji, which terminals do in one column or in two: nothing behind it would be in line.
_AS_EMOJI = "\ufe0f"


class Painter:
    """Makes strips in one palette, 'dark', 'light' or 'plain' (bold and reverse only), and perhaps in ASCII."""

    __slots__ = ("_styles", "ascii_only", "palette")

    def __init__(self, palette: str = "dark", *, ascii_only: bool = False) -> None:
        self.palette = palette
        self.ascii_only = ascii_only
        place = PALETTES.index(palette)
        self._styles = {role: Style.parse(forms[place] or "none") for role, forms in _ROLES.items()}

    def style(self, role: str) -> Style:
        return self._styles[role]

    def strip(self, line: Line, columns: int, under: str = "", base: Style | None = None) -> Strip:
        """The line in so many columns, on the background of the role `under` (which leaves text its colour)."""
        ground = base or Style()
        if under:
            ground = ground + self._styles[under]
        segments = []
        for text, role in line:
            text = escape(text).replace(_AS_EMOJI, "")
            if self.ascii_only:
                text = text.translate(_TO_ASCII)
            segments.append(Segment(text, ground + self._styles[role] if role else ground))
        if self.palette == "plain" and under == "chosen":
            segments = [Segment(text, (style or Style()) + Style(reverse=True)) for text, style, _ in segments]
        return Strip(segments).adjust_cell_length(columns, ground)


@lru_cache(4096)
def cell(text: str, columns: int, right: bool = False) -> str:
    """The text, harmless, cut or padded to exactly so many columns."""
    shown = cut(escape(text), columns) if columns > 0 else ""
    pad = " " * (columns - width(shown))
    return pad + shown if right else shown + pad


def mark(status: str) -> Piece:
    """A status' mark in its colour; Painter turns it into ASCII where that is wanted."""
    form, _, role = _STATES.get(status, ("●", "*", "text"))
    return form, role


def role_of(status: str) -> str:
    return _STATES.get(status, ("", "", "text"))[2]


def columns_of(line: Line) -> int:
    return sum(width(escape(text)) for text, _ in line)


def wrapped(line: Line, columns: int, hang: int = 0) -> list[Line]:
    """The line in rows of at most so many columns, broken at blanks where there are some in the row's second half. All
    rows but the first begin with `hang` blanks."""
    rows: list[Line] = []
    rest = [(character, role) for text, role in line for character in escape(text)]
    while rest:
        used = place = 0
        room = max(columns - (hang if rows else 0), 2)
        while place < len(rest) and used + width(rest[place][0]) <= room:
            used += width(rest[place][0])
            place += 1
        if place < len(rest):
            blanks = [at for at in range(place // 2, place + 1) if rest[at][0] == " "]
            place = blanks[-1] if blanks else place
        row: Line = [("".join(c for c, _ in some), role) for role, some in groupby(rest[:place], lambda one: one[1])]
        rows.append([(" " * hang, ""), *row] if rows and hang else row)
        rest = rest[place + 1 :] if place < len(rest) and rest[place][0] == " " else rest[place:]
    return rows or [[]]


def plain(line: Line) -> str:
    """The line's text alone, harmless, as it is copied."""
    return "".join(escape(text) for text, _ in line).rstrip()
