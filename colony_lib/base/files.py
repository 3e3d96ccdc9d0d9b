"""Documents: files that are replaced whole, so that a reader or a crash never meets half of one."""

from __future__ import annotations

import os
import stat

from colony_lib.base import jsontext, locks
from colony_lib.base.errors import FAILED, USAGE, ColonyError, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

RAISE: Any = object()
LIMIT = 256 * 1024 * 1024  # bytes; a larger "document" is somebody's mistake
TEMPORARY = r"\..+\.(\d+)\.[0-9a-f]{8}\.tmp\Z"  # what `temporary` names, with the process that made it
_redact: Callable[[str], str] | None = None


def set_redactor(redact: Callable[[str], str] | None) -> None:
    """Pass every text that this process writes through `redact` from now on (None: no more)."""
    global _redact
    _redact = redact


def redacts() -> bool:
    """Whether this process has secrets to keep out of what it writes."""
    return _redact is not None


def redacted(text: str) -> str:
    return text if _redact is None else _redact(text)


def make_dirs(path: str) -> None:
    """Make the folder and those above it that are not there, and their names durable: what is fsynced in a folder
    is lost with the folder's own name."""
    new = []
    at = path
    while at and not os.path.isdir(at):
        new.append(at)
        at = os.path.dirname(at)
    try:
        os.makedirs(path, exist_ok=True)
        for folder in reversed(new):
            sync_folder(os.path.dirname(folder) or ".")
    except OSError as error:
        raise failed("make the folder", path, error) from None


def private_folder(place: str, prefix: str) -> str:
    """A new folder for temporary files in `place` that nobody else may enter."""
    while True:
        path = os.path.join(place, prefix + os.urandom(8).hex())
        try:
            os.mkdir(path, 0o700)
            return path
        except FileExistsError:
            continue
        except OSError as error:
            raise failed("make a folder in", place, error) from None


def open_regular(path: str, *, follow: bool = True) -> int:
    """A read-only descriptor of a regular file. FIFOs, devices and folders are refused without waiting on
    them; symbolic links too when `follow` is false (what came by a sync is not trusted)."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise failed("read", path, error) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ColonyError(f"'{path}' is not a regular file", code=FAILED)
    return fd


def read_bytes(path: str, *, limit: int = LIMIT, follow: bool = True) -> bytes:
    """The whole file. FileNotFoundError when it is not there; ColonyError when it cannot be read or is
    larger than `limit` bytes."""
    fd = open_regular(path, follow=follow)
    with os.fdopen(fd, "rb") as file:
        if os.fstat(fd).st_size > limit:
            raise ColonyError(f"'{path}' is larger than {limit:,} bytes", code=USAGE)
        try:
            return file.read()
        except OSError as error:
            raise failed("read", path, error) from None


def read_text(path: str, *, limit: int = LIMIT, follow: bool = True) -> str:
    try:
        return read_bytes(path, limit=limit, follow=follow).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ColonyError(f"'{path}' is not UTF-8 text (byte {error.start})", code=USAGE) from None


def read_json(path: str, default: Any = RAISE, *, follow: bool = True) -> Any:
    """The document's value; `default` when there is no file (without one, FileNotFoundError)."""
    try:
        data = read_bytes(path, follow=follow)
    except FileNotFoundError:
        if default is RAISE:
            raise
        return default
    return jsontext.loads(data, where=path)


def sync_folder(path: str) -> None:
    """Make names in the folder durable: a rename is on disk only when its folder is."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folders(path: str, top: str) -> None:
    """Make the name of the folder durable, and those of the folders above it that lie under `top`."""
    try:
        while path != top:
            path = os.path.dirname(path)
            sync_folder(path)
    except OSError as error:
        raise failed("make durable", path, error) from None


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def temporary(path: str) -> str:
    """A new name for a file that will be renamed to `path`: in the same folder, so that the rename is one step, and
    nobody else's."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")


