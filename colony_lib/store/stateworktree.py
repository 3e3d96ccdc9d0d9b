"""The state folder as a git working tree: made one without touching what is in it, kept in step, freed of dead locks.

In a repository the folder becomes a linked worktree of the state's branch; outside of one, a repository of its own.
It is there for people (`git -C .colony/state log`) and keeps `git clean` out: what is true is in the files and in the
references, and a sync is right without it.
"""

from __future__ import annotations

import os

from colony_lib.base import files
from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.store import git, paths, stateremote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from colony_lib.store.git import Repository

OWN_REFS = ("base", "merging", "fetched", "packed")
MANY, LARGE = 1000, 1 << 30  # commits, and bytes of them, that are packed together
_POINTER_LIMIT = 1 << 16


def private(kind: str, branch: str) -> str:
    """A reference of the sync's own: `base`, `merging`, `fetched` (see store.statesync) or `packed`."""
    return f"refs/colony/{kind}/{branch}"


def is_own(repository: Repository) -> bool:
    """Whether the state folder is a repository of its own."""
    return repository.git_dir == os.path.join(os.path.realpath(paths.state_folder()), ".git")


def is_made(repository: Repository) -> bool:
    """Whether the repository is there; one of the state folder's own is made by the first sync."""
    return all(os.path.exists(os.path.join(repository.git_dir, name)) for name in ("HEAD", "config", "objects", "refs"))


def open_repository(location: str, alive: Iterable[int]) -> Repository:
    """The repository whose branch the state goes to; one of its own is made when there is none and the location is
    elsewhere. ColonyError (USAGE) with what to do when there can be none."""
    root = paths.root()
    state = os.path.realpath(paths.state_folder())
    dot_git = os.path.join(state, ".git")
    own = os.path.isdir(dot_git) and not os.path.islink(dot_git)
    found = git.find(root)
    if own and location == stateremote.IN_REPO:
        what = f"'{escape(dot_git)}' is a repository of its own, but shared_state is in-repo"
        raise ColonyError(what, fix="write its remote's URL as location into colony.yml, or move it away", code=USAGE)
    if found is not None and not own:
        top, common = found
        return git.Repository(common, top, alive)
    if location == stateremote.IN_REPO:
        fix = "run 'git init' there, or write the URL of a remote as location into colony.yml"
        what = f"shared_state is in-repo, but '{escape(root)}' lies in no git repository"
        raise ColonyError(what, fix=fix, code=USAGE)
    return git.Repository(dot_git, root, alive)


def dead_locks(repository: Repository, branch: str) -> list[str]:
    """The lock files that only a sync takes: those of its references, and of its worktree's index and HEAD."""
    refs = [f"refs/heads/{branch}", *(private(kind, branch) for kind in OWN_REFS)]
    found = [os.path.join(repository.git_dir, *f"{name}.lock".split("/")) for name in refs]
    if is_own(repository):
        names = ("index", "HEAD", "config", "packed-refs", "shallow", "objects/maintenance")
        return found + [os.path.join(repository.git_dir, *f"{name}.lock".split("/")) for name in names]
    link = _linked(repository)
    return found + [os.path.join(link, name + ".lock") for name in ("index", "HEAD")] if link else found


# -- the links between a linked worktree and its repository


def _read(path: str) -> str:
    """The first line of a small file of git's; '' when there is none."""
    try:
        return files.read_bytes(path, limit=_POINTER_LIMIT, follow=False).decode("utf-8", "surrogateescape").strip()
    except (ColonyError, OSError):
        return ""


def _head(repository: Repository, folder: str) -> str:
    """'ref: refs/heads/NAME', or a commit, of a worktree by its folder in git."""
    text = _read(os.path.join(folder, "HEAD"))
    if text.endswith("/.invalid"):  # the references lie in tables, and only git reads those
        text = f"ref: {repository.run('symbolic-ref', '--quiet', 'HEAD', more={'GIT_DIR': folder}).text}"
    return text


