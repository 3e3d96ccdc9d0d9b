"""From a unit of a run to what its agent is given: instructions with every reference filled in, limits, what came
before.

Made by the engine, as JSON for the process in which the step is done; nothing here imports what is heavy.
"""

from __future__ import annotations

from colony_lib.base import jsontext
from colony_lib.store import config, models, references, runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Record = dict[str, Any]


def make(run: runs.Run, step: runs.Step, batch: int | None, scope: references.Scope, agent: Record) -> Record:
    """What `colony-run-step --agent` reads on its standard input as `task`. ColonyError when a reference has no
    value."""
    definition, plan = step.definition, run.plan
    settings = config.load()
    return {
        "v": 1,
        "run": run.run_id,
        "workflow": plan["name"],
        "date": run.header["date"],
        "yesterday": run.header["yesterday"],
        "run_started": run.header["created"],
        "task": run.header.get("task"),
        "step": definition["name"],
        "batch": batch,
        "batch_count": None if batch is None else step.batches,
        "item": None if scope.item is references.ABSENT else scope.item,
        "attempt": step.unit(batch).attempts + 1,
        "handed_in": step.unit(batch).handed_in,
        "agent": {key: agent.get(key) for key in _OF_AGENT} | {"env": sorted(agent.get("env") or {})},
        "runner": agent["runner"],
        "model": models.resolve(agent, settings),
        "instructions": references.text(definition["instructions"], scope),
        "schema": schema(plan, definition),
        "output_name": definition.get("output_name"),
        "outputs": {name: scope.steps[name]["output"] for name in definition["depends_on"] if name in scope.steps},
        "expect": [references.text(each, scope) for each in (definition.get("expect") or {}).get("files") or []],
        "timeout_seconds": definition.get("timeout_seconds"),
        "limits": {**(agent.get("limits") or {}), **(definition.get("limits") or {})},
        "budget": plan.get("budget"),
        "day_limits": settings.get("limits") or {},
        "shared_paths": settings["shared_paths"],
        "env_file": settings["env_file"],
        "replay": run.header.get("replay"),
    }


_OF_AGENT = (
    "id", "role", "startup_prompt", "command", "worktree_branch", "tools", "scripts", "permissions", "network",
    "max_output_tokens",
)  # fmt: skip


def schema(plan: Record, definition: Record) -> Any:
    """The step's `output_schema`; without one, what later steps take from its output by their references
    (`{{steps.validate-data.output.quality_score}}`): an object with those keys. None when they take it as it is."""
    given = definition.get("output_schema")
    if given is not None:
        return given
    wanted = list(dict.fromkeys(_wanted(plan, definition)))
    return {"type": "object", "required": wanted} if wanted else None


def _wanted(plan: Record, definition: Record) -> Iterator[str]:
    """The first keys of what other steps' references take from the step's output."""
    parallel = definition.get("for_each") is not None or definition.get("parallel") is not None
    for step in [*plan["steps"], *plan["error_handling"]]:
        for text in _texts([step.get(key) for key in ("instructions", "run", "when", "for_each", "env", "expect")]):
            for reference in references.find(text) if "{{" in text else ():
                ours = (
                    reference.root == "steps" and reference.name == definition["name"] and reference.field != "status"
                ) or (reference.root == "name" and reference.name == definition.get("output_name"))
                path = reference.path[1:] if parallel else reference.path
                if ours and path and not path[0].isdigit():
                    yield path[0]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for each in value if isinstance(value, list) else value.values():
            yield from _texts(each)


def context(task: Record) -> Record:
    """What a runner's own program finds on its standard input besides what every command finds."""
    return {
        "agent": {key: task["agent"][key] for key in ("id", "role", "startup_prompt")},
        "instructions": task["instructions"],
        "output_schema": task["schema"],
    }


def read(text: str) -> Record:
    """The task from a job's context. ColonyError for what is none."""
    found: Record = jsontext.loads(text)
    return found
