"""What a run says while it runs: its commands' standard error and its own news, as log lines and metric points."""

from __future__ import annotations

from colony_lib.store import logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def logger(run_id: str, job: dict[str, Any]) -> Callable[[str, list[str]], None]:
    """A function (agent, lines) that appends a command's lines, redacted already, to the agent's log."""

    def log(agent: str, lines: list[str]) -> None:
        if lines:
            logs.raw(agent, lines, run_id=run_id, step=job["step"], attempt=job["attempt"], batch=job["batch"])

    return log


def worker_failed(run_id: str, error: BaseException) -> None:
    """Keep what ended a worker process, which has no standard error of its own; its run goes on without it."""
    import traceback

    from colony_lib.base.errors import ColonyError

    words = str(error) if isinstance(error, ColonyError) else "".join(traceback.format_exception(error))
    try:
        logs.line("colony", "error", f"a step's process ended: {words}", run_id=run_id)
    except (ColonyError, OSError):
        return  # the disk is full, or the colony gone: the engine sees the death itself, and says so
