"""Files below a folder, reached step by step without following any link: what lies there cannot lead elsewhere."""

from __future__ import annotations

import os
import stat

from colony_lib.base.errors import ColonyError, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def folder(anchor: str, parts: Sequence[str], *, make: bool = False) -> int:
    """A descriptor of the folder `parts` below `anchor` (whose own path is trusted). With `make` folders that are
    missing are made. FileNotFoundError when it is not there; ColonyError when a part is a link or no folder."""
    fd = os.open(anchor, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            fd, before = _next(fd, part, make), fd
            os.close(before)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _next(fd: int, part: str, make: bool) -> int:
    if make:
        try:
            os.mkdir(part, dir_fd=fd)
        except FileExistsError:
            pass  # which is what was wanted
    try:
        return os.open(part, _FOLDER, dir_fd=fd)
    except FileNotFoundError:
        raise
    except OSError as error:
        if os.path.islink(os.path.join(f"/proc/self/fd/{fd}", part)):
            raise ColonyError(f"'{part}' is a symbolic link, which is not followed here") from None
        raise failed("enter", part, error) from None


def file(anchor: str, parts: Sequence[str]) -> int:
    """A read-only descriptor of the regular file `parts` below `anchor`. FileNotFoundError when it is not there;
    ColonyError when it is a link, a FIFO, a device or a folder, or lies behind a link."""
    holder = folder(anchor, parts[:-1])
    try:
        fd = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=holder)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise failed("read", parts[-1], error) from None
    finally:
        os.close(holder)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ColonyError(f"'{parts[-1]}' is not a regular file")
    return fd


def write(anchor: str, parts: Sequence[str], data: bytes) -> None:
    """Put the file there whole (base.files), its folders made where they are missing. ColonyError when it is a link or
    lies behind one, or cannot be written."""
    from colony_lib.base import files

    holder = folder(anchor, parts[:-1], make=True)
    try:
        name = parts[-1]
        try:
            found = os.stat(name, dir_fd=holder, follow_symlinks=False)
        except FileNotFoundError:
            found = None
        if found is not None and not stat.S_ISREG(found.st_mode):
            raise ColonyError(f"'{name}' is not a regular file")
        mode = 0o666 if found is None else stat.S_IMODE(found.st_mode)
        files.write_bytes(f"/proc/self/fd/{holder}/{name}", data, durable=False, mode=mode)
    finally:
        os.close(holder)
