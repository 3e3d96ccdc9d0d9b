"""The other end of the shared state: which remote it is, and the branch there, seen, fetched and pushed."""

from __future__ import annotations

import os
import time

from colony_lib.base import locks
from colony_lib.base.errors import BUSY, FAILED, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.store import git

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from colony_lib.store.git import Done, Repository

IN_REPO = "in-repo"
UNTOUCHED = "the state is as it was; try again when the remote can be reached"
KEPT = "the state here is kept, and goes with the next sync that the remote takes"
# What a server says when another push was in its way, and when the way is barred.
_RACES = ("fetch first", "non-fast-forward", "stale info", "failed to update ref", "cannot lock ref", "File exists")
_BARS = ("Permission denied", "Read-only file system", "No space left", "hook declined")


class Remote:
    """A remote and the branch that is shared there; `name` is what people see."""

    __slots__ = ("branch", "name", "push_url", "repository", "url")

    def __init__(self, repository: Repository, branch: str, name: str, url: str, push_url: str) -> None:
        for address in (url, push_url):
            if address.startswith(("-", "ext::", "fd::")) or "\n" in address or "\0" in address:
                raise ColonyError(f"'{escape(name)}' is not a place for shared state", code=USAGE)
        self.repository = repository
        self.branch = branch
        self.name = name
        self.url = url
        self.push_url = push_url

    def _talk(self, *words: str, url: str, alive: Iterable[int]) -> Done:
        """Run a git that talks to the other machine. The first one of a sync gets no lock to hold: it may start a
        daemon that keeps the user's credentials, and would keep the lock as well."""
        here = self.repository
        talking = git.Repository(here.git_dir, here.cwd, alive, here.hide)
        return talking.run(*words, more=git.remote_environment(here, url), limit=git.NETWORK_LIMIT)

    def _unreachable(self, done: Done, fix: str = UNTOUCHED) -> ColonyError:
        hide = self.repository.hide
        return ColonyError(f"cannot reach {hide(self.name)}: git says: {hide(done.said)}", fix=fix, code=FAILED)

    def look(self) -> str | None:
        """The commit that the branch stands at there, or None when it has none yet."""
        full = f"refs/heads/{self.branch}"
        done = self._talk("ls-remote", "--quiet", "--", self.url, full, url=self.url, alive=())
        if done.code != 0:
            raise self._unreachable(done)
        found = (line.split("\t", 1) for line in done.text.splitlines())
        return next((parts[0] for parts in found if parts[1:] == [full]), None)

    def fetch(self, into: str, known: Iterable[str]) -> str | None:
        """The commit that the branch stands at there. It is one of `known`, the commits that are here with all that
        they need, or is fetched into the reference `into`."""
        there = self.look()
        if there is None or there in known:
            return there
        options = ["--quiet", "--no-write-fetch-head", "--no-tags", "--no-recurse-submodules", "--no-auto-gc"]
        options += ["--no-show-forced-updates", "--refmap="]
        span = f"+refs/heads/{self.branch}:{into}"
        done = self._talk("fetch", *options, "--", self.url, span, url=self.url, alive=self.repository.alive)
        if done.code != 0:
            raise self._unreachable(done)
        ask = self.repository.ask
        return ask("use what the remote has", "rev-parse", "--verify", "--quiet", f"{into}^{{commit}}") or None

    def push(self, commit: str) -> bool:
        """Point the branch there at the commit, which must come after what it stands at; False when another push
        was faster. ColonyError (FAILED) when it is refused for good, or the remote is gone."""
        held = self._hold()
        try:
            options = ["--quiet", "--porcelain", "--no-verify", "--recurse-submodules=no"]
            span = f"{commit}:refs/heads/{self.branch}"
            # It changes nothing here, so that a later sync need not wait for it.
            done = self._talk("push", *options, "--", self.push_url, span, url=self.push_url, alive=[held])
        finally:
            if held >= 0:
                locks.release(held)
        if done.code == 0:
            return True
        refused = [line for line in done.text.splitlines() if line.startswith("!")]
        if not refused:
            raise self._unreachable(done, KEPT)
        reason = refused[0].split("\t")[-1]
        told = reason + done.err
        if any(race in told for race in _RACES) and not any(bar in told for bar in _BARS):
            return False
        hide = self.repository.hide
        lines = [line.removeprefix("remote: ").strip() for line in done.err.splitlines() if line.startswith("remote: ")]
        why = ": ".join([reason, *[line for line in lines if line][:1]])
        raise ColonyError(f"{hide(self.name)} refuses the state: {hide(why)}", fix=KEPT)

    def _hold(self) -> int:
        """For a remote that is a folder of this machine: a descriptor that keeps other pushes of Colony's out, after
        the locks are cleared that a push shot in its middle left there. -1 for any other remote."""
        folder = _folder(self.push_url, self.repository.cwd)
        if folder is None:
            return -1
        deadline = time.monotonic() + locks.default_timeout
        pause = 0.01
        while True:
            try:
                held = locks.try_hold_folder(folder)
            except OSError:
                return -1  # a file system that locks no folders: git's own locks must do
            if held is not None:
                break
            if time.monotonic() > deadline:
                what = f"'{escape(self.name)}' is busy: another push has not ended within {locks.default_timeout:g} s"
                raise ColonyError(what, fix="try again, or wait longer with --lock-timeout", code=BUSY)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)
        clear_dead([os.path.join(folder, "refs", "heads", self.branch + ".lock")])
        return held


