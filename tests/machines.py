"""Machines that share a colony's state: clones of one code repository, each with its colony, and a bare remote."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from colony_lib.store import documents, memory, paths, statesync, tasks
from tests.conftest import Colony, clean_environment

CONFIG = """\
name: shared
shared_state:
  backend: git-backed
  location: in-repo
agents:
  - id: worker
  - id: loader
"""
LOUD = '#!/bin/sh\necho "$0" >> "$(dirname "$0")/../hooks-run"\nexit 1\n'
HOOKS = (
    *("pre-commit", "commit-msg", "prepare-commit-msg", "post-commit", "pre-push", "post-checkout", "post-merge"),
    *("reference-transaction", "post-index-change", "pre-auto-gc", "post-rewrite", "fsmonitor-watchman"),
)


def git(folder: Path, *words: str, check: bool = True, **settings: Any) -> str:
    """What git prints there; nothing of the outside's configuration reaches it."""
    command = ["git", "-c", "core.hooksPath=/dev/null", *words]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, errors="surrogateescape", **settings)  # fmt: skip
    assert not check or done.returncode == 0, (words, done)
    return done.stdout


def environment(**more: str) -> dict[str, str]:
    return clean_environment(HOME="/nonexistent", GIT_CONFIG_NOSYSTEM="1", GIT_OPTIONAL_LOCKS="0", **more)


class Machine(Colony):
    """One clone and its colony."""

    def sync(self, verb: str = "sync", *words: str, check: bool = True, **settings: Any) -> Any:
        settings["env"] = {"HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", **(settings.get("env") or {})}
        return self("state", verb, *words, check=check, **settings)

    # Without a process, for tests that do a lot; the environment is the test's own.

    def exchange(self, verb: str = "sync") -> dict[str, Any]:
        paths.use(str(self.root))
        result, refusal = statesync.run(verb)
        if refusal is not None:
            raise refusal
        return result

    def add(self, title: str) -> str:
        paths.use(str(self.root))
        return str(tasks.add([tasks.wanted({"title": title})])[0][0]["id"])

    def claim(self, task: str, agent: str) -> None:
        paths.use(str(self.root))
        tasks.claim(agent, task)

    def set(self, name: str, **values: Any) -> None:
        paths.use(str(self.root))
        time.sleep(0.002)  # two writes within a millisecond are at the same time, and the names of the machines decide
        documents.change(name, [(path.replace("__", "."), "=", value) for path, value in values.items()])

    def remember(self, text: str) -> None:
        paths.use(str(self.root))
        memory.add("note", text)

    def titles(self) -> list[str]:
        return sorted(task["title"] for task in self.tasks())

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks; none of the journal's lines may be unreadable."""
        paths.use(str(self.root))
        problems: list[Any] = []
        found = tasks.everything(problems)
        assert problems == []
        return found

    def git(self, *words: str, **settings: Any) -> str:
        return git(self.root, *words, **settings)

    def state_git(self, *words: str, **settings: Any) -> str:
        return git(self.state, *words, **settings)

    @property
    def state(self) -> Path:
        return self.root / ".colony" / "state"

    def meaning(self) -> dict[str, bytes]:
        """The files of the shared state, byte for byte."""
        found = {}
        for path in sorted(self.state.rglob("*")):
            name = str(path.relative_to(self.state))
            own = name in (".git", ".claims.json") or name.startswith(".git/") or name.endswith((".times", ".tmp"))
            if path.is_file() and not own:
                found[name] = path.read_bytes()
        return found

    def document(self, name: str) -> Any:
        return json.loads((self.state / f"{name}.json").read_bytes())

    def code(self) -> dict[str, Any]:
        """All of the code's repository that a sync must leave as it is."""
        folder = self.root / ".git"
        listed = self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        texts = {}
        for name in ("HEAD", "config", "index", "FETCH_HEAD", "packed-refs", "ORIG_HEAD", "logs/HEAD", "info/exclude"):
            path = folder / name
            texts[name] = path.read_bytes() if path.exists() else None
        return texts | {
            "refs": [line for line in listed if not line.startswith(("refs/heads/colony/state ", "refs/colony/"))],
            "status": self.git("status", "--porcelain=v2", "--ignored=no"),
            "stash": self.git("stash", "list"),
            "hooks": sorted((path.name, path.read_bytes()) for path in (folder / "hooks").iterdir()),
            "hooks run": (folder / "hooks-run").exists(),
            "dead": sorted(str(path) for path in folder.rglob("*.lock")),
        }


