"""What a data tool says when it is done: people's lines or one JSON object, log lines and metrics."""

from __future__ import annotations

from colony_lib.base import files, jsontext
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
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
