"""The checks of `colony health` for what agents, shared state and schedules need from outside the colony."""

from __future__ import annotations

import os

from colony_lib.base import files, landlock, seal
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import plural
from colony_lib.store import env, paths
from colony_lib.store.health import finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Record = dict[str, Any]


def _settings() -> Record | None:
    """The configuration, when it is valid; what is wrong with it is said by another check."""
    from colony_lib.store import config

    try:
        return config.load()
    except ColonyError:
        return None


def _git() -> Iterator[Record]:
    settings = _settings() or {"shared_state": {"backend": "files", "location": "in-repo"}, "agents": []}
    worktree = next(
        (f"agent '{a['id']}' has a worktree_branch" for a in settings["agents"] if a["worktree_branch"]), None
    )
    shared = "shared_state is git-backed" if settings["shared_state"]["backend"] == "git-backed" else None
    wanted = shared or worktree
    needs_repository = (shared if settings["shared_state"]["location"] == "in-repo" else None) or worktree
    version = _output(["git", "--version"])
    if version is None:
        yield finding(
            "git", "warn", f"not found, and {wanted}" if wanted else "not found; nothing here needs it", "install git"
        )
    elif needs_repository and _output(["git", "-C", paths.root(), "rev-parse", "--is-inside-work-tree"]) != "true":
        yield finding("git", "warn", f"{needs_repository}, but this folder is in no git repository", "git init")
    else:
        yield finding("git", "ok", version)


def _shared_state() -> Iterator[Record]:
    """What would keep `colony state sync` from sharing the state; nothing is said where it is not to be shared, and
    the remote is not asked."""
    settings = _settings()
    if settings is None or settings["shared_state"]["backend"] != "git-backed" or _output(["git", "--version"]) is None:
        return
    from colony_lib.store import statesync

    for status, message, fix in statesync.obstacles():
        yield finding("state", status, message, fix)


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
        yield finding("cron", "ok", "no workflow has a schedule")
    elif which("crontab") is None:
        message = f"'{wanted[0]}' has a schedule, but there is no crontab command"
        yield finding("cron", "warn", message, "install cron, or start the workflow by other means")
    else:
        runs = _cron_runs()
        if not runs:
            message = f"'{wanted[0]}' has a schedule, but no cron daemon runs"
            yield finding("cron", "warn", message, "start cron (systemctl start cron)")
        missing = _not_installed(wanted)
        if missing:
            message = f"'{missing[0]}' has a schedule, but no line in the crontab"
            yield finding("cron", "warn", message, "colony cron install")
        elif runs:
            message = f"{plural(len(wanted), 'workflow')} with a schedule; 'colony cron list' shows the lines"
            yield finding("cron", "ok", message)


def _not_installed(wanted: list[str]) -> list[str]:
    """Those of the workflows that the crontab does not start: neither by this colony's block nor by a line of
    somebody's own that names them, or ticks for all."""
    import re

    from colony_lib.store import crontab

    table = crontab.read()
    there = crontab.entries(table, paths.root())
    lines = b"\n".join(line for line in table.split(b"\n") if not line.lstrip().startswith(b"#"))
    if re.search(rb"cron'? tick *(?:$|[>|;&])", lines, re.MULTILINE):
        return []
    named = set(re.findall(rb"[A-Za-z0-9._-]+", lines))
    return [name for name in wanted if name not in there and name.encode() not in named]


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
            yield finding("agents", "warn", f"{error.what} at {error.where}" if error.where else error.what, error.fix)
    for warning in {models.resolve(agent, settings)["warning"] for agent in settings["agents"]} - {None}:
        fine = False
        yield finding("agents", "warn", str(warning), "write a model of today in colony.yml, or set COLONY_MODEL")
    if fine:
        yield finding("agents", "ok", f"{plural(len(settings['agents']), 'agent')}; all variables are set")
    yield from _runners({agent["runner"] for agent in settings["agents"]})


def _runners(used: set[str]) -> Iterator[Record]:
    from shutil import which

    if "api" in used and not env.get("ANTHROPIC_API_KEY"):
        fix = "export ANTHROPIC_API_KEY=… before a step that asks a model; steps with 'run:' need none"
        yield finding("key", "warn", "ANTHROPIC_API_KEY is not set", fix)
    elif "api" in used:
        yield finding("key", "ok", "ANTHROPIC_API_KEY is set")
    if "claude-code" in used and which("claude") is None:
        yield finding(
            "claude", "warn", "the 'claude' command is not found", "install Claude Code, or use the runner 'api'"
        )


def _confinement() -> Iterator[Record]:
    """What of the bounds around agents' tools this machine cannot hold."""
    settings = _settings()
    if settings is None or all(agent["runner"] != "api" for agent in settings["agents"]):
        return
    version = landlock.abi()
    fine = True
    if version == 0:
        fine = False
        message = (
            "this kernel has no Landlock: what agents' tools write and read is checked by Colony's own tools only, and "
            "a command that an agent runs in bash can do what you can, and see your processes' environment"
        )
        fix = (
            "use a kernel from 5.13 on with 'landlock' in its lsm= list, or give agents no bash: tools: [files, colony]"
        )
        yield finding("confinement", "warn", message, fix)
    if not _network_can_be_closed():
        fine = False
        left = "may use UDP all the same" if version >= 4 else "have it all the same"
        fix = "allow seccomp or user namespaces, or run Colony where there is no network"
        yield finding("confinement", "warn", f"agents' tools without 'network: true' {left}", fix)
    if 0 < version < 6:
        fine = False
        message = f"Landlock is of ABI {version}, before 6: agents' tools can send signals to your other processes"
        yield finding("confinement", "warn", message, "use a kernel from 6.12 on")
    if fine:
        message = f"Landlock ABI {version}: agents' tools are kept to their folders, and from the network"
        yield finding("confinement", "ok", message)


def _network_can_be_closed() -> bool:
    """Tried in another process, for it is for good."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            seal.no_new_privileges()
            code = 0 if seal.no_network() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _env_file() -> Iterator[Record]:
    from colony_lib.store import config

    settings = _settings()
    name = settings["env_file"] if settings else None
    if not name:
        return
    path = config.env_file_path(name)
    if not os.path.exists(path):
        yield finding("env_file", "warn", f"'{name}' does not exist", "write it, or take env_file out of colony.yml")
        return
    count = len(config.env_file_values(name))
    if os.stat(path).st_mode & 0o044:
        yield finding("env_file", "warn", f"'{name}' can be read by other users", f"chmod 600 {name}")
    else:
        yield finding("env_file", "ok", f"{plural(count, 'variable')} in '{name}'")


CHECKS = (_agents, _confinement, _env_file, _git, _shared_state, _cron)
