"""Strict JSON, both ways: what is read here any JSON reader reads, and what is written is one line."""

from __future__ import annotations

import json

from colony_lib.base.errors import USAGE, ColonyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_INFINITE = (float("inf"), float("-inf"))


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if value in _INFINITE:
        raise ValueError(f"the number {text[:40]} is too large")
    return value


_decoder = json.JSONDecoder(parse_constant=_constant, parse_float=_float)
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
# Line separators that are not '\n' break readers which split on them; escaped they are the same JSON.
_SEPARATORS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def loads(text: str | bytes, *, where: str | None = None) -> Any:
    """The value of a JSON text. Refused with ColonyError (USAGE): what is not JSON (NaN, Infinity, 1e999
    included), text that is not UTF-8, lone surrogates, nesting deeper than the interpreter's stack."""
    try:
        if isinstance(text, (bytes, bytearray)):
            text = text.decode("utf-8")
        value = _decoder.decode(text.removeprefix("\ufeff"))
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate cannot be encoded
        return value
    except json.JSONDecodeError as error:
        if where and error.lineno > 1:
            where = f"{where}:{error.lineno}"
        what = "nothing but white space" if not text.strip() else f"{error.msg} (column {error.colno})"
        raise ColonyError(f"not JSON: {what}", where=where, code=USAGE) from None
    except UnicodeError:
        raise ColonyError("not JSON: not UTF-8 text", where=where, code=USAGE) from None
    except RecursionError:
        raise ColonyError("not JSON: nested too deeply", where=where, code=USAGE) from None
    except ValueError as error:
        raise ColonyError(f"not JSON: {error}", where=where, code=USAGE) from None


def dumps(value: Any) -> str:
    """Compact JSON on one line. ColonyError (USAGE) for NaN, infinities, lone surrogates, foreign types."""
    try:
        text = _encoder.encode(value)
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
    dumps(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
