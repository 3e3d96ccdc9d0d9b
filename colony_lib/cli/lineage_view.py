"""What `colony lineage` shows of one dataset: its way in words, the graph of what it came from, its columns."""

from __future__ import annotations

from colony_lib.base.errors import ColonyError
from colony_lib.base.text import escape, plural
from colony_lib.cli import show
from colony_lib.store.lineagegraph import Graph

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from colony_lib.store.lineagegraph import Name, Writing


def words(entry: dict[str, Any]) -> Iterator[str]:
    """The provenance as lines for people: where the rows are, and each step of their way."""
    count = entry.get("record_count", entry.get("rows"))
    rows = plural(count, "row") if isinstance(count, int) else "rows"
    of = f"{rows} of {entry['dataset']} of {entry['date']}"
    place = f"in the table {entry['warehouse_table']} of {entry.get('warehouse') or 'the warehouse'}"
    yield f"{of} {place if entry['warehouse_table'] else '(not loaded yet)'}"
    for label, said in _stages(entry):
        yield f"  {label:11}  {said}"
        if label == "transformed":
            yield from _transformations(entry)


def _stages(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    def into(key: str) -> str:
        return f", into {entry[key]}" if entry.get(key) else ""

    if entry["fetch_time"] or entry["source"]:
        when = f"{entry['fetch_time']}  " if entry["fetch_time"] else ""
        yield "fetched", f"{when}from {entry['source'] or 'a source without a name'}{into('raw_file')}"
    if entry["transformations"] is not None:
        rejected = f", {entry['rejected']:,} rejected" if entry.get("rejected") else ""
        yield "transformed", f"by {plural(len(entry['transformations']), 'transformation')}{rejected}{into('file')}"
    if entry.get("validation"):
        score = entry.get("quality_score")
        quality = f", quality {score:.4f}" if isinstance(score, (int, float)) else ""
        report = f", see {entry['validation_report']}" if entry.get("validation_report") else ""
        yield "validated", f"{entry['validation']}{quality}{report}"
    elif not entry.get("restored_from"):
        yield "validated", "never"
    if entry["load_time"]:
        load_id = f", load {entry['load_id']}" if entry.get("load_id") else ""
        backup = f"from the backup {entry['restored_from']} " if entry.get("restored_from") else ""
        yield "loaded", f"{entry['load_time']}  {backup}into {entry['warehouse_table']}{load_id}"
    if entry.get("run_id"):
        yield "run", str(entry["run_id"])


def _transformations(entry: dict[str, Any]) -> Iterator[str]:
    steps = [step for step in entry["transformations"] if isinstance(step, dict)]
    names = [
        " ".join(str(step[key]) for key in ("type", "name", "column", "dataset") if step.get(key)) for step in steps
    ]
    wide = max(map(len, names), default=0)
    for name, step in zip(names, steps, strict=True):
        more = {k: v for k, v in step.items() if k not in ("type", "name", "column", "dataset", "rows_affected") and v}
        detail = "".join(f"  {key}={len(v) if isinstance(v, dict) else show.cell(v)}" for key, v in more.items())
        yield f"  {'':11}    {name:{wide}}  {plural(step.get('rows_affected') or 0, 'row')}{detail}"


def draw(events: list[dict[str, Any]], entry: dict[str, Any], given: Any) -> None:
    """The graph, or the columns, of the dataset's table; where it was not loaded, of its last file."""
    date = entry["date"]
    graph = Graph(event for event in events if str(_nominal(event)).startswith(date))
    names = [entry.get(key) for key in ("warehouse_table", "file", "raw_file")]
    found = next((key for name in names if name for key in graph.named(name)), None)
    if found is None:
        raise ColonyError(f"the events of {date} do not say what wrote '{escape(given.what)}'")
    if given.columns:
        _columns(graph.columns(found), given.json)
    elif given.dot:
        print_lines(_dot(graph, found))
    elif given.mermaid:
        print_lines(_mermaid(graph, found))
    elif given.json:
        show.record(_object(graph, found))
    else:
        print_lines(_tree(graph, found))


def print_lines(texts: Iterable[str]) -> None:
    """Lines for eyes: what stands in them came from files, so nothing in it may steer the terminal."""
    for text in texts:
        print(escape(text))


def _nominal(event: dict[str, Any]) -> Any:
    from colony_lib.store.lineage import run_facet

    return run_facet(event, "nominalTime").get("nominalStartTime")


def _columns(columns: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        show.records(columns)
        return
    rows = [
        {
            "column": one["column"],
            "from": ", ".join(f"{origin['dataset']}:{origin['field']}" for origin in one["from"]),
            "how": ", ".join(one["steps"]),
        }
        for one in columns
    ]
    show.table(rows, ["column", ("from", "CAME FROM"), ("how", "BY")])


def _label(dataset: Name) -> str:
    namespace, name = dataset
    return (
        name
        if namespace == "file"
        else f"{namespace.rstrip('/')}{name}"
        if "://" in namespace
        else f"{name} ({namespace})"
    )


def _job(writing: Writing) -> str:
    rows = f", {plural(writing.rows, 'row')}" if writing.rows is not None else ""
    return f"{writing.job} {writing.time}{rows}"


def _tree(graph: Graph, dataset: Name) -> Iterator[str]:
    """The dataset and, indented under each job, what it came from."""
    for name, writing, depth in graph.walk(dataset):
        verdict = f"  {graph.verdicts[name]}" if name in graph.verdicts else ""
        yield f"{'    ' * depth}{_label(name)}{verdict}"
        if writing is not None:
            yield f"{'    ' * depth}  < {_job(writing)}"


def _edges(graph: Graph, dataset: Name) -> tuple[list[Name], list[tuple[Name, Writing]]]:
    """(datasets, those of them that were written with their writing)."""
    walked = list(graph.walk(dataset))
    return list(dict.fromkeys(name for name, _, _ in walked)), [(n, w) for n, w, _ in walked if w is not None]


def _dot(graph: Graph, dataset: Name) -> Iterator[str]:
    def quoted(text: str) -> str:
        return '"' + escape(text).replace("\\", "\\\\").replace('"', '\\"') + '"'

    datasets, written = _edges(graph, dataset)
    yield f"digraph {quoted(dataset[1])} {{"
    yield "  rankdir=LR;"
    for name in datasets:
        yield f"  {quoted(_label(name))} [shape=box];"
    for number, (name, writing) in enumerate(written, 1):
        yield f"  job{number} [shape=ellipse, label={quoted(writing.job)}];"
        for other in writing.inputs:
            yield f"  {quoted(_label(other))} -> job{number};"
        yield f"  job{number} -> {quoted(_label(name))};"
    yield "}"


def _mermaid(graph: Graph, dataset: Name) -> Iterator[str]:
    def quoted(text: str) -> str:
        # Mermaid takes a label for HTML, and '#' for the beginning of a character's name.
        return '"' + "".join(f"#{ord(c)};" if c in '#"<>&`' else c for c in escape(text)) + '"'

    datasets, written = _edges(graph, dataset)
    numbers = {name: f"d{number}" for number, name in enumerate(datasets, 1)}
    yield "flowchart LR"
    for name, node in numbers.items():
        yield f"  {node}[{quoted(_label(name))}]"
    for number, (name, writing) in enumerate(written, 1):
        yield f"  j{number}([{quoted(writing.job)}])"
        for other in writing.inputs:
            yield f"  {numbers[other]} --> j{number}"
        yield f"  j{number} --> {numbers[name]}"


def _shape(name: Name) -> dict[str, Any]:
    return {"namespace": name[0], "name": name[1]}


def _object(graph: Graph, dataset: Name) -> dict[str, Any]:
    datasets, written = _edges(graph, dataset)
    return {
        "of": _shape(dataset),
        "datasets": [{**_shape(name), "validation": graph.verdicts.get(name)} for name in datasets],
        "jobs": [
            {
                "job": writing.job,
                "time": writing.time,
                "rows": writing.rows,
                "reads": [_shape(other) for other in writing.inputs],
                "writes": _shape(name),
            }
            for name, writing in written
        ],
    }
