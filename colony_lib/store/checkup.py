"""Everything that is wrong with what people wrote: colony.yml and the workflow files."""

from __future__ import annotations

import os

from colony_lib.base.errors import ColonyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def problems() -> tuple[list[ColonyError], int]:
    """(every problem, the number of files checked): colony.yml first, then each workflow by name."""
    from colony_lib.store import config, workflow

    found = config.problems()
    settings = None if found else config.load()
    files = workflow.files()
    for path in files:
        wrong = workflow.problems(path)
        if not wrong and settings is not None:
            wrong = workflow.check_against_config(workflow.load(path), settings)
        found += wrong
    return found, len(files) + 1


def scheduled() -> list[str]:
    """The names of the workflows that a clock starts; what cannot be read is left to `problems`."""
    from colony_lib.store import workflow

    found = []
    for name in workflow.names():
        try:
            trigger: dict[str, Any] | None = workflow.load(name)["trigger"]
        except (ColonyError, OSError):
            continue
        if trigger and trigger.get("type") == "schedule":
            found.append(name)
    return found
