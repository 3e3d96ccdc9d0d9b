"""The git worktree in which an agent works: made when it is missing, mended when it is damaged, its work committed on
the agent's branch. The user's checkout, index, stash, hooks, configuration and other branches stay as they are."""

from __future__ import annotations

import os
import stat

from colony_lib.base import beneath, clock, files, locks
from colony_lib.base.errors import USAGE, ColonyError, failed
from colony_lib.base.text import cut, escape
from colony_lib.store import env, git, linkedtree, paths, stateremote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeVar

    Answer = TypeVar("Answer")
    Record = dict[str, Any]

PATIENCE = 300.0  # seconds for which another process may be making the worktree
_inside: dict[str, int] = {}  # the locks by which this process says in which worktrees it works
_LEFT = "work that an attempt left when it was cut off"


def ready(agent: Record, shared: Sequence[str]) -> tuple[str, str | None]:
    """(the folder in which the agent works, a warning or None): its worktree, with the `shared` paths and `.colony` in
    it those of the colony; the root for an agent without a `worktree_branch`, and where no worktree can be.
    ColonyError when one could be, and what is there does not let it."""
    if not agent["worktree_branch"]:
        return paths.root(), None
    home = _Home.find(agent, shared)
    if isinstance(home, str):
        return paths.root(), f"agent '{agent['id']}' works in the colony's own folder: {home}"
    return home.alone(home.ready)


def keep_leftovers(agent: Record, folder: str, shared: Sequence[str]) -> str | None:
    """Called when an attempt begins to work in its worktree: what nobody has committed is committed as such, unless
    other attempts are at work there (it is theirs then). From here on, and as long as this process lives, others see
    that one is. The commit, or None."""
    home = _Home.find(agent, shared)
    if isinstance(home, str):
        return None
    head = f"{agent['id']}: {_LEFT}"
    return home.alone(lambda: None if home.enter() else home.commit(head, {}))


def commit(agent: Record, folder: str, shared: Sequence[str], head: str, trailers: Mapping[str, str]) -> str | None:
    """Commit all that the agent changed in its worktree, but shared paths and what git ignores, on its branch; the
    commit, or None when nothing was changed. `head` is the message's first line."""
    home = _Home.find(agent, shared)
    return None if isinstance(home, str) else home.alone(lambda: home.commit(head, trailers))


