"""Strict JSON, both ways: what is read here any JSON reader reads, and what is written is one line.

The json package costs as much to import as Python to start (its regular expressions do), and every command pays.
So the two C functions that it wraps are taken by themselves; the package is asked where they are not to be had,
for the words of an error, and for indented text.
"""

from __future__ import annotations

from colony_lib.base.errors import USAGE, ColonyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Scan = Callable[[str, int], tuple[Any, int]]

_INFINITE = (float("inf"), float("-inf"))
_SPACE = " \t\n\r"
# Line separators that are not '\n' break readers which split on them; escaped they are the same JSON.
_SEPARATORS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if value in _INFINITE:
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _foreign(value: object) -> NoReturn:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


class _Rules:
    """What json.JSONDecoder tells its scanner."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = staticmethod(_float)
    parse_int = int
    parse_constant = staticmethod(_constant)


def _by_package(text: str) -> Any:
    import json

    return json.JSONDecoder(parse_constant=_constant, parse_float=_float).decode(text)


def _coders() -> tuple[Callable[[str], Any], Callable[[Any], str], Scan | None]:
    """(decode, encode, scan): the C ones of CPython, else those of the json package and None."""
    try:
        from _json import encode_basestring, make_encoder, make_scanner

        scan = make_scanner(_Rules())  # type: ignore[arg-type]
        chunks = make_encoder(None, _foreign, encode_basestring, None, ":", ",", False, False, False)
        if (scan('{"a":[1.5]}', 0), "".join(chunks({"é": [1.5]}, 0))) != (({"a": [1.5]}, 11), '{"é":[1.5]}'):
            raise ImportError("another scanner than the one known here")
    except (ImportError, AttributeError, TypeError):
        import json

        return _by_package, json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode, None

    def decode(text: str) -> Any:
        start = 0 if text[:1] not in _SPACE else len(text) - len(text.lstrip(_SPACE))
        try:
            value, end = scan(text, start)
        except (StopIteration, SystemError):
            # SystemError: the scanner looks for json.decoder, to raise its error, only among loaded modules.
            return _by_package(text)
        return value if end == len(text) or not text[end:].strip(_SPACE) else _by_package(text)

    return decode, lambda value: "".join(chunks(value, 0)), scan


_decode, _encode, _scan = _coders()


def loads(text: str | bytes, *, where: str | None = None) -> Any:
    """The value of a JSON text. Refused with ColonyError (USAGE): what is not JSON (NaN, Infinity, 1e999
    included), text that is not UTF-8, lone surrogates, nesting deeper than the interpreter's stack."""
    try:
        if isinstance(text, (bytes, bytearray)):
            text = text.decode("utf-8")
        value = _decode(text.removeprefix("\ufeff"))
        if "\\ud" in text or "\\uD" in text:
            _encode(value).encode("utf-8")  # a lone surrogate cannot be encoded
        return value
    except UnicodeError:
        raise ColonyError("not JSON: not UTF-8 text", where=where, code=USAGE) from None
    except RecursionError:
        raise ColonyError("not JSON: nested too deeply", where=where, code=USAGE) from None
    except ValueError as error:
        if not hasattr(error, "lineno"):
            raise ColonyError(f"not JSON: {error}", where=where, code=USAGE) from None
        if where and error.lineno > 1:
            where = f"{where}:{error.lineno}"
        what = "nothing but white space" if not str(text).strip() else f"{error.msg} (column {error.colno})"  # type: ignore[attr-defined]
        raise ColonyError(f"not JSON: {what}", where=where, code=USAGE) from None


def scan(text: str, start: int) -> tuple[Any, int]:
    """(the value that begins at that place of the text, the place behind it). ValueError or StopIteration when none
    does, or not a whole one; the package json must have been imported. A lone surrogate is not noticed."""
    if _scan is not None:
        return _scan(text, start)
    import json

    return json.JSONDecoder(parse_constant=_constant, parse_float=_float).raw_decode(text, start)


def loads_lines(block: bytes) -> list[Any] | None:
    """The values of a block in which every line is JSON and ends with a newline, at once. None for a block with any
    other line in it (a blank one, damage), which then must be read with care."""
    if _scan is None:
        return None
    try:
        text = block.decode("utf-8")
        if "\\ud" in text or "\\uD" in text:
            return None  # perhaps a lone surrogate
        found = []
        place, end = 0, len(text)
        while place < end:
            value, place = _scan(text, place)
            if text[place] != "\n":
                return None
            found.append(value)
            place += 1
    except (StopIteration, ValueError, IndexError, RecursionError, SystemError):
        return None
    # White space within a value may be a newline: then two lines were read as one value.
    return found if len(found) == text.count("\n") else None


def loads_items(block: bytes) -> list[Any] | None:
    """The items of a JSON list of which whole lines are given, without its brackets, each item on a line of its own and
    with a comma after it, which the last may lack. None for anything else, which then must be read with care. Read at
    once they take half the time and memory that they do line by line: equal keys are one object."""
    if _scan is None:
        return None
    try:
        text = block.decode("utf-8").removesuffix("\n")
        if "\\ud" in text or "\\uD" in text:
            return None  # perhaps a lone surrogate
        lines = text.count("\n") + 1
        text = f"[{text.removesuffix(',')}]"
        found, end = _scan(text, 0)
    except (StopIteration, ValueError, RecursionError, SystemError):
        return None
    return found if end == len(text) and len(found) == lines else None


def dumps(value: Any) -> str:
    """Compact JSON on one line. ColonyError (USAGE) for NaN, infinities, lone surrogates, foreign types."""
    try:
        text = _encode(value)
        if not text.isascii():
            text = text.translate(_SEPARATORS)
            text.encode("utf-8")
        return text
    except RecursionError:
        raise ColonyError("cannot be written as JSON: nested too deeply", code=USAGE) from None
    except UnicodeError:
        raise ColonyError("cannot be written as JSON: a lone surrogate is not text", code=USAGE) from None
    except (TypeError, ValueError) as error:
        raise ColonyError(f"cannot be written as JSON: {error}", code=USAGE) from None


def pretty(value: Any) -> str:
    """Indented JSON for documents that people open, with a last newline; refuses what `dumps` refuses."""
    import json

    dumps(value)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    except RecursionError:  # indenting goes less deep than reading does
        raise ColonyError("cannot be written as JSON: nested too deeply", code=USAGE) from None
