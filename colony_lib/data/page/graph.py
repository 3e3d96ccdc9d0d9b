"""The run's graph: its steps in layers, each right of what it depends on, as an SVG."""

from __future__ import annotations

from typing import Any

from colony_lib.base.text import cut, plural
from colony_lib.data.page.html import Markup, element
from colony_lib.data.page.marks import MARKS, kind_of

Record = dict[str, Any]
MOST = 60  # steps; of more the layers are shown, with how many of what they hold
_WIDE, _HIGH, _GAP, _ROW = 168, 40, 46, 56


def layers(steps: list[Record]) -> list[list[Record]]:
    """The steps by how many stand before them at the most; within a layer near to what they depend on."""
    depth: dict[str, int] = {}
    for step in steps:  # a plan's steps stand after what they depend on
        depth[step["name"]] = 1 + max((depth.get(name, -1) for name in step["depends_on"]), default=-1)
    found: list[list[Record]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    place: dict[str, float] = {}
    for level, layer in enumerate(found):
        layer += [step for step in steps if depth[step["name"]] == level]
        middle = {
            step["name"]: sum(place[name] for name in step["depends_on"] if name in place)
            / max(sum(name in place for name in step["depends_on"]), 1)
            for step in layer
        }
        layer.sort(key=lambda step: middle[step["name"]])
        for row, step in enumerate(layer):
            place[step["name"]] = row - (len(layer) - 1) / 2
    return found


def draw(steps: list[Record]) -> Markup:
    """`steps`: [{name, status, depends_on}] in the plan's order."""
    found = layers(steps)
    if len(steps) > MOST:
        found = [[_folded(level, layer)] for level, layer in enumerate(found)]
    rows = max(map(len, found), default=1)
    width = len(found) * (_WIDE + _GAP) - _GAP + 8
    height = rows * _ROW + 8
    places: dict[str, tuple[float, float]] = {}
    for level, layer in enumerate(found):
        for row, step in enumerate(layer):
            top = height / 2 + (row - (len(layer) - 1) / 2) * _ROW - _HIGH / 2
            places[step["name"]] = (4 + level * (_WIDE + _GAP), top)
    edges = [
        _edge(places[name], places[step["name"]])
        for layer in found
        for step in layer
        for name in step["depends_on"]
        if name in places
    ]
    boxes = [_box(step, *places[step["name"]]) for layer in found for step in layer]
    label = f"the graph of {len(steps)} steps"
    return element(
        "svg",
        *edges,
        *boxes,
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
    )


def _folded(level: int, layer: list[Record]) -> Record:
    """A layer as one box: how many of its steps came to what, the gravest first."""
    counts: dict[str, int] = {}
    for step in layer:
        counts[step["status"]] = counts.get(step["status"], 0) + 1
    order = ["failed", "interrupted", "cancelled", "waiting", "running", "retrying", "pending", "skipped"]
    worst = next((status for status in order if status in counts), "completed")
    said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items(), key=lambda item: item[0] != worst))
    before = [f"layer {level - 1}"] if level else []
    return {
        "name": f"layer {level}",
        "shown": plural(len(layer), "step"),
        "said": said,
        "status": worst,
        "depends_on": before,
    }


def _edge(start: tuple[float, float], end: tuple[float, float]) -> Markup:
    x, y, right, low = start[0] + _WIDE, start[1] + _HIGH / 2, end[0], end[1] + _HIGH / 2
    bend = (right - x) / 2
    path = f"M{x:.1f} {y:.1f}C{x + bend:.1f} {y:.1f} {right - bend:.1f} {low:.1f} {right:.1f} {low:.1f}"
    return element("path", d=path, class_="edge")


def _box(step: Record, left: float, top: float) -> Markup:
    kind = kind_of(step["status"])
    shown = step.get("shown") or step["name"]
    said = step.get("said") or step["status"]
    return element(
        "g",
        element("title", f"{step['name']}: {said}"),
        element("rect", x=f"{left:g}", y=f"{top:g}", width=_WIDE, height=_HIGH, rx=6, class_=f"box {kind}"),
        element("text", cut(shown, 22), x=f"{left + 10:g}", y=f"{top + 17:g}"),
        element("text", f"{MARKS[kind]} {cut(said, 24)}", x=f"{left + 10:g}", y=f"{top + 32:g}", class_="faint"),
    )
