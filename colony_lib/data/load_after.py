"""What a load does after its rows and before its commit: views made or refreshed, post-load checks that must hold."""

from __future__ import annotations

from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import cut, escape
from colony_lib.data import load_gate
from colony_lib.data.pipeline import Pipeline
from colony_lib.data.warehouses import Warehouse


class Plan:
    """Views and checks with the tables they read. `made`, `passed` say afterwards what was done."""

    def __init__(self) -> None:
        self.views: dict[str, tuple[str, list[str], str]] = {}  # name: (sql, what it reads, where it is written)
        self.checks: list[tuple[str, str, list[str], str]] = []  # (name, sql, what it reads, where)
        self.tables: dict[str, str] = {}  # that the pipeline loads, by their names in lower case
        self.made: list[str] = []
        self.passed: list[str] = []

    def changed(self, warehouse: Warehouse) -> bool:
        """Whether a view that could be made is not there as pipeline.yml says it."""
        there = warehouse.views()
        waiting = self._waiting(warehouse)
        return any(there.get(name) != sql for name, (sql, _, _) in self.views.items() if name not in waiting)

    def carry_out(self, warehouse: Warehouse) -> list[str]:
        """Make the views and run the checks, inside the load's transaction; returns notes.

        What reads a table of the pipeline that was never loaded yet waits for it, and the notes say so.
        ColonyError (FAILED) that names the check which is false.
        """
        notes = []
        waiting = self._waiting(warehouse)
        for name in self._order():
            sql, _, where = self.views[name]
            if name in waiting:
                notes.append(f"view '{name}' waits for table '{waiting[name]}', which was never loaded")
                continue
            try:
                warehouse.make_view(name, sql)
            except ColonyError as error:
                raise ColonyError(
                    error.what, where=where, fix=error.fix or "nothing was loaded", code=error.code
                ) from None
            self.made.append(name)
        notes += warehouse.refresh(sorted(self.tables))
        for name, sql, reads, where in self.checks:
            missing = next((read for read in reads if read in waiting or self._is_missing(warehouse, read)), None)
            if missing is not None:
                notes.append(f"post-load check '{name}' was not made: '{missing}' was never loaded")
                continue
            self._check(warehouse, name, sql, where)
            self.passed.append(name)
        return notes

    @staticmethod
    def _check(warehouse: Warehouse, name: str, sql: str, where: str) -> None:
        try:
            holds = warehouse.holds(sql)
        except ColonyError as error:
            raise ColonyError(
                f"post-load check '{name}': {error.what}", where=where, fix=error.fix, code=error.code
            ) from None
        if not holds:
            raise ColonyError(
                f"post-load check '{name}' is false; everything was rolled back",
                where=where,
                fix=f"correct the data, or what the check asks: {escape(cut(' '.join(sql.split()), 200))}",
                code=FAILED,
            )

    def _is_missing(self, warehouse: Warehouse, table: str) -> bool:
        return table in self.tables and warehouse.columns(self.tables[table]) is None

    def _waiting(self, warehouse: Warehouse) -> dict[str, str]:
        """{view: the table it waits for}, through other views too."""
        waiting: dict[str, str] = {}
        for name in self._order():
            for read in self.views[name][1]:
                table = waiting.get(read, read if self._is_missing(warehouse, read) else None)
                if table is not None:
                    waiting.setdefault(name.lower(), table)
                    waiting.setdefault(name, table)
        return waiting

    def _order(self) -> list[str]:
        """The views, each after those it reads."""
        known = {name.lower(): name for name in self.views}
        ordered: list[str] = []
        on_the_way: list[str] = []

        def visit(name: str) -> None:
            if name in ordered:
                return
            if name in on_the_way:
                raise ColonyError(
                    "views read each other in a circle: " + " → ".join([*on_the_way[on_the_way.index(name) :], name]),
                    where=self.views[name][2],
                    code=USAGE,
                )
            on_the_way.append(name)
            for read in self.views[name][1]:
                if read in known:
                    visit(known[read])
            on_the_way.pop()
            ordered.append(name)

        for name in self.views:
            visit(name)
        return ordered


def plan(pipeline: Pipeline, warehouse: Warehouse) -> Plan:
    """The pipeline's views and checks, each found to be one SELECT statement; ColonyError (USAGE) with its place.

    Before the transaction begins: a COMMIT hidden in a view must not end it.
    """
    made = Plan()
    loaded = [str(pipeline.dataset(name)["load"]["table"]) for name in load_gate.loadable(pipeline)]
    made.tables = {table.lower(): table for table in loaded}
    for name, sql in (pipeline.document.get("views") or {}).items():
        where = pipeline.where("views", name)
        made.views[name] = (sql, _reads(warehouse, sql, f"view '{name}'", where), where)
    for index, check in enumerate(pipeline.document.get("post_load") or []):
        where = pipeline.where("post_load", index)
        reads = _reads(warehouse, check["sql"], f"post-load check '{check['name']}'", where)
        made.checks.append((check["name"], check["sql"], reads, where))
    made._order()
    return made


def _reads(warehouse: Warehouse, sql: str, what: str, where: str) -> list[str]:
    try:
        return warehouse.names_in(sql)
    except ColonyError as error:
        raise ColonyError(
            f"{what} is {error.what}", where=where, fix="write one SELECT statement", code=USAGE
        ) from None