WHO = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")


@functools.cache
def _made() -> Path:
    """A folder with what every test begins with, made once in a process: a bare remote, and two clones of it."""
    folder = Path(tempfile.mkdtemp(prefix="colony-machines-"))
    atexit.register(shutil.rmtree, folder)
    remote, seed = folder / "remote.git", folder / "clean"
    git(folder, "init", "-q", "--bare", "--initial-branch=main", str(remote))
    git(folder, "clone", "-q", str(remote), str(seed))
    (seed / "code.py").write_text("print('code')\n")
    (seed / "colony.yml").write_text(CONFIG)
    (seed / ".colony" / "workflows").mkdir(parents=True)
    (seed / ".colony" / ".gitignore").write_text("/*\n!/.gitignore\n!/workflows/\n")
    git(seed, "add", "-A")
    git(seed, *WHO, "commit", "-q", "-m", "code")
    git(seed, "push", "-q", "origin", "main")
    dirty = Path(shutil.copytree(seed, folder / "dirty"))
    (dirty / "code.py").write_text("print('stashed')\n")
    git(dirty, *WHO, "stash", "-q")
    (dirty / "staged.py").write_text("staged\n")
    git(dirty, "add", "staged.py")
    (dirty / "code.py").write_text("print('changed')\n")
    for hook in HOOKS:
        path = dirty / ".git" / "hooks" / hook
        path.write_text(LOUD)
        path.chmod(0o755)
    return folder


def bare(folder: Path) -> Path:
    """A bare remote with a commit of code."""
    return Path(shutil.copytree(_made() / "remote.git", folder / "remote.git"))


def machine(folder: Path, name: str, remote: Path, *, dirty: bool = True) -> Machine:
    """A clone; a dirty one's user is in the midst of things: a stash, something staged, something changed, and hooks
    all over that fail when they are run, and say so in `.git/hooks-run`."""
    root = Path(shutil.copytree(_made() / ("dirty" if dirty else "clean"), folder / name))
    config = root / ".git" / "config"
    config.write_text(config.read_text().replace(str(_made() / "remote.git"), str(remote)))
    return Machine(root)


def settle(machines: list[Machine]) -> None:
    """Sync all, one after the other, until what one brings has reached every other."""
    for each in [*machines, *machines[:-1]]:
        each.exchange()


def check_whole(remote: Path, machines: list[Machine]) -> None:
    """All have the same, readable and whole; git finds nothing wrong anywhere; nothing is half-done but a
    temporary file of a writer that was shot."""
    first = machines[0].meaning()
    for each in machines:
        assert each.meaning() == first
        assert each.state_git("status", "--porcelain") == ""
        fsck(each.root)
        assert not [path for path in each.state.iterdir() if path.name.endswith((".merged", ".lock"))]
    for name, data in first.items():
        assert b"<<<<<<<" not in data and b">>>>>>>" not in data
        if name.endswith(".jsonl"):
            assert all(isinstance(json.loads(line), dict) for line in data.split(b"\n")[:-1]) and data.endswith(b"\n")
        elif name.endswith(".json"):
            json.loads(data)
    fsck(remote)
    assert not list(remote.rglob("*.lock"))


def fsck(folder: Path) -> None:
    done = subprocess.run(["git", "fsck", "--full"], cwd=folder, env=environment(), capture_output=True, text=True)
    bad = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if not line.startswith(("dangling", "notice", "Checking"))
    ]
    assert done.returncode == 0 and bad == [], (done, os.listdir(folder))
