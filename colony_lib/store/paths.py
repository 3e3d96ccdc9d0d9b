"""Where things are: finds the colony's root, and spells every name inside it."""

from __future__ import annotations

import os

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import check_name, escape
from colony_lib.store import env

_root: str | None = None


def use(root: str | None) -> None:
    """Make that folder the root for this process (`colony -C`, tests); None looks for it anew."""
    global _root
    _root = None if root is None else os.path.realpath(root)


def find(start: str) -> str | None:
    """The nearest folder from `start` upwards that holds `.colony/`; from inside an agent's git worktree the
    colony that the worktree belongs to."""
    folder = os.path.realpath(start)
    mark = f"{os.sep}.colony{os.sep}worktrees{os.sep}"
    if mark in folder + os.sep:
        outer = (folder + os.sep).split(mark)[0]
        if os.path.isdir(os.path.join(outer, ".colony")):
            return outer
    while not os.path.isdir(os.path.join(folder, ".colony")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    return folder


def root_or_none() -> str | None:
    """The root, or None where there is no colony."""
    global _root
    if _root is None:
        named = env.get("COLONY_ROOT")
        if named:
            if not os.path.isdir(os.path.join(named, ".colony")):
                raise ColonyError(
                    f"COLONY_ROOT is '{escape(named)}', which holds no .colony folder",
                    fix="unset it, or run 'colony init' there",
                    code=USAGE,
                )
            _root = os.path.realpath(named)
        else:
            try:
                here = os.getcwd()
            except FileNotFoundError:
                raise ColonyError(
                    "the working directory is gone", fix="cd to a folder that is there", code=USAGE
                ) from None
            _root = find(here)
    return _root


def root() -> str:
    """The root; ColonyError (USAGE) where there is no colony."""
    found = root_or_none()
    if found is None:
        raise ColonyError(
            f"no colony in '{escape(os.getcwd())}' or above it",
            fix="run 'colony init' here, or name one with 'colony -C DIR' or COLONY_ROOT",
            code=USAGE,
        )
    return found


def inside(*names: str) -> str:
    """A path under `.colony/`."""
    return os.path.join(root(), ".colony", *names)


def agent_state(agent: str) -> str:
    return inside("agents", check_name(agent, "agent") + ".json")


def alerts() -> str:
    """Which events were to be told to somebody, and which were sent."""
    return inside("alerts", "alerts.jsonl")


def cache(name: str) -> str:
    return inside("cache", name + ".json")


def config_file() -> str:
    return os.path.join(root(), "colony.yml")


def document(name: str) -> str:
    return inside("state", check_name(name.removesuffix(".json"), "document") + ".json")


def lease(name: str) -> str:
    """The lock file that a lease names: 'leases/ID', 'agents/ID' or 'runs/RUN/SLOT'. ColonyError for other names:
    a lease may have come by a sync."""
    kind, *rest = name.split("/")
    if (kind, len(rest)) not in (("leases", 1), ("agents", 1), ("runs", 2)):
        raise ColonyError(f"'{escape(name)}' is not the name of a lease")
    if kind == "agents":
        return lock(f"agents/{check_name(rest[0], 'agent')}")
    *folders, name = (check_name(part, "lease") for part in rest)
    return inside("locks", kind, *folders, name + ".lock")


def leases_folder() -> str:
    return inside("locks", "leases")


def field_times(name: str) -> str:
    """When the fields of a document were written since it was last shared."""
    return inside("state", "." + os.path.basename(document(name)) + ".times")


def lineage_folder() -> str:
    return inside("lineage")


def lock(name: str) -> str:
    """The lock file for a thing; a name with slashes is one file ('runs/x' → locks/runs-x.lock)."""
    return inside("locks", name.replace("/", "-") + ".lock")


def locks_folder() -> str:
    return inside("locks")


def log(agent: str) -> str:
    return inside("logs", check_name(agent, "agent") + ".jsonl")


def logs_folder() -> str:
    return inside("logs")


def memory() -> str:
    return inside("state", "memory.jsonl")


def messages() -> str:
    return inside("messages", "messages.jsonl")


def messages_folder() -> str:
    return inside("messages")


def metric(name: str) -> str:
    return inside("metrics", check_name(name, "metric") + ".jsonl")


def metrics_folder() -> str:
    return inside("metrics")


def replica() -> str:
    return inside("locks", "replica.json")


def models_file() -> str:
    """What the colony's people say of models, besides what comes with Colony."""
    return inside("models.json")


def spending(day: str) -> str:
    """The ledger of one day (YYYY-MM-DD, UTC): what agents' requests were to cost, and cost."""
    return inside("spending", check_name(day, "day") + ".jsonl")


def spending_folder() -> str:
    return inside("spending")


def own_claims() -> str:
    """Which claims were made on this machine; it lies in the state folder and is not shared."""
    return inside("state", ".claims.json")


def run(run_id: str) -> str:
    return inside("runs", check_name(run_id, "run"))


def attempt(run_id: str, step: str, batch: int | None, number: int) -> str:
    """The folder of what one attempt left: its streams, its transcript, a large output."""
    part = [] if batch is None else [f"batch-{batch}"]
    return os.path.join(run(run_id), "steps", step, *part, str(number))


def agent_inbox(agent: str) -> str:
    """Which messages have reached the agent."""
    return inside("agents", check_name(agent, "agent") + ".inbox.json")


def run_lock(run_id: str, name: str) -> str:
    """A lock of one run: 'alive' (its engine), 'journal', or the slot that an attempt runs in."""
    return inside("locks", "runs", check_name(run_id, "run"), check_name(name, "lock") + ".lock")


def runs_folder() -> str:
    return inside("runs")


def schedule(workflow: str) -> str:
    """What is remembered of a workflow's schedule."""
    return inside("schedules", check_name(workflow, "workflow") + ".json")


def scratch_folder() -> str:
    """Where the system keeps temporary files; outside the colony."""
    named = env.get("TMPDIR")
    return named if named and os.path.isdir(named) else "/tmp"


def state_folder() -> str:
    return inside("state")


def task_index() -> str:
    return inside("cache", "tasks.sqlite")


def state_file(name: str) -> str:
    """A file of the shared state by its name in the branch: 'tasks.jsonl', '.fields/NAME.jsonl'."""
    return inside("state", *name.split("/"))


def state_worktree_making() -> str:
    """Where git makes the worktree that the state folder then becomes; its name is the worktree's in git."""
    return inside("cache", "colony-state")


def tasks() -> str:
    return inside("state", "tasks.jsonl")


def worktree(agent: str) -> str:
    """The top of an agent's own git worktree."""
    return inside("worktrees", check_name(agent, "agent"))


def worktree_root(agent: str) -> str:
    """Where the agent works in it: at the place that the colony's root has in its own repository, which may lie above
    the root."""
    top = root()
    while not os.path.lexists(os.path.join(top, ".git")):
        if os.path.dirname(top) == top:
            return worktree(agent)
        top = os.path.dirname(top)
    return os.path.normpath(os.path.join(worktree(agent), os.path.relpath(root(), top)))


def workflow_folder() -> str:
    return inside("workflows")


def worktree_making(agent: str) -> str:
    """Where git makes the worktree; its name is the worktree's in git."""
    return inside("worktrees", ".making", check_name(agent, "agent"))


def worktree_aside(name: str) -> str:
    """Where something is put that was in a worktree's way."""
    return inside("worktrees", ".aside", name)


def shown(path: str) -> str:
    """The path as errors show it: from the working directory when it lies in it, else whole."""
    try:
        relative = os.path.relpath(path)
    except OSError:  # the working directory is gone
        return path
    return path if relative.startswith("..") else relative


def journals_in(folder: str, kind: str) -> list[str]:
    """The names of the journals (NAME.jsonl) in a folder, sorted; what is no regular file or no safe name is none."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".jsonl") and entry.is_file(follow_symlinks=False):
                    found.append(entry.name.removesuffix(".jsonl"))
    except FileNotFoundError:
        return []
    return sorted(name for name in found if _is_name(name, kind))


def _is_name(name: str, kind: str) -> bool:
    try:
        return bool(check_name(name, kind))
    except ColonyError:
        return False
