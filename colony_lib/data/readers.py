"""The readers of CSV, JSON and NDJSON: bytes to records, each bad record kept apart with its line and reason."""

from __future__ import annotations

import csv
import io
import os
import re

from colony_lib.base import files, jsontext
from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO, Any, Protocol

    Row = dict[str, Any]

    class Problems(Protocol):
        """Where readers put what they cannot read: a list, or something that raises."""

        def append(self, problem: Problem, /) -> None: ...


Problem = tuple[int, str, "Any"]  # line (CSV, NDJSON) or place in the list from 1 on, the reason, what stood there
FORMATS = ("csv", "json", "ndjson", "parquet")
_CELL_LIMIT = 1 << 20  # characters; one stray quote must not swallow the rest of a file into a cell
_DELIMITERS = ((b";", ";"), (b"\t", "\\t"), (b"|", "|"))  # each as it is, and as pipeline.yml has it
NOT_ENCODED = "bytes that are not in the file's encoding"
_UNDECODED = re.compile("[\udc80-\udcff]")
_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson"}
_PARQUET = b"PAR1"  # what such a file begins and ends with


class Refusing(list[Problem]):
    """A list of problems that takes none: the first is raised, for those who want all records or an error."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def append(self, problem: Problem, /) -> None:
        line, reason, _ = problem
        raise ColonyError(f"unreadable record: {reason}", where=f"{self.name}:{line}", code=FAILED)


def suffix(path: str) -> str:
    """'.csv' of 'a.csv' and of 'a.csv.gz', in lower case."""
    return os.path.splitext(path.lower().removesuffix(".gz"))[1]


def unzip(data: bytes, name: str, limit: int = files.LIMIT) -> bytes:
    """The bytes, unpacked when they are gzip; never more than `limit` of them (a small file can hold a flood)."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    import gzip
    import zlib

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            plain = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ColonyError(f"not whole gzip: {escape(error)}", where=name, code=FAILED) from None
    if len(plain) > limit:
        raise ColonyError(f"unpacks to more than {limit:,} bytes", where=name, code=FAILED)
    return plain


def unzip_file(file: IO[bytes], name: str, limit: int) -> IO[bytes]:
    """As `unzip`, of a file and without holding it."""
    import tempfile

    file.seek(0)
    if file.read(2) != b"\x1f\x8b":
        return file
    import gzip
    import zlib

    file.seek(0)
    plain: IO[bytes] = tempfile.SpooledTemporaryFile(8 << 20)  # noqa: SIM115 - handed on
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as packed:
            while block := packed.read(1 << 18):
                plain.write(block)
                if plain.tell() > limit:
                    raise ColonyError(f"unpacks to more than {limit:,} bytes", where=name, code=FAILED)
    except (OSError, EOFError, zlib.error) as error:
        raise ColonyError(f"not whole gzip: {escape(error)}", where=name, code=FAILED) from None
    return plain


def detect(data: bytes, path: str = "-") -> str:
    """'csv', 'json', 'ndjson' or 'parquet': by the name's suffix, else by what it begins with."""
    if data.startswith(_PARQUET) and data.endswith(_PARQUET):
        return "parquet"
    known = _SUFFIXES.get(suffix(path))
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if known == "csv" or (known is None and start and start[:1] not in b"[{"):
        return "csv"
    if known == "ndjson" or start[:1] != b"{":
        return known or "json"
    # One object after another is NDJSON whatever its suffix; one object alone is a document.
    first, _, rest = data.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    if not rest.strip():
        return known or "ndjson" if b'"data"' not in first else "json"
    try:
        jsontext.loads(first)
    except ColonyError:
        return "json"
    return "ndjson"


def objects(values: Iterable[Any], problems: Problems) -> Iterator[Row]:
    """Those values that are JSON objects; the others are problems, by their place in the list."""
    for place, value in enumerate(values, 1):
        if isinstance(value, dict):
            yield value
        else:
            problems.append((place, f"the record is {_kind(value)}, not an object", value))


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a truth value", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "an object")


def ndjson(data: bytes, name: str, problems: Problems) -> Iterator[Row]:
    """The object on each line; empty lines count and are passed over."""
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        yield from ndjson_line(line, number, problems)


def ndjson_line(line: bytes, number: int, problems: Problems) -> Iterator[Row]:
    """The object on one line, none on an empty one."""
    if not line.strip():
        return
    try:
        value = jsontext.loads(line)
    except ColonyError as error:
        problems.append((number, error.what, shown(line)))
        return
    if isinstance(value, dict):
        yield value
    else:
        problems.append((number, f"the record is {_kind(value)}, not an object", value))


