"""Fields of a source that are new, missing or of another type than at earlier fetches: noticed, said, and dealt with by
the source's `schema_policy`: evolve (take them), freeze (refuse the fetch) or discard (leave out what is not known)."""

from __future__ import annotations

from colony_lib.base.errors import ColonyError
from colony_lib.base.text import escape
from colony_lib.data import remembered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.data.pipeline import Pipeline

_DOCUMENT = "fetched_fields"  # {source: {field: [kind]}}
_KINDS: dict[type, str | None] = {
    bool: "true or false", int: "number", float: "number", str: "text", list: "list", dict: "object", type(None): None,
}  # fmt: skip
_SHOWN = 8
_SHAPES = 1000  # remembered


class Shape:
    """The fields of the records of one fetch, with the kinds of their values."""

    def __init__(self) -> None:
        self._pairs: set[tuple[str, type]] = set()
        self._seen: set[tuple[Any, ...]] = set()  # names and then types of whole records: mostly there are few

    def add(self, row: dict[str, Any]) -> None:
        whole = (*row, *map(type, row.values()))
        if whole in self._seen:
            return
        self._pairs.update(zip(row, map(type, row.values()), strict=True))
        if len(self._seen) < _SHAPES:
            self._seen.add(whole)

    def fields(self) -> dict[str, set[str]]:
        """{field: kinds}; none for one that had no value."""
        found: dict[str, set[str]] = {}
        for name, kind in self._pairs:
            known = _KINDS.get(kind, "text")
            found.setdefault(name, set()).update([known] if known else [])
        return found


class Drift:
    """What has changed since the fetches before: `new` and `missing` fields, and `retyped` {field: (before, now)}."""

    def __init__(self, pipeline: Pipeline, source: str, shape: Shape) -> None:
        self._pipeline = pipeline
        self._source = source
        self._now = shape.fields()
        try:
            known = remembered.of(pipeline, _DOCUMENT, source)
        except ColonyError:
            known = {}  # damaged: what there is now is written anew
        self._known = {name: set(kinds) for name, kinds in known.items() if isinstance(kinds, list)}
        there = self._known if self._now else {}
        self.new = sorted(self._now.keys() - there.keys()) if there else []
        self.missing = sorted(there.keys() - self._now.keys())
        self.retyped = {
            name: (kinds, self._now[name])
            for name, kinds in sorted(there.items())
            if kinds and self._now.get(name, set()) - kinds
        }

    def __bool__(self) -> bool:
        return bool(self.new or self.missing or self.retyped)

    def said(self) -> str:
        """In words: "new: 'a'; missing: 'b'; 'c' was number, is text"."""
        parts = [f"{what}: {_listed(names)}" for what, names in (("new", self.new), ("missing", self.missing)) if names]
        for name, (before, now) in list(self.retyped.items())[:_SHOWN]:
            parts.append(f"'{escape(name)}' was {' or '.join(sorted(before))}, is {' or '.join(sorted(now))}")
        return "; ".join(parts)

    def reduce(self, row: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        """(the record without the fields that are new, what else is wrong with it or None)."""
        kept = {name: value for name, value in row.items() if name in self._known}
        for name in self.retyped:
            kind = _KINDS.get(type(kept.get(name)), "text")
            if kind and kind not in self._known[name]:
                return kept, f"the field '{escape(name)}' is {kind}, and was {' or '.join(sorted(self._known[name]))}"
        return kept, None

    def remember(self) -> None:
        """From here on what there was now is known as well."""
        entry = {name: sorted(kinds | self._known.get(name, set())) for name, kinds in self._now.items()}
        if any(self._known.get(name) != set(kinds) for name, kinds in entry.items()):
            remembered.update(self._pipeline, _DOCUMENT, self._source, entry)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"'{escape(name)}'" for name in names[:_SHOWN]) + more
