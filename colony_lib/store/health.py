"""The checks of `colony health`: what of this machine and this colony would make work go wrong."""

from __future__ import annotations

import os
import sys
import time

from colony_lib.base import clock, files, jsonl, locks
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import plural
from colony_lib.store import env, paths

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
    "cronsim": ("cronsim", "colony cron", False),
    "anthropic": ("anthropic", "agents with the runner 'api'", False),
}
LITTLE_SPACE, TOO_LITTLE_SPACE = 1 << 30, 50 << 20  # bytes
SLOW_FSYNC = 0.5  # seconds
CLOCK_SLACK = 300.0  # seconds that files may lie in the future
_TEMPORARY = r"\..+\.(\d+)\.[0-9a-f]{8}\.tmp\Z"  # as base.files names them


def _found(check: str, status: str, message: str, fix: str | None = None) -> Record:
    return {"check": check, "status": status, "message": message, "fix": fix}


def checks() -> Iterator[Record]:
    """Each check's {check, status: ok | warn | fail, message, fix} as it is done; schemas/health.schema.json."""
    for check in MACHINE:
        yield from _guarded(check)
    try:
        root = paths.root()
    except ColonyError as error:
        yield _found("colony", "fail", error.what, error.fix)
        return
    yield _found("colony", "ok", root)
    for check in COLONY:
        yield from _guarded(check)


def _guarded(check: Callable[[], Iterator[Record]]) -> Iterator[Record]:
    """A check that breaks is a finding by itself, and does not stop the others."""
    name = check.__name__.strip("_")
    try:
        yield from check()
    except ColonyError as error:
        yield _found(name, "fail", f"{error.what} at {error.where}" if error.where else error.what, error.fix)
    except OSError as error:
        where = f" '{error.filename}'" if error.filename else ""
        yield _found(name, "fail", f"{error.strerror}{where}", "check the disk and the permissions")


# -- the machine


def _python() -> Iterator[Record]:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 - a checkout is run with whatever python3 there is
        yield _found("python", "fail", f"{version} is too old", "install Python 3.11 or newer")
    else:
        yield _found("python", "ok", f"{version}, {sys.executable}")


def _packages() -> Iterator[Record]:
    import importlib.metadata
    import importlib.util

    present = []
    for module, (package, used_by, vital) in PACKAGES.items():
        if importlib.util.find_spec(module) is None:
            yield _found(
                "packages", "fail" if vital else "warn", f"{package} is missing: {used_by}", f"pip install {package}"
            )
            continue
        try:
            present.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            present.append(package)
    if present:
        yield _found("packages", "ok", ", ".join(present))


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
        yield _found("clock", "warn", message, "set the clock (timedatectl set-ntp true)")
    else:
        yield _found("clock", "ok", clock.stamp(now))


# -- the colony's folder


def _writing() -> Iterator[Record]:
    path = paths.cache(f"health-{os.getpid()}")
    began = time.monotonic()
    files.write_text(path, "written, synced, renamed\n")
    took = time.monotonic() - began
    same = files.read_text(path) == "written, synced, renamed\n"
    os.unlink(path)
    if not same:
        yield _found("writing", "fail", "a file came back changed", "move the colony to another file system")
    elif took > SLOW_FSYNC:
        fix = "use a local disk, not a network file system"
        yield _found("writing", "warn", f"an fsynced write took {took * 1000:.0f} ms", fix)
    else:
        yield _found("writing", "ok", f"an fsynced write takes {took * 1000:.1f} ms")


def _disk() -> Iterator[Record]:
    state = os.statvfs(paths.root())
    free = state.f_bavail * state.f_frsize
    shown = f"{free / (1 << 30):,.1f} GiB free" if free >= 1 << 30 else f"{free / (1 << 20):,.0f} MiB free"
    if free < TOO_LITTLE_SPACE:
        yield _found("disk", "fail", shown, "free some space")
    elif free < LITTLE_SPACE:
        yield _found("disk", "warn", shown, "free some space")
    elif state.f_files and state.f_favail < 1000:
        yield _found("disk", "fail", f"{shown}, but only {state.f_favail} files more can be made", "remove some files")
    else:
        yield _found("disk", "ok", shown)


def _locks() -> Iterator[Record]:
    """Whether a lock that one process holds keeps another out, and lets it in afterwards."""
    path = paths.lock("health")
    with locks.held(path, what="another 'colony health'"):
        kept_out = not _can_hold_elsewhere(path)
    if not kept_out:
        fix = "move the colony to a file system with working locks (not all network ones have them)"
        yield _found("locks", "fail", "two processes held one lock at once", fix)
    else:
        yield _found("locks", "ok", "a held lock keeps other processes out")


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
        yield _found(
            "definitions", "fail", f"{plural(len(wrong), 'problem')}, the first: {wrong[0]}", "colony validate"
        )
    else:
        yield _found("definitions", "ok", f"{plural(checked, 'file')} checked")


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
        yield _found("journals", "warn", message, "they are skipped and kept; mend or remove them by hand")
    else:
        yield _found("journals", "ok", f"{plural(count, 'journal')} read")


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
    """Temporary files whose writers are dead."""
    import re

    pattern = re.compile(_TEMPORARY)
    dead = []
    for folder in (".colony", "staging", "reports", "metrics"):
        for place, folders, names in os.walk(os.path.join(paths.root(), folder)):
            folders[:] = [name for name in folders if name != "worktrees"]
            for name in names:
                match = pattern.match(name)
                if match and not _is_process(int(match.group(1))):
                    dead.append(os.path.relpath(os.path.join(place, name), paths.root()))
    if dead:
        import shlex

        message = f"{plural(len(dead), 'temporary file')} of killed writers"
        yield _found("leftovers", "warn", message, f"cd {shlex.quote(paths.root())} && rm {shlex.join(dead[:20])}")
    else:
        yield _found("leftovers", "ok", "no temporary files of killed writers")


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
        yield _found("runs", "warn", f"{plural(len(broken), 'run')} interrupted", f"colony workflow resume {broken[0]}")
    else:
        yield _found("runs", "ok", plural(len(survey.live), "live run") if survey.live else "none is interrupted")


