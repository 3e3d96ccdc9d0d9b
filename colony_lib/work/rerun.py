"""A new run that takes over what another run has done: which steps are done again, and what becomes of the others."""

from __future__ import annotations

import os

from colony_lib.base import files, locks
from colony_lib.base.errors import BUSY, FAILED, ColonyError, unknown
from colony_lib.base.text import plural
from colony_lib.store import paths, runs, workflow
from colony_lib.work import launch, reuse
from colony_lib.work.runner import hold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]
    Key = int | None

# Of a plan: where it stands and when it starts by itself, not what it does; and its steps, looked at one by one.
_NO_MATTER = ("v", "file", "line", "lines", "description", "trigger", "steps", "error_handling")


class Decision:
    """`to_do`: the steps that are done, in order; `again`: those of them that were asked for, and what depends on
    these; `taken`: {step: its units whose outputs are taken}; `left_out`: {step: why} and `failed`: {step: its error},
    which a rerun of one step takes as they were."""

    __slots__ = ("again", "failed", "left_out", "taken", "to_do")

    def __init__(self) -> None:
        self.again: list[str] = []
        self.to_do: list[str] = []
        self.taken: dict[str, list[Key]] = {}
        self.left_out: dict[str, str] = {}
        self.failed: dict[str, str] = {}


def decide(old: runs.Run, plan: Record, *, start: str | None, only: str | None, failed: bool) -> Decision:
    """What a rerun of `old` does by the plan: with none of the three everything, from the step `start` on that and all
    that depends on it, `only` that one step, or with `failed` only what the run has not completed.

    What the run has not completed is done in any case (but for `only`), and so is what depends on it. ColonyError when
    there is no such step, or `only` needs what the run does not have.
    """
    definitions = {step["name"]: step for step in plan["steps"]}
    for name in (start, only):
        if name is not None and name not in definitions:
            raise unknown("step", name, definitions)
    if only is not None:
        return _only(old, definitions, only)
    found = Decision()
    asked = {start} if start is not None else set() if failed else set(definitions)
    again: set[str] = set()
    to_do: set[str] = set()
    for name, definition in definitions.items():  # each stands after what it depends on
        if name in asked or again.intersection(definition["depends_on"]):
            again.add(name)
        elif to_do.intersection(definition["depends_on"]):
            pass
        elif _is_settled(old, definition):
            if old.steps[name].status in runs.SUCCEEDED:
                found.taken[name] = list(old.steps[name].unit_keys())
            continue
        elif units := _done_batches(old, definition):
            found.taken[name] = units
        to_do.add(name)
    found.again = [name for name in definitions if name in again]
    found.to_do = [name for name in definitions if name in to_do]
    return found


def _only(old: runs.Run, definitions: dict[str, Record], only: str) -> Decision:
    found = Decision()
    found.again = found.to_do = [only]
    needed = set(definitions[only]["ancestors"])
    for name, definition in definitions.items():
        if name == only:
            continue
        step = old.steps.get(name)
        status = step.status if step is not None else None
        if step is not None and status in runs.SUCCEEDED and _same_shape(step.definition, definition):
            found.taken[name] = list(step.unit_keys())
        elif step is not None and status == "skipped":
            found.left_out[name] = step.reason or "it was skipped"
        elif step is not None and status == "failed" and definition["on_failure"] == "continue":
            found.failed[name] = step.error or "failed"
        elif name in needed:
            raise ColonyError(
                f"step '{only}' needs what '{name}' did, and {old.run_id} has not completed that",
                fix=f"do both with 'colony workflow rerun {old.run_id} --from {name}'",
                code=FAILED,
            )
        else:
            found.left_out[name] = f"only '{only}' is done again"
    return found


def _is_settled(old: runs.Run, definition: Record) -> bool:
    """Whether the run has done the step, or skipped it, which it will do again by the same condition."""
    step = old.steps.get(definition["name"])
    if step is None:
        return False
    if step.status == "skipped":
        return all(step.definition[key] == definition[key] for key in ("when", "depends_on"))
    return step.status in runs.SUCCEEDED and _same_shape(step.definition, definition)


def _same_shape(was: Record, now: Record) -> bool:
    """Whether the step has the same batches, as far as its definition tells."""
    if was["for_each"] is None and now["for_each"] is None:
        return bool(was["parallel"] == now["parallel"])
    return bool(was["for_each"] == now["for_each"])


def _done_batches(old: runs.Run, definition: Record) -> list[Key]:
    """Of a parallel step that the run has begun, the batches that it has completed."""
    step = old.steps.get(definition["name"])
    if step is None or not step.is_parallel or not _same_shape(step.definition, definition):
        return []
    return [key for key in step.unit_keys() if step.unit(key).status in runs.SUCCEEDED]


# -- making the run


