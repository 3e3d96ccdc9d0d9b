"""What an agent's step may use: every limit that counts for it, asked and reserved in one place before each paid
call."""

from __future__ import annotations

import time

from colony_lib.base import clock
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import show_duration
from colony_lib.store import spending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]


def of(task: Record) -> list[Record]:
    """The limits [{scope, key, most}] on requests, tokens and dollars: of the step over all its attempts, of the run,
    and of the agent and the colony for the day."""
    agent, budget, day = task["limits"], task["budget"] or {}, task["day_limits"]
    found = [("step", key, agent.get(key)) for key in ("turns", "tokens", "usd")]
    found += [("run", key, budget.get(key)) for key in ("turns", "tokens", "usd")]
    found += [("agent-day", key, agent.get(f"{key}_per_day")) for key in ("tokens", "usd")]
    found += [("colony-day", key, day.get(f"{key}_per_day")) for key in ("tokens", "usd")]
    return [{"scope": scope, "key": key, "most": most} for scope, key, most in found if most is not None]


def who(task: Record, model: str) -> Record:
    """Whose request it is, as the ledger keeps it."""
    named = {key: task[key] for key in ("run", "workflow", "step", "batch", "attempt")}
    return {**named, "agent": task["agent"]["id"], "model": model}


def take_call(ledger: spending.Ledger, task: Record, model: str, key: str) -> None:
    """Take one call of a tool from the run's budget, where it has a number for them. spending.LimitReached when it is
    used up."""
    most = (task["budget"] or {}).get("tool_calls")
    if most is not None:
        ledger.call(who(task, model), key, most)


def dollars_limited(task: Record) -> bool:
    return any(limit["key"] == "usd" for limit in of(task))


class Time:
    """The wall time of a step over all its attempts, and of its run: {time_seconds} of the limits and of the
    budget."""

    def __init__(self, task: Record, before: float) -> None:
        """`before`: seconds that earlier attempts of the step have taken."""
        self._began = time.monotonic()
        self._before = before
        self._step: float | None = task["limits"].get("time_seconds")
        self._run: float | None = (task["budget"] or {}).get("time_seconds")
        self._run_started: str = task["run_started"]

    def check(self) -> None:
        """spending.LimitReached when either time is up."""
        used = self._before + time.monotonic() - self._began
        if self._step is not None and used >= self._step:
            raise spending.LimitReached(
                f"the step has taken {show_duration(used)} of its limit of {show_duration(self._step)}",
                fix="raise limits.time",
                code=FAILED,
            )
        used = clock.epoch() - clock.seconds(self._run_started)
        if self._run is not None and used >= self._run:
            raise spending.LimitReached(
                f"the run has taken {show_duration(used)} of its budget of {show_duration(self._run)}",
                fix="raise budget.time of the workflow",
                code=FAILED,
            )


def taken(conversations: list[list[Record]]) -> float:
    """Seconds between the first and the last record of each attempt's transcript, added up."""
    total = 0.0
    for records in conversations:
        began: float | None = None
        last = 0.0
        for record in records:
            moment = clock.seconds(record["ts"])
            if record["type"] == "begun":
                total += last - began if began is not None else 0.0
                began = moment
            last = moment
        total += last - began if began is not None else 0.0
    return total


def refuse_unpriced(model: str) -> ColonyError:
    """The refusal to work under a limit in dollars when nobody knows what the model costs."""
    return ColonyError(
        f"a limit in dollars counts for this step, and the price of '{model}' is not known",
        fix="write its prices into .colony/models.json, or limit tokens instead",
        code=FAILED,
    )
