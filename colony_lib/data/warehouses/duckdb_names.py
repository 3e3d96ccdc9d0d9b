"""Which tables and views a query reads, as DuckDB's own parser sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from colony_lib.base import jsontext
from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.data.warehouses.sqltext import bare

if TYPE_CHECKING:
    from colony_lib.data.warehouses.duckdb import DuckDB


def names_in(db: DuckDB, sql: str) -> list[str]:
    """See Warehouse.names_in."""
    tree = jsontext.loads(db.one("SELECT json_serialize_sql(?)", [bare(sql)]))
    statements = tree.get("statements") or []
    if tree.get("error") or len(statements) != 1:
        why = tree.get("error_message") or f"{len(statements)} statements"
        raise ColonyError(f"not one SELECT statement: {escape(why)}", code=USAGE)
    return sorted(_tables(statements[0]) - _ctes(statements[0]))


def _walk(tree: Any) -> Any:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack += node.values()
        elif isinstance(node, list):
            stack += node


def _tables(tree: Any) -> set[str]:
    return {
        str(node["table_name"]).lower()
        for node in _walk(tree)
        if node.get("type") == "BASE_TABLE" and node.get("table_name")
    }


def _ctes(tree: Any) -> set[str]:
    maps = [node["cte_map"]["map"] for node in _walk(tree) if isinstance(node.get("cte_map"), dict)]
    return {str(entry["key"]).lower() for entries in maps for entry in entries}
