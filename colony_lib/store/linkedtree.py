"""A linked git worktree by plumbing: made, found again, mended, committed.

What lies in the working tree is its user's, and not trusted: git is told by us which folder in the repository is its
own (the `.git` file in the tree is for people), and a repository inside the tree is neither entered nor asked.
The caller holds a lock that no two processes have at once for one tree, and that the children of git share.
"""

from __future__ import annotations

import os
import stat

from colony_lib.base import files
from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.store import git

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from colony_lib.store.git import Repository

_POINTER_LIMIT = 1 << 16


class Tree:
    """A working tree: its folder `place`, its own folder in git (`admin`), its branch's full name, and the paths in
    it that are not the branch's (`apart`, relative): they are never written, looked at or committed."""

    __slots__ = ("_git", "admin", "apart", "branch", "place")

    def __init__(self, admin: str, place: str, branch: str, apart: Sequence[str], alive: Iterable[int]) -> None:
        self.admin = admin
        self.place = place
        self.branch = branch
        self.apart = apart
        self._git = git.Repository(admin, place, alive)

    def _ask(self, doing: str, *words: str, data: bytes = b"") -> bytes:
        done = self._git.run(*words, data=data, more={"GIT_WORK_TREE": self.place})
        if done.code != 0:
            raise self._git.failed(doing, done)
        return done.out

    def _names(self, doing: str, *words: str) -> list[str]:
        return [os.fsdecode(name) for name in self._ask(doing, *words).split(b"\0") if name]

    # -- what it is

    def check(self) -> None:
        """ColonyError when something else than its branch is checked out."""
        done = self._git.run("symbolic-ref", "--quiet", "HEAD")
        if done.code not in (0, 1):
            raise self._git.failed(f"see what is checked out in '{escape(self.place)}'", done)
        if done.text != self.branch:
            name = escape(self.branch.removeprefix("refs/heads/"))
            head = f"'{escape(done.text.removeprefix('refs/heads/'))}'" if done.text else "a commit of no branch"
            what = f"the worktree in '{escape(self.place)}' is not on the branch '{name}' but on {head}"
            fix = f"git -C '{escape(self.place)}' switch '{name}' (what is not committed there goes along)"
            raise ColonyError(what, fix=fix, code=USAGE)

    def point(self) -> None:
        """Let its branch be the one that is checked out, whatever its files are."""
        self._ask(f"check out '{escape(self.branch)}'", "symbolic-ref", "HEAD", self.branch)

    # -- its files

    def fill(self) -> None:
        """Make the files of its branch in it; there are none yet."""
        self.index()
        words = ("checkout-index", "--all", "--force", "--index", "--quiet")
        self._ask(f"check out '{escape(self.branch)}'", *words)

    def index(self) -> None:
        """Make its index that of the branch, in which git passes over what is apart."""
        doing = f"read '{escape(self.branch)}'"
        self._ask(doing, "read-tree", self.branch)
        if self.apart:
            hidden = self._ask(doing, "ls-files", "-z", "--", *(f":(literal){path}" for path in self.apart))
            self._ask(doing, "update-index", "-z", "--skip-worktree", "--stdin", data=hidden)

    # -- its changes

    def commit(self, message: str, author: tuple[str, str]) -> str | None:
        """Commit all that was changed, made and removed, but what git ignores, on its branch; the commit, or None when
        there is nothing to commit. No hook is run, and nothing signed. ColonyError when something else is checked
        out."""
        doing = f"commit in '{escape(self.place)}'"
        self.check()
        changed = self._changed(doing)
        if changed:
            data = b"".join(os.fsencode(name) + b"\0" for name in changed)
            add = ("update-index", "-z", "--add", "--remove", "--replace", "--stdin")
            self._ask(doing, "-c", "core.safecrlf=false", *add, data=data)
        tree = self._ask(doing, "write-tree").decode().strip()
        parent = self._ask(doing, "rev-parse", "--verify", self.branch + "^{commit}").decode().strip()
        if tree == self._ask(doing, "rev-parse", "--verify", parent + "^{tree}").decode().strip():
            return None
        made = self._git.commit(tree, [parent], message, author)
        self._git.set_refs({self.branch: made}, {self.branch: parent}, "commit: " + message.split("\n", 1)[0])
        return made

    def _changed(self, doing: str) -> list[str]:
        """The paths that may be other than in the index; nothing that git could not take, for it would give up."""
        apart = [f":(exclude,literal){path}" for path in self.apart]
        words = ("ls-files", "-z", "--modified", "--others", "--exclude-standard", "--", ".", *apart)
        done = self._git.run(*words, more={"GIT_WORK_TREE": self.place})
        if done.code != 0 and "index file" in done.err:  # it is damaged, and can be had anew
            files.put(os.path.join(self.admin, "index"), os.path.join(self.admin, "index.damaged"))
            self.index()
            done = self._git.run(*words, more={"GIT_WORK_TREE": self.place})
        if done.code != 0:
            raise self._git.failed(doing, done)
        names = dict.fromkeys(os.fsdecode(name) for name in done.out.split(b"\0") if name)
        # A folder where a file was comes first: once what is in it has been added, git does not know the file any more.
        ordered = sorted(names, key=lambda name: not os.path.isdir(os.path.join(self.place, name)))
        return [name for name in ordered if self._is_takable(name)]

    def _is_takable(self, name: str) -> bool:
        """Whether git can take the path as it is now. A repository inside the tree (its name ends with a slash, or it
        lies where a file was) is not taken: git would look into it by that one's own settings."""
        path = os.path.join(self.place, name)
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            return True  # it is gone, which is a change
        if stat.S_ISDIR(mode):
            return not name.endswith("/") and not os.path.lexists(os.path.join(path, ".git"))
        return stat.S_ISLNK(mode) or (stat.S_ISREG(mode) and os.access(path, os.R_OK))


