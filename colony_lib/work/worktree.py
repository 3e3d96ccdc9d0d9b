"""An agent's own checkout: a git worktree on its branch, in which it works, and whose changes are committed
after each step.

The worktree's files are the agent's, its `.git` too; so git is never told to look there for a repository: it
is run with the
worktree's own git folder, which lies in the repository where no agent writes. All git here is run under one
lock per agent,
which the git processes share: while one of them lives, whoever started it, nobody else is at the worktree.
"""

from __future__ import annotations

import os

from colony_lib.base import files, locks
from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.store import git, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

_PATIENCE = 300.0  # seconds for another process of the agent's that is at the worktree
_LEFT = "work that an attempt left when it was cut off"


def ready(agent: Record, shared: list[str]) -> tuple[str, str | None]:
    """(the folder in which the agent works, a warning): its worktree, made or mended where it has to be, with
    the shared folders
    linked; the colony's root where it can have none. ColonyError when the branch is in use elsewhere."""
    branch = agent.get("worktree_branch")
    if not branch:
        return paths.root(), None
    try:
        found = git.find(paths.root())
    except ColonyError as error:
        found, why = None, error.what
    else:
        why = "the colony is in no git repository"
    head = None if found is None else _head(found[0])
    if found is None or head is None:
        why = "the repository has no commit yet" if found is not None else why
        return paths.root(), f"{agent['id']} has no worktree and works in the colony's folder: {why}"
    top, common = found
    tree = paths.worktree(agent["id"])
    with locks.held(_lock(agent), _PATIENCE, what=f"the worktree of {agent['id']}") as lock:
        repository = git.Repository(common, top, [lock.fd])
        warning = None
        admin = _admin(common, tree)
        if admin is None or not os.path.exists(os.path.join(admin, "HEAD")) or not os.path.isdir(tree):
            warning = _make(repository, tree, admin, branch, head)
            admin = _admin(common, tree)
        if admin is None:
            raise ColonyError(f"git has made no worktree in '{tree}'", fix="see 'git worktree list'")
        _check_branch(admin, tree, branch)
        files.write_text(os.path.join(tree, ".git"), f"gitdir: {admin}\n", durable=False)
        folder = os.path.normpath(os.path.join(tree, os.path.relpath(paths.root(), os.path.realpath(top))))
        files.make_dirs(folder)
        for name in shared:
            _link(os.path.join(folder, name), os.path.join(paths.root(), name))
    return folder, warning


def keep_leftovers(agent: Record, folder: str, shared: list[str]) -> str | None:
    """Commit what an attempt that was killed has left in the worktree; the commit's id, None when there is
    nothing."""
    return commit(agent, folder, shared, f"{agent['id']}: {_LEFT}", {})


def commit(agent: Record, folder: str, shared: list[str], message: str, trailers: dict[str, str]) -> str | None:
    """Commit every change in the worktree but those in shared folders and ignored files; the commit's id, None
    when nothing
    has changed. No hook is run and nothing is signed."""
    found = git.find(paths.root())
    tree = paths.worktree(agent["id"])
    admin = None if found is None else _admin(found[1], tree)
    if admin is None:
        return None
    with locks.held(_lock(agent), _PATIENCE, what=f"the worktree of {agent['id']}") as lock:
        _check_branch(admin, tree, agent["worktree_branch"])
        index_lock = os.path.join(admin, "index.lock")
        if os.path.lexists(index_lock):
            os.unlink(index_lock)  # of a git that was killed: while one lives it holds our lock
        repository = git.Repository(admin, tree, [lock.fd])
        where = {"GIT_WORK_TREE": tree}
        prefix = os.path.relpath(folder, tree)
        apart = [f":(top,exclude,literal){os.path.normpath(os.path.join(prefix, name))}" for name in shared]
        repository.ask("keep the agent's work", "add", "-A", "--", ":(top)", *apart, more=where)
        changed = repository.run("diff", "--cached", "--quiet", more=where)
        if changed.code == 0:
            return None
        text = "\n".join([message, "", *(f"{name}: {value}" for name, value in trailers.items()), ""])
        words = ["commit", "--quiet", "--no-verify", "--no-gpg-sign", "--cleanup=whitespace", "--file=-"]
        repository.ask("commit the agent's work", *words, data=text.encode(), more={**where, **_identity(agent)})
        return repository.ask("read the commit", "rev-parse", "HEAD")


def _lock(agent: Record) -> str:
    return paths.lock(f"worktree-{agent['id']}")


def _identity(agent: Record) -> dict[str, str]:
    who = {"NAME": agent["id"], "EMAIL": f"{agent['id']}@colony.invalid"}
    return {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}


def _head(top: str) -> str | None:
    """The commit that a new branch begins at; None in a repository without one."""
    done = git.run(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], cwd=top)
    return done.text if done.code == 0 else None


def _admin(common: str, tree: str) -> str | None:
    """The worktree's own git folder in the repository, which a kill may have left half made; None when it has none."""
    folder = os.path.join(common, "worktrees")
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return None
    for name in names:
        admin = os.path.join(folder, name)
        try:
            points_to = files.read_text(os.path.join(admin, "gitdir")).strip()
        except (OSError, ColonyError):
            continue  # half made, or half removed
        if os.path.dirname(points_to) == tree:
            return admin
    return None


def _make(repository: git.Repository, tree: str, admin: str | None, branch: str, head: str) -> str | None:
    """Make the worktree, where half of one was left or none was; a warning when something had to be moved out
    of the way."""
    warning = None
    if admin is not None:  # it is half made, or its folder is gone
        files.remove_folder(admin)
    if os.path.isdir(tree) and os.listdir(tree):  # its git folder is gone: what is in it is in no history
        aside = f"{tree}.left-{len(os.listdir(os.path.dirname(tree)))}"
        files.put(tree, aside)
        warning = f"the worktree in '{tree}' was no git worktree any more; what was in it is in '{aside}'"
    files.make_dirs(os.path.dirname(tree))
    exists = bool(repository.refs([f"refs/heads/{branch}"]))
    words = ["worktree", "add", "--quiet"]
    words += [tree, branch] if exists else ["-b", branch, tree, head]
    done = repository.run(*words)
    if done.code != 0:
        if "already" in done.err:
            raise ColonyError(
                f"the branch '{escape(branch)}' cannot be the agent's: git says: {done.said}",
                fix="free it there, or give the agent another worktree_branch",
                code=USAGE,
            )
        raise repository.failed("make the agent's worktree", done)
    return warning


def _check_branch(admin: str, tree: str, branch: str) -> None:
    head = files.read_text(os.path.join(admin, "HEAD")).strip()
    if head != f"ref: refs/heads/{branch}":
        raise ColonyError(
            f"the worktree in '{tree}' is not on the branch '{escape(branch)}' but on '{escape(head)}'",
            fix=f"git -C '{tree}' switch '{branch}', or remove the worktree with 'git worktree remove'",
            code=USAGE,
        )


def _link(link: str, target: str) -> None:
    """Make the shared folder `target` and let `link` lead to it; what stood there is moved into it where it
    lacks that."""
    files.make_dirs(target)
    if os.path.islink(link):
        if os.path.realpath(link) == os.path.realpath(target):
            return
        os.unlink(link)
    if os.path.isdir(link):
        for name in os.listdir(link):
            if not os.path.lexists(os.path.join(target, name)):
                files.put(os.path.join(link, name), os.path.join(target, name), durable=False)
        files.remove_folder(link)
    elif os.path.lexists(link):
        os.unlink(link)
    files.make_dirs(os.path.dirname(link))
    os.symlink(target, link)
