"""The environment: the one module that reads COLONY_* and other variables."""

from __future__ import annotations

import os

# What the engine tells a step's command about itself (contract section 5).
STEP_VARIABLES = {
    "run_id": "COLONY_RUN_ID",
    "workflow": "COLONY_WORKFLOW",
    "step": "COLONY_STEP",
    "agent": "COLONY_AGENT",
    "attempt": "COLONY_ATTEMPT",
    "batch_id": "COLONY_BATCH_ID",
    "date": "COLONY_DATE",
    "output": "COLONY_OUTPUT",
}


def get(name: str, default: str | None = None) -> str | None:
    """The variable's value; an empty one counts as not set."""
    return os.environ.get(name) or default


def environ() -> dict[str, str]:
    """A copy of the whole environment."""
    return dict(os.environ)


def step() -> dict[str, str]:
    """What of {run_id, workflow, step, agent, attempt, batch_id, date, output} is set; {} outside a step."""
    found = {key: os.environ.get(name) for key, name in STEP_VARIABLES.items()}
    return {key: value for key, value in found.items() if value}


def secret_values() -> dict[str, str]:
    """{name: value} of the variables that hold secrets: those named in COLONY_SECRETS, and the API keys always."""
    names = [name for name in (get("COLONY_SECRETS") or "").split(":") if name]
    names += ["ANTHROPIC_API_KEY", "OPENLINEAGE_API_KEY"]
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def forget(*names: str) -> None:
    """Take variables out of this process's environment, and so out of its children's."""
    for name in names:
        os.environ.pop(name, None)


def one_thread() -> None:
    """Keep numpy, before it is imported, from starting threads for algebra that nobody here asks of it: they cost
    more than the import."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
