"""Who may begin an attempt that was sent away: the one who finds its ticket in the lock file of its slot, once.

The engine writes a ticket into the lock file of a slot and sends it with the job. Who is to do the job takes the lock
(it then says, as for every attempt, that the attempt is alive) and finds the ticket there, or the job is not his: it
was begun before, by a worker that the cluster has lost, or taken back by the engine, or by the next one.
"""

from __future__ import annotations

import os

from colony_lib.base import clock, locks
from colony_lib.store import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SLOT = "slot-away-"  # other names than those of this machine's own workers (work/pool.py)
_UNUSED = "ticket "


def host() -> str:
    """The name of this machine, as it stands in lock files and journals."""
    return os.uname().nodename


def issue(run_id: str, avoid: set[str]) -> tuple[str, str]:
    """(slot, ticket) for one attempt; not in a slot that is in use, nor in one of those to `avoid`."""
    number = 0
    while True:
        slot = f"{_SLOT}{number}"
        held = None if slot in avoid else locks.try_hold(paths.run_lock(run_id, slot))
        if held is not None:
            ticket = clock.new_id()
            locks.sign(held, _UNUSED + ticket)
            locks.release(held)
            return slot, ticket
        number += 1


def claim(run_id: str, slot: str, ticket: str) -> int | None:
    """The held lock of the slot, for him who may begin the attempt; None when nobody may any more."""
    held = locks.try_hold(paths.run_lock(run_id, slot))
    if held is None or locks.note(held) != _UNUSED + ticket:
        if held is not None:
            locks.release(held)
        return None
    locks.sign(held, f"{os.getpid()} {host()} begins")
    return held


def take_back(run_id: str, slot: str, ticket: str) -> bool:
    """Whether the attempt has not begun; then it never will."""
    return _void(run_id, slot, _UNUSED + ticket)


def take_back_all(run_id: str) -> list[str]:
    """Take back whatever has not begun of what another engine has sent; the slots whose attempts have begun and are
    alive, as far as can be seen from here."""
    return [slot for slot in _slots(run_id) if not _void(run_id, slot, _UNUSED)]


def _void(run_id: str, slot: str, start: str) -> bool:
    """Whether the slot is free; a ticket in it that begins so is made worthless. False too when there was another."""
    held = locks.try_hold(paths.run_lock(run_id, slot))
    if held is None:
        return False
    try:
        note = locks.note(held)
        if note.startswith(start):
            locks.sign(held, "")
        return note.startswith(start) or start == _UNUSED
    finally:
        locks.release(held)


def _slots(run_id: str) -> Iterator[str]:
    folder = os.path.dirname(paths.run_lock(run_id, "alive"))
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if name.startswith(_SLOT) and name.endswith(".lock"):
            yield name.removesuffix(".lock")
