"""Runs on disk: made whole, found by name, and their journals written."""

from __future__ import annotations

import os

from colony_lib import __version__
from colony_lib.base import clock, files, jsonl, locks
from colony_lib.base.errors import ColonyError, nearest, unknown
from colony_lib.base.text import escape
from colony_lib.store import paths, runcheck
from colony_lib.store.runfold import FINISHED as FINISHED
from colony_lib.store.runfold import SUCCEEDED as SUCCEEDED
from colony_lib.store.runfold import Run as Run
from colony_lib.store.runfold import Step as Step
from colony_lib.store.runfold import Unit as Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Record = dict[str, Any]


def new_run_id() -> str:
    """An id that sorts after every run there is, also when the clock was set back; the lock on the list is held."""
    newest = max(ids(), default="")[:20]
    milliseconds = int(clock.epoch() * 1000)
    text = _id_start(milliseconds)
    if text <= newest:
        text = _id_start(_id_time(newest) + 1)
    return text + clock.short_id("")[:2]


def first_id(moment: float) -> str:
    """What sorts before the id of every run that is made at that moment or later."""
    return _id_start(int(moment * 1000))


def _id_start(milliseconds: int) -> str:
    import time

    whole, fraction = divmod(milliseconds, 1000)
    return time.strftime("r%Y%m%d-%H%M%S-", time.gmtime(whole)) + f"{fraction:03d}"


def _id_time(start: str) -> int:
    import calendar
    import time

    try:
        return calendar.timegm(time.strptime(start[:16], "r%Y%m%d-%H%M%S")) * 1000 + int(start[17:20])
    except ValueError:
        return int(clock.epoch() * 1000)  # not a folder that we made: its name is no time to follow


def create(
    plan: Record,
    *,
    date: str,
    yesterday: str,
    input: Any,
    agents: Record,
    trigger: str,
    more: Record | None = None,
    first: Callable[[str], list[Record]] | None = None,
) -> Run:
    """Make the run's folder, whole or not at all. `more` is added to its header; `first(folder)` may put files into
    it, quickly, and gives the first records of its journal."""
    with locks.held(paths.lock("runs"), what="the list of runs"):
        run_id = new_run_id()
        folder = paths.run(run_id)
        files.make_dirs(folder)
        header = {
            "v": 1,
            "run_id": run_id,
            "created": clock.now(),
            "colony": __version__,
            "trigger": trigger,
            "date": date,
            "yesterday": yesterday,
            "input": input,
            "agents": agents,
            **(more or {}),
            "plan": plan,
        }
        records = first(folder) if first is not None else []
        journal = os.path.join(folder, "journal.jsonl")
        if records:
            jsonl.append(journal, records, lock=paths.run_lock(run_id, "journal"), durable=True)
        # The plan's file is what makes the folder a run: it comes last, by one rename. The fsync of the folder
        # that follows makes the journal's name durable with the plan's.
        os.close(jsonl.open_append(journal))
        files.write_json(os.path.join(folder, "plan.json"), header, indent=None)
    run = Run(run_id, header)
    for record in records:
        run.apply(record)
    return run


def ids() -> list[str]:
    """The ids of all runs, newest first."""
    try:
        names = os.listdir(paths.runs_folder())
    except FileNotFoundError:
        return []
    return sorted((name for name in names if name.startswith("r") and "." not in name), reverse=True)


def read_header(run_id: str) -> Record:
    """What the run was made with: {run_id, created, trigger, date, yesterday, input, agents, plan}, and `scheduled`
    for the run of a schedule's time. ColonyError when it is not there or cannot be read."""
    path = os.path.join(paths.run(run_id), "plan.json")
    try:
        found = files.read_json(path, follow=False)
    except FileNotFoundError:
        raise unknown("run", run_id, ids()) from None
    why = runcheck.header(found)
    if why is not None:
        raise ColonyError(f"the run's plan is damaged: {why}", where=path)
    header: Record = found
    return header


def load(run_id: str) -> Run:
    """The run with its journal folded in. ColonyError when it is not there, or its plan or journal cannot be read."""
    header = read_header(run_id)
    journal = os.path.join(paths.run(run_id), "journal.jsonl")
    if not os.path.lexists(journal):
        # Made before the plan: somebody has removed it, and with it what was done.
        raise ColonyError("the run's journal is gone", where=journal)
    return Run(run_id, header).read()


def every() -> Iterator[Run]:
    """All runs that can be read, newest first, each folded as it is asked for."""
    for run_id in ids():
        if os.path.exists(os.path.join(paths.run(run_id), "plan.json")):
            try:
                yield load(run_id)
            except ColonyError as error:
                if os.path.exists(os.path.join(paths.run(run_id), "plan.json")):
                    _tell_skipped(run_id, error)


def _tell_skipped(run_id: str, error: ColonyError) -> None:
    import sys

    print(f"colony: skipped the run '{run_id}': {error}", file=sys.stderr)


