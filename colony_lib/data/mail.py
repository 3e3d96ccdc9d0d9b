"""A run as the plain text of a mail: its first line says all that a subject can, then what failed and how to go on."""

from __future__ import annotations

import textwrap
from typing import Any

from colony_lib.base.text import cut, escape, plural, show_duration
from colony_lib.store import prices

Record = dict[str, Any]
_WIDE = 78  # columns: what mail programs show without breaking lines
_STEPS = 40  # rows; of more those that did not succeed, and the longest
_WORDS = {"completed": "OK", "cached": "OK", "failed": "FAILED", "interrupted": "INTERRUPTED"}


def render(run: Record, report: Record | None) -> str:
    """The body for a run (page.run.gather) and, where the data tools left any, its day's report
    (schemas/report.schema.json). Our own words are ASCII: cron names the character set of its locale, and that is C."""
    blocks = [[subject(run)], _facts(run), _failure(run), _next(run), _steps(run["steps"])]
    blocks += [_quality(report), _history(run)]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def subject(run: Record) -> str:
    """'FAILED: daily-etl of 2013-02-08 at load-data', one line for `mail -s`."""
    word = _WORDS.get(run["status"], str(run["status"]).upper())
    place = f" at {run['failed']['name']}" if run["failed"] and run["status"] != "completed" else ""
    waits = next((step["name"] for step in run["steps"] if step["status"] == "waiting"), None)
    if run["status"] == "waiting" and waits:
        place = f" at {waits}"
    return escape(f"{word}: {run['workflow']} of {run['date']}{place}")


def _facts(run: Record) -> list[str]:
    facts = [("run", run["run_id"]), ("started", _moment(run["started"]))]
    if run["ended"]:
        facts.append(("ended", f"{_moment(run['ended'])}, after {show_duration(run['duration_seconds'])}"))
    if run["tokens"]:
        facts.append(("cost", f"{run['tokens']:,} tokens, {prices.shown(run['cost_usd'] or 0.0)}"))
    return [f"{name + ':':9}{value}" for name, value in facts]


def _moment(stamp: str | None) -> str:
    return f"{stamp[:10]} {stamp[11:19]} UTC" if stamp else "-"


def _failure(run: Record) -> list[str]:
    failed = run["failed"]
    if not failed:
        return _wrapped(str(run["error"])) if run["error"] else []
    lines = [f"{escape(failed['name'])} {failed['status']}, attempt {failed['attempts']} of {failed['most']}:"]
    lines += _wrapped(str(failed["error"] or "no reason is known"))
    if failed["lines"]:
        lines += ["", "Its last words in the log:"]
        lines += [
            cut(f"  {line['ts'][11:19]} {line['level']:5} {escape(line['message'])}", 2 * _WIDE)
            for line in failed["lines"]
        ]
    return lines


def _wrapped(text: str) -> list[str]:
    """Indented, so that no line can begin with what a mail program reads (a dot, 'From ', a tilde)."""
    return textwrap.wrap(
        escape(cut(text, 2000)), _WIDE, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


def _next(run: Record) -> list[str]:
    return [f"To go on:  {run['next']}"] if run["next"] else []


def _steps(steps: list[Record]) -> list[str]:
    shown = steps
    if len(steps) > _STEPS:
        rank = sorted(
            range(len(steps)),
            key=lambda i: (
                steps[i]["status"] in ("completed", "cached", "skipped"),
                -(steps[i]["duration_seconds"] or 0),
            ),
        )
        shown = [steps[i] for i in sorted(rank[:_STEPS])]
    wide = min(max((len(escape(step["name"])) for step in shown), default=4), 40)
    lines = [f"{'STEP':{wide}}  {'STATUS':11}  TRIES    TOOK  USUALLY"]
    for step in shown:
        took, usual = (_took(step[key]) for key in ("duration_seconds", "usual"))
        tries = step["attempts"] or "-"
        lines.append(f"{escape(step['name']):{wide}}  {step['status']:11}  {tries:>5}  {took:>6}  {usual:>7}".rstrip())
    if len(steps) > len(shown):
        lines.append(f"and {plural(len(steps) - len(shown), 'step')} more")
    return lines


def _took(seconds: float | None) -> str:
    return "-" if seconds is None else show_duration(seconds)


def _quality(report: Record | None) -> list[str]:
    if report is None or not report["validation"]:
        return []
    lines = [f"Quality of {report['date']}:"]
    for name, one in report["validation"].items():
        counts = f"{plural(one['record_count'], 'record')}, score {one['quality_score']:.4f}"
        lines.append(f"  {one['status']:4}  {escape(name)}: {counts}")
        for check in one["checks"]:
            if not check.get("passed"):
                said = f"{check.get('severity')}: {check.get('name')}: {check.get('message')}"
                lines += [f"      {line.strip()}" for line in _wrapped(said)]
    return lines


def _history(run: Record) -> list[str]:
    """The runs before it, oldest first, a letter each."""
    letters = {"completed": ".", "failed": "F", "interrupted": "I", "cancelled": "C", "running": "R", "waiting": "W"}
    marks = "".join(letters.get(each["status"], "?") for each in run["history"])
    return [f"Last {plural(len(marks), 'run')}: {marks}  (. completed, F failed)"] if len(marks) > 1 else []
