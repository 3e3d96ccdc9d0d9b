"""The graph of lineage: from which datasets, by which jobs, a dataset came, as the events of one date tell it."""

from __future__ import annotations

from colony_lib.store.lineage import run_facet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Event = dict[str, Any]
    Name = tuple[str, str]  # (namespace, name) of a dataset


class Writing:
    """A job that wrote a dataset: when, of what, how many rows, and the columns it made of which others."""

    __slots__ = ("columns", "inputs", "job", "number", "rows", "time", "tool")

    def __init__(self, event: Event, number: int, output: dict[str, Any], inputs: list[Name]) -> None:
        self.number = number  # of the event, in their order
        self.time = str(event.get("eventTime"))
        self.job = str(event["job"].get("name"))
        self.tool = str(run_facet(event, "colony_provenance").get("tool") or self.job)
        self.inputs = inputs
        statistics = (output.get("outputFacets") or {}).get("outputStatistics") or {}
        self.rows: int | None = statistics.get("rowCount")
        self.columns: dict[str, Any] = _column_facet(output).get("fields") or {}


class Graph:
    """`writings` {dataset: those who wrote it, in order}, `verdicts` {dataset: PASS, WARN or FAIL}."""

    __slots__ = ("verdicts", "writings")

    def __init__(self, events: Iterable[Event]) -> None:
        self.writings: dict[Name, list[Writing]] = {}
        self.verdicts: dict[Name, str] = {}
        for number, event in enumerate(events):
            self._judged(event)
            if event.get("eventType") == "COMPLETE":
                for output in _datasets(event, "outputs"):
                    writing = Writing(event, number, output, _inputs(event, output))
                    self.writings.setdefault(_name(output), []).append(writing)

    def _judged(self, event: Event) -> None:
        for entry in run_facet(event, "colony_provenance").get("datasets") or []:
            if isinstance(entry, dict) and entry.get("validation") and entry.get("validated_file"):
                self.verdicts["file", str(entry["validated_file"])] = str(entry["validation"])

    def named(self, name: str) -> list[Name]:
        """The datasets of that name that somebody wrote; a PostgreSQL table is DATABASE.SCHEMA.TABLE in events."""
        return [
            key
            for key in self.writings
            if key[1] == name or (key[0].startswith("postgres:") and key[1].rpartition(".")[2] == name)
        ]

    def writing(self, dataset: Name, before: int | None = None) -> Writing | None:
        """Who wrote it last, or last up to that event (which may have written both)."""
        found = [w for w in self.writings.get(dataset, []) if before is None or w.number <= before]
        return found[-1] if found else None

    def walk(self, dataset: Name) -> Iterator[tuple[Name, Writing | None, int]]:
        """(dataset, its writing or None, depth) of the dataset and of all it came from, depth first; what was told
        before is told again without what is above it."""
        return self._walk(dataset, None, 0, set())

    def _walk(
        self, dataset: Name, before: int | None, depth: int, told: set[Name]
    ) -> Iterator[tuple[Name, Writing | None, int]]:
        writing = None if dataset in told else self.writing(dataset, before)
        told.add(dataset)
        yield dataset, writing, depth
        if writing is not None:
            for other in writing.inputs:
                yield from self._walk(other, writing.number, depth + 1, told)

    def columns(self, dataset: Name) -> list[dict[str, Any]]:
        """[{column, from: [{dataset, field}], steps}]: each column with the fields, as far up as the events go, that it
        was made from, and what was done on the way."""
        writing = self.writing(dataset)
        made = []
        for column in writing.columns if writing is not None else ():
            steps: dict[str, None] = {}
            fields = dict.fromkeys(self._origins(dataset, column, None, steps, frozenset()))
            made.append(
                {"column": column, "from": [{"dataset": d, "field": f} for d, f in fields], "steps": list(steps)}
            )
        return made

    def _origins(
        self, dataset: Name, column: str, before: int | None, steps: dict[str, None], below: frozenset[tuple[Name, str]]
    ) -> Iterator[tuple[str, str]]:
        writing = self.writing(dataset, before)
        if writing is None or column not in writing.columns or (dataset, column) in below:
            yield dataset[1], column
            return
        for one in writing.columns[column].get("inputFields") or []:
            origin, field = (str(one.get("namespace")), str(one.get("name"))), str(one.get("field"))
            yield from self._origins(origin, field, writing.number, steps, below | {(dataset, column)})
            for how in one.get("transformations") or []:
                if how.get("description"):
                    steps[str(how["description"])] = None


def _name(dataset: dict[str, Any]) -> Name:
    return str(dataset.get("namespace")), str(dataset.get("name"))


def _datasets(event: Event, side: str) -> list[dict[str, Any]]:
    return [one for one in event.get(side) or [] if isinstance(one, dict)]


def _column_facet(output: dict[str, Any]) -> dict[str, Any]:
    found = (output.get("facets") or {}).get("columnLineage")
    return found if isinstance(found, dict) else {}


def _inputs(event: Event, output: dict[str, Any]) -> list[Name]:
    """What the output came from: by its columns, else by what the tool says of it, else all that the event read."""
    facet = _column_facet(output)
    fields = [one for column in (facet.get("fields") or {}).values() for one in column.get("inputFields") or []]
    told = [_name(one) for one in [*fields, *(facet.get("dataset") or [])]]
    if not told:
        entries = run_facet(event, "colony_provenance").get("datasets") or []
        told = [
            _name(entry["origin"])
            for entry in entries
            if isinstance(entry, dict)
            and isinstance(entry.get("origin"), dict)
            and entry.get("raw_file") == output.get("name")
        ]
    return list(dict.fromkeys(told or [_name(one) for one in _datasets(event, "inputs")]))