def is_anything_alive(run_id: str) -> bool:
    """Whether a process runs the run, or makes an attempt of it, now."""
    folder = os.path.dirname(paths.run_lock(run_id, "alive"))
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return any(locks.is_held(os.path.join(folder, name)) for name in names)


def find(ref: str = "latest") -> str:
    """The id of the run that `ref` names: an id, a unique start of one, or 'latest'."""
    known = [run_id for run_id in ids() if os.path.exists(os.path.join(paths.runs_folder(), run_id, "plan.json"))]
    if ref == "latest":
        if not known:
            raise ColonyError("there is no run yet", fix="start one with 'colony workflow run NAME'")
        return known[0]
    if ref in known:
        return ref
    starts = [run_id for run_id in known if run_id.startswith(ref)]
    if len(starts) == 1:
        return starts[0]
    if starts:
        some = ", ".join(starts[:4]) + (", …" if len(starts) > 4 else "")
        raise ColonyError(f"'{ref}' is the start of {len(starts)} runs", fix=f"write more of it: {some}")
    if not known:
        raise unknown("run", ref, known)
    fix = f"the newest is '{known[0]}'; 'colony workflow history' lists them"
    raise ColonyError(f"unknown run '{escape(ref)}'", fix=nearest(ref, known[:100]) or fix)


def summaries(workflow: str | None = None, after: str = "") -> Iterator[Record]:
    """History lines, newest first; a finished run's is kept beside its journal (a cache: it may be deleted). With
    `after`, only of runs that are newer than that one."""
    for run_id in ids():
        if run_id <= after:
            return
        kept = _kept_summary(run_id)
        if kept is None:
            if not os.path.exists(os.path.join(paths.run(run_id), "plan.json")):
                continue
            try:
                kept = load(run_id).summary()
            except ColonyError as error:
                if os.path.exists(os.path.join(paths.run(run_id), "plan.json")):  # else it has been removed meanwhile
                    _tell_skipped(run_id, error)
                continue
        if workflow is None or kept["workflow"] == workflow:
            yield kept


def is_alive(run_id: str) -> bool:
    """Whether a process is running it now."""
    return locks.is_held(paths.run_lock(run_id, "alive"))


def workflow_of(run_id: str) -> str:
    """The name of the workflow that it is a run of. ColonyError when that cannot be read."""
    kept = _kept_summary(run_id)
    return str(kept["workflow"] if kept is not None else load(run_id).plan["name"])


def is_completed(run_id: str) -> bool:
    """Whether the run's kept history line says that it is completed; without such a line only its journal knows."""
    kept = _kept_summary(run_id)
    return kept is not None and kept.get("status") == "completed"


def _kept_summary(run_id: str) -> Record | None:
    folder = paths.run(run_id)
    try:
        kept = files.read_json(os.path.join(folder, "summary.json"), None, follow=False)
        size = os.stat(os.path.join(folder, "journal.jsonl")).st_size
    except (ColonyError, OSError):
        return None
    if not runcheck.summary(kept, run_id) or kept.get("journal_bytes") != size:
        return None
    found = {key: value for key, value in kept.items() if key not in ("v", "journal_bytes")}
    return {**found, "rerun_of": found.get("rerun_of"), "only": found.get("only")}  # older versions knew no reruns


def keep_summary(run: Run) -> None:
    """Write the finished run's history line beside its journal."""
    if run.ended_status in (None, "interrupted"):
        return  # whether such a run is alive again is asked of its lock, each time
    size = os.stat(os.path.join(run.folder, "journal.jsonl")).st_size
    path = os.path.join(run.folder, "summary.json")
    try:
        files.write_json(path, {"v": 1, **run.summary(), "journal_bytes": size}, indent=None, durable=False)
    except ColonyError:
        return  # the next listing folds the journal instead; what became of the run is recorded


# -- the journal


class Journal:
    """The run's journal held open for appending by one process."""

    __slots__ = ("_fd", "_lock", "path")

    def __init__(self, run_id: str) -> None:
        self.path = os.path.join(paths.run(run_id), "journal.jsonl")
        self._fd = jsonl.open_append(self.path)
        self._lock = locks.held(paths.run_lock(run_id, "journal"), what="the run's journal", keep_open=True)

    def append(self, *records: Record) -> None:
        """Append records (`record` makes them); they survive any kill, a power cut only after `sync`."""
        with self._lock:
            jsonl.append_to(self._fd, self.path, records)

    def sync(self) -> None:
        jsonl.sync(self._fd, self.path)

    def close(self) -> None:
        os.close(self._fd)
        self._lock.close()


def record(kind: str, **fields: Any) -> Record:
    """A record for the journal, with its id, time and version."""
    return {"v": 1, "id": clock.new_id(), "ts": clock.now(), "type": kind, **fields}


def cancel_file(run_id: str) -> str:
    """The file whose being there asks the run's processes to end it."""
    return os.path.join(paths.run(run_id), "cancel.json")
