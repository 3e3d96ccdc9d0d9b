"""Agents' worktrees under harm: makers killed at every step, agents that lay traps, colonies that move."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colony_lib.store import paths
from colony_lib.work import worktree
from tests.agents.test_worktree import AGENT, SHARED, git
from tests.conftest import REPOSITORY, Colony, clean_environment

BRANCH = "pipeline/worker"
FILES = {".gitignore", "colony.yml", "hooked", "sql/a.sql", "sql/b.sql", "staging/.gitkeep"}

# Runs CODE and dies before (or after) its step number AT: each git, and each call that changes a file or a link.
DYING = """
import os, sys
sys.path.insert(0, sys.argv[1])
from colony_lib.base import files
from colony_lib.store import git, paths
from colony_lib.work import worktree
at, after = int(sys.argv[3]), sys.argv[4] == "after"
count = 0
def counted(act):
    def call(*given, **named):
        global count
        count += 1
        mine = count
        if mine == at and not after:
            os.kill(os.getpid(), 9)
        done = act(*given, **named)
        if mine == at:
            os.kill(os.getpid(), 9)
        return done
    return call
git.run = counted(git.run)
for name in ("write_bytes", "put", "make_dirs", "remove_folder"):
    setattr(files, name, counted(getattr(files, name)))
