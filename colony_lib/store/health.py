"""The checks of `colony health`: what of this machine and this colony would make work go wrong."""

from __future__ import annotations

import os
import sys
import time

from colony_lib.base import clock, files, jsonl, locks
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import plural
from colony_lib.store import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Record = dict[str, Any]

# module: package, what needs it, and whether nothing works without it.
PACKAGES = {
    "yaml": ("pyyaml", "reading colony.yml and workflows", True),
    "jsonschema": ("jsonschema", "checking colony.yml and workflows", True),
    "requests": ("requests", "colony fetch", False),
    "pandas": ("pandas", "colony transform, validate-data and load", False),
    "duckdb": ("duckdb", "colony load", False),
    "anthropic": ("anthropic", "agents with the runner 'api'", False),
}
LITTLE_SPACE, TOO_LITTLE_SPACE = 1 << 30, 50 << 20  # bytes
SLOW_FSYNC = 0.5  # seconds
CLOCK_SLACK = 300.0  # seconds that files may lie in the future


def finding(check: str, status: str, message: str, fix: str | None = None) -> Record:
    return {"check": check, "status": status, "message": message, "fix": fix}


def checks() -> Iterator[Record]:
    """Each check's {check, status: ok | warn | fail, message, fix} as it is done; schemas/health.schema.json."""
    for check in MACHINE:
        yield from _guarded(check)
    try:
        root = paths.root()
    except ColonyError as error:
        yield finding("colony", "fail", error.what, error.fix)
        return
    yield finding("colony", "ok", root)
    from colony_lib.store import health_needs, health_place

    for check in (*health_place.CHECKS, *FOLDER, *health_needs.CHECKS):
        yield from _guarded(check)


def _guarded(check: Callable[[], Iterator[Record]]) -> Iterator[Record]:
    """A check that breaks is a finding by itself, and does not stop the others."""
    name = check.__name__.strip("_")
    try:
        yield from check()
    except ColonyError as error:
        yield finding(name, "fail", f"{error.what} at {error.where}" if error.where else error.what, error.fix)
    except OSError as error:
        where = f" '{error.filename}'" if error.filename else ""
        yield finding(name, "fail", f"{error.strerror}{where}", "check the disk and the permissions")


# -- the machine


def _python() -> Iterator[Record]:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 - a checkout is run with whatever python3 there is
        yield finding("python", "fail", f"{version} is too old", "install Python 3.11 or newer")
    else:
        yield finding("python", "ok", f"{version}, {sys.executable}")


def _packages() -> Iterator[Record]:
    import importlib.metadata
    import importlib.util

    present = []
    for module, (package, used_by, vital) in PACKAGES.items():
        if importlib.util.find_spec(module) is None:
            yield finding(
                "packages", "fail" if vital else "warn", f"{package} is missing: {used_by}", f"pip install {package}"
            )
            continue
        try:
            present.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            present.append(package)
    if present:
        yield finding("packages", "ok", ", ".join(present))


def _clock() -> Iterator[Record]:
    """A clock that stands before what it has already stamped."""
    now = time.time()
    newest, of = os.stat(__file__).st_mtime, "Colony itself"
    root = paths.root_or_none()
    for path in [os.path.join(root, "colony.yml"), os.path.join(root, ".colony", "runs")] if root else []:
        if os.path.exists(path) and os.stat(path).st_mtime > newest:
            newest, of = os.stat(path).st_mtime, path
    if newest > now + CLOCK_SLACK:
        message = f"it is {clock.stamp(now)}, but {of} is from {clock.stamp(newest)}"
        yield finding("clock", "warn", message, "set the clock (timedatectl set-ntp true)")
    else:
        yield finding("clock", "ok", clock.stamp(now))


# -- the colony's folder


def _writing() -> Iterator[Record]:
    path = paths.cache(f"health-{os.getpid()}")
    began = time.monotonic()
    files.write_text(path, "written, synced, renamed\n")
    took = time.monotonic() - began
    same = files.read_text(path) == "written, synced, renamed\n"
    os.unlink(path)
    if not same:
        yield finding("writing", "fail", "a file came back changed", "move the colony to another file system")
    elif took > SLOW_FSYNC:
        fix = "use a local disk, not a network file system"
        yield finding("writing", "warn", f"an fsynced write took {took * 1000:.0f} ms", fix)
    else:
        yield finding("writing", "ok", f"an fsynced write takes {took * 1000:.1f} ms")


def _disk() -> Iterator[Record]:
    state = os.statvfs(paths.root())
    free = state.f_bavail * state.f_frsize
    shown = f"{free / (1 << 30):,.1f} GiB free" if free >= 1 << 30 else f"{free / (1 << 20):,.0f} MiB free"
    if free < TOO_LITTLE_SPACE:
        yield finding("disk", "fail", shown, "free some space")
    elif free < LITTLE_SPACE:
        yield finding("disk", "warn", shown, "free some space")
    elif state.f_files and state.f_favail < 1000:
        yield finding("disk", "fail", f"{shown}, but only {state.f_favail} files more can be made", "remove some files")
    else:
        yield finding("disk", "ok", shown)


def _locks() -> Iterator[Record]:
    """Whether a lock that one process holds keeps another out, and lets it in afterwards."""
    path = paths.lock("health")
    with locks.held(path, what="another 'colony health'"):
        kept_out = not _can_hold_elsewhere(path)
    if not kept_out:
        fix = "move the colony to a file system with working locks (not all network ones have them)"
        yield finding("locks", "fail", "two processes held one lock at once", fix)
    else:
        yield finding("locks", "ok", "a held lock keeps other processes out")


