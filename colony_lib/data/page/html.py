"""HTML and SVG as text: elements with every text and attribute escaped, so that what stands in data is only text."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from colony_lib.base.text import cut, escape


class Markup(str):
    """A text that is HTML already; any other is escaped where it is put into an element."""

    __slots__ = ()


Piece = str | int | float | None


def text(value: object, longest: int = 4000) -> Markup:
    """What stands in data, as text: control characters made visible, cut when it is endless."""
    return Markup(html.escape(cut(escape(value), longest), quote=True))


def element(name: str, *children: Piece | Iterable[Piece], **attributes: Piece) -> Markup:
    """`<name attribute="…">children</name>`. An attribute `class_` or `stroke_width` loses its last or gets a dash for
    its underscore; one that is None is left out. A child that is None is left out."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(_inner(child) for child in children)
    return Markup(f"<{name}{words}>{inner}</{name}>")


def _inner(child: Piece | Iterable[Piece]) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str | int | float):
        return text(child)
    return "".join(_inner(each) for each in child)


def name(value: object) -> Markup:
    """A name from data, kept apart from the direction of what stands around it."""
    return element("bdi", str(value))


def table(headings: Sequence[str], rows: Iterable[Sequence[Piece]], class_: str | None = None) -> Markup:
    """A table; a heading that ends in '#' stands for a column of numbers."""
    kinds = ["number" if heading.endswith("#") else None for heading in headings]
    head = [element("th", heading.rstrip("#"), scope="col", class_=kind) for heading, kind in zip(headings, kinds)]
    body = [
        element("tr", [element("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)]) for row in rows
    ]
    whole = element("table", element("thead", element("tr", head)), element("tbody", body), class_=class_)
    return element("div", whole, class_="wide")


def section(title: str, *children: Piece | Iterable[Piece], id_: str) -> Markup:
    return element("section", element("h2", title), *children, id=id_)


def folded(title: str, *children: Piece | Iterable[Piece], open_: bool = False) -> Markup:
    """What is shown when it is asked for; on paper it is there."""
    return element("details", element("summary", title), *children, open="open" if open_ else None)
