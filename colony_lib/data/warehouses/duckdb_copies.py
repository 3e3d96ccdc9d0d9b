"""Rows of DuckDB as they go elsewhere and come back: CSV through a pipe, Arrow, and backups, which are Parquet."""

from __future__ import annotations

import glob
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from colony_lib.base import files
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape
from colony_lib.data.warehouses import Staged
from colony_lib.data.warehouses.common import Common
from colony_lib.data.warehouses.sqltext import literal, quote


class Copies(Common):
    """The part of an open DuckDB that copies rows, for itself and for warehouses that have theirs read by it."""

    connection: Any

    @abstractmethod
    def _did(self, work: Callable[[], Any], doing: str) -> Any:
        """What `work` gives; any error of DuckDB is a ColonyError (FAILED) of one line."""

    def write_csv(self, select: str, fd: int, *, quoted: bool = False) -> None:
        """Write rows as CSV to a descriptor: NULL as nothing, an empty text as two quotes. `quoted`: every value."""
        self.run(f"COPY {select} TO '/dev/fd/{fd}' (FORMAT csv, HEADER false{', FORCE_QUOTE *' * quoted})")

    def stream(self, select: str) -> Any:
        """The rows of a query as an Arrow stream (the capsule of its C interface)."""
        return self._did(lambda: self.connection.sql(select).__arrow_c_stream__(), "the warehouse refused")

    def chunks(self, select: str, size: int) -> Iterator[list[Any]]:
        """The rows of a query, so many at a time."""
        result = self.run(select)
        while rows := self._did(lambda: result.fetchmany(size), "the warehouse refused"):
            yield rows

    def keep_csv(self, fd: int, kinds: dict[str, str], path: str) -> int:
        """Keep what comes as CSV from a descriptor, as `keep` does."""
        files.make_dirs(os.path.dirname(path))
        return self.keep(f"FROM {self.csv(fd, kinds)}", path)

    @staticmethod
    def csv(fd: int, kinds: dict[str, str]) -> str:
        """SQL of the rows that come as CSV from a descriptor, as `write_csv` writes it."""
        columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in kinds.items())
        return (
            f"read_csv('/dev/fd/{fd}', columns={{{columns}}}, header=false, auto_detect=false, quote='\"', "
            "escape='\"', delim=',', nullstr='', allow_quoted_nulls=false, parallel=false)"
        )

    def keep_rows(self, more: Callable[[], list[Any]], kinds: dict[str, str], path: str) -> int:
        """Keep the rows that `more` gives, until it gives none, as `keep` does."""
        files.make_dirs(os.path.dirname(path))
        columns = ", ".join(f"{quote(name)} {kind}" for name, kind in kinds.items())
        self.run(f"CREATE OR REPLACE TEMP TABLE colony_kept ({columns})")
        insert = f"INSERT INTO colony_kept VALUES ({', '.join('?' * len(kinds))})"
        while rows := more():
            self._did(partial(self.connection.executemany, insert, rows), "the backup failed")
        return self.keep("FROM colony_kept", path)

    def keep(self, select: str, path: str) -> int:
        """Write what a query gives to a Parquet file, whole and durably; its rows."""
        folder, name = os.path.split(path)
        temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
        try:
            rows: int = self.one(f"COPY ({select}) TO {literal(temporary)} (FORMAT parquet, COMPRESSION zstd)")
            descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, path)
            files.sync_folder(folder)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)
        return rows

    def read_backup(self, table: str, path: str, kinds: dict[str, str], where: str) -> Staged:
        """Stage a Parquet file as rows of such columns; those that are newer than it are empty in them."""
        doing, rows = f"cannot read the backup {escape(where)}", f"colony_restored_{table}"
        source = f"read_parquet({literal(glob.escape(path))})"
        there = [row[0] for row in self.rows(f"DESCRIBE SELECT * FROM {source}", doing=doing)]
        lost = next((name for name in there if name not in kinds), None)
        if lost is not None:
            what = f"the backup {escape(where)} has a column '{escape(lost)}' that table '{table}' has not now"
            raise ColonyError(what, fix="add it to the table, or bring the rows back by hand", code=FAILED)
        newer = set(kinds) - set(there)
        wanted = ", ".join(
            f"CAST({'NULL' if name in newer else quote(name)} AS {kind}) AS {quote(name)}"
            for name, kind in kinds.items()
        )
        self.run(f"CREATE OR REPLACE TEMP TABLE {quote(rows)} AS SELECT {wanted} FROM {source}", doing=doing)
        return Staged(rows, dict(kinds), self.count(rows), set(kinds), newer, set(), set(), where)