def _filesystem() -> Iterator[Record]:
    """Between whom the locks of the colony's file system hold."""
    from colony_lib.store import mounts

    mount = mounts.of(paths.root())
    if mount is None:
        return  # not a Linux that shows its mounts: the test of a lock, above, is all there is to go by
    kind, point, options = mount
    reach, why = mounts.locking(kind, options)
    shown = f"{kind} at {point}"
    if reach == "local":
        yield finding("filesystem", "ok", f"{shown}: local, for runs on this machine")
    elif reach == "shared":
        yield finding("filesystem", "ok", f"{shown}: {why}, also for other machines")
    else:
        held = "no locks" if reach == "none" else "locks hold on this machine only"
        fix = "work there from one machine alone, or use NFSv4, NFSv3 with its lock service, or Lustre with 'flock'"
        yield finding("filesystem", "fail" if reach == "none" else "warn", f"{shown}: {held} ({why})", fix)


def _can_hold_elsewhere(path: str) -> bool:
    """Whether another process can hold the lock just now."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            code = 1 if locks.try_hold(path) is None else 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, 1):
        raise ColonyError("a lock could not be asked for", where=path, fix="check the permissions of .colony/locks")
    return code == 0


def _definitions() -> Iterator[Record]:
    from colony_lib.store import checkup

    wrong, checked = checkup.problems()
    if wrong:
        yield finding(
            "definitions", "fail", f"{plural(len(wrong), 'problem')}, the first: {wrong[0]}", "colony validate"
        )
    else:
        yield finding("definitions", "ok", f"{plural(checked, 'file')} checked")


def _journals() -> Iterator[Record]:
    wrong: list[tuple[str, int, str]] = []
    count = 0
    for path in _journal_files():
        count += 1
        try:
            for _ in jsonl.iterate(path, wrong):
                pass
        except ColonyError as error:
            wrong.append((path, 0, error.what))
    if wrong:
        path, line, why = wrong[0]
        where = f"{os.path.relpath(path, paths.root())}:{line}" if line else os.path.relpath(path, paths.root())
        message = f"{plural(len(wrong), 'unreadable line')}, the first at {where}: {why}"
        yield finding("journals", "warn", message, "they are skipped and kept; mend or remove them by hand")
    else:
        yield finding("journals", "ok", f"{plural(count, 'journal')} read")


def _journal_files() -> Iterator[str]:
    for folder in (paths.state_folder(), paths.logs_folder(), paths.metrics_folder(), paths.messages_folder()):
        if os.path.isdir(folder):
            yield from sorted(entry.path for entry in os.scandir(folder) if entry.name.endswith(".jsonl"))
    if os.path.isdir(paths.runs_folder()):
        for entry in sorted(os.scandir(paths.runs_folder()), key=lambda entry: entry.name):
            path = os.path.join(entry.path, "journal.jsonl")
            if os.path.lexists(path):
                yield path


def _leftovers() -> Iterator[Record]:
    """Temporary files, and folders of runs that were to be removed, whose writers are dead."""
    import re
    import shlex

    pattern = re.compile(files.TEMPORARY)
    dead = []
    for folder in (".colony", "staging", "reports", "metrics"):
        for place, folders, names in os.walk(os.path.join(paths.root(), folder)):
            folders[:] = [name for name in folders if name != "worktrees"]
            for name in [*names, *folders]:
                match = pattern.match(name)
                if match and not _is_process(int(match.group(1))):
                    dead.append(os.path.relpath(os.path.join(place, name), paths.root()))
            folders[:] = [name for name in folders if not pattern.match(name)]
    if dead:
        message = f"{plural(len(dead), 'temporary file')} of killed writers"
        yield finding("leftovers", "warn", message, f"cd {shlex.quote(paths.root())} && rm -r {shlex.join(dead[:20])}")
    left = _scratch_of_the_dead()
    if left:
        message = f"{plural(len(left), 'folder')} of killed steps' output"
        yield finding("leftovers", "warn", message, f"rm -r {shlex.join(left[:20])}")
    if not dead and not left:
        yield finding("leftovers", "ok", "no temporary files of killed writers")


def _scratch_of_the_dead() -> list[str]:
    """The folders of work/pool.new_scratch that killed processes of this colony's runs have left."""
    from colony_lib.store import runs

    folder = paths.scratch_folder()
    known = {f"colony-{run_id}": run_id for run_id in runs.ids()}
    found = [(name, known.get(name.rpartition("-")[0])) for name in sorted(os.listdir(folder))]
    return [os.path.join(folder, name) for name, run_id in found if run_id and not runs.is_anything_alive(run_id)]


def _is_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _runs() -> Iterator[Record]:
    from colony_lib.store import agents

    survey = agents.Survey()
    broken = [summary["run_id"] for summary in survey.bad if summary["status"] == "interrupted"]
    if broken:
        yield finding(
            "runs", "warn", f"{plural(len(broken), 'run')} interrupted", f"colony workflow resume {broken[0]}"
        )
    else:
        yield finding("runs", "ok", plural(len(survey.live), "live run") if survey.live else "none is interrupted")


MACHINE = (_python, _packages, _clock)
FOLDER = (_writing, _disk, _locks, _filesystem, _definitions, _journals, _leftovers, _runs)
