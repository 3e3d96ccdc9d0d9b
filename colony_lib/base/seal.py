"""What a process gives up for good, besides what Landlock takes: privileges, the network, being looked into."""

from __future__ import annotations

import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PDEATHSIG, _DUMPABLE, _SECCOMP, _CAPBSET_DROP, _SUBREAPER, _NO_NEW_PRIVS, _AMBIENT = 1, 4, 22, 24, 36, 38, 47
_NEWUSER, _NEWNET = 0x10000000, 0x40000000
# machine: its name in a filter, the numbers of socket() and io_uring_setup(), and where another ABI's numbers begin.
_MACHINES = {"x86_64": (0xC000003E, 41, 425, 0x40000000), "aarch64": (0xC00000B7, 198, 425, 0xFFFFFFFF)}
_EACCES, _ENOSYS = 0x00050000 | 13, 0x00050000 | 38  # a filter's answers: the call fails so
_ALLOW = 0x7FFF0000
# What a root user's tools keep: chown, dac_override, fowner, fsetid. No mounts, devices, modules, other processes.
_KEPT = {0, 1, 3, 4}


def not_dumpable() -> None:
    """No other process of the same user may read this one's memory or environment, or trace it."""
    _prctl(_DUMPABLE, 0)


def die_with_parent(signal: int) -> None:
    """Get that signal when the thread that started this process ends. Whoever calls it checks that it still lives."""
    _prctl(_PDEATHSIG, signal)


def adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent ends."""
    _prctl(_SUBREAPER, 1)


def no_new_privileges() -> None:
    """No program that is started from here gains privileges (sudo and the like), and a root user's has but a few."""
    _prctl(_NO_NEW_PRIVS, 1)
    _prctl(_AMBIENT, 4, quiet=True)
    for capability in set(range(64)) - _KEPT:
        _prctl(_CAPBSET_DROP, capability, quiet=True)  # who is no user with capabilities cannot, and need not


def no_network() -> bool:
    """No sockets from now on, of any kind (pairs of the process's own excepted): TCP, UDP, and those files through
    which a user's daemons take orders. Where this machine knows no such filter, a network of its own with nothing
    in it. False where neither can be had."""
    return _filter() or _own_network()


def _filter() -> bool:
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        return False
    import ctypes

    arch, socket, uring, foreign = machine
    lines = [
        (0x20, 0, 0, 4),  # load the machine
        (0x15, 0, 4, arch),  # not ours (a 32-bit program): no such call
        (0x20, 0, 0, 0),  # load the call's number
        (0x35, 2, 0, foreign),
        (0x15, 1, 0, uring),  # it makes sockets too
        (0x15, 1, 2, socket),
        (0x06, 0, 0, _ENOSYS),
        (0x06, 0, 0, _EACCES),
        (0x06, 0, 0, _ALLOW),
    ]
    text = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(lines), ctypes.addressof(text)))
    return _prctl(_SECCOMP, 2, ctypes.addressof(program), quiet=True)


def _own_network() -> bool:
    import ctypes

    user, group = os.geteuid(), os.getegid()
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(_NEWNET) == 0:
        return True
    if unshare(_NEWUSER | _NEWNET) != 0:
        return False
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    return True


def _prctl(option: int, value: int, more: int = 0, *, quiet: bool = False) -> bool:
    """Whether the kernel did it; OSError when it did not, unless `quiet`."""
    global _function
    import ctypes

    if _function is None:
        _function = ctypes.CDLL(None, use_errno=True).prctl
    words = [ctypes.c_ulong(each) for each in (value, more, 0, 0)]
    if _function(ctypes.c_int(option), *words) >= 0:
        return True
    if quiet:
        return False
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


_function: Any = None