for name in ("symlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
paths.use(sys.argv[2])
agent = {"id": "worker", "worktree_branch": "pipeline/worker"}
shared = ["staging", "reports"]
"""


@pytest.fixture
def home(colony: Colony) -> Path:
    """A colony that is the top of a repository with one commit, whose hooks would leave a mark."""
    paths.use(str(colony.root))
    git(colony.root, "init", "-q", "-b", "main")
    (colony.root / ".gitignore").write_text(".colony\nhooked.*\n*.log\n")
    for name in ("sql/a.sql", "sql/b.sql", "staging/.gitkeep", "hooked"):
        colony.write(name, f"{name}\n")
    git(colony.root, "add", "-A")
    git(colony.root, "commit", "-qm", "first")
    for name in (
        "pre-commit",
        "commit-msg",
        "post-commit",
        "post-checkout",
        "reference-transaction",
        "post-index-change",
    ):
        hook = colony.root / f".git/hooks/{name}"
        hook.write_text(f"#!/bin/sh\ntouch {colony.root}/hooked.{name}\n")
        hook.chmod(0o755)
    git(colony.root, "config", "commit.gpgSign", "true")
    git(colony.root, "config", "gpg.program", "false")
    return colony.root


def ready(shared: list[str] | None = None) -> Path:
    folder, warning = worktree.ready(AGENT, shared or SHARED)
    assert warning is None
    return Path(folder)


def commit(folder: Path, head: str = "a: done") -> str | None:
    return worktree.commit(AGENT, str(folder), SHARED, head, {"Colony-Run": "r1"})


def names(home: Path, branch: str = BRANCH) -> set[str]:
    return set(git(home, "ls-tree", "-r", "--name-only", branch).split("\n"))


def count(home: Path) -> int:
    return int(git(home, "rev-list", "--count", BRANCH))


def dying(home: Path, code: str, at: int, when: str) -> bool:
    """Whether it died; False when it had fewer steps."""
    words = [sys.executable, "-c", DYING + code, str(REPOSITORY), str(home), str(at), when]
    done = subprocess.run(words, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_making_that_is_killed_at_any_step_is_made_whole_by_the_next(home: Path, when: str) -> None:
    at = 0
    while True:
        at += 1
        if not dying(home, "worktree.ready(agent, shared)", at, when):
            break
        folder = ready()
        assert worktree.keep_leftovers(AGENT, str(folder), SHARED) is None, at
        assert names(home) == FILES and count(home) == 1, at
        assert (folder / "sql/b.sql").read_text() == "sql/b.sql\n" and (
            folder / "staging"
        ).resolve() == home / "staging"
        assert len(os.listdir(home / ".git/worktrees")) == 1, at
        shutil.rmtree(folder)
        git(home, "worktree", "prune")
        git(home, "branch", "-D", BRANCH)
    assert at > 15


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_that_is_killed_at_any_step_loses_nothing_and_is_not_made_twice(home: Path, when: str) -> None:
    folder = ready()
    at = 0
    while True:
        at += 1
        (folder / "made.sql").write_text(f"{at}")
        (folder / "sql/a.sql").write_text(f"{at}") if at % 2 else (folder / "sql/a.sql").unlink()
        before = count(home)
        code = "worktree.commit(agent, paths.worktree('worker'), shared, 'a: done', {})"
        died = dying(home, code, at, when)
        ready()
        worktree.keep_leftovers(AGENT, str(folder), SHARED)
        assert git(home, "show", f"{BRANCH}:made.sql") == str(at)
        assert ("sql/a.sql" in names(home)) == bool(at % 2) and count(home) == before + 1, at
        if not died:
            break
    assert at > 6 and (folder / ".git").is_file()


def test_a_checkout_whose_git_is_killed_with_us_is_never_taken_for_the_agents_work(home: Path) -> None:
    git(home, "config", "filter.k.smudge", "kill -9 $(ps -o ppid= -p $PPID) $PPID; cat")
    (home / ".git/info/attributes").write_text("sql/b.sql filter=k\n")
    assert dying(home, "worktree.ready(agent, shared)", 0, "never")
    assert not (home / ".colony/worktrees/worker").exists()
    (home / ".git/info/attributes").unlink()
    folder = ready()
    assert worktree.keep_leftovers(AGENT, str(folder), SHARED) is None and names(home) == FILES


def test_no_hook_runs_and_nothing_is_signed(home: Path) -> None:
    folder = ready()
    (folder / "x").write_text("x")
    assert commit(folder) is not None
    assert [path.name for path in home.glob("hooked.*")] == []


def test_the_user_is_the_committer_where_git_knows_one(home: Path) -> None:
    git(home, "config", "user.name", "Ada")
    git(home, "config", "user.email", "ada@example.org")
    folder = ready()
    (folder / "x").write_text("x")
    commit(folder)
    assert git(home, "log", "-1", "--format=%an|%cn %ce", BRANCH) == "worker|Ada ada@example.org"
    assert git(folder, "status", "--porcelain", "--untracked-files=no") == ""
    assert "a: done" in git(folder, "reflog", "-1")


def test_what_the_branch_tracks_in_a_shared_folder_stays_in_it(home: Path) -> None:
    folder = ready()
    (home / "staging/.gitkeep").unlink()
    (folder / "x").write_text("x")
    commit(folder)
    assert names(home) == FILES | {"x"}
    assert git(folder, "status", "--porcelain") in ("", "?? reports\n?? staging", "?? .colony\n?? reports\n?? staging")
    assert (folder / ".colony").resolve() == home / ".colony"


def test_a_repository_that_the_agent_lays_into_its_tree_is_not_entered(home: Path) -> None:
    folder = ready()
    git(folder, "init", "-q", "sub")
    git(folder, "init", "-q", "unborn")
    (folder / "sub/x").write_text("x")
    git(folder / "sub", "add", "x")
    git(folder / "sub", "commit", "-qm", "x")
    (folder / "sql/a.sql").unlink()
    git(folder, "init", "-q", "sql/a.sql")
    (folder / "y").write_text("y")
    assert commit(folder) is not None and names(home) == FILES | {"y"}
    git(folder / "sub", "config", "filter.evil.clean", f"touch {home}/owned; cat")
    git(folder / "sub", "config", "core.fsmonitor", f"touch {home}/owned; true")
    (folder / "sub/.gitattributes").write_text("* filter=evil\n")
    (folder / "sub/x").write_text("z")
    (folder / "y").write_text("z")
    assert commit(folder) is not None and not (home / "owned").exists()


def test_what_the_agent_puts_in_place_of_a_shared_folder_is_kept_aside(home: Path) -> None:
    folder = ready()
    (folder / "staging").unlink()
    (folder / "staging").mkdir()
    (folder / "staging/.gitkeep").write_text("the agent's")
    again, warning = worktree.ready(AGENT, SHARED)
    assert warning is not None and "'worker/staging' is in '" in warning
    assert (home / "staging/.gitkeep").read_text() == "staging/.gitkeep\n"
    assert [path.read_text() for path in (home / ".colony/worktrees/.aside").rglob(".gitkeep")] == ["the agent's"]
    assert (Path(again) / "staging").resolve() == home / "staging"


def test_a_link_that_the_agent_lays_leads_nobody_outside(home: Path, tmp_path: Path) -> None:
    folder = ready(["data/staging"])
    outside = tmp_path / "outside/staging"
    outside.mkdir(parents=True)
    (outside / "precious").write_text("precious")
    (folder / "data/staging").unlink()
    (folder / "data").rmdir()
    (folder / "data").symlink_to(outside.parent)
    worktree.ready(AGENT, ["data/staging"])
    assert (outside / "precious").exists() and not outside.is_symlink()
    assert (folder / "data/staging").resolve() == home / "data/staging" and not (folder / "data").is_symlink()


@pytest.mark.parametrize("lay", [lambda path: path.mkdir(), lambda path: path.symlink_to("/etc/passwd"), os.mkfifo])
def test_whatever_is_laid_in_place_of_the_git_file_is_taken_away(home: Path, lay: Callable[[Path], Any]) -> None:
    folder = ready()
    (folder / ".git").unlink()
    lay(folder / ".git")
    (folder / "x").write_text("x")
    assert commit(folder) is not None
    worktree.ready(AGENT, SHARED)
    assert (folder / ".git").is_file() and git(folder, "log", "-1", "--format=%s") == "a: done"


def test_what_git_cannot_take_does_not_keep_the_rest_from_being_committed(home: Path) -> None:
    folder = ready()
    (folder / "sql/a.sql").unlink()
    os.mkfifo(folder / "sql/a.sql")
    (folder / "sql/b.sql").unlink()
    (folder / "sql/b.sql").mkdir()
    (folder / "sql/b.sql/c").write_text("a folder now")
    assert commit(folder) is not None
    assert names(home) == FILES - {"sql/b.sql"} | {"sql/b.sql/c"}
    shutil.rmtree(folder / "sql")
    (folder / "sql").write_text("a file now")
    assert commit(folder) is not None
    assert names(home) == FILES - {"sql/a.sql", "sql/b.sql"} | {"sql"}


def test_a_damaged_index_is_had_anew(home: Path) -> None:
    folder = ready()
    (folder / "x").write_text("x")
    (home / ".git/worktrees/worker/index").write_bytes(b"DIRC damaged")
    assert commit(folder) is not None and names(home) == FILES | {"x"}
    (home / ".git/worktrees/worker/index").unlink()
    ready()
    assert commit(folder) is None


@pytest.mark.parametrize("move", [shutil.move, lambda old, new: shutil.copytree(old, new, symlinks=True)])
def test_a_colony_that_was_moved_or_copied_takes_its_worktrees_along(home: Path, move: Callable[..., Any]) -> None:
    (ready() / "x").write_text("not committed")
    new = home.parent / "elsewhere"
    move(str(home), str(new))
    paths.use(str(new))
    folder = ready()
    assert folder == new / ".colony/worktrees/worker" and (folder / "staging").resolve() == new / "staging"
    assert worktree.keep_leftovers(AGENT, str(folder), SHARED) is not None
    assert names(new) == FILES | {"x"}
    if home.exists():
        assert names(home) == FILES


def test_a_secret_does_not_get_into_a_message(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLONY_SECRETS", "TOKEN")
    monkeypatch.setenv("TOKEN", "hunter2hunter2")
    folder = ready()
    (folder / "x").write_text("x")
    commit(folder, "a: it is hunter2hunter2\nand\x1b[31m more")
    said = git(home, "log", "-1", "--format=%B", BRANCH)
    assert (
        said.startswith("a: it is [TOKEN]") and "\x1b" not in said and said.split("\n")[1:3] == ["", "Colony-Run: r1"]
    )


def test_while_another_attempt_is_at_work_its_files_are_not_called_left(home: Path) -> None:
    folder = ready()
    code = "worktree.keep_leftovers(agent, '', shared); print('in', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", DYING + code, str(REPOSITORY), str(home), "0", "never"]
    other = subprocess.Popen(words, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "in\n"
    (folder / "x").write_text("the other's")
    assert worktree.keep_leftovers(AGENT, str(folder), SHARED) is None and count(home) == 1
    other.kill()
    other.communicate()
    assert worktree.keep_leftovers(AGENT, str(folder), SHARED) is not None and count(home) == 2


# -- as a user has it

COMMAND = (
    'echo begun >> "$COLONY_ROOT/ledger"; echo "$COLONY_ATTEMPT" > made.sql; echo row > staging/rows; '
    'while [ ! -e "$COLONY_ROOT/go" ]; do sleep 0.02; done; echo "it is made"'
)
CONFIG = f"""\
name: trees
agents:
  - id: worker
    role: works
    runner: command
    worktree_branch: {BRANCH}
    command: {json.dumps(COMMAND)}
  - id: maker
    role: makes
    runner: command
    worktree_branch: main
    command: 'true'
"""


def until(found: Callable[[], Any], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_a_step_works_in_its_agents_worktree_and_is_one_commit(home: Path, colony: Colony) -> None:
    colony.write("colony.yml", CONFIG)
    colony.workflow("w", "steps:\n  - {name: a, agent: worker, instructions: Make it}\n")
    before = git(home, "status", "--porcelain"), git(home, "stash", "list")
    (home / "go").touch()
    run = colony("workflow", "run", "w").out.split()[0]
    told = git(home, "log", "-1", "--format=%an|%(trailers:separator=%x2C)|%s", BRANCH)
    assert told.startswith(f"worker|Colony-Run: {run},Colony-Step: a,Colony-Attempt: 1|a: ")
    assert names(home) == FILES | {"made.sql"} and count(home) == 2
    assert (home / "staging/rows").read_text() == "row\n" and not (home / "made.sql").exists()
    ours = [line for line in git(home, "status", "--porcelain").split("\n") if line not in ("?? go", "?? ledger")]
    assert "\n".join(ours).replace("?? staging/rows", "").strip() == before[0].strip()
    assert git(home, "branch", "--show-current") == "main" and git(home, "stash", "list") == before[1]


def test_the_work_of_a_killed_attempt_is_a_commit_of_its_own(home: Path, colony: Colony) -> None:
    colony.write("colony.yml", CONFIG)
    colony.workflow("w", "steps:\n  - {name: a, agent: worker, instructions: Make it}\n")
    running = colony.start("workflow", "run", "w", start_new_session=True)
    until(lambda: (home / "ledger").exists() and (home / ".colony/worktrees/worker/made.sql").exists())
    _kill_all(home)
    running.communicate()
    (home / "go").touch()
    colony("workflow", "resume", "latest")
    said = git(home, "log", "--format=%s", BRANCH).split("\n")
    assert said[0].startswith("a: ") and said[1:] == ["worker: work that an attempt left when it was cut off", "first"]
    assert git(home, "show", f"{BRANCH}:made.sql") == "2" and git(home, "show", f"{BRANCH}~1:made.sql") == "1"


def _kill_all(home: Path) -> None:
    """All processes that work in the colony's folder or below."""
    while True:
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{name}/cwd").startswith(str(home)):
                    found.append(int(name))
            except OSError:
                continue
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def test_start_makes_the_worktrees_and_one_that_cannot_be_made_keeps_only_its_agent(home: Path, colony: Colony) -> None:
    colony.write("colony.yml", CONFIG)
    started = colony("start", check=False)
    try:
        assert started.code == 1 and started.out.startswith("worker: started (")
        assert "the branch 'main' cannot be the agent's: it is already checked out in" in started.err
        assert (home / ".colony/worktrees/worker/sql/a.sql").exists()
        assert not (home / ".colony/worktrees/maker").exists()
    finally:
        assert colony("stop").out == "worker: stopped\n"