class replacing:
    """`with replacing(path) as fd:` — write the descriptor; at the end of the block the file is replaced
    whole, or, after an exception, untouched. The temporary file lies in the same folder under a name of its own.
    `finish` replaces it before the end of the block, where that must happen under a lock."""

    __slots__ = ("durable", "fd", "mode", "path", "temporary")

    def __init__(self, path: str, *, durable: bool = True, mode: int = 0o666) -> None:
        self.path = path
        self.durable = durable
        self.mode = mode
        self.temporary = temporary(path)
        self.fd = -1

    def __enter__(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            try:
                self.fd = os.open(self.temporary, flags, self.mode)
            except FileNotFoundError:
                folder = os.path.dirname(self.path)
                if self.durable:
                    make_dirs(folder)
                else:
                    os.makedirs(folder, exist_ok=True)
                self.fd = os.open(self.temporary, flags, self.mode)
        except OSError as error:
            raise failed("write", self.path, error) from None
        return self.fd

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                if self.fd >= 0:
                    self.finish()
                return
        except OSError as problem:
            self._give_up()
            raise failed("write", self.path, problem) from None
        self._give_up()
        if isinstance(error, OSError) and not isinstance(error, (FileNotFoundError, BrokenPipeError)):
            raise failed("write", self.path, error) from None

    def finish(self, *, settle: bool = True) -> None:
        """Put what has been written in the file's place. OSError, and `__exit__` then undoes it. Without `settle` the
        caller syncs the folder, when it has given a lock back."""
        if self.durable:
            os.fsync(self.fd)
        os.close(self.fd)
        self.fd = -1
        os.rename(self.temporary, self.path)
        if self.durable and settle:
            sync_folder(os.path.dirname(self.path) or ".")

    def _give_up(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        try:
            os.unlink(self.temporary)
        except OSError:
            return  # it was never made, or nothing can be removed: what failed before is what has to be told


def write_bytes(path: str, data: bytes, *, durable: bool = True, mode: int = 0o666) -> None:
    with replacing(path, durable=durable, mode=mode) as fd:
        write_all(fd, data)


def write_text(path: str, text: str, *, durable: bool = True, mode: int = 0o666) -> None:
    write_bytes(path, redacted(text).encode("utf-8"), durable=durable, mode=mode)


def write_json(path: str, value: Any, *, indent: int | None = 2, durable: bool = True, mode: int = 0o666) -> None:
    """Replace the document by the value, indented for people unless `indent` is None."""
    text = jsontext.pretty(value) if indent else jsontext.dumps(value) + "\n"
    write_text(path, text, durable=durable, mode=mode)


def set_aside(path: str) -> str:
    """Take the folder out of the way by one rename, for `remove_folder`; returns its new path beside the old one."""
    aside = temporary(path)
    try:
        os.rename(path, aside)
        sync_folder(os.path.dirname(path) or ".")
    except OSError as error:
        raise failed("remove", path, error) from None
    return aside


def remove_folder(path: str) -> None:
    """Remove the folder and all in it; a link in it goes, and not what it leads to. Not atomic: `set_aside` first."""
    import shutil

    try:
        shutil.rmtree(path)
    except OSError as error:
        raise failed("remove", str(error.filename or path), error) from None


def share(source: str, path: str) -> None:
    """Give the content of `source`, a document that nobody changes any more, the name `path` as well: by a hard
    link, or by a copy where there can be none. The name is durable once its folder is synced. FileNotFoundError
    when there is no source."""
    if not stat.S_ISREG(os.lstat(source).st_mode):
        raise ColonyError(f"'{source}' is not a regular file", code=FAILED)
    made = temporary(path)
    make_dirs(os.path.dirname(path))
    try:
        os.link(source, made)
        os.rename(made, path)
        if os.path.lexists(made):  # between two names of one file a rename does nothing
            os.unlink(made)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        fd = open_regular(source, follow=False)
        with os.fdopen(fd, "rb") as file, replacing(path) as copy:
            while data := file.read(1 << 20):
                write_all(copy, data)


def put(made: str, path: str, *, durable: bool = True) -> None:
    """Let the finished file `made`, of the same folder, take the place of `path` by one step."""
    try:
        os.rename(made, path)
        if durable:
            sync_folder(os.path.dirname(path) or ".")
    except OSError as error:
        raise failed("write", path, error) from None


def update_json(
    path: str, change: Callable[[Any], Any], *, lock: str, default: Any = None, durable: bool = True
) -> Any:
    """Read, change, replace, all under the lock; returns the new value. `change` may raise to leave all as it
    was; it must be quick, for the lock is held meanwhile."""
    replacement = replacing(path, durable=durable)
    with locks.held(lock):
        value = change(read_json(path, default, follow=False))
        with replacement as fd:
            write_all(fd, redacted(jsontext.pretty(value)).encode("utf-8"))
            replacement.finish(settle=False)
    if durable:
        try:
            sync_folder(os.path.dirname(path) or ".")
        except OSError as error:
            raise failed("make durable", path, error) from None
    return value
