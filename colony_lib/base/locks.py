"""Kernel locks: each on a file of its own that is never renamed or deleted, and gone with its holder.

This is flock(2) by itself and not through the filelock package, whose import alone costs more than the whole
time that a writing command may take (four starts of a bare Python). It is the same kernel lock: a
program that uses filelock on the same file excludes us and is excluded.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from colony_lib.base.errors import BUSY, ColonyError, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

default_timeout = 10.0  # seconds; --lock-timeout changes it
_ASKED = 1.0  # seconds that those who ask whether a lock is held can keep it from one who wants it, at most
_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_long_held: dict[int, tuple[str, str, tuple[int, int]]] = {}  # descriptor: path, note, (device, inode) of the file


def _open(path: str) -> int:
    try:
        return os.open(path, _OPEN, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, _OPEN, 0o666)


def try_hold(path: str, note: str = "") -> int | None:
    """A file descriptor that holds the lock until it is closed everywhere, or None when another holds it.
    ColonyError when there can be no such lock (a full disk, say).

    The note (whose it is: a run, a process) is kept in the lock file for the message that others get.
    """
    fd = -1
    try:
        fd = _open(path)
        if not _take(fd):
            os.close(fd)
            return None
        if note:
            sign(fd, note)
    except OSError as error:
        if fd >= 0:
            os.close(fd)
        raise failed("lock", path, error) from None
    _long_held[fd] = (path, note, _identity(fd))
    return fd


def _identity(fd: int) -> tuple[int, int]:
    state = os.fstat(fd)
    return state.st_dev, state.st_ino


def _take(fd: int) -> bool:
    """Take the lock, unless another holds it. Who asks `is_held` shares it for an instant, and is waited for: a holder
    keeps everybody out, an asker lets another asker in."""
    deadline = time.monotonic() + _ASKED
    while not _flock(fd, fcntl.LOCK_EX):
        if not _flock(fd, fcntl.LOCK_SH) or time.monotonic() > deadline:
            return False
        fcntl.flock(fd, fcntl.LOCK_UN)  # we would keep out another who takes it
        time.sleep(0.0002)
    return True


def _flock(fd: int, kind: int) -> bool:
    """Whether the kernel gave that kind of lock at once."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
        return True
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise


def sign(fd: int, note: str) -> None:
    """Write into the lock file, open at `fd` and held, whose it is."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, note.encode(), 0)


def try_hold_folder(path: str) -> int | None:
    """As `try_hold`, with the folder itself as the lock file: for folders in which nothing of ours may be put.
    OSError where the file system locks no folders."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise
    return fd


def release(fd: int) -> None:
    _long_held.pop(fd, None)
    os.close(fd)


def forget_all_but(fd: int) -> None:
    """After a fork: of the locks that were held before it, this process goes on holding that one only."""
    for other in [other for other in _long_held if other != fd]:
        del _long_held[other]


def restore() -> bool:
    """Hold the long-held locks also after somebody has removed their files (`rm -r .colony/locks`, to free what seemed
    stuck): each is taken anew under its name. False when another process was quicker and holds one of them."""
    all_ours = True
    for fd, (path, note, identity) in list(_long_held.items()):
        try:
            mine = _identity(fd) == identity
            there = os.stat(path)
            removed = (there.st_dev, there.st_ino) != identity
        except FileNotFoundError:
            removed = True
        except OSError:
            mine = removed = False  # closed, or not to be looked at
        if not mine:
            _long_held.pop(fd)
        elif removed:
            try:
                new = try_hold(path, note)
            except ColonyError:
                continue  # not to be had now (a full disk): the next time
            if new is None:
                all_ours = False
                continue
            os.dup2(new, fd, inheritable=False)
            _long_held[fd] = _long_held.pop(new)
            os.close(new)
    return all_ours


def is_held(path: str) -> bool:
    """Whether any process holds the lock now; asks with a shared lock, so askers do not see each other."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        return not _flock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def note(lock: str | int) -> str:
    """What the holder of the lock (its file's path, or a descriptor of it), or its last one, wrote about itself; ''
    when nothing."""
    try:
        fd = lock if isinstance(lock, int) else os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(fd, 1000, 0).decode("utf-8", "replace")
        finally:
            if fd is not lock:
                os.close(fd)
    except OSError:
        return ""


class held:
    """`with held(path):` — holds the lock for the block; ColonyError (BUSY) when not had within `timeout` s.

    For milliseconds only, never across a child process or a network call. With `keep_open` the file stays
    open for the next block, until `close`; such a lock belongs to one process and must not be used after a fork.
    """

    __slots__ = ("fd", "keep_open", "path", "timeout", "what")

    def __init__(self, path: str, timeout: float | None = None, what: str = "", *, keep_open: bool = False) -> None:
        self.path = path
        self.timeout = default_timeout if timeout is None else timeout
        self.what = what or os.path.basename(path).removesuffix(".lock")
        self.keep_open = keep_open
        self.fd = -1

    def __enter__(self) -> held:
        try:
            if self.fd < 0:
                self.fd = _open(self.path)
            if not _flock(self.fd, fcntl.LOCK_EX):
                self._wait()
        except OSError as error:
            self.close()
            raise failed("lock", self.path, error) from None
        except BaseException:
            self.close()
            raise
        return self

    def _wait(self) -> None:
        # flock has no timeout of its own and a signal timer would belong to the whole process: ask again, soon.
        deadline = time.monotonic() + self.timeout
        pause = 0.0005
        while time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 1.5, 0.004)
            if _flock(self.fd, fcntl.LOCK_EX):
                return
        raise ColonyError(
            f"{self.what} is busy: its lock was not free within {self.timeout:g} s",
            where=self.path,
            fix="try again, or wait longer with --lock-timeout",
            code=BUSY,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.keep_open:
            fcntl.flock(self.fd, fcntl.LOCK_UN)
        else:
            self.close()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