# -- what agents and schedules need


def _settings() -> Record | None:
    """The configuration, when it is valid; what is wrong with it is said by another check."""
    from colony_lib.store import config

    try:
        return config.load()
    except ColonyError:
        return None


def _git() -> Iterator[Record]:
    settings = _settings() or {"shared_state": {"backend": "files", "location": "in-repo"}, "agents": []}
    wanted = settings["shared_state"]["backend"] == "git-backed" and "shared_state is git-backed"
    wanted = wanted or next(
        (f"agent '{a['id']}' has a worktree_branch" for a in settings["agents"] if a["worktree_branch"]), None
    )
    version = _output(["git", "--version"])
    if version is None:
        yield _found(
            "git", "warn", f"not found, and {wanted}" if wanted else "not found; nothing here needs it", "install git"
        )
    elif wanted and _output(["git", "-C", paths.root(), "rev-parse", "--is-inside-work-tree"]) != "true":
        yield _found("git", "warn", f"{wanted}, but this folder is in no git repository", "git init")
    else:
        yield _found("git", "ok", version)


def _output(words: list[str]) -> str | None:
    """What the program prints; None when it is not there, fails, or takes ten seconds."""
    import subprocess

    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip()


def _cron() -> Iterator[Record]:
    from shutil import which

    from colony_lib.store import checkup

    wanted = checkup.scheduled()
    if not wanted:
        yield _found("cron", "ok", "no workflow has a schedule")
    elif which("crontab") is None:
        message = f"'{wanted[0]}' has a schedule, but there is no crontab command"
        yield _found("cron", "warn", message, "install cron, or start the workflow by other means")
    elif not _cron_runs():
        yield _found(
            "cron",
            "warn",
            f"'{wanted[0]}' has a schedule, but no cron daemon runs",
            "start cron (systemctl start cron)",
        )
    else:
        yield _found(
            "cron", "ok", f"{plural(len(wanted), 'workflow')} with a schedule; 'colony cron list' shows the lines"
        )


def _cron_runs() -> bool:
    """Whether a cron daemon is among the processes; where they cannot be listed, the benefit of the doubt."""
    if not os.path.isdir("/proc/1"):
        return True
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and files.read_text(f"/proc/{name}/comm").strip() in (
                "cron",
                "crond",
                "fcron",
                "dcron",
                "cronie",
            ):
                return True
        except (ColonyError, OSError):
            continue  # the process has ended meanwhile
    return False


def _agents() -> Iterator[Record]:
    """What each agent needs: its variables, its runner's key or program."""
    from colony_lib.store import config, models

    settings = _settings()
    if settings is None:
        return
    fine = True
    for agent in settings["agents"]:
        try:
            config.agent_env(agent)
        except ColonyError as error:
            fine = False
            yield _found("agents", "warn", f"{error.what} at {error.where}" if error.where else error.what, error.fix)
    for warning in {models.resolve(agent, settings)["warning"] for agent in settings["agents"]} - {None}:
        fine = False
        yield _found("agents", "warn", str(warning), "write a model of today in colony.yml, or set COLONY_MODEL")
    if fine:
        yield _found("agents", "ok", f"{plural(len(settings['agents']), 'agent')}; all variables are set")
    yield from _runners({agent["runner"] for agent in settings["agents"]})


def _runners(used: set[str]) -> Iterator[Record]:
    from shutil import which

    if "api" in used and not env.get("ANTHROPIC_API_KEY"):
        fix = "export ANTHROPIC_API_KEY=… before a step that asks a model; steps with 'run:' need none"
        yield _found("key", "warn", "ANTHROPIC_API_KEY is not set", fix)
    elif "api" in used:
        yield _found("key", "ok", "ANTHROPIC_API_KEY is set")
    if "claude-code" in used and which("claude") is None:
        yield _found(
            "claude", "warn", "the 'claude' command is not found", "install Claude Code, or use the runner 'api'"
        )


def _env_file() -> Iterator[Record]:
    from colony_lib.store import config

    settings = _settings()
    name = settings["env_file"] if settings else None
    if not name:
        return
    path = os.path.join(paths.root(), os.path.expanduser(name))
    if not os.path.exists(path):
        yield _found("env_file", "warn", f"'{name}' does not exist", "write it, or take env_file out of colony.yml")
        return
    count = len(config.env_file_values(name))
    if os.stat(path).st_mode & 0o044:
        yield _found("env_file", "warn", f"'{name}' can be read by other users", f"chmod 600 {name}")
    else:
        yield _found("env_file", "ok", f"{plural(count, 'variable')} in '{name}'")


MACHINE = (_python, _packages, _clock)
COLONY = (_writing, _disk, _locks, _definitions, _journals, _leftovers, _runs, _agents, _env_file, _git, _cron)
