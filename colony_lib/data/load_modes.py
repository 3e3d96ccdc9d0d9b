"""How a dataset's rows get into their table, by the mode that pipeline.yml gives it, and what that came to."""

from __future__ import annotations

from collections.abc import Callable

from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import plural
from colony_lib.data.load_gate import Item
from colony_lib.data.warehouses import Staged, Warehouse
from colony_lib.data.warehouses.sqltext import quote, same_key

CHANGES = ("inserted", "updated", "deleted")
# What a table that keeps its history has besides the rows' own columns: from which date a version holds, to which
# (that day not included; NULL: still), and whether it is the one that holds now.
VERSIONS = {"valid_from": "DATE", "valid_to": "DATE", "is_current": "BOOLEAN"}


class Applied:
    """What was done: `counts` {inserted, updated, deleted, unchanged} of the rows given, and `versions`: rows that were
    added beside those that they replace."""

    __slots__ = ("backup", "counts", "notes", "versions")

    def __init__(self) -> None:
        self.counts = dict.fromkeys((*CHANGES, "unchanged"), 0)
        self.versions = 0
        self.notes: list[str] = []
        self.backup: str | None = None

    @property
    def more(self) -> int:
        """By how many rows the table should have grown."""
        return self.counts["inserted"] + self.versions - self.counts["deleted"]


def own_columns(item: Item) -> dict[str, str]:
    """{name: type} of the columns that the mode itself gives the table."""
    return dict(VERSIONS) if item.mode == "scd2" else {}


def apply(
    warehouse: Warehouse,
    item: Item,
    staged: Staged,
    date: str,
    *,
    before: int,
    where: str,
    keep: Callable[[], str | None],
) -> Applied:
    """Bring the staged rows into the table, which is there and had `before` rows. `keep` backs the table up, where it
    is about to lose rows. ColonyError (FAILED) for what must not be loaded so."""
    found = Applied()
    if item.key and staged.rows and item.mode != "replace":
        warehouse.index(item.table, staged, item.key)
    if item.mode == "append" and staged.rows:
        warehouse.append(item.table, staged)
        found.counts["inserted"] = staged.rows
    elif item.mode == "replace":
        _replace(warehouse, item, staged, found, before, keep)
    elif item.mode == "scd2" and staged.rows:
        _version(warehouse, item, staged, found, date, where)
    elif item.mode == "upsert" and staged.rows:
        _upsert(warehouse, item, staged, found, where)
    elif item.mode == "upsert-delete":
        if before and not staged.rows:
            raise ColonyError(
                f"the file has no row, and the mode 'upsert-delete' would empty table '{item.table}' of {before:,}",
                where=where,
                fix="is the day whole? use the mode 'replace' where no rows are as good as some",
                code=FAILED,
            )
        if staged.rows:
            _upsert_delete(warehouse, item, staged, found, before, where, keep)
    return found


def _upsert(warehouse: Warehouse, item: Item, staged: Staged, found: Applied, where: str) -> None:
    inserted, changed = warehouse.upsert(item.table, staged, item.key)
    counts = found.counts
    counts["inserted"], counts["updated"], counts["unchanged"] = inserted, changed, staged.rows - inserted - changed
    matching = warehouse.matching(item.table, staged, item.key)
    if matching > staged.rows:
        raise _not_unique(item, matching, staged.rows, where)
    counts["unchanged"] -= staged.rows - matching  # what is not in the table now did not stay the same in it


def _not_unique(item: Item, matching: int, keys: int, where: str) -> ColonyError:
    return ColonyError(
        f"table '{item.table}' has {plural(matching, 'row')} for {plural(keys, 'key')}: "
        f"its key ({', '.join(item.key)}) is not unique in it",
        where=where,
        fix="remove the repeated rows from the table; nothing was loaded",
        code=FAILED,
    )