def shown(data: bytes | str, limit: int = 2000) -> str:
    """The start of something unreadable as text that can be kept: bytes that are none are written \\xNN."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    text = data[:limit].decode("utf-8", "backslashreplace")
    return text if len(data) <= limit else f"{text}… ({len(data):,} bytes)"


class Csv:
    """The rows of a CSV text with a header line, as texts: `columns` at once, the rows by iterating.

    Quoted newlines, a byte order mark, CRLF and empty lines are understood. A row with too few or too many cells,
    broken quotes, a NUL or bytes that are not in the encoding is a problem with the number of its first line.
    ColonyError (FAILED) when the header names a column twice or the encoding cannot be the right one.
    """

    def __init__(
        self,
        data: bytes,
        name: str,
        problems: Problems,
        *,
        encoding: str = "utf-8",
        delimiter: str = ",",
        max_field: int = _CELL_LIMIT,
    ) -> None:
        self.name = name
        self.problems = problems
        csv.field_size_limit(max_field)
        self._reader = csv.reader(
            io.StringIO(_decode(data, name, encoding), newline=""), delimiter=delimiter, strict=True
        )
        self.columns = self._header()

    def _header(self) -> list[str]:
        try:
            found = next(iter(self._reader), [])
        except csv.Error as error:
            raise ColonyError(
                f"the header line is not CSV: {escape(error)}", where=f"{self.name}:1", code=FAILED
            ) from None
        if any(map(_unreadable, found)):
            raise ColonyError(
                f"the header line is unreadable: {_unreadable(''.join(found))}", where=f"{self.name}:1", code=FAILED
            )
        columns = [cell.strip() or f"column_{place}" for place, cell in enumerate(found, 1)]
        twice = next((column for column in columns if columns.count(column) > 1), None)
        if twice is not None:
            raise ColonyError(
                f"the header names the column '{escape(twice)}' twice",
                where=f"{self.name}:1",
                fix="name each column once",
                code=FAILED,
            )
        return columns

    def __iter__(self) -> Iterator[Row]:
        width = len(self.columns)
        while True:
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                self.problems.append((line, f"not CSV: {error}", None))
                continue
            if len(cells) == width and not any(map(_unreadable, cells)):
                yield dict(zip(self.columns, cells, strict=True))
            elif cells:
                reason = _unreadable("".join(cells)) or f"{len(cells)} cells where the header has {width}"
                self.problems.append((line, reason, [shown(cell) for cell in cells]))


def check_csv(data: bytes, delimiter: str | None) -> None:
    """ColonyError (FAILED) for what would be read as CSV of one column and is not meant so: a page, or a file with
    another delimiter than the comma, where none (None) is named."""
    head = data[:10_000].removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ColonyError("this is a web page or XML, not CSV", fix="see what its sender has sent", code=FAILED)
    header = head.split(b"\n", 1)[0]
    if delimiter is None and b"," not in header and b'"' not in header:
        other = next((shown for sign, shown in _DELIMITERS if sign in header), None)
        if other is not None:
            what = f"the header line has no ',' and '{other}' in it"
            raise ColonyError(what, fix=f"give the source 'delimiter: \"{other}\"'", code=FAILED)


def _unreadable(cell: str) -> str | None:
    if "\0" in cell:
        return "a NUL byte"
    if not cell.isascii() and _UNDECODED.search(cell):
        return NOT_ENCODED
    return None


def _decode(data: bytes, name: str, encoding: str) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") and encoding.lower().replace("-", "").replace("_", "") in (
        "utf8",
        "utf8sig",
    ):
        raise ColonyError(
            "the file is UTF-16, not UTF-8", where=name, fix="give the source 'encoding: utf-16'", code=FAILED
        )
    try:
        # Bytes that are not in the encoding travel as lone surrogates, so that only their own row is refused.
        return data.decode(encoding, "surrogateescape").removeprefix("\ufeff")
    except LookupError:
        raise ColonyError(f"unknown encoding '{escape(encoding)}'", where=name, code=USAGE) from None
    except UnicodeError as error:
        raise ColonyError(f"the file is not {encoding} text: {escape(error)[:120]}", where=name, code=FAILED) from None


def records_in(value: Any, path: str | None) -> list[Any]:
    """The list of records in a reply: at the dotted path, else the reply itself, else its only list.

    ColonyError (FAILED) saying what there was instead.
    """
    if path:
        value = at(value, path)
        if not isinstance(value, list):
            raise ColonyError(f"'{path}' is {_kind(value)}, not the list of records", code=FAILED)
        return value
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        lists = [key for key, item in value.items() if isinstance(item, list)]
        if len(lists) == 1:
            found: list[Any] = value[lists[0]]
            return found
        said = "no list" if not lists else f"{len(lists)} lists ({', '.join(map(escape, lists[:6]))})"
        raise ColonyError(
            f"there is {said} in the reply", fix="name the one with the records by 'records:'", code=FAILED
        )
    raise ColonyError(f"the reply is {_kind(value)}, not records", code=FAILED)


def at(value: Any, path: str) -> Any:
    """What a dotted path ('meta.total', 'pages.0') leads to; ColonyError (FAILED) naming the keys there were."""
    for key in path.split("."):
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            there = (
                f"the keys are {', '.join(map(escape, list(value)[:8]))}" if isinstance(value, dict) and value else None
            )
            raise ColonyError(f"there is no '{escape(path)}' in the reply", fix=there, code=FAILED)
    return value
