"""Small lines: a figure over the last days, with its median and today's point, as an SVG."""

from __future__ import annotations

from collections.abc import Sequence

from colony_lib.data.page.html import Markup, element

_WIDTH, _HEIGHT, _EDGE = 200.0, 40.0, 4.0


def line(values: Sequence[float | None], median: float | None, label: str) -> Markup | None:
    """The values, oldest first, gaps where nobody knows; None when there are not two."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    low, high = (
        min([*known, *([] if median is None else [median])]),
        max([*known, *([] if median is None else [median])]),
    )
    span = (high - low) or 1.0

    def place(number: int, value: float) -> tuple[float, float]:
        x = _EDGE + number / (len(values) - 1) * (_WIDTH - 2 * _EDGE)
        return x, _HEIGHT - _EDGE - (value - low) / span * (_HEIGHT - 2 * _EDGE)

    path, pen = "", "M"
    for number, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        x, y = place(number, value)
        path += f"{pen}{x:.1f} {y:.1f}"
        pen = "L"
    drawn = [element("path", d=path, class_="trend")]
    if median is not None:
        _, y = place(0, median)
        drawn.insert(0, element("line", x1=0, x2=_WIDTH, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="median"))
    if values[-1] is not None:
        x, y = place(len(values) - 1, values[-1])
        drawn.append(element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3, class_="now"))
    view = f"0 0 {_WIDTH:g} {_HEIGHT:g}"
    return element("svg", *drawn, viewBox=view, role="img", aria_label=label)
