"""Everything that is wrong with what people wrote: colony.yml and the workflow files."""

from __future__ import annotations

from colony_lib.base.errors import ColonyError


def problems() -> tuple[list[ColonyError], int]:
    """(every problem, the number of files checked): colony.yml first, then each workflow by name."""
    from colony_lib.store import config, workflow

    found = config.problems()
    settings = None if found else config.load()
    files = workflow.files()
    for path in files:
        wrong = workflow.problems(path)
        if not wrong and settings is not None:
            wrong = workflow.config_problems(workflow.load(path), settings)
        found += wrong
    return found, len(files) + 1


def warnings() -> list[str]:
    """What is allowed and may not be meant: retired models, and what workflows say of themselves. All is valid."""
    from colony_lib.store import config, models, workflow

    settings = config.load()
    found = [models.resolve(agent, settings)["warning"] for agent in settings["agents"]]
    return [text for text in found if text] + [
        text for path in workflow.files() for text in workflow.warnings(workflow.load(path))
    ]


def scheduled() -> list[str]:
    """The names of the workflows that a clock starts; what cannot be read is left to `problems`."""
    from colony_lib.store import ticks, workflow

    found: list[str] = []
    for name in workflow.names():
        try:
            plan = workflow.load(name)
        except (ColonyError, OSError):
            continue
        if ticks.is_scheduled(plan):
            found.append(plan["name"])
    return found