def _pointer() -> str:
    """The .git file of the state folder."""
    return os.path.join(os.path.realpath(paths.state_folder()), ".git")


def _making() -> str:
    """The same of the worktree that is being made."""
    return os.path.join(os.path.realpath(paths.state_worktree_making()), ".git")


def _worktrees(repository: Repository) -> Iterator[tuple[str, str, str]]:
    """(its folder in git, the .git file that it names, its HEAD) of each linked worktree that is whole."""
    home = os.path.join(repository.git_dir, "worktrees")
    for name in sorted(os.listdir(home)) if os.path.isdir(home) else []:
        folder = os.path.join(home, name)
        head = _head(repository, folder)
        if head and _read(os.path.join(folder, "commondir")):
            yield folder, os.path.realpath(_read(os.path.join(folder, "gitdir"))), head


def _points_at(dot_git: str) -> str:
    """The folder that a worktree's .git file names; '' when it names none."""
    text = _read(dot_git)
    if not text.startswith("gitdir: "):
        return ""
    return os.path.realpath(os.path.join(os.path.dirname(dot_git), text.removeprefix("gitdir: ")))


def _linked(repository: Repository) -> str | None:
    """The folder in git of the state folder's worktree, when each of the two names the other."""
    there = _points_at(_pointer())
    linked = (folder for folder, named, _ in _worktrees(repository) if folder == there and named == _pointer())
    return next(linked, None)


def check_free(repository: Repository, branch: str) -> None:
    """ColonyError when somebody else has the branch checked out, or the state folder holds another one."""
    ours = f"ref: refs/heads/{branch}"
    if is_own(repository):
        if is_made(repository):
            _check_head(repository, _head(repository, repository.git_dir), branch)
        return
    places = [(named, head) for folder, named, head in _worktrees(repository) if _points_at(named) == folder]
    main = repository.git_dir if os.path.basename(repository.git_dir) == ".git" else repository.git_dir + "/."
    places.append((main, _head(repository, repository.git_dir)))
    for named, head in places:
        if named == _pointer():
            _check_head(repository, head, branch)
        elif head == ours and named != _making():
            what = f"the branch '{escape(branch)}' is checked out in '{escape(os.path.dirname(named))}'"
            fix = "check out another one there, or give this colony a branch of its own: shared_state: {branch: NAME}"
            raise ColonyError(what, fix=fix, code=USAGE)


def _check_head(repository: Repository, head: str, branch: str) -> None:
    """ColonyError when somebody checked out something else in the state folder: what it holds is then not the state.
    A branch that the state had before colony.yml named this one, or one without commits, is left in favour of this."""
    name = head.removeprefix("ref: ")
    if head != f"ref: refs/heads/{branch}":
        before = private("base", name.removeprefix("refs/heads/"))
        is_branch = name.startswith("refs/heads/")
        if not is_branch or (name in repository.refs([name]) and not repository.refs([before])):
            what = f"the state folder has something else than the branch '{escape(branch)}' checked out"
            raise ColonyError(what, fix=f"git -C .colony/state checkout {branch}", code=FAILED)


def attach(repository: Repository, branch: str) -> None:
    """Make the state folder a working tree of the branch, if it is none yet; what is in it stays as it is. Killed
    half-way it is finished by the next call."""
    files.make_dirs(paths.state_folder())
    head = f"refs/heads/{branch}"
    if is_own(repository):
        if not is_made(repository):
            git_dir, words = repository.git_dir, ["init", "--quiet", "--template=", f"--initial-branch={branch}"]
            done = git.run([*words, "."], cwd=os.path.dirname(git_dir), alive=repository.alive)
            if done.code != 0:
                raise repository.failed("make a repository of the state folder", done)
        if _head(repository, repository.git_dir) != f"ref: {head}":
            _set_head(repository, repository.git_dir, head)
        return
    folder = _linked(repository)
    if folder is None:
        there = _points_at(_pointer())
        foreign = os.path.isdir(there) and os.path.basename(os.path.dirname(there)) != "worktrees"
        if foreign or (os.path.lexists(_pointer()) and not os.path.isfile(_pointer())):
            what = f"'{escape(_pointer())}' is in the way: the state folder is a checkout of something else"
            raise ColonyError(what, fix="move that file away", code=USAGE)
        folder = _lost(repository, head) or _make(repository)
        _set_head(repository, folder, head)
        files.write_bytes(os.path.join(folder, "gitdir"), os.fsencode(_pointer()) + b"\n")
        files.write_bytes(_pointer(), b"gitdir: " + os.fsencode(folder) + b"\n")
        _remove(paths.state_worktree_making())
    elif _head(repository, folder) != f"ref: {head}":
        _set_head(repository, folder, head)


