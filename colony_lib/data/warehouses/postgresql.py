"""PostgreSQL warehouses: rows by COPY, a session's advisory lock against others who load, one transaction a load."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, ClassVar

from colony_lib.base.errors import BUSY, FAILED, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.data.warehouses import Staged, postgresql_names, postgresql_rows
from colony_lib.data.warehouses.remote import Remote
from colony_lib.data.warehouses.sqltext import literal, quote

_LOCK = 0x636F_6C6F_6E79  # 'colony': the advisory lock of those who load into the database
_LOCKED = ("55P03", "40P01")  # lock_not_available, deadlock_detected
_LOST = ("08", "57P")  # of SQLSTATEs: the connection's, and the server's end
_CHANGED_VIEW = "42P16"  # CREATE OR REPLACE VIEW with other columns


def _parts(rest: str) -> dict[str, Any]:
    """What the URL says, as libpq names it. ColonyError (USAGE) that shows nothing of it."""
    psycopg = _package(None)
    try:
        found: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(f"postgresql:{rest}")
    except psycopg.Error:
        raise ColonyError(
            "the warehouse's URL is no PostgreSQL URL",
            fix="write it like postgresql://user:password@host:5432/database",
            code=USAGE,
        ) from None
    return found


def place(rest: str, root: str) -> str:
    """Host, port and database: what makes two URLs name the same warehouse."""
    parts = _parts(rest)
    return "\n".join(str(parts.get(key) or "") for key in ("host", "hostaddr", "port", "dbname"))


def exists(rest: str, root: str) -> bool:
    """A server is not asked before it is needed."""
    return True


def connect(rest: str, *, root: str, where: str | None, read_only: bool, timeout: float) -> PostgreSQL:
    """See warehouses.connect."""
    psycopg = _package(where)
    parts = _parts(rest)
    host, port = parts.get("host") or "localhost", parts.get("port") or 5432
    shown = f"postgresql://{host}:{port}/{parts.get('dbname') or parts.get('user') or ''}"
    settings = {"connect_timeout": max(int(timeout), 5), "application_name": "colony load", **parts}
    try:
        connection = psycopg.connect(autocommit=True, **settings)
    except psycopg.Error as error:
        raise ColonyError(
            f"cannot connect to the warehouse {escape(shown)}: {_first_line(error)}", where=where, code=FAILED
        ) from None
    found = PostgreSQL(connection, shown, where)
    try:
        found.take(timeout, read_only)
    except BaseException:
        found.close()
        raise
    return found


def _package(where: str | None) -> Any:
    try:
        import psycopg
        import psycopg.conninfo
    except ImportError:
        raise ColonyError(
            "the Python package 'psycopg' is not installed",
            where=where,
            fix="pip install 'colony[postgres]'",
            code=USAGE,
        ) from None
    return psycopg


def _first_line(error: Exception) -> str:
    return escape(str(error).strip().partition("\n")[0])


class PostgreSQL(Remote):
    """One session with a server. See warehouses.Warehouse for the methods."""

    type_names: ClassVar[dict[str, str]] = {
        "VARCHAR": "text", "BIGINT": "bigint", "DOUBLE": "double precision", "BOOLEAN": "boolean", "DATE": "date",
        "TIME": "time without time zone", "TIMESTAMP": "timestamp without time zone", "JSON": "jsonb",
    }  # fmt: skip

    def __init__(self, connection: Any, shown: str, where: str | None) -> None:
        super().__init__()
        self.connection = connection
        self.shown = shown
        self.where = where
        self._matching: dict[tuple[str, str], int] = {}  # of an upsert that has just been done
        self._held: dict[str, tuple[int, int]] = {}  # the tables' rows when we took them, and `_more` then

    def take(self, timeout: float, read_only: bool) -> None:
        """Set the session up, and keep others from loading into the database as long as it lasts: those on other
        machines too, whom Colony's own lock does not reach. ColonyError (BUSY) when somebody does for longer."""
        self.run("SET TIME ZONE 'UTC'")
        self.run("SET DateStyle TO 'ISO'")
        self.run(f"SET lock_timeout = {max(int(timeout * 1000), 1000)}")
        deadline = time.monotonic() + timeout
        while not read_only and not self.one("SELECT pg_try_advisory_lock(?)", [_LOCK]):
            if time.monotonic() > deadline:
                raise ColonyError(
                    f"the warehouse {escape(self.shown)} is being loaded by {self._holder()}",
                    fix="try again, or wait longer with --lock-timeout",
                    code=BUSY,
                )
            time.sleep(0.1)

    def _holder(self) -> str:
        found = self.rows(
            "SELECT a.pid, coalesce(host(a.client_addr), 'this host'), a.application_name FROM pg_locks AS l "
            "JOIN pg_stat_activity AS a USING (pid) WHERE l.locktype = 'advisory' AND l.granted "
            "AND (l.classid::bigint << 32) + l.objid::bigint = ?",
            [_LOCK],
        )
        if not found:
            return "somebody else"
        pid, address, name = found[0]
        return f"'{escape(name)}' at {escape(address)} (backend {pid})"

    # --- SQL

    def run(self, sql: str, values: list[Any] | None = None, *, doing: str = "the warehouse refused") -> int:
        return int(self._do(sql, values, doing).rowcount)

    def rows(self, sql: str, values: list[Any] | None = None, *, doing: str = "the warehouse refused") -> list[Any]:
        cursor = self._do(sql, values, doing)
        return [] if cursor.description is None else list(cursor.fetchall())

    def _do(self, sql: str, values: list[Any] | None, doing: str) -> Any:
        """By the extended protocol, which takes one statement: no COMMIT hides in a view."""
        given = sql.replace("%", "%%").replace("?", "%s") if values is not None else sql
        return self.did(lambda: self.connection.execute(given, values, prepare=True), doing)

    def did(self, work: Any, doing: str) -> Any:
        psycopg = _package(self.where)
        try:
            return work()
        except psycopg.Error as error:
            raise self._refusal(error, doing) from None

    def _refusal(self, error: Any, doing: str) -> ColonyError:
        state = error.sqlstate or ""
        said = escape(error.diag.message_primary or "") or _first_line(error)
        if state in _LOCKED:
            return ColonyError(f"{doing}: somebody else holds it locked ({said})", fix="try again later", code=BUSY)
        if self.connection.broken or state.startswith(_LOST):
            return ColonyError(
                f"{doing}: the connection to {escape(self.shown)} is lost: {said}",
                fix="try again: what was committed is known by its receipt, and not loaded twice",
                code=FAILED,
            )
        return ColonyError(f"{doing}: {said}", code=FAILED)

    # --- the transaction

    def begin(self) -> None:
        from colony_lib.data.warehouses import receipts

        self.run("BEGIN")
        receipts.make(self)

    def commit(self) -> None:
        self.run("COMMIT", doing="nobody knows whether the load was committed")

    def rollback(self) -> None:
        self._known = None
        if not self.connection.broken and not self.connection.closed:
            self.run("ROLLBACK")

    def close(self) -> None:
        super().close()
        self.connection.close()

    # --- rows

    def _hand_over(self, staged: Staged) -> None:
        kinds = ", ".join(f"{quote(name)} {self.type_name(kind)}" for name, kind in staged.columns.items())
        self.run(f"DROP TABLE IF EXISTS pg_temp.{quote(staged.table)}")
        self.run(f"CREATE TEMP TABLE {quote(staged.table)} ({kinds})")
        self._copy(staged.table, staged.columns, staged)
        self.run(f"ANALYZE {quote(staged.table)}")

    def _copy(self, table: str, kinds: dict[str, str], staged: Staged) -> None:
        copied = postgresql_rows.copy_in(self, quote(table), kinds, quote(staged.table), staged.rows, staged.where)
        if copied != staged.rows:
            raise ColonyError(
                f"{copied:,} of {staged.rows:,} rows reached the warehouse", where=staged.where, code=FAILED
            )

    def append(self, table: str, staged: Staged) -> None:
        if self.is_settled(staged) or not postgresql_rows.takes(self, table, staged):
            super().append(table, staged)
        else:
            self._copy(table, postgresql_rows.column_kinds(self, table, staged), staged)

    def upsert(self, table: str, staged: Staged, key: list[str]) -> tuple[int, int]:
        done = None if self.is_settled(staged) else postgresql_rows.upsert(self, table, staged, key)
        if done is None:
            return super().upsert(table, staged, key)
        inserted, changed, self._matching[table, staged.table] = done
        return inserted, changed

    def matching(self, table: str, staged: Staged, key: list[str]) -> int:
        known = self._matching.pop((table, staged.table), None)
        return super().matching(table, staged, key) if known is None else known

    def hold(self, table: str) -> int:
        """Reading it goes on."""
        self.run(f"LOCK TABLE {quote(table)} IN SHARE ROW EXCLUSIVE MODE", doing=f"cannot load into '{table}'")
        self._held[table] = self.count(table), self._more(table)
        return self.rows_held(table)

    def rows_held(self, table: str) -> int:
        """How many rows the table had when we took it."""
        return self._held[table][0]

    def count_again(self, table: str, expected: int) -> int:
        """A count is a look at every row, which for a table of years takes longer than a day's load."""
        before, moved = self._held[table]
        if before + self._more(table) - moved == expected:
            return expected
        return self.count(table)

    def _more(self, table: str) -> int:
        """By how many rows more we have inserted than deleted, since some time before this transaction: as the server
        counts them row by row, whoever asked for it (a trigger, too). 0 where it keeps no statistics, and for a table
        whose rows are in its partitions."""
        return int(
            self.one(
                "SELECT pg_stat_get_xact_tuples_inserted(r) - pg_stat_get_xact_tuples_deleted(r) "
                "FROM CAST(CAST(? AS regclass) AS oid) AS r",
                [quote(table)],
            )
        )

    def backup(self, table: str, path: str) -> int:
        """By CSV into the staging DuckDB, whose types they get; what it has no type for is kept as text."""
        kinds = self._kinds(table)
        keep = partial(self.staging.keep_csv, kinds=kinds, path=path)
        return postgresql_rows.copy_out(self, table, map(quote, kinds), keep, f"cannot back '{table}' up")

    # --- tables

    def schema(self) -> str | None:
        found: str | None = self.one("SELECT current_schema()")
        if found is None:
            path = escape(str(self.one("SHOW search_path")))
            fix = "make one of them, or name another in the URL: ?options=-csearch_path%3DNAME"
            raise ColonyError(f"there is no schema of the search path {path}", where=self.where, fix=fix, code=FAILED)
        return found

    def _called(self, name: str) -> str:
        return name

    def fit(self, table: str, staged: Staged, own: dict[str, str], *, frozen: bool = False) -> list[str]:
        there = self.columns(table)
        if there is None:
            postgresql_names.check_table(table, self._catalog())
        postgresql_names.check_columns(table, staged.columns, there or {}, staged.where)
        return super().fit(table, staged, own, frozen=frozen)

    def _read_catalog(self) -> list[tuple[str, bool, str, str]]:
        return self.rows(
            "SELECT c.relname, c.relkind IN ('r', 'p', 'f'), a.attname, format_type(a.atttypid, a.atttypmod) "
            "FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid "
            "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'f', 'v', 'm') "
            "AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum"
        )

    def _retype(self, table: str, column: str, kind: str) -> None:
        self.define(f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(column)} TYPE {kind} USING NULL")

    def _widen(self, table: str, column: str) -> None:
        self.define(f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(column)} TYPE double precision")

    def _replace_view(self, name: str, sql: str) -> None:
        """In place where its columns stay, so that what reads it stays as well."""
        psycopg = _package(self.where)
        self._known = None
        self.run("SAVEPOINT colony_view")
        try:
            self.connection.execute(f"CREATE OR REPLACE VIEW {quote(name)} AS {sql}", prepare=True)
        except psycopg.Error as error:
            if error.sqlstate != _CHANGED_VIEW:
                raise self._refusal(error, f"view '{name}'") from None
            self.run("ROLLBACK TO SAVEPOINT colony_view")
            super()._replace_view(name, sql)
        self.run("RELEASE SAVEPOINT colony_view")

    def refresh(self, tables: list[str]) -> list[str]:
        """Through views too: what a materialised view reads is in pg_rewrite's dependencies."""
        among = ", ".join(literal(table.lower()) for table in tables)
        found = self.rows(
            "WITH RECURSIVE reads AS (SELECT DISTINCT r.ev_class AS reader, d.refobjid AS read FROM pg_rewrite AS r "
            "JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid "
            "AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class), "
            "all_of AS (SELECT c.oid, 0 AS depth FROM pg_class AS c "
            f"WHERE c.relnamespace = current_schema()::regnamespace AND lower(c.relname) IN ({among or 'NULL'}) "
            "UNION SELECT reads.reader, all_of.depth + 1 FROM all_of JOIN reads ON reads.read = all_of.oid "
            "WHERE all_of.depth < 20) "
            "SELECT n.nspname, c.relname, max(a.depth) FROM all_of AS a JOIN pg_class AS c ON c.oid = a.oid "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind = 'm' GROUP BY 1, 2 ORDER BY 3, 2"
        )
        for schema, name, _ in found:
            self.run(
                f"REFRESH MATERIALIZED VIEW {quote(schema)}.{quote(name)}", doing=f"materialised view '{escape(name)}'"
            )
        return [f"refreshed materialised view '{escape(name)}'" for _, name, _ in found]