def _upsert_delete(
    warehouse: Warehouse,
    item: Item,
    staged: Staged,
    found: Applied,
    before: int,
    where: str,
    keep: Callable[[], str | None],
) -> None:
    """And take out the rows whose key the file has not."""
    warehouse.settle(staged)
    gone = before - warehouse.matching(item.table, staged, item.key)
    if gone:
        found.backup = keep()
        if found.backup:
            found.notes.append(f"kept the {plural(before, 'row')} of '{item.table}' as they were in {found.backup}")
    _upsert(warehouse, item, staged, found, where)
    found.counts["deleted"] = warehouse.change(
        f"DELETE FROM {quote(item.table)} AS t WHERE NOT EXISTS "
        f"(SELECT 1 FROM {quote(staged.table)} AS s WHERE {same_key(item.key)})"
    )


def _replace(
    warehouse: Warehouse, item: Item, staged: Staged, found: Applied, before: int, keep: Callable[[], str | None]
) -> None:
    counts = found.counts
    counts["unchanged"] = warehouse.common(item.table, staged) if staged.rows else 0
    counts["inserted"] = staged.rows - counts["unchanged"]
    counts["deleted"] = before - counts["unchanged"]
    if not counts["inserted"] and not counts["deleted"]:
        return
    if before:
        found.backup = keep()
        if found.backup:
            found.notes.append(
                f"kept the {plural(before, 'row')} of '{item.table}' before the replace in {found.backup}"
            )
    warehouse.clear(item.table)
    if staged.rows:
        warehouse.append(item.table, staged)


def _version(warehouse: Warehouse, item: Item, staged: Staged, found: Applied, date: str, where: str) -> None:
    """A slowly changing dimension of type 2: a row that differs from the version that holds ends that one and begins
    another; a second load of the same date corrects the version that the first began."""
    warehouse.settle(staged)
    table, rows, day = quote(item.table), quote(staged.table), warehouse.day(date)
    later = warehouse.one(f"SELECT count(*) FROM {table} WHERE valid_from > {day} OR valid_to > {day}")
    if later:
        raise ColonyError(
            f"table '{item.table}' has {plural(later, 'version')} of later dates than {date}",
            where=where,
            fix="a history is loaded in the order of its dates: drop the table and load them all, or leave it as it is",
            code=FAILED,
        )
    values = warehouse.values(item.table, staged)
    rest = [column for column in staged.columns if column not in item.key]
    differs = " OR ".join(f"t.{quote(column)} {warehouse.unequal} {values[column]}" for column in rest) or "FALSE"
    changes = "".join(f", {quote(column)} = {values[column]}" for column in rest)
    current = f"{same_key(item.key)} AND t.is_current AND ({differs})"
    corrected = warehouse.change(
        f"UPDATE {table} AS t SET is_current = TRUE{changes} FROM {rows} AS s WHERE {current} AND t.valid_from = {day}"
    )
    ended = warehouse.change(
        f"UPDATE {table} AS t SET valid_to = {day}, is_current = FALSE FROM {rows} AS s "
        f"WHERE {current} AND t.valid_from < {day}"
    )
    names = ", ".join(map(quote, staged.columns))
    begun = warehouse.change(
        f"INSERT INTO {table} ({names}, valid_from, valid_to, is_current) "
        f"SELECT {', '.join(values.values())}, {day}, NULL, TRUE FROM {rows} AS s "
        f"WHERE NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {same_key(item.key)} AND t.is_current)"
    )
    among = f"EXISTS (SELECT 1 FROM {rows} AS s WHERE {same_key(item.key)})"
    holding = warehouse.one(f"SELECT count(*) FROM {table} AS t WHERE t.is_current AND {among}")
    if holding > staged.rows:
        raise _not_unique(item, holding, staged.rows, where)
    found.versions = ended
    found.counts["inserted"] = begun - ended
    found.counts["updated"] = corrected + ended
    found.counts["unchanged"] = staged.rows - found.counts["inserted"] - found.counts["updated"]