class _Home:
    """The place of one agent's worktree in one repository."""

    def __init__(self, agent: Record, top: str, common: str, start: str, shared: Sequence[str]) -> None:
        self.agent: str = agent["id"]
        self.branch = f"refs/heads/{agent['worktree_branch']}"
        self.start = start
        self.common = git.Repository(common, top)
        below = os.path.relpath(paths.root(), os.path.realpath(top))
        self.below = [] if below == "." else below.split(os.sep)  # of the root in the repository
        self.shared = _outermost([*shared, ".colony"])
        self.apart = ["/".join([*self.below, path]) for path in self.shared]
        self.place = _real(paths.worktree(self.agent))
        self.folder = os.path.join(self.place, *self.below)
        self.making = _real(paths.worktree_making(self.agent))

    @classmethod
    def find(cls, agent: Record, shared: Sequence[str]) -> _Home | str:
        """It, or why there can be none."""
        root = paths.root()
        try:
            found = git.find(root)
        except ColonyError as error:
            return str(error)
        if found is None:
            return "it lies in no git repository"
        head = git.run(["rev-parse", "--quiet", "--verify", "HEAD^{commit}"], cwd=root)
        if head.code != 0:
            return "its git repository has no commit yet"
        return cls(agent, *found, head.text, shared)

    def alone(self, act: Callable[[], Answer]) -> Answer:
        """`act` under the lock of the worktree, which each git that we start shares: a lock file of git's that is
        there then is a killed one's. What we note in the lock we take back in the end: who finds it knows that the
        last one was killed, and need not wait whether a person's git takes its lock files away by itself."""
        path = paths.lock(f"worktree-{self.agent}")
        with locks.held(path, PATIENCE, f"the worktree of '{self.agent}'") as lock:
            stateremote.clear_dead(self._dead_locks(), 0.0 if locks.note(lock.fd) else 1.0)
            locks.sign(lock.fd, f"process {os.getpid()}")
            self.common.alive = (lock.fd,)
            try:
                return act()
            finally:
                locks.sign(lock.fd, "")

    def _dead_locks(self) -> list[str]:
        folders = [linkedtree.admin(self.common, place) for place in (self.place, self.making)]
        found = [os.path.join(folder, f"{name}.lock") for folder in folders if folder for name in ("index", "HEAD")]
        return [*found, os.path.join(self.common.git_dir, self.branch + ".lock")]

    # -- the tree

    def ready(self) -> tuple[str, str | None]:
        aside = self._clear()
        there = os.path.lexists(self.place)
        if not there or not self.common.refs([self.branch]):
            linkedtree.begin(self.common, self.branch, self.start, [self.place, self.making])
        if there:
            linkedtree.take_up(self.common, self.place, self.making, self.branch, self.apart)
        else:
            linkedtree.forget(self.common, self.place)
            linkedtree.make(self.common, self.place, self.making, self.branch, self.apart)
        os.close(self._enter(self.below, aside))
        for path in self.shared:
            self._link(path, aside)
        if not aside:
            return self.folder, None
        moved = ", ".join(f"'{escape(name)}' is in '{escape(paths.shown(to))}' now" for name, to in aside)
        return self.folder, f"in the way of the worktree of '{self.agent}': {moved}"

    def _clear(self) -> list[tuple[str, str]]:
        """Take out of the way what cannot be a worktree; (what, where to) of each."""
        aside: list[tuple[str, str]] = []
        if not os.path.lexists(self.place):
            return aside
        if os.path.islink(self.place) or not os.path.isdir(self.place):
            raise ColonyError(f"'{escape(self.place)}' is in the way of a worktree", fix="move it away", code=USAGE)
        dot_git = os.path.join(self.place, ".git")
        if not os.listdir(self.place):
            os.rmdir(self.place)
        elif os.path.lexists(dot_git) and (os.path.islink(dot_git) or not os.path.isfile(dot_git)):
            if linkedtree.admin(self.common, self.place) is None:
                what = f"'{escape(self.place)}' is a repository of its own, in the way of a worktree"
                raise ColonyError(what, fix="move it away", code=USAGE)
            self._move(None, dot_git, aside)
        elif not os.path.lexists(dot_git) and linkedtree.admin(self.common, self.place) is None:
            self._move(None, self.place, aside)
        return aside

    # -- what is shared in it

    def _enter(self, names: Sequence[str], aside: list[tuple[str, str]]) -> int:
        """A descriptor of the folder of those names below the tree: made where it is missing, and where something else
        is there that is moved away."""
        for count in range(1, len(names) + 1):
            path = os.path.join(self.place, *names[:count])
            holder = beneath.folder(self.place, names[: count - 1], make=True)
            try:
                found = os.lstat(names[count - 1], dir_fd=holder)
                if not stat.S_ISDIR(found.st_mode):
                    self._move(holder, path, aside)
            except FileNotFoundError:
                break
            finally:
                os.close(holder)
        return beneath.folder(self.place, names, make=True)

    def _link(self, shared: str, aside: list[tuple[str, str]]) -> None:
        """Let the path in the tree lead to the colony's own."""
        own = os.path.join(paths.root(), shared)
        if not os.path.lexists(own):
            files.make_dirs(own)
        *folders, name = [*self.below, *shared.split("/")]
        path = os.path.join(self.place, *folders, name)
        wanted = os.path.relpath(own, os.path.dirname(path))
        holder = self._enter(folders, aside)
        try:
            if _link_at(holder, name) == wanted:
                return
            if _link_at(holder, name) is not None:
                os.unlink(name, dir_fd=holder)
            elif _is_there(holder, name):
                self._move(holder, path, aside)
            os.symlink(wanted, name, dir_fd=holder)
        except OSError as error:
            raise failed("link", path, error) from None
        finally:
            os.close(holder)

    def _move(self, holder: int | None, path: str, aside: list[tuple[str, str]]) -> None:
        """Put away what is in the way: it may be somebody's work. An empty folder is nobody's."""
        name = os.path.basename(path)
        there = path if holder is None else f"/proc/self/fd/{holder}/{name}"
        try:
            os.rmdir(there)
            return
        except OSError:
            to = paths.worktree_aside(f"{self.agent}-{clock.new_id()}-{name}")
        files.make_dirs(os.path.dirname(to))
        files.put(there, to)
        aside.append((os.path.relpath(path, os.path.dirname(self.place)), to))

    # -- its work

    def commit(self, head: str, trailers: Mapping[str, str]) -> str | None:
        folder = linkedtree.admin(self.common, self.place)
        if folder is None:
            what = f"the worktree of '{self.agent}' is not known to git any more"
            raise ColonyError(what, fix=f"'colony start {self.agent}' mends it; what is in it stays as it is")
        tree = linkedtree.Tree(folder, self.place, self.branch, self.apart, self.common.alive)
        return tree.commit(self._message(head, trailers), self._author())

    def _message(self, head: str, trailers: Mapping[str, str]) -> str:
        from colony_lib.store import redact

        lines = [cut(escape(redact.Redactor(env.secret_values()).text(head)), 200), ""]
        return (
            "\n".join([*lines, *(f"{name}: {escape(value)}" for name, value in trailers.items())]).rstrip("\n") + "\n"
        )

    def _author(self) -> tuple[str, str]:
        return self.agent, f"{self.agent}@colony.invalid"

    # -- who works in it

    def enter(self) -> bool:
        """Say that this process works in the tree, for as long as it lives; whether others do, too."""
        others, inside, number = False, False, 1
        while not inside or os.path.exists(self._presence(number)):
            path = self._presence(number)
            if path in _inside or (not inside and self._take(path)):
                inside = True
            else:
                others = others or locks.is_held(path)
            number += 1
        return others

    def _take(self, path: str) -> bool:
        held = locks.try_hold(path, note=f"process {os.getpid()}")
        if held is not None:
            _inside[path] = held
        return held is not None

    def _presence(self, number: int) -> str:
        return paths.lock(f"in-worktree-{number}-{self.agent}")


def _real(path: str) -> str:
    """The path as git spells it; what lies there is not followed."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _outermost(shared: Sequence[str]) -> list[str]:
    """The paths, without those that lie in another one."""
    names = dict.fromkeys(os.path.normpath(path) for path in shared)
    return [name for name in names if not any(name.startswith(other + "/") for other in names)]


def _link_at(holder: int, name: str) -> str | None:
    """Where the link leads; None when it is none."""
    try:
        return os.readlink(name, dir_fd=holder)
    except OSError:
        return None


def _is_there(holder: int, name: str) -> bool:
    try:
        os.lstat(name, dir_fd=holder)
        return True
    except FileNotFoundError:
        return False
