"""The checks of `colony health` for what shared state and schedules need from outside the colony."""

from __future__ import annotations

import os

from colony_lib.base import files
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import plural
from colony_lib.store import health_agents, paths
from colony_lib.store.health import finding
from colony_lib.store.health_agents import settings_or_none

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Record = dict[str, Any]


def _git() -> Iterator[Record]:
    settings = settings_or_none() or {"shared_state": {"backend": "files", "location": "in-repo"}, "agents": []}
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
    elif needs_repository:
        yield _repository(needs_repository, worktree, version)
    else:
        yield finding("git", "ok", version)


def _repository(why: str, worktree: str | None, version: str) -> Record:
    """Whether the folder's repository is one, is trusted by git, and has a commit that worktrees can begin at."""
    import shlex

    from colony_lib.store import git

    done = git.run(["rev-parse", "--is-inside-work-tree"], cwd=paths.root())
    if "dubious ownership" in done.err:
        fix = f"git config --global --add safe.directory {shlex.quote(paths.root())}"
        return finding("git", "warn", f"{why}, but git does not trust the repository: it belongs to another user", fix)
    if done.text.strip() != "true":
        return finding("git", "warn", f"{why}, but this folder is in no git repository", "git init")
    if worktree and git.run(["rev-parse", "--verify", "--quiet", "HEAD"], cwd=paths.root()).code:
        message = f"{worktree}, but the repository has no commit yet for it to begin at"
        return finding("git", "warn", message, "git add colony.yml .colony && git commit -m 'begin'")
    return finding("git", "ok", version)


def _shared_state() -> Iterator[Record]:
    """What would keep `colony state sync` from sharing the state; nothing is said where it is not to be shared, and
    the remote is not asked."""
    settings = settings_or_none()
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
        lacking = list(_lacking_under_cron(wanted))
        yield from lacking
        if runs and not missing and not lacking:
            message = f"{plural(len(wanted), 'workflow')} with a schedule; 'colony cron list' shows the lines"
            yield finding("cron", "ok", message)


def _lacking_under_cron(wanted: list[str]) -> Iterator[Record]:
    """What scheduled workflows take from the environment and would not find under cron: the first of each, and the
    key of the models' API."""
    from colony_lib.store import config, cronenv, crontab, workflow

    settings = settings_or_none()
    if settings is None:
        return
    environ = cronenv.environment(crontab.settings(crontab.read(), paths.root()))
    plans = []
    for name in wanted:
        try:
            plans.append(workflow.load(name))
            cronenv.refuse_missing(plans[-1], settings, environ)
        except ColonyError as error:
            yield finding("cron", "warn", f"'{name}': {error.what}", error.fix)
    asking = {agent["id"] for agent in settings["agents"] if agent["runner"] == "api"}
    known = {**environ, **config.env_file_values(settings["env_file"])}
    for plan in plans:
        asks = any(step["run"] is None and step["agent"] in asking for step in plan["steps"])
        if asks and "ANTHROPIC_API_KEY" not in known:
            message = f"'{plan['name']}' asks a model, and cron will not have ANTHROPIC_API_KEY"
            fix = "write ANTHROPIC_API_KEY=… into a file .env, chmod 600 .env, and 'env_file: .env' into colony.yml"
            yield finding("cron", "warn", message, fix)
            return


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


def _env_file() -> Iterator[Record]:
    from colony_lib.store import config

    settings = settings_or_none()
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


CHECKS = (*health_agents.CHECKS, _env_file, _git, _shared_state, _cron)
