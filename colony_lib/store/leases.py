"""Leases: the held lock that says the claimant of a task is alive.

A lease is {lock, copy[, token]}: a lock file under `locks/`, the copy of the colony in which it lies, and, where the
file is one that others hold after it (a run's slot), the token that its holder wrote into it. The claimant is alive
exactly as long as that lock is held; on another copy nobody can ask, and a claim made there counts as alive.
"""

from __future__ import annotations

import os

from colony_lib.base import clock, locks
from colony_lib.base.errors import ColonyError
from colony_lib.store import env, paths, replica

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Lease = dict[str, str]


def spell(lock: str, token: str | None = None) -> str:
    """A lease as $COLONY_LEASE carries it into a process and what it starts: LOCK, or LOCK#TOKEN."""
    return lock if token is None else f"{lock}#{token}"


def ours() -> Lease | None:
    """The lease under which this process works ($COLONY_LEASE: a step, a worker, or `task claim … -- COMMAND`); None
    without one, or when it is over."""
    lock, mark, token = (env.get("COLONY_LEASE") or "").partition("#")
    lease = {"lock": lock, "copy": replica.name()} if lock else None
    if lease and mark:
        lease["token"] = token
    return lease if lease and not is_lost(lease) else None


class new:
    """`with new() as lease:` — a lease of one's own for the block; `fd` is what a child must inherit to share it."""

    def __init__(self) -> None:
        self.lock = f"leases/{clock.new_id()}"
        self.fd = -1

    def __enter__(self) -> Lease:
        # Who clears dead leases away (store/compaction.py) may meet a new file before we have locked it.
        while (held := locks.try_hold(paths.lease(self.lock), note=f"process {os.getpid()}")) is None or _gone(
            held, paths.lease(self.lock)
        ):
            if held is not None:
                locks.release(held)
            self.lock = f"leases/{clock.new_id()}"
        self.fd = held
        return {"lock": self.lock, "copy": replica.name()}

    def __exit__(self, *_: object) -> None:
        os.unlink(paths.lease(self.lock))  # nobody can be about to take it: the name never comes again
        locks.release(self.fd)


def _gone(fd: int, path: str) -> bool:
    """Whether the path no longer names the open file."""
    try:
        return not os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return True


def forget(lease: Mapping[str, str] | None) -> None:
    """Remove the lock file of a lease that is over. Only such a file as `new` made: its name never comes again, so
    nobody can be about to take it, as somebody could any other lock that is deleted."""
    if lease and lease.get("lock", "").startswith("leases/") and lease.get("copy") == replica.name():
        try:
            os.unlink(paths.lease(lease["lock"]))
        except (FileNotFoundError, ColonyError):
            return  # gone already, or another's damage


def is_lost(lease: Mapping[str, str]) -> bool:
    """Whether the holder of the lease is gone."""
    if lease.get("copy") != replica.name():
        return False
    try:
        path = paths.lease(lease.get("lock", ""))
    except ColonyError:
        return True  # no lock of ours is called so: nobody holds it
    token = lease.get("token")
    if token is None:
        return not locks.is_held(path)
    # The token is in the file before any claim bears it, and is another once the next holder has the lock.
    return locks.note(path).split()[-1:] != [token] or not locks.is_held(path)
