"""Landlock: the kernel keeps this process, and all that it starts, to the folders that it is given. No root is needed.

Each version of the kernel's interface (its ABI) knows more than the one before; what this kernel does not know is left
out, and `abi` tells what that is.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, the same number on every machine
_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR = 1 << 4, 1 << 5, 1 << 6, 1 << 7
MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK = 1 << 8, 1 << 9, 1 << 10, 1 << 11
MAKE_SYM, REFER, TRUNCATE, IOCTL_DEV = 1 << 12, 1 << 13, 1 << 14, 1 << 15
_ALL = (1 << 16) - 1
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READ = EXECUTE | READ_FILE | READ_DIR
LIST = READ_DIR
# To make files and write them, but to remove or rename none.
KEEP = READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | MAKE_REG | MAKE_DIR
# All but device files, which would be a way to whole disks.
WRITE = _ALL & ~(MAKE_CHAR | MAKE_BLOCK)


def abi() -> int:
    """The version of Landlock that this kernel has: 1 files, 2 moves between folders, 3 truncation, 4 TCP, 5 device
    control, 6 signals and abstract sockets. 0 where it has none, or has it turned off."""
    import ctypes

    found = int(_syscall()(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1)))
    return max(found, 0)


def restrict(rules: Iterable[tuple[str, int]], *, network: bool) -> bool:
    """Keep this process from now on to what the rules (path, what may be done there and below) allow; without
    `network`, from TCP too, and in any case from signals to processes that do not share the restriction. A path that
    is not there is left out. False where the kernel has no Landlock. OSError. `no_new_privs` must be set before."""
    import ctypes
    import struct

    version = abi()
    if not version:
        return False
    call = _syscall()
    handled = _known(version)
    tcp = 3 if version >= 4 and not network else 0  # bind, connect
    scoped = 3 if version >= 6 else 0  # abstract unix sockets, signals
    attributes = struct.pack("=QQQ", handled, tcp, scoped)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _checked(call(_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0)))
    try:
        for path, allowed in rules:
            _add(ruleset, path, allowed & handled)
        _checked(call(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0)))
    finally:
        os.close(ruleset)
    return True


def _add(ruleset: int, path: str, allowed: int) -> None:
    import ctypes
    import struct

    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            allowed &= _OF_FILES
        if allowed:
            rule = struct.pack("=Qi", allowed, fd)
            _checked(_syscall()(_ADD, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint(0)))
    finally:
        os.close(fd)


def _known(version: int) -> int:
    """The rights over files that this version knows."""
    unknown = 0
    for since, right in ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)):
        unknown |= right if version < since else 0
    return _ALL & ~unknown


def _syscall() -> Any:
    global _function
    if _function is None:
        import ctypes

        _function = ctypes.CDLL(None, use_errno=True).syscall
        _function.restype = ctypes.c_long
    return _function


_function: Any = None


def _checked(result: int) -> int:
    """The result of a system call; OSError when it failed."""
    if result < 0:
        import ctypes

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)
