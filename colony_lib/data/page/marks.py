"""What a status looks like: one of five kinds, each with a colour and a sign, so that no meaning is in colour alone."""

from __future__ import annotations

from colony_lib.data.page.html import Markup, element

MARKS = {"good": "✓", "warn": "!", "bad": "✗", "live": "▶", "idle": "–"}
_KINDS = {
    **dict.fromkeys(("completed", "cached", "PASS"), "good"),
    **dict.fromkeys(("WARN", "waiting", "retrying", "cancelled"), "warn"),
    **dict.fromkeys(("failed", "interrupted", "FAIL"), "bad"),
    "running": "live",
}


def kind_of(status: object) -> str:
    return _KINDS.get(str(status), "idle")


def badge(status: object) -> Markup:
    kind = kind_of(status)
    return element("span", f"{MARKS[kind]} {status}", class_=f"badge {kind}")
