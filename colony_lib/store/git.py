"""git, run as a program: the one module that starts it.

Every call is made in an environment in which nothing of the caller's matters: no GIT_DIR or GIT_INDEX_FILE (we may be
inside a git hook), no hook, prompt, pager, editor or automatic clean-up. What git may do to a repository it does by
plumbing, so that HEAD, index, stash, configuration and everybody else's branches stay as they are.
"""

from __future__ import annotations

import os
import signal

from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.store import env

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Sequence
    from typing import IO

LOCAL_LIMIT = 300.0  # seconds that a call may take,
NETWORK_LIMIT = 900.0  # and one that talks to another machine
PIPE_LIMIT = 1 << 18  # bytes
# Of git's own variables these say how to reach and to trust other machines, or who one is; no other gets through.
_KEPT = {
    "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_ASKPASS", "GIT_PROXY_COMMAND",
    "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT",
    "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL",
}  # fmt: skip
_KEPT_STARTS = ("GIT_SSL_", "GIT_HTTP_", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")
_DROPPED = ("SSH_ASKPASS", "LANGUAGE")
_SET = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_EDITOR": ":",
    "GIT_PAGER": "cat",
}
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.fsync=committed,reference",
    "core.filesRefLockTimeout=3000",
    "core.sparseCheckout=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.writeCommitGraph=false",
    "fetch.prune=false",
    "push.followTags=false",
    "push.gpgSign=false",
    "push.autoSetupRemote=false",
    "protocol.ext.allow=never",
    "protocol.fd.allow=never",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
    "i18n.commitEncoding=UTF-8",
    "worktree.useRelativePaths=false",
    "advice.detachedHead=false",
)
_SSH = " -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"


def environment() -> dict[str, str]:
    """What a git child gets: the caller's environment without what would point git elsewhere or let it ask."""
    kept = {
        name: value
        for name, value in env.environ().items()
        if name not in _DROPPED and (not name.startswith("GIT_") or name in _KEPT or name.startswith(_KEPT_STARTS))
    }
    return {**kept, **_SET}


class Done:
    """What a finished git said: `code`, `out` (bytes) and `err` (text)."""

    __slots__ = ("code", "err", "out")

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.out = out
        self.err = err.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "surrogateescape").strip("\n")

    @property
    def said(self) -> str:
        """The line of git's that tells most."""
        lines = [line.strip() for line in self.err.splitlines() if line.strip()]
        for start in ("fatal: ", "error: ", "remote: "):
            for line in lines:
                if line.startswith(start):
                    return line.removeprefix(start).rstrip(".")
        if self.code < 0:
            return f"it was ended by signal {-self.code}"
        return lines[-1] if lines else f"it ended with status {self.code}"


def run(
    words: Sequence[str],
    *,
    cwd: str,
    data: bytes = b"",
    more: dict[str, str] | None = None,
    alive: Iterable[int] = (),
    limit: float = LOCAL_LIMIT,
) -> Done:
    """Run `git WORDS…` to its end. `more` goes into its environment; the descriptors `alive` are its too, so that the
    locks they hold are had by nobody while it lives. ColonyError when there is no git, or it takes over `limit` s."""
    import subprocess

    command = ["git", *(word for setting in _SETTINGS for word in ("-c", setting)), *words]
    much = _as_file(data) if len(data) > PIPE_LIMIT else None
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**environment(), **(more or {})},
            stdin=subprocess.PIPE if much is None else much,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=tuple(fd for fd in alive if fd >= 0),
            start_new_session=True,  # without a terminal nothing can ask there
        )
    except FileNotFoundError:
        if not os.path.isdir(cwd):
            raise ColonyError(f"there is no folder '{cwd}'", code=FAILED) from None
        raise ColonyError("git is not installed, or not on PATH", fix="install git, 2.30 or newer") from None
    except OSError as error:
        raise ColonyError(f"git cannot be started: {os.strerror(error.errno or 0)}") from None
    finally:
        if much is not None:
            much.close()
    try:
        out, err = process.communicate(data if much is None else None, timeout=limit)
    except subprocess.TimeoutExpired:
        _end(process)
        raise ColonyError(f"git {words[0]} had not ended after {limit:g} s", fix="try again later") from None
    except BaseException:
        _end(process)
        raise
    return Done(process.returncode, out, err)


