"""An agent's own git worktree: made, mended, and committed to, while the user's checkout stays as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.store import paths
from colony_lib.work import worktree
from tests.conftest import REPOSITORY, Colony, clean_environment

SHARED = ["staging", "reports"]
AGENT: dict[str, Any] = {"id": "worker", "worktree_branch": "pipeline/worker"}


def git(folder: Path, *words: str, check: bool = True) -> str:
    identity = {f"GIT_{role}_{key}": "ada" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *words], cwd=folder, env=clean_environment(**identity), capture_output=True, text=True
    )
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout.strip()


@pytest.fixture
def home(colony: Colony) -> Path:
    """A colony that is the top of a repository with one commit, with something staged, stashed and unstaged."""
    paths.use(str(colony.root))
    git(colony.root, "init", "-q", "-b", "main")
    (colony.root / ".gitignore").write_text(".colony/*\n!.colony/workflows\n*.log\n")
    (colony.root / "sql").mkdir()
    (colony.root / "sql/a.sql").write_text("select 1\n")
    (colony.root / "staging").mkdir()
    (colony.root / "staging/.gitkeep").write_text("")
    git(colony.root, "add", "-A")
    git(colony.root, "commit", "-qm", "first")
    (colony.root / "sql/a.sql").write_text("select 2\n")
    git(colony.root, "stash")
    (colony.root / "staged.txt").write_text("staged")
    git(colony.root, "add", "staged.txt")
    (colony.root / "sql/a.sql").write_text("select 3\n")
    return colony.root


def users(home: Path) -> list[str]:
    """What is the user's: branch, status, stash, settings."""
    looks = (
        ["branch", "--show-current"],
        ["status", "--porcelain"],
        ["stash", "list"],
        ["config", "--list", "--local"],
    )
    return [git(home, *words) for words in looks]


def commit(home: Path, folder: str, message: str = "a: done") -> str | None:
    return worktree.commit(AGENT, folder, SHARED, message, {"Colony-Run": "r1", "Colony-Step": "a"})


def test_an_agent_works_on_its_branch_and_the_user_sees_nothing_of_it(home: Path) -> None:
    before = users(home)
    folder, warning = worktree.ready(AGENT, SHARED)
    assert warning is None and folder == str(home / ".colony/worktrees/worker") == paths.worktree_root("worker")
    assert (Path(folder) / "sql/a.sql").read_text() == "select 1\n"
    (Path(folder) / "sql/ä b\nc.sql").write_text("new")
    (Path(folder) / "--all").write_text("named like an option")
    (Path(folder) / "run.sh").write_text("#!/bin/sh\n")
    os.chmod(Path(folder) / "run.sh", 0o755)
    (Path(folder) / "noise.log").write_text("ignored")
    made = commit(home, folder)
    assert made == git(home, "rev-parse", "pipeline/worker")
    assert git(home, "log", "-1", "--format=%an %ae %s|%(trailers:key=Colony-Step,valueonly)", "pipeline/worker") == (
        "worker worker@colony.invalid a: done|a"
    )
    listed = git(home, "ls-tree", "-r", "-z", "pipeline/worker").split("\0")
    names = {line.partition("\t")[2] for line in listed if line}
    assert names == {".gitignore", "colony.yml", "sql/a.sql", "staging/.gitkeep", "sql/ä b\nc.sql", "--all", "run.sh"}
    assert any(line.startswith("100755") and line.endswith("run.sh") for line in listed)
    assert users(home) == before


def test_a_commit_of_nothing_is_none_and_the_same_step_twice_is_one(home: Path) -> None:
    folder, _ = worktree.ready(AGENT, SHARED)
    assert commit(home, folder) is None
    (Path(folder) / "x").write_text("x")
    assert commit(home, folder) is not None and commit(home, folder) is None
    assert git(home, "rev-list", "--count", "pipeline/worker") == "2"


def test_the_shared_folders_are_the_colonys_own_and_never_in_a_commit(home: Path) -> None:
    folder, _ = worktree.ready(AGENT, SHARED)
    (Path(folder) / "staging/rows.json").write_text("[]")
    assert (home / "staging/rows.json").read_text() == "[]" and (home / "staging/.gitkeep").exists()
    (home / "reports/a.md").write_text("# a")
    assert (Path(folder) / "reports/a.md").read_text() == "# a"
    assert commit(home, folder) is None


def test_what_a_killed_attempt_left_is_committed_before_the_next_step(home: Path) -> None:
    folder, _ = worktree.ready(AGENT, SHARED)
    (Path(folder) / "half.sql").write_text("half")
    again, _ = worktree.ready(AGENT, SHARED)
    assert again == folder and worktree.keep_leftovers(AGENT, folder, SHARED) is not None
    assert "cut off" in git(home, "log", "-1", "--format=%s", "pipeline/worker")
    assert worktree.keep_leftovers(AGENT, folder, SHARED) is None


