"""A run in a few lines: above its steps, in the list of runs beside it, and in the history."""

from __future__ import annotations

from typing import Any

from colony_lib.base import clock, text
from colony_lib.store import prices
from colony_lib.tui import paint, runview
from colony_lib.tui.feed import Snapshot
from colony_lib.tui.paint import Line, cell

LAST = 14  # runs that the strip of history shows


def head(found: Snapshot, view: runview.RunView) -> list[Line]:
    """Three lines: the workflow and its last runs; the run; what holds it up."""
    trigger = view.run.plan["trigger"] or {}
    when = f"   {trigger['cron']} {trigger.get('timezone') or ''}".rstrip() if trigger.get("cron") else ""
    if found.next_time:
        when += f"   next in {text.show_duration(clock.seconds(found.next_time) - clock.epoch())}"
    same = [row for row in found.history if row["workflow"] == view.workflow][:LAST]
    strip: Line = []
    for row in reversed(same):
        form, role = paint.mark(row["status"])
        strip.append((form, "tab" if row["run_id"] == view.run_id else role))
    first: Line = [
        (f" {view.workflow}", "bold"),
        (when, "dim"),
        (f"   last {len(same)} " if same else "", "dim"),
        *strip,
    ]
    record = view.record
    usual = view.usual.get("")
    words = f", usual {text.show_duration(usual)}" if usual and view.status == "running" else ""
    used = prices.amount(record["tokens"], record["cost_usd"])
    second: Line = [
        (f" {view.run_id}", "text"), ("   " + view.status, paint.role_of(view.status)),
        (f" {text.show_duration(record['duration_seconds'])}{words}", "text"),
        (f"   {view.done()} of {len(view.steps)}", "text"), (f"   {record['date']}", "dim"),
        (f"   {used}" if used else "", "dim"),
        (f"   rerun of {record['rerun_of']}" if record["rerun_of"] else "", "dim"),
    ]  # fmt: skip
    return [first, second, [(" ", ""), *runview.sentence(view)]]


def short(row: dict[str, Any], chosen: bool) -> Line:
    """A run in the list beside the one that is seen."""
    form, role = paint.mark(row["status"])
    took = text.show_duration(row["duration_seconds"])
    return [
        ("▸" if chosen else " ", "accent"), (f"{form} ", role),
        (cell(row["workflow"], 18), "bold" if chosen else "text"),
        (cell(_in_words(row), 6, True), "dim"), (cell(took, 8, True), "dim"), (" │", "faint"),
    ]  # fmt: skip


def history(row: dict[str, Any]) -> Line:
    """A run in the list of all of them."""
    form, role = paint.mark(row["status"])
    started = (row["started"] or "")[:16].replace("T", " ")
    return [
        (f"{form} ", role), (cell(row["workflow"], 18) + " ", "text"), (cell(row["status"], 12), role),
        (cell(started, 17), "dim"), (cell(text.show_duration(row["duration_seconds"]), 8), "text"),
        (f"{row['run_id']}", "dim"),
    ]  # fmt: skip


def _in_words(row: dict[str, Any]) -> str:
    """When the run started: the time of today, else the day."""
    started = row["started"] or ""
    return started[11:16] if started[:10] == clock.now()[:10] else started[5:10]
