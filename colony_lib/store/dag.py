"""The order of steps: circles, what comes before what, the levels of a graph and its drawings."""

from __future__ import annotations

import heapq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Depends = Mapping[str, Sequence[str]]


def order(depends: Depends) -> list[str]:
    """The names so that each comes after what it depends on, otherwise as they stand. Names that are in a
    circle, or come after one, are left out."""
    names = list(depends)
    index = {name: i for i, name in enumerate(names)}
    missing = {name: len(set(depends[name])) for name in names}
    after: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        for other in set(depends[name]):
            after[other].append(name)
    ready = [index[name] for name in names if not missing[name]]
    found = []
    while ready:
        name = names[heapq.heappop(ready)]
        found.append(name)
        for other in after[name]:
            missing[other] -= 1
            if not missing[other]:
                heapq.heappush(ready, index[other])
    return found


def circles(depends: Depends) -> list[list[str]]:
    """Circles of names that wait for each other: enough of them that without one step each there would be none."""
    rest = dict(depends)
    found: list[list[str]] = []
    while True:
        for name in order({name: [other for other in rest[name] if other in rest] for name in rest}):
            del rest[name]
        if not rest:
            return found
        walk = [next(iter(rest))]
        while True:
            following = next(other for other in rest[walk[-1]] if other in rest)
            if following in walk:
                break
            walk.append(following)
        circle = walk[walk.index(following) :]
        first = min(range(len(circle)), key=lambda i: list(depends).index(circle[i]))
        found.append(circle[first:] + circle[:first])
        for name in circle:
            del rest[name]


def ancestors(depends: Depends) -> dict[str, list[str]]:
    """For each name all that come before it, in order. `depends` must have no circle."""
    names = order(depends)
    index = {name: i for i, name in enumerate(names)}
    before: dict[str, int] = {}  # sets of indexes, as bits
    for name in names:
        bits = 0
        for other in depends[name]:
            bits |= before[other] | 1 << index[other]
        before[name] = bits
    return {name: [other for i, other in enumerate(names) if before[name] >> i & 1] for name in names}


def levels(depends: Depends) -> list[list[str]]:
    """The names by the longest way from a start: all of one level may run at the same time."""
    level: dict[str, int] = {}
    for name in order(depends):
        level[name] = max((level[other] + 1 for other in depends[name]), default=0)
    found: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for name, number in level.items():
        found[number].append(name)
    return found


def reduced(depends: Depends) -> dict[str, list[str]]:
    """The dependencies without those that others imply: after a → b → c, c need not say that it follows a."""
    before = ancestors(depends)
    return {
        name: [other for other in depends[name] if not any(other in before[third] for third in depends[name])]
        for name in depends
    }


# How lanes are joined in a row: by whether a line goes up, down, left and right from the place.
_LINES = {
    "": " ",
    "ud": "│",
    "lr": "─",
    "udr": "├",
    "udl": "┤",
    "udlr": "┼",
    "dr": "╭",
    "dl": "╮",
    "ur": "╰",
    "ul": "╯",
    "dlr": "┬",
    "ulr": "┴",
}
_ASCII = str.maketrans("│─├┤┼╭╮╰╯┬┴●◂▸", "|-|||..''.'o<>")


def drawing(plan: Mapping[str, Any], *, ascii_only: bool = False) -> list[tuple[str, str]]:
    """The graph from top to bottom as rows of (lines, step's name or ''): a step's row has its dot, a row
    without a name joins lanes. A lane that leads down from a step leads to steps that depend on it; two dots with
    no line between them have nothing to do with each other."""
    depends = reduced({step["name"]: step["depends_on"] for step in plan["steps"]})
    children: dict[str, list[str]] = {name: [] for name in depends}
    for name, others in depends.items():
        for other in others:
            children[other].append(name)
    lanes: list[str | None] = []  # the step that each lane leads to
    rows = []
    for name in order(depends):
        column = _column(lanes, name)
        rows.append(("".join("● " if i == column else "│ " if lane else "  " for i, lane in enumerate(lanes)), name))
        old = list(lanes)
        targets = _targets(lanes, column, children[name])
        if targets:
            rows.append((_joint(old, lanes, column, targets), ""))
        while lanes and lanes[-1] is None:
            lanes.pop()
    if ascii_only:
        rows = [(lines.translate(_ASCII), name) for lines, name in rows]
    return [(lines.rstrip(), name) for lines, name in rows]


def _column(lanes: list[str | None], name: str) -> int:
    """The lane that leads to the step, or the first free place for a step that nothing leads to."""
    if name in lanes:
        return lanes.index(name)
    return _free(lanes, name)


def _free(lanes: list[str | None], name: str) -> int:
    if None in lanes:
        place = lanes.index(None)
        lanes[place] = name
        return place
    lanes.append(name)
    return len(lanes) - 1


def _targets(lanes: list[str | None], column: int, children: list[str]) -> list[int]:
    """Lead lanes from the step's column to its children; returns the columns that are joined with it."""
    lanes[column] = None
    targets = []
    for child in children:
        if child in lanes:
            targets.append(lanes.index(child))
        elif lanes[column] is None:
            lanes[column] = child
            targets.append(column)
        else:
            targets.append(_free(lanes, child))
    return targets


def _joint(old: list[str | None], new: list[str | None], column: int, targets: list[int]) -> str:
    """The row below a step: lines lead from its column to new lanes, and to lanes that were there before. Where
    there are several targets, an arrow shows that such a lane is joined and not left."""
    left, right = min([column, *targets]), max([column, *targets])
    text = ""
    for i, lane in enumerate(new):
        joined = i in targets and i != column and _is_joined(old, new, i)
        if i == column or (i in targets and not (joined and len(targets) > 1)):
            ends = "u" if i == column or joined else ""
            text += _LINES[ends + ("d" if lane else "") + ("l" if i > left else "") + ("r" if i < right else "")]
        elif left < i < right and not lane:
            text += "─"
        else:
            text += "│" if lane else " "
        filler = "─" if left <= i < right else " "
        if len(targets) > 1 and joined and i < column:
            filler = "◂"
        if len(targets) > 1 and i >= column and i + 1 in targets and _is_joined(old, new, i + 1):
            filler = "▸"
        text += filler
    return text


def _is_joined(old: list[str | None], new: list[str | None], i: int) -> bool:
    return i < len(old) and old[i] is not None and old[i] == new[i]