def _as_file(data: bytes) -> IO[bytes]:
    """The data in a file without a name: through a pipe Python would hand it on in small pieces."""
    import tempfile

    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        file.write(data)
        file.seek(0)
    except OSError as error:
        raise ColonyError(f"cannot write in '{tempfile.gettempdir()}': {os.strerror(error.errno or 0)}") from None
    return file


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started, gently at first: git then takes its lock files away."""
    import subprocess

    for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            process.wait()
        except subprocess.TimeoutExpired:
            continue
        break
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


class Repository:
    """A repository: its common git folder (absolute), the folder in which git is run, and the descriptors of the locks
    that its children share."""

    __slots__ = ("_stored", "alive", "cwd", "git_dir", "hide")

    def __init__(self, git_dir: str, cwd: str, alive: Iterable[int] = (), hide: Callable[[str], str] = str) -> None:
        self.git_dir = git_dir
        self.cwd = cwd
        self.alive = tuple(alive)
        self.hide = hide  # takes secrets out of what git says
        self._stored: dict[bytes, str] = {}

    def run(
        self, *words: str, data: bytes = b"", more: dict[str, str] | None = None, limit: float = LOCAL_LIMIT
    ) -> Done:
        where = {"GIT_DIR": self.git_dir, **(more or {})}
        return run(words, cwd=self.cwd, data=data, more=where, alive=self.alive, limit=limit)

    def ask(self, doing: str, *words: str, data: bytes = b"", more: dict[str, str] | None = None) -> str:
        """What git prints; ColonyError "cannot DOING: what git said" when it fails."""
        done = self.run(*words, data=data, more=more)
        if done.code != 0:
            raise self.failed(doing, done)
        return done.text

    def failed(self, doing: str, done: Done) -> ColonyError:
        fix = None
        if done.code == 129:
            fix = "git may be too old: 2.30 or newer is needed"
        elif "No space left" in done.err:
            fix = "free some space; what was there before is unchanged"
        elif ".lock': File exists" in done.err:
            fix = "remove that file when no git is at work there"
        elif "dubious ownership" in done.err:
            fix = f"git config --global --add safe.directory '{self.cwd}'"
        return ColonyError(f"cannot {doing}: git says: {self.hide(done.said)}", fix=fix)

    # -- reading

    def refs(self, names: Sequence[str]) -> dict[str, str]:
        """{name: object id} of those full names of references that there are."""
        listed = self.ask("read the branches", "for-each-ref", "--format=%(objectname) %(refname)", *names)
        found = {name: value for value, _, name in (line.partition(" ") for line in listed.splitlines())}
        return {name: found[name] for name in names if name in found}

    def entries(self, tree: str) -> list[tuple[str, str, str, int, str]]:
        """(mode, type, object id, size or -1, name) of each entry of a commit or tree; names may hold anything."""
        done = self.run("ls-tree", "-z", "-l", tree)
        if done.code != 0:
            raise self.failed("read the shared state", done)
        found = []
        for line in done.out.split(b"\0"):
            if line:
                head, _, name = line.partition(b"\t")
                mode, kind, oid, size = head.decode().split()
                found.append((mode, kind, oid, -1 if size == "-" else int(size), os.fsdecode(name)))
        return found

    def objects(self, ids: Iterable[str]) -> dict[str, bytes]:
        """{object id: content} of those objects."""
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        done = self.run("cat-file", "--batch", data="".join(f"{oid}\n" for oid in wanted).encode())
        if done.code != 0:
            raise self.failed("read the shared state", done)
        found: dict[str, bytes] = {}
        place = 0
        for oid in wanted:
            end = done.out.index(b"\n", place)
            head = done.out[place:end].split()
            if len(head) != 3:
                raise ColonyError(f"the repository lacks the object {oid}", fix=f"git -C '{self.cwd}' fsck")
            size = int(head[2])
            found[oid] = done.out[end + 1 : end + 1 + size]
            if head[1] == b"blob":
                self._stored[found[oid]] = oid
            place = end + 1 + size + 1
        return found

    def is_ancestor(self, old: str, new: str) -> bool:
        done = self.run("merge-base", "--is-ancestor", old, new)
        if done.code not in (0, 1):
            raise self.failed("compare histories", done)
        return done.code == 0

    def merge_base(self, one: str, other: str) -> str | None:
        done = self.run("merge-base", one, other)
        return done.text.split("\n")[0] if done.code == 0 else None

    # -- writing

    def store(self, data: bytes) -> str:
        """The object id of a blob of that content."""
        if data not in self._stored:
            doing = "write into the repository"
            self._stored[data] = self.ask(doing, "hash-object", "-w", "--no-filters", "--stdin", data=data)
        return self._stored[data]

    def make_tree(self, entries: Iterable[tuple[str, str, str, str]]) -> str:
        """The object id of a tree of (mode, type, object id, name)."""
        lines = [f"{mode} {kind} {oid}\t".encode() + os.fsencode(name) + b"\0" for mode, kind, oid, name in entries]
        return self.ask("write into the repository", "mktree", "-z", "--missing", data=b"".join(lines))

    def commit(self, tree: str, parents: Sequence[str], message: str, author: tuple[str, str] | None = None) -> str:
        """The object id of a commit, of the author (name, address) where one is given, else whom git takes us for."""
        words = ["commit-tree", tree, *(word for parent in parents for word in ("-p", parent))]
        data = message.encode("utf-8", "replace")
        named = _identity(author, "AUTHOR") if author else {}
        done = self.run(*words, data=data, more=named)
        if done.code != 0:  # most often git does not know who we are
            done = self.run(*words, data=data, more={**_nobody(), **named})
        if done.code != 0:
            raise self.failed("write into the repository", done)
        return done.text

    def set_refs(self, values: dict[str, str], expected: dict[str, str], why: str) -> None:
        """Point the references at the objects, all or none; each must still be as in `expected` (or not there)."""
        nothing = "0" * len(next(iter(values.values())))
        lines = [f"update {name} {value} {expected.get(name, nothing)}\n" for name, value in values.items()]
        data = "".join(lines).encode()
        self.ask("move the branch", "update-ref", "-m", why, "--stdin", data=data)


def _nobody() -> dict[str, str]:
    """An identity for where git has none."""
    import socket

    return _identity(("colony", f"colony@{socket.gethostname() or 'localhost'}"), "AUTHOR", "COMMITTER")


def _identity(who: tuple[str, str], *roles: str) -> dict[str, str]:
    """(name, address) as git's environment has it."""
    made: dict[str, str] = {}
    for role in roles:
        made |= {f"GIT_{role}_NAME": who[0], f"GIT_{role}_EMAIL": who[1]}
    return made


def find(folder: str) -> tuple[str, str] | None:
    """(top folder, common git folder) of the repository that the folder lies in, or None."""
    done = run(["rev-parse", "--show-toplevel", "--git-common-dir"], cwd=folder)
    if done.code != 0:
        if "not a git repository" in done.err or "must be run in a work tree" in done.err:
            return None
        raise Repository("", folder).failed("find the repository", done)
    top, common = done.text.split("\n")[:2]
    return top, os.path.realpath(os.path.join(folder, common))


def remote_environment(repository: Repository, url: str) -> dict[str, str]:
    """More for the environment of a call that talks to another machine: ssh asks nothing and does not wait for ever."""
    if url.startswith(("/", ".", "file://", "http://", "https://")):
        return {}
    given = env.get("GIT_SSH_COMMAND")
    if given is None and env.get("GIT_SSH") is None:
        given = repository.run("config", "--get", "core.sshCommand").text or "ssh"
    words = (given or "").split()
    if words and os.path.basename(words[0]) == "ssh":
        return {"GIT_SSH_COMMAND": f"{given}{_SSH}"}
    return {}