def _set_head(repository: Repository, folder: str, head: str) -> None:
    done = repository.run("symbolic-ref", "HEAD", head, more={"GIT_DIR": folder})
    if done.code != 0:
        raise repository.failed("make a worktree of the state folder", done)


def _lost(repository: Repository, head: str) -> str | None:
    """A worktree that is ours and has lost its link: half-made, or the colony's folder was moved or copied."""
    for folder, named, branch in _worktrees(repository):
        if named in (_pointer(), _making()) or (branch == f"ref: {head}" and _points_at(named) != folder):
            lock = os.path.join(folder, "locked")
            if _read(lock) == "initializing":  # git was shot while it made it
                os.unlink(lock)
            return folder
    return None


def _make(repository: Repository) -> str:
    """Let git make a linked worktree elsewhere, of a commit of nothing; the folder in git that it has."""
    making = paths.state_worktree_making()
    _remove(making)
    files.make_dirs(os.path.dirname(making))
    nothing = repository.commit(repository.make_tree([]), [], "nothing yet\n")
    doing = "make a worktree of the state folder"
    repository.ask(doing, "worktree", "add", "--no-checkout", "--detach", making, nothing)
    folder = _points_at(os.path.join(making, ".git"))
    if not folder.startswith(os.path.join(os.path.realpath(repository.git_dir), "worktrees") + os.sep):
        raise ColonyError(f"cannot {doing}: git made it in '{escape(folder)}'")
    return folder


def _remove(folder: str) -> None:
    import shutil

    if os.path.lexists(folder):
        shutil.rmtree(folder)


def refresh(repository: Repository, commit: str) -> None:
    """Bring the working tree's index in step with the commit, so that `git status` there tells what has changed since.
    ColonyError when git cannot; the state is right all the same."""
    state = os.path.realpath(paths.state_folder())
    folder = repository.git_dir if is_own(repository) else _linked(repository)
    if folder is None:
        return
    more = {"GIT_DIR": folder, "GIT_WORK_TREE": state}
    repository.ask("bring the index of the state folder in step", "read-tree", commit, more=more)
    repository.run("update-index", "-q", "--refresh", more=more)  # exit 1: a file has been written to meanwhile


def pack(repository: Repository, branch: str, size: int) -> None:
    """Pack the branch's loose objects when they may have become many or large, `size` being the bytes that the state
    has now. Git's own clean-up counts objects, and a journal of 50 MB is one at every sync."""
    head, packed = f"refs/heads/{branch}", private("packed", branch)
    there = repository.refs([head, packed])
    if head not in there:
        return
    span = [f"{packed}..{head}"] if packed in there else [head]
    commits = int(repository.ask("count the branch's commits", "rev-list", "--count", *span))
    if commits < MANY and commits * size < LARGE:
        return
    place = repository.ask("find the objects", "rev-parse", "--git-path", "objects/pack/pack")
    options = ["--revs", "--unpacked", "--quiet", "--window=2"]
    repository.ask("pack the branch", "pack-objects", *options, place, data=f"{head}\n".encode())
    repository.ask("pack the branch", "prune-packed", "--quiet")
    repository.set_refs({packed: there[head]}, there, "colony state: packed")
