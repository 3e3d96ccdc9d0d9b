"""$VAR in settings, and files of NAME=value lines: where a value that no file holds comes from."""

from __future__ import annotations

import re

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_DOLLAR = re.compile(r"\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})?")
_ENTRY = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_BARE = re.compile(r"[^\n]*?(?=[ \t]+#|[ \t]*(?:\n|\Z))")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_REST = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_IGNORED = re.compile(r"[ \t]*(?:#[^\n]*)?\n|[ \t]*(?:#[^\n]*)?\Z")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$", "`": "`"}


def names(text: str) -> list[str]:
    """The variables that a text takes, each once, in order."""
    found = [match.group(1) or match.group(2) for match in _DOLLAR.finditer(text)]
    return list(dict.fromkeys(name for name in found if name))


def fault(text: str) -> str | None:
    """What is wrong with the text's dollars, or None: each begins $VAR, ${VAR} or $$."""
    for match in _DOLLAR.finditer(text):
        if match.group() == "$":
            rest = text[match.start() : match.start() + 12]
            return f"'{escape(rest)}' is neither $NAME nor ${{NAME}}"
    return None


def expand(
    text: str, variables: Mapping[str, str], *, who: str, where: str | None = None, fix: str | None = None
) -> str:
    """The text with $VAR and ${VAR} taken from `variables`, and $$ as $; what is taken is not expanded again.

    ColonyError (USAGE) that names `who` needs it ("agent 'loader'") and the variable that is not set.
    """
    wrong = fault(text)
    if wrong:
        raise ColonyError(f"{who}: {wrong}", where=where, fix="write $$ for a dollar sign", code=USAGE)

    def value(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(2)
        if not name:
            return "$"
        if name not in variables:
            raise ColonyError(
                f"the environment variable {name} is not set, which {who} needs",
                where=where,
                fix=fix or f"export {name}=…",
                code=USAGE,
            )
        return variables[name]

    return _DOLLAR.sub(value, text)


def parse_file(text: str, file: str) -> dict[str, str]:
    """{name: value} of NAME=value lines, the last of a name's lines counting.

    Understood: `export`, comments, 'as it stands', "with \\n \\t \\" \\\\ \\$", quoted values over several lines; no
    variable is expanded. ColonyError (USAGE) with file and line, and never with a value, for any other line.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    found: dict[str, str] = {}
    place = 0
    while place < len(text):
        ignored = _IGNORED.match(text, place)
        if ignored:
            place = ignored.end()
            if ignored.end() == ignored.start():
                break
            continue
        where = f"{file}:{text.count(chr(10), 0, place) + 1}"
        entry = _ENTRY.match(text, place)
        if entry is None:
            raise ColonyError(
                "not a NAME=value line", where=where, fix="write NAME=value, or # before a comment", code=USAGE
            )
        value, place = _value(text, entry.end(), where)
        if "\0" in value:
            raise ColonyError(
                f"the value of {entry.group(1)} holds a NUL character", where=where, fix="remove it", code=USAGE
            )
        found[entry.group(1)] = value
    return found


def _value(text: str, place: int, where: str) -> tuple[str, int]:
    """The value that begins at `place`, and where the next line begins."""
    quote = text[place : place + 1]
    if quote in ("'", '"') and quote:
        match = (_SINGLE if quote == "'" else _DOUBLE).match(text, place)
        if match is None:
            raise ColonyError("a quotation mark is never closed", where=where, fix="close it", code=USAGE)
        value = match.group(1)
        if quote == '"':
            value = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), m.group()), value, flags=re.DOTALL)
        rest = _REST.match(text, match.end())
        if rest is None:
            raise ColonyError(
                "something follows the closing quotation mark",
                where=where,
                fix="put the whole value in quotes",
                code=USAGE,
            )
        return value, rest.end()
    match = _BARE.match(text, place)
    assert match is not None  # it matches the empty text
    rest = _REST.match(text, match.end())
    assert rest is not None  # _BARE stops where _REST begins
    return match.group(), rest.end()