def test_a_lock_that_a_killed_git_left_stops_nobody(home: Path) -> None:
    folder, _ = worktree.ready(AGENT, SHARED)
    (home / ".git/worktrees/worker/index.lock").write_text("")
    (Path(folder) / "x").write_text("x")
    assert commit(home, folder) is not None


@pytest.mark.parametrize("harm", ["folder", "admin", "both", "gitfile", "half", "evil"])
def test_a_damaged_worktree_is_mended_and_nothing_committed_is_lost(home: Path, harm: str) -> None:
    folder, _ = worktree.ready(AGENT, SHARED)
    (Path(folder) / "kept").write_text("kept")
    commit(home, folder)
    admin = home / ".git/worktrees/worker"
    if harm in ("folder", "both"):
        shutil.rmtree(folder)
    if harm in ("admin", "both"):
        shutil.rmtree(admin)
    if harm == "gitfile":
        (Path(folder) / ".git").unlink()
    if harm == "half":
        (admin / "HEAD").unlink()
    if harm == "evil":
        evil = home / "staging/evil"
        git(home, "init", "-q", str(evil))
        git(evil, "config", "core.fsmonitor", f"touch {home}/owned; true")
        (Path(folder) / ".git").write_text(f"gitdir: {evil}/.git\n")
        (Path(folder) / "more").write_text("more")
        assert commit(home, folder) is not None  # the agent's file is not believed
        assert not (home / "owned").exists()
    mended, warning = worktree.ready(AGENT, SHARED)
    assert mended == folder and (Path(folder) / "kept").read_text() == "kept"
    assert warning is None  # nothing had to be moved away: what was in the folder stayed in it
    (Path(folder) / "again").write_text("again")
    assert commit(home, folder) == git(home, "rev-parse", "pipeline/worker")
    assert (Path(folder) / "staging").resolve() == home / "staging"


def test_without_a_branch_a_repository_or_a_commit_the_agent_works_in_the_colonys_folder(colony: Colony) -> None:
    paths.use(str(colony.root))
    root = str(colony.root)
    assert worktree.ready({"id": "worker", "worktree_branch": None}, SHARED) == (root, None)
    folder, warning = worktree.ready(AGENT, SHARED)
    assert folder == root and "in no git repository" in (warning or "")
    git(colony.root, "init", "-q")
    folder, warning = worktree.ready(AGENT, SHARED)
    assert folder == root and "no commit yet" in (warning or "")


def test_a_colony_in_a_folder_of_its_repository_has_the_same_folder_in_the_worktree(colony: Colony) -> None:
    paths.use(str(colony.root))
    top = colony.root.parent
    git(top, "init", "-q")
    (top / "README").write_text("top")
    git(top, "add", "README", "colony/colony.yml")
    git(top, "commit", "-qm", "first")
    folder, _ = worktree.ready(AGENT, SHARED)
    assert folder == str(colony.root / ".colony/worktrees/worker/colony") == paths.worktree_root("worker")
    assert (Path(folder) / "colony.yml").exists() and (Path(folder) / "staging").is_symlink()
    (Path(folder) / "x").write_text("x")
    assert commit(colony.root, folder) is not None
    assert "colony/x" in git(top, "ls-tree", "-r", "--name-only", "pipeline/worker").split("\n")


def test_a_branch_that_is_in_use_elsewhere_is_refused_with_what_to_do(home: Path, tmp_path: Path) -> None:
    git(home, "worktree", "add", "-q", "-b", "pipeline/worker", str(tmp_path / "elsewhere"))
    with pytest.raises(ColonyError, match=r"cannot be the agent's.*already"):
        worktree.ready(AGENT, SHARED)
    folder, _ = worktree.ready({"id": "other", "worktree_branch": "pipeline/other"}, SHARED)
    git(Path(folder), "switch", "-q", "-c", "mine")
    with pytest.raises(ColonyError, match="is not on the branch"):
        worktree.ready({"id": "other", "worktree_branch": "pipeline/other"}, SHARED)


def test_many_processes_at_once_make_one_worktree(home: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from colony_lib.store import paths; from colony_lib.work import worktree\n"
        "paths.use(sys.argv[2]); agent = {'id': 'worker', 'worktree_branch': 'pipeline/worker'}\n"
        "folder, warning = worktree.ready(agent, ['staging'])\n"
        "open(f'{folder}/file-{sys.argv[3]}', 'w').close()\n"
        "worktree.commit(agent, folder, ['staging'], 'x', {})\n"
        "print(warning)"
    )
    words = [sys.executable, "-c", code, str(REPOSITORY), str(home)]
    running = [
        subprocess.Popen([*words, str(n)], stdout=subprocess.PIPE, text=True, env=clean_environment()) for n in range(8)
    ]
    assert [process.communicate(timeout=120)[0].strip() for process in running] == ["None"] * 8
    names = git(home, "ls-tree", "--name-only", "pipeline/worker").split("\n")
    assert {f"file-{n}" for n in range(8)} <= set(names)
    assert git(home, "worktree", "list").count("worker") == 2  # its path and its branch, in one line