# -- the links between a tree and its repository


def _read(path: str) -> str:
    """The first line of a small file of git's; '' when there is none."""
    try:
        text = files.read_bytes(path, limit=_POINTER_LIMIT, follow=False).decode("utf-8", "surrogateescape")
    except (ColonyError, OSError):
        return ""
    return text.split("\n", 1)[0].strip()


def _admins(common: Repository) -> Iterator[tuple[str, str]]:
    """(folder in git, the `.git` file that it names) of each linked worktree."""
    home = os.path.join(common.git_dir, "worktrees")
    for name in sorted(os.listdir(home)) if os.path.isdir(home) else []:
        folder = os.path.join(home, name)
        named = _read(os.path.join(folder, "gitdir"))
        if named:
            yield folder, os.path.normpath(os.path.join(folder, named))


def admin(common: Repository, place: str) -> str | None:
    """The folder in git of the worktree `place`; None when git knows of none there."""
    return next((folder for folder, named in _admins(common) if named == os.path.join(place, ".git")), None)


def _lost(common: Repository, place: str) -> str | None:
    """The folder in git that the tree names, and whose own tree is elsewhere or nowhere: the colony was moved, or
    copied as a whole."""
    name = os.path.basename(_pointer(place))
    for folder, named in _admins(common):
        if os.path.basename(folder) == name and os.path.realpath(_pointer(os.path.dirname(named))) != folder:
            return folder
    return None


def _pointer(place: str) -> str:
    """The folder that the tree's `.git` file names; '' when it names none."""
    text = _read(os.path.join(place, ".git"))
    return text.removeprefix("gitdir: ") if text.startswith("gitdir: ") else ""


def mend(folder: str, place: str, branch: str) -> None:
    """Let the tree and its folder in git name each other, and the folder have what makes it one."""
    named = f"gitdir: {folder}"
    wanted = {os.path.join(place, ".git"): named, os.path.join(folder, "gitdir"): os.path.join(place, ".git")}
    for path, text in wanted.items():
        if _read(path) != text:
            files.write_bytes(path, os.fsencode(text) + b"\n")
    for name, text in (("commondir", "../.."), ("HEAD", f"ref: {branch}")):
        if not _read(os.path.join(folder, name)):
            files.write_bytes(os.path.join(folder, name), text.encode() + b"\n")


def begin(common: Repository, branch: str, start: str, mine: Sequence[str]) -> None:
    """Let there be the branch, to be checked out in one of the folders `mine`: one that is there stays as it is, a new
    one begins at the commit. ColonyError when it is checked out elsewhere."""
    name = escape(branch.removeprefix("refs/heads/"))
    place = ""
    for line in common.ask("list the worktrees", "worktree", "list", "--porcelain").splitlines():
        key, _, value = line.partition(" ")
        if key == "worktree":
            place = value
        elif key == "branch" and value == branch and place not in mine and os.path.isdir(place):
            what = f"the branch '{name}' cannot be the agent's: it is already checked out in '{escape(place)}'"
            fix = "check out another one there, or give the agent another worktree_branch"
            raise ColonyError(what, fix=fix, code=USAGE)
    if not common.refs([branch]):
        common.set_refs({branch: start}, {}, "colony: an agent's branch")


def make(common: Repository, place: str, making: str, branch: str, apart: Sequence[str]) -> Tree:
    """A new worktree of the branch, which there is: made elsewhere and put in its place whole."""
    folder = _new(common, making, branch)
    tree = Tree(folder, making, branch, apart, common.alive)
    tree.fill()
    os.sync()  # a tree that lost its files with the power would look like one whose files were changed
    files.write_bytes(os.path.join(folder, "gitdir"), os.fsencode(os.path.join(place, ".git")) + b"\n")
    files.make_dirs(os.path.dirname(place))
    files.put(making, place)
    return Tree(folder, place, branch, apart, common.alive)


def take_up(common: Repository, place: str, making: str, branch: str, apart: Sequence[str]) -> Tree:
    """The worktree that lies in its place, also where the repository has lost or forgotten it: what is in the folder
    stays as it is."""
    folder = admin(common, place) or _lost(common, place)
    if folder is None:
        folder = _new(common, making, branch)
        files.remove_folder(making)
    mend(folder, place, branch)
    tree = Tree(folder, place, branch, apart, common.alive)
    tree.check()
    if not os.path.isfile(os.path.join(folder, "index")):
        tree.index()
    return tree


def _new(common: Repository, making: str, branch: str) -> str:
    """Let git make a worktree without files; its folder in git."""
    forget(common, making)
    if os.path.lexists(making):
        files.remove_folder(making)
    files.make_dirs(os.path.dirname(making))
    doing = "make a worktree"
    common.ask(doing, "worktree", "add", "--no-checkout", "--detach", making, branch)
    folder = admin(common, making)
    if folder is None:
        raise ColonyError(f"cannot {doing}: git made it somewhere else than in '{escape(making)}'")
    Tree(folder, making, branch, (), common.alive).point()
    return folder


def forget(common: Repository, place: str) -> None:
    """Let git forget the worktree that was there, and of whose work nothing is left."""
    folder = admin(common, place)
    if folder is not None:
        files.remove_folder(folder)
