"""Columns of a query of DuckDB's as arrays of numpy, by Arrow's C stream interface: nothing is copied, and no other
package is needed. The structures are those of https://arrow.apache.org/docs/format/CDataInterface.html, which never
change."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_void_p
from typing import Any

import numpy as np

from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_Schema._fields_ = [
    ("format", c_char_p), ("name", c_char_p), ("metadata", c_void_p), ("flags", c_int64), ("n_children", c_int64),
    ("children", POINTER(POINTER(_Schema))), ("dictionary", c_void_p),
    ("release", ctypes.CFUNCTYPE(None, POINTER(_Schema))), ("private_data", c_void_p),
]  # fmt: skip
_Array._fields_ = [
    ("length", c_int64), ("null_count", c_int64), ("offset", c_int64), ("n_buffers", c_int64), ("n_children", c_int64),
    ("buffers", POINTER(c_void_p)), ("children", POINTER(POINTER(_Array))), ("dictionary", c_void_p),
    ("release", ctypes.CFUNCTYPE(None, POINTER(_Array))), ("private_data", c_void_p),
]  # fmt: skip
_Stream._fields_ = [
    ("get_schema", ctypes.CFUNCTYPE(c_int, POINTER(_Stream), POINTER(_Schema))),
    ("get_next", ctypes.CFUNCTYPE(c_int, POINTER(_Stream), POINTER(_Array))),
    ("get_last_error", ctypes.CFUNCTYPE(c_char_p, POINTER(_Stream))),
    ("release", c_void_p), ("private_data", c_void_p),
]  # fmt: skip

# Arrow's formats that are read here: one array of numbers each. (Truth values are bits, texts offsets and bytes.)
_FIXED = {b"l": "<i8", b"g": "<f8", b"tdD": "<i4", b"ttu": "<i8", b"tsu:": "<i8"}
_OFFSETS = {b"u": "<i4", b"U": "<i8"}


class Column:
    """The values of a column in some rows: `values` an array of them (BIGINT, DOUBLE, BOOLEAN as 0 and 1, DATE in
    days and TIME and TIMESTAMP in microseconds since 1970), or of texts (`ends` is not None) their bytes one after the
    other, that of row i from ends[i] to ends[i + 1]. `valid` tells which rows have one; None: all of them.

    They are DuckDB's memory: good until the next rows are asked for.
    """

    __slots__ = ("ends", "valid", "values")

    def __init__(self, values: np.ndarray, valid: np.ndarray | None, ends: np.ndarray | None = None) -> None:
        self.values = values
        self.valid = valid
        self.ends = ends


def batches(capsule: Any, doing: str) -> Iterator[tuple[int, list[Column]]]:
    """(number of rows, their columns) for some rows after the other. ColonyError (FAILED): the query failed, or gives
    a type that is not read here."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = c_void_p, [ctypes.py_object, c_char_p]
    stream = _Stream.from_address(pointer(capsule, b"arrow_array_stream"))  # the capsule releases it when it goes
    formats = _formats(stream, doing)
    while True:
        array = _Array()
        _did(stream, stream.get_next(byref(stream), byref(array)), doing)
        if not array.release:
            return
        try:
            columns = [_column(array.children[place].contents, kind) for place, kind in enumerate(formats)]
            yield array.length, columns
        finally:
            array.release(byref(array))


def _formats(stream: _Stream, doing: str) -> list[bytes]:
    schema = _Schema()
    _did(stream, stream.get_schema(byref(stream), byref(schema)), doing)
    try:
        found = [schema.children[place].contents.format for place in range(schema.n_children)]
    finally:
        schema.release(byref(schema))
    strange = next((kind for kind in found if not (kind in _FIXED or kind in _OFFSETS or kind == b"b")), None)
    if strange is not None:
        raise ColonyError(f"{doing}: no values of Arrow's format '{escape(strange.decode())}' are read", code=FAILED)
    return found


def _did(stream: _Stream, status: int, doing: str) -> None:
    if status:
        said = (stream.get_last_error(byref(stream)) or b"").decode(errors="replace")
        raise ColonyError(f"{doing}: {escape(said.strip().partition(chr(10))[0])}", code=FAILED)


def _column(array: _Array, kind: bytes) -> Column:
    start, end = array.offset, array.offset + array.length
    valid = _bits(array.buffers[0], start, end).view(bool) if array.null_count and array.buffers[0] else None
    if kind == b"b":
        return Column(_bits(array.buffers[1], start, end), valid)
    if kind in _FIXED:
        return Column(_at(array.buffers[1], _FIXED[kind], end)[start:], valid)
    ends = _at(array.buffers[1], _OFFSETS[kind], end + 1)[start:]
    return Column(_at(array.buffers[2], "u1", int(ends[-1])), valid, ends)


def _bits(address: int, start: int, end: int) -> np.ndarray:
    return np.unpackbits(_at(address, "u1", (end + 7) // 8), count=end, bitorder="little")[start:]


def _at(address: int | None, dtype: str, count: int) -> np.ndarray:
    """So many values at an address, as they lie there."""
    if not address or not count:
        return np.empty(0, dtype)
    size = count * np.dtype(dtype).itemsize
    return np.frombuffer(memoryview((ctypes.c_ubyte * size).from_address(address)), dtype)
