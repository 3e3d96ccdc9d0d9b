"""What a data tool says when it is done: people's lines or one JSON object, log lines and metrics."""

from __future__ import annotations

from colony_lib.base import files, jsontext
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


def emit(summary: dict[str, Any], lines: Iterable[str], *, json: bool) -> None:
    """Print the summary on standard output: as one JSON object, or as these lines for people.

    Inside a step ($COLONY_OUTPUT) and without --json the summary is also written as the step's output, so that
    {{steps.NAME.output.files}} works; with --json it is on standard output, where the next in a pipe may have it.
    """
    from colony_lib.store import env

    if json:
        print(files.redacted(jsontext.dumps(summary)))
        return
    for line in lines:
        print(files.redacted(escape(line)))
    output = env.get("COLONY_OUTPUT")
    if output:
        files.write_text(output, jsontext.dumps(summary) + "\n", durable=False)


def log(tool: str, level: str, message: str) -> None:
    """Append a log line (debug, info, warn, error) of the step's agent, or outside a step of the tool itself; nothing
    where there is no colony."""
    from colony_lib.store import env, paths

    if paths.root_or_none() is None:
        return
    from colony_lib.store import logs

    step = env.step()
    text = f"{tool}: {message}" if "agent" in step else message
    attempt = _number(step.get("attempt"))
    logs.line(step.get("agent", tool), level, text, step.get("run_id"), step.get("step"), attempt)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def measure(figures: Mapping[str, int | float], labels: Mapping[str, str] | None = None) -> None:
    """Record these metrics, all with the same labels; nothing where there is no colony."""
    from colony_lib.store import paths

    if paths.root_or_none() is None:
        return
    from colony_lib.store import metrics

    metrics.record_many(
        [{"name": name, "value": value, "labels": dict(labels or {})} for name, value in figures.items()]
    )
