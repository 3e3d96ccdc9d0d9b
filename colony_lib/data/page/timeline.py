"""When what ran: a row for each step, a bar for each attempt, on one axis of time, as an SVG."""

from __future__ import annotations

from typing import Any

from colony_lib.base import clock
from colony_lib.base.text import cut, show_duration
from colony_lib.data.page.html import Markup, element
from colony_lib.data.page.marks import kind_of

Record = dict[str, Any]
MOST = 60  # rows; of more the failed ones and the longest
_LEFT, _WIDTH, _ROW, _TOP = 190, 900, 24, 24
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


def rows_of(steps: list[Record]) -> tuple[list[Record], int]:
    """(the steps to show, how many are left out): those that failed, then those that took longest, in their order."""
    ran = [step for step in steps if step["tries"]]
    if len(ran) <= MOST:
        return ran, 0
    grave = sorted(ran, key=lambda step: (step["status"] != "failed", -(step["duration_seconds"] or 0)))[:MOST]
    kept = {step["name"] for step in grave}
    return [step for step in ran if step["name"] in kept], len(ran) - MOST


def draw(steps: list[Record], now: str) -> Markup | None:
    """`steps`: [{name, status, tries: [{started, ended, status}], timeout_seconds, duration_seconds}]; what has not
    ended goes to `now`. None when nothing ran."""
    shown, left_out = rows_of(steps)
    tries = [each for step in shown for each in step["tries"]]
    if not tries:
        return None
    first = min(clock.seconds(each["started"]) for each in tries)
    last = max(clock.seconds(each["ended"] or now) for each in tries)
    span = max(last - first, 0.001)
    height = _TOP + len(shown) * _ROW + 8

    def x(moment: float) -> float:
        return _LEFT + (moment - first) / span * (_WIDTH - _LEFT - 70)

    drawn = [*_axis(span, height, x, first)]
    for row, step in enumerate(shown):
        drawn += _row(step, _TOP + row * _ROW, x, now)
    label = f"the time of {len(shown)} steps" + (f"; {left_out} shorter ones are left out" if left_out else "")
    picture = element("svg", *drawn, viewBox=f"0 0 {_WIDTH} {height}", width="100%", role="img", aria_label=label)
    note = element("p", f"{left_out:,} shorter steps are not drawn.", class_="soft") if left_out else None
    return Markup(picture + (note or ""))


def _axis(span: float, height: int, x: Any, first: float) -> list[Markup]:
    step = next((each for each in _STEPS if span / each <= 6), _STEPS[-1]) if span >= 2 else span / 2
    found = []
    for number in range(int(span / step) + 1):
        at = x(first + number * step)
        found.append(element("line", x1=f"{at:.1f}", x2=f"{at:.1f}", y1=18, y2=height, class_="axis"))
        shown = "0" if not number else f"{number * step * 1000:.0f} ms" if span < 0.4 else show_duration(number * step)
        found.append(element("text", shown, x=f"{at:.1f}", y=12, class_="faint", text_anchor="middle"))
    return found


def _row(step: Record, top: int, x: Any, now: str) -> list[Markup]:
    found = [element("text", cut(step["name"], 26), x=0, y=top + 15)]
    last = 0.0
    for number, each in enumerate(step["tries"], 1):
        start, end = x(clock.seconds(each["started"])), x(clock.seconds(each["ended"] or now))
        last = max(last, end)  # batches go on at once, and the longest need not be the last
        title = element("title", f"{step['name']}, attempt {number}: {each['status']}")
        found.append(
            element(
                "rect", title, x=f"{start:.1f}", y=top + 4, width=f"{max(end - start, 2):.1f}", height=_ROW - 9, rx=3,
                class_=f"bar {kind_of(each['status'])}",
            )
        )  # fmt: skip
    limit = step.get("timeout_seconds")
    if limit:
        at = x(clock.seconds(step["tries"][-1]["started"]) + limit)
        if at <= _WIDTH - 60:
            found.append(element("line", x1=f"{at:.1f}", x2=f"{at:.1f}", y1=top + 2, y2=top + _ROW - 3, class_="limit"))
    took = show_duration(step["duration_seconds"]) if step["duration_seconds"] is not None else "…"
    found.append(element("text", took, x=f"{last + 6:.1f}", y=top + 15, class_="faint"))
    return found
