"""Parquet files: bytes to records, read by DuckDB."""

from __future__ import annotations

import tempfile

from colony_lib.base import jsontext
from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_ROWS = 10_000


def rows(data: bytes, shown: str) -> Iterator[dict[str, Any]]:
    """The records of a Parquet file, its times in ISO 8601. ColonyError (FAILED) when it is none, or not whole."""
    try:
        import duckdb
    except ModuleNotFoundError:
        fix = "pip install 'colony[duckdb]'"
        raise ColonyError("Parquet is read by the Python package 'duckdb'", where=shown, fix=fix, code=USAGE) from None
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
        source = f"read_parquet('/dev/fd/{file.fileno()}')"
        try:
            connection.execute("SET TimeZone = 'UTC'")
            kinds = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
            wanted = ", ".join(f"{_iso(_quoted(name), kind)} AS {_quoted(name)}" for name, kind, *_ in kinds)
            found = connection.execute(f"SELECT to_json(r) FROM (SELECT {wanted} FROM {source}) AS r")
            while lines := found.fetchmany(_ROWS):
                for (line,) in lines:
                    yield jsontext.loads(line)
        except duckdb.Error as error:
            what = escape(str(error).partition("\n")[0])
            raise ColonyError(f"the file is not whole Parquet: {what}", where=shown, code=FAILED) from None
        finally:
            connection.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _iso(column: str, kind: str) -> str:
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"strftime({column} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')"
    if kind.startswith("TIMESTAMP"):
        return f"strftime({column}, '%Y-%m-%dT%H:%M:%S.%f')"
    return column
