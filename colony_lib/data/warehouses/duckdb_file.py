"""The files of DuckDB: where one lies, how it is opened, and what is said when it cannot be."""

from __future__ import annotations

import os
import re
import time
from typing import Any

from colony_lib.base.errors import BUSY, FAILED, USAGE, ColonyError
from colony_lib.base.text import escape

MEMORY = "1.25GiB"  # what it has of it; what is more lies in files beside the warehouse, or in $TMPDIR
# Nothing is fetched from the network, whatever a query names.
CONFIG: dict[str, Any] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": MEMORY,
}
_HELD = re.compile(r"Conflicting lock is held in (.+?) \(PID (\d+)\)")


def place(rest: str, root: str) -> str:
    """The file's real path, from what follows `duckdb:` in the URL or from a plain path."""
    path = rest
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host or not slash:
            raise ColonyError(
                "a DuckDB warehouse is a file here, not on a host",
                fix="write duckdb:///folder/data.duckdb, or duckdb:////folder/… for an absolute path",
                code=USAGE,
            )
    if not path.strip("/") or path.startswith(":") or "?" in path or "\x00" in path:
        raise ColonyError(
            f"'{escape(path)}' is not a path for a DuckDB file", fix="write duckdb:///folder/data.duckdb", code=USAGE
        )
    found = os.path.realpath(os.path.join(root, path))
    if "?" in found:  # DuckDB would take the rest for a URL's query, and put its log in another folder
        raise ColonyError(f"a DuckDB file cannot lie in a folder with '?' in its name: '{escape(found)}'", code=USAGE)
    return found


def opened(duckdb: Any, path: str, shown: str, read_only: bool, timeout: float) -> Any:
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection = duckdb.connect(path, read_only=read_only, config=CONFIG)
            break
        except duckdb.Error as error:
            if "Could not set lock" not in str(error):
                raise _cannot_open(shown, error) from None
            if time.monotonic() > deadline:
                raise _held(shown, str(error)) from None
            time.sleep(0.1)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def package(where: str | None) -> Any:
    try:
        import duckdb
    except ModuleNotFoundError:
        raise ColonyError(
            "the Python package 'duckdb' is not installed", where=where, fix="pip install 'colony[duckdb]'", code=USAGE
        ) from None
    return duckdb


def _held(shown: str, text: str) -> ColonyError:
    found = _HELD.search(text)
    by = f"{os.path.basename(found.group(1))} (process {found.group(2)})" if found else "another program"
    return ColonyError(
        f"the warehouse '{escape(shown)}' is open in {escape(by)}", fix="close it there, then try again", code=BUSY
    )


def _cannot_open(shown: str, error: Exception) -> ColonyError:
    return ColonyError(
        f"cannot open the warehouse '{escape(shown)}': {first_line(error)}",
        fix="is it a DuckDB file, written by this version or an older one?",
        code=FAILED,
    )


def first_line(error: Exception) -> str:
    return escape(str(error).strip().partition("\n")[0])
