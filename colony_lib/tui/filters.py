"""What is typed behind `/`: words and `field:pattern` terms, each perhaps inverted by `!`; what they let through."""

from __future__ import annotations

from fnmatch import fnmatchcase

from colony_lib.store.logread import LEVELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS = ("level", "agent", "step", "run", "status", "attempt")


class Filter:
    """All terms must hold. A word is looked for in the text; small letters find capitals too, a capital finds itself.
    `agent:data-*` compares a field, with `*` and `?`; `level:warn` means at least that severe."""

    __slots__ = ("fields", "level", "source", "words")

    def __init__(self, source: str = "") -> None:
        self.source = " ".join(source.split())
        self.level = "debug"
        self.fields: list[tuple[str, str, bool]] = []  # name, pattern, whether it must hold
        self.words: list[tuple[str, bool]] = []
        for term in self.source.split():
            wanted = not (term.startswith("!") and len(term) > 1)
            text = term if wanted else term[1:]
            name, colon, pattern = text.partition(":")
            if name == "level" and wanted and pattern.lower() in LEVELS:
                self.level = pattern.lower()
            elif colon and pattern and name in FIELDS:
                self.fields.append((name, pattern, wanted))
            else:
                self.words.append((text, wanted))

    def __bool__(self) -> bool:
        return bool(self.source)

    def exact(self, name: str) -> str | None:
        """The one value that a field must have; None where more are let through."""
        for field, pattern, wanted in self.fields:
            if field == name and wanted and not set(pattern) & set("*?["):
                return pattern
        return None

    def lets(self, fields: Mapping[str, object], text: str) -> bool:
        """Whether something with these fields and this text is shown; `level` is judged where there is one."""
        level = fields.get("level")
        if self.level != "debug" and level in LEVELS and LEVELS.index(str(level)) < LEVELS.index(self.level):
            return False
        return self.keeps(fields) and self.finds(text)

    def keeps(self, fields: Mapping[str, object]) -> bool:
        """Whether the terms on fields hold; a field that is not there is empty."""
        return all(
            fnmatchcase(str(fields.get(name) if fields.get(name) is not None else ""), _open_ended(name, pattern))
            is wanted
            for name, pattern, wanted in self.fields
        )

    def finds(self, text: str) -> bool:
        """Whether the words are (or, inverted, are not) in the text."""
        if not self.words:
            return True
        lower = text.lower()
        return all(((word in lower) if word.islower() else (word in text)) is wanted for word, wanted in self.words)

    def probe(self) -> tuple[bytes, bool] | None:
        """(bytes, whether in any case) that every line let through holds, the longest; None where nothing is sure."""
        sure = [word for word, wanted in self.words if wanted and word.isascii() and not set(word) & set('"\\/')]
        if not sure:
            return None
        word = max(sure, key=len)
        return word.encode(), word.islower()


def _open_ended(name: str, pattern: str) -> str:
    """A run is named by the start of its id."""
    return pattern + "*" if name == "run" and not pattern.endswith("*") else pattern
