"""Secrets out of text: every form in which a value may show is replaced by `[NAME]`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST = 6  # characters; a shorter value would blot out ordinary text


class Redactor:
    """Replaces the values of {name: value}, and each of their lines, in plain, JSON, URL, shell, repr and
    base64 form (base64 at each of the three places where a value may stand in a longer encoded text)."""

    __slots__ = ("_names", "_pattern", "longest")

    def __init__(self, secrets: dict[str, str]) -> None:
        self._names: dict[str, str] = {}
        for name, value in sorted(secrets.items()):
            for form in _forms(value):
                self._names.setdefault(form, f"[{name}]")
        self.longest = max(map(len, self._names), default=0)
        self._pattern = None
        if self._names:
            import re

            ordered = sorted(self._names, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, ordered)))

    def __bool__(self) -> bool:
        return self._pattern is not None

    def text(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._names[match.group()], text)

    def data(self, data: bytes) -> bytes:
        """The same for bytes, whatever their encoding."""
        if self._pattern is None:
            return data
        return self.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _forms(value: str) -> Iterator[str]:
    for plain in {value, *value.split("\n"), *(line.strip() for line in value.split("\n"))}:
        if len(plain) >= SHORTEST:
            for form in _encoded(plain):
                yield form
                yield from _as_json(form)


def _as_json(text: str) -> Iterator[str]:
    """The text as it stands in JSON, once and twice over, in ASCII and not: what programs print of anything."""
    import json

    for ascii_only in (False, True):
        inner = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield inner
        yield inner.replace("/", "\\/")
        yield json.dumps(inner, ensure_ascii=ascii_only)[1:-1]


def _encoded(plain: str) -> Iterator[str]:
    from urllib.parse import quote, quote_plus

    yield plain
    yield repr(plain)[1:-1]
    data = plain.encode("utf-8", "surrogateescape")
    for url in (quote(data), quote(data, safe=""), quote_plus(data)):
        yield url
        yield _lower_percent(url)
    # As a shell may be given it: in single quotes (two customs), with backslashes, in double quotes.
    yield plain.replace("'", "'\\''")
    yield plain.replace("'", "'\"'\"'")
    yield "".join(c if c.isalnum() or c in "@%+=:,./-_" else "\\" + c for c in plain)
    yield "".join("\\" + c if c in '\\"$`' else c for c in plain)
    yield from _base64(data)
    yield data.hex()
    yield data.hex().upper()


def _lower_percent(url: str) -> str:
    import re

    return re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), url)


def _base64(data: bytes) -> Iterator[str]:
    from base64 import b64encode

    for shift in range(3):
        text = b64encode(b"\0" * shift + data).decode().rstrip("=")
        # The first characters mix with what stands before, the last one with what follows.
        start = (shift * 8 + 5) // 6
        text = text[start : len(text) - (1 if (shift + len(data)) % 3 else 0)]
        if len(text) >= SHORTEST:
            yield text
            yield text.replace("+", "-").replace("/", "_")