def prepare(
    run_id: str,
    *,
    start: str | None = None,
    only: str | None = None,
    failed: bool = False,
    trigger: str = "rerun",
    more: Record | None = None,
) -> tuple[runs.Run, list[int], list[str]] | None:
    """Make the new run, of the workflow as it is now, with the date and input of the run. Returns it, the locks that
    must be held while it runs, and what is worth telling; None when with `failed` there is nothing to do.
    ColonyError, before anything is written, when it cannot be; (BUSY) while the run is still being run."""
    alive = hold(run_id)
    try:
        old = runs.load(run_id)
        _check_quiet(old)
        plan, notes = _current(old)
        decision = decide(old, plan, start=start, only=only, failed=failed)
        if failed and not decision.to_do:
            return None
        header = {"rerun_of": run_id, "again": decision.again, **({"only": only} if only is not None else {})}
        dates = (old.header["date"], old.header["yesterday"])
        run, held = launch.begin(
            plan,
            old.header.get("input"),
            dates,
            trigger,
            {**header, **(more or {})},
            lambda folder: _records(old, decision, folder),
        )
        return run, held, [*notes, _summary(old, plan, decision)]
    finally:
        locks.release(alive)


def _check_quiet(old: runs.Run) -> None:
    """ColonyError (BUSY) while an attempt of the run is alive, though its engine is dead: what it does is not known."""
    for name, step in old.steps.items():
        for unit in step.units.values():
            if unit.status == "running" and unit.slot and old.slot_is_held(unit.slot):
                raise ColonyError(
                    f"the run '{old.run_id}' was interrupted, and its step '{name}' is still at work",
                    fix=f"wait for it, or go on with 'colony workflow resume {old.run_id}'",
                    code=BUSY,
                )


def _current(old: runs.Run) -> tuple[Record, list[str]]:
    """(the run's workflow as its file is now, what is worth telling about that)."""
    name = old.plan["name"]
    plan = None
    file = os.path.join(paths.root(), old.plan["file"])
    if os.path.isfile(file):
        plan = workflow.load(file)
    if plan is None or plan["name"] != name:
        try:
            file = workflow.path(name)
        except ColonyError as error:
            if error.code != FAILED:
                raise
            return old.plan, [f"there is no workflow '{name}' any more: this run is of the plan of {old.run_id}"]
        plan = workflow.load(file)
    if is_same(plan, old.plan):
        return plan, []
    return plan, [f"the workflow has changed since {old.run_id}: this run is of the file as it is now"]


def is_same(plan: Record, other: Record) -> bool:
    """Whether the two plans do the same, wherever they stand."""
    return bool(_meaning(plan) == _meaning(other))


def _meaning(plan: Record) -> list[Record]:
    parts = [plan, *plan["steps"], *plan["error_handling"]]
    return [{key: value for key, value in part.items() if key not in _NO_MATTER} for part in parts]


def _records(old: runs.Run, decision: Decision, folder: str) -> list[Record]:
    """The first records of the new run's journal; large outputs are in its folder then, all in one, synced once."""
    found = []
    place = _Places(folder)
    for name, keys in decision.taken.items():
        step = old.steps[name]
        if step.items is not None:
            found.append(runs.record("step_expanded", step=name, items=step.items))
        for key in keys:
            try:
                fields = reuse.carried(old, step.unit(key), folder, place)
            except FileNotFoundError:
                raise ColonyError(
                    f"the output of step '{name}' of {old.run_id} is gone",
                    fix=f"do it again with 'colony workflow rerun {old.run_id} --from {name}'",
                ) from None
            found.append(runs.record("step_cached", step=name, batch=key, why=f"taken from {old.run_id}", **fields))
    found += [runs.record("step_skipped", step=name, reason=why) for name, why in decision.left_out.items()]
    found += [runs.record("step_failed", step=name, error=error) for name, error in decision.failed.items()]
    place.sync()
    return found


class _Places:
    """Names for files that are taken over: taken/1.json, taken/2.json, …"""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._count = 0

    def __call__(self, kind: str) -> str:
        self._count += 1
        return os.path.join("taken", f"{self._count}.json")

    def sync(self) -> None:
        if self._count:
            files.sync_folder(os.path.join(self._folder, "taken"))


def _summary(old: runs.Run, plan: Record, decision: Decision) -> str:
    if not decision.taken:
        return f"all steps of {old.run_id} are done again"
    begun = [decision.taken[name] for name in decision.to_do if name in decision.taken]
    taken = f"{len(decision.taken) - len(begun)} of {plural(len(plan['steps']), 'step')}"
    if begun:
        taken += f" and {plural(sum(map(len, begun)), 'batch', 'batches')} more"
    some = ", ".join(decision.to_do[:4]) + (", …" if len(decision.to_do) > 4 else "")
    return f"taken from {old.run_id}: {taken}; to do: {some or 'nothing'}"