def clear_dead(paths: list[str], patience: float = 1.0) -> None:
    """Remove git's lock files at those paths, of which the caller knows that no process of Colony's holds them. One
    that a person's git holds for a moment is given `patience` s to go by itself."""
    there = [path for path in paths if os.path.lexists(path)]
    deadline = time.monotonic() + patience
    while there and time.monotonic() < deadline:
        time.sleep(0.02)
        there = [path for path in there if os.path.lexists(path)]
    for path in there:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue  # it went by itself after all
        except OSError as error:
            said = os.strerror(error.errno or 0)
            raise ColonyError(f"cannot remove the dead lock '{path}': {said}", fix="remove it by hand") from None


def _folder(url: str, cwd: str) -> str | None:
    """The git folder that a URL names on this machine."""
    path = url.removeprefix("file://")
    if path == url and ("://" in url or ":" in url.split("/", 1)[0]):
        return None
    path = os.path.join(cwd, path)
    for folder in (os.path.join(path, ".git"), path, path + ".git"):
        if os.path.isdir(os.path.join(folder, "refs")) and os.path.isfile(os.path.join(folder, "HEAD")):
            return folder
    return None


def choose(repository: Repository, location: str, written: str, branch: str) -> Remote | None:
    """The remote that colony.yml's `location` means: a URL or path, the name of one of the repository's remotes, or,
    with in-repo, 'origin' or the only one. None when the repository has none. `written` is the location as colony.yml
    has it, without the values of its variables."""
    remotes = _remotes(repository)
    names = sorted(remotes)
    if location == IN_REPO:
        if not names:
            return None
        if "origin" not in names and len(names) > 1:
            fix = "name one of them: shared_state: {backend: git-backed, location: " + names[0] + "}"
            raise ColonyError(f"the repository has {len(names)} remotes, and none is 'origin'", fix=fix, code=USAGE)
        location = "origin" if "origin" in names else names[0]
    elif location not in names:
        from colony_lib.store import paths

        if not location or "::" in location.split("/", 1)[0]:
            raise ColonyError(f"'{escape(written)}' is not a place for shared state", code=USAGE)
        is_url = "://" in location or ":" in location.split("/", 1)[0]
        url = location if is_url else os.path.join(paths.root(), os.path.expanduser(location))
        return Remote(repository, branch, f"'{written}'", url, url)
    return Remote(repository, branch, f"'{location}'", *remotes[location])


def _remotes(repository: Repository) -> dict[str, tuple[str, str]]:
    """{name: (where to fetch from, where to push to)} of the repository's remotes."""
    found: dict[str, dict[str, str]] = {}
    done = repository.run("config", "--null", "--get-regexp", r"^remote\..*\.")
    for entry in done.text.split("\0"):
        setting, _, value = entry.partition("\n")
        name, _, key = setting.removeprefix("remote.").rpartition(".")
        if name:
            found.setdefault(name, {}).setdefault(key, value)
    return {name: (keys["url"], keys.get("pushurl", keys["url"])) for name, keys in found.items() if "url" in keys}
