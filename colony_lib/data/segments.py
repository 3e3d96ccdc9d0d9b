"""Parts of columns in a file without a name, which no crash leaves behind: written down, and read back exactly."""

from __future__ import annotations

import marshal
import os
import tempfile
from collections.abc import Set
from typing import Any

import numpy as np
import pandas as pd

from colony_lib.base.errors import failed
from colony_lib.data import table
from colony_lib.store import env

IN_MEMORY = 1 << 26  # bytes; more goes to the file
TYPED = {"integer": "int64", "number": "float64", "boolean": "bool", "date": "int64", "datetime": "int64"}
_NO_MASK = np.zeros(0, dtype=bool)  # where the values themselves tell their nulls
_EXACT = 2**53  # up to here every integer is a float too


class Segment:
    """Rows of one column: `kind` is one of TYPED (values and a mask of nulls), 'null' (nothing else), 'string' (codes
    and the distinct texts) or 'any' (the values). Of records it says the `types` of the values, and whether there are
    integers among them that no float is (`inexact`)."""

    __slots__ = ("at", "inexact", "kind", "length", "size", "types")

    def __init__(
        self,
        kind: str,
        length: int,
        at: int = 0,
        size: int = 0,
        types: Set[type] = frozenset(),
        inexact: bool = False,
    ) -> None:
        self.kind = kind
        self.length = length
        self.at = at
        self.size = size
        self.types = types
        self.inexact = inexact


class Stored:
    """A column's segments, and the kind that the whole of it has ('any' for all Python objects)."""

    __slots__ = ("kind", "segments")

    def __init__(self, kind: str, segments: list[Segment]) -> None:
        self.kind = kind
        self.segments = segments


class Store:
    """The file of the segments."""

    def __init__(self) -> None:
        # Where there is no TMPDIR, not in /tmp, which may be memory: /var/tmp is for what is large (FHS 5.15).
        large = not env.get("TMPDIR") and os.access("/var/tmp", os.W_OK)
        self._folder = "/var/tmp" if large else tempfile.gettempdir()
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=self._folder)  # noqa: SIM115 - ends with the last table

    def put(
        self,
        kind: str,
        values: Any,
        null: np.ndarray,
        types: Set[type] = frozenset(),
        inexact: bool = False,
    ) -> Segment:
        """Write values (an array; of kind 'any' a list; of 'string' codes and texts) down."""
        if kind == "string":
            codes, texts = values
            data = codes.astype("int32").tobytes() + marshal.dumps(texts)
        elif kind == "any":
            data = marshal.dumps(values)
        else:
            data = values.astype(TYPED[kind], copy=False).tobytes() + np.packbits(null).tobytes()
        try:
            at = self._file.seek(0, 2)
            self._file.write(data)
        except OSError as error:
            raise failed("write temporary data in", self._folder, error) from None
        length = len(values[0]) if kind == "string" else len(values)
        return Segment(kind, length, at, len(data), types, inexact)

    def get(self, segment: Segment) -> tuple[Any, np.ndarray]:
        """(values, mask of the nulls); of kind 'string' the values are (codes, texts)."""
        length = segment.length
        if segment.kind == "null":
            return [None] * length, np.ones(length, dtype=bool)
        self._file.seek(segment.at)
        data = self._file.read(segment.size)
        if segment.kind == "any":
            found = marshal.loads(data)
            return found, np.fromiter((v is None for v in found), dtype=bool, count=length)
        if segment.kind == "string":
            codes = np.frombuffer(data, dtype="int32", count=length)
            return (codes, marshal.loads(memoryview(data)[4 * length :])), codes < 0
        dtype = np.dtype(TYPED[segment.kind])
        end = length * dtype.itemsize
        null = np.unpackbits(np.frombuffer(data, dtype="uint8", offset=end), count=length).astype(bool)
        return np.frombuffer(data, dtype=dtype, count=length), null


def of_values(store: Store, values: list[Any]) -> Segment:
    """The values of a column in some records. Integers among decimals stay what they are: only the whole column says
    whether it is one of numbers."""
    types = set(map(type, values))
    holes = type(None) in types
    types.discard(type(None))
    if types == {str}:
        return of_texts(store, table.objects(values), types)
    if not types:
        return Segment("null", len(values))
    kind = {int: "integer", float: "number", bool: "boolean"}.get(next(iter(types))) if len(types) == 1 else None
    if kind is None:
        inexact = any(type(value) is int and not -_EXACT <= value <= _EXACT for value in values)
        return store.put("any", values, _NO_MASK, types, inexact)
    null, filled = np.zeros(len(values), dtype=bool), values
    if holes:
        null = np.array([value is None for value in values], dtype=bool)
        filled = [0 if value is None else value for value in values]
    try:
        data = np.array(filled, dtype=TYPED[kind])
    except OverflowError:  # an integer that 64 bits do not hold
        return store.put("any", values, _NO_MASK, types, inexact=True)
    inexact = kind == "integer" and bool(data.min() < -_EXACT or data.max() > _EXACT)
    return store.put(kind, data, null, types, inexact)


def of_texts(store: Store, values: np.ndarray, types: Set[type] = frozenset()) -> Segment:
    codes, distinct = pd.factorize(values)
    return store.put("string", (codes, list(distinct)), _NO_MASK, types)


def of_objects(store: Store, values: np.ndarray) -> Segment:
    """Of an array of Python objects."""
    found = pd.api.types.infer_dtype(values, skipna=True)
    if found == "empty":
        return Segment("null", len(values))
    return of_texts(store, values) if found == "string" else store.put("any", list(values), _NO_MASK)


def whole_kind(segments: list[Segment]) -> str:
    """The kind of a column of those segments, by the rule of table.infer."""
    kinds = {segment.kind for segment in segments} - {"null"}
    types = set().union(*(segment.types for segment in segments))
    if types == {int, float} and not any(segment.inexact for segment in segments):
        return "number"
    return "null" if not kinds else kinds.pop() if len(kinds) == 1 else "any"
