"""Compaction: a journal of events made shorter by one replacement, with nothing lost.

What goes are repeats of a line. What has come to rest (a finished task) becomes one line, its first event with the
later ones in `then`, each with its own id and clock: the same events, so that a union with a copy that still has them
one by one means the same. Lines that nobody can read stay as they are. The long work is done beside the journal's lock,
which is held only to add what was appended meanwhile and to rename.
"""

from __future__ import annotations

import os

from colony_lib.base import files, jsonl, jsontext, locks
from colony_lib.base.errors import ColonyError
from colony_lib.store import journal, memory, messages, paths, taskfold, tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    Event = dict[str, Any]
    Pack = Callable[[list[Event]], Iterable[Event]]

_TRIES = 3
_CHUNK = 4096  # lines


class Journal:
    """One journal that can be compacted: its name, file, lock, check of events, and what makes events fewer."""

    __slots__ = ("check", "lock", "name", "pack", "path")

    def __init__(self, name: str, path: str, lock: str, check: journal.Check, pack: Pack) -> None:
        self.name = name
        self.path = path
        self.lock = lock
        self.check = check
        self.pack = pack


def every() -> list[Journal]:
    """The journals of events."""
    return [
        Journal("tasks", paths.tasks(), paths.lock("tasks"), taskfold.check, _resting),
        Journal("memory", paths.memory(), paths.lock("memory"), memory.check, iter),
        Journal("messages", paths.messages(), paths.lock("messages"), messages.check, iter),
    ]


def _resting(events: list[Event]) -> Iterator[Event]:
    """The events with those of each finished task in the line of its first one, as far as a line may be long."""
    board = taskfold.fold(events)
    first: dict[str, Event] = {}
    length: dict[str, int] = {}
    for event in events:
        name = event["task"]
        if name not in board or board[name]["status"] not in taskfold.FINISHED:
            yield event
            continue
        size = len(jsontext.dumps(event))
        if length.get(name, journal.LINE_LIMIT) + size >= journal.LINE_LIMIT:
            if name in first:
                yield first[name]
            first[name], length[name] = dict(event), size
        else:
            later = {key: value for key, value in event.items() if key not in ("v", "task")}
            first[name].setdefault("then", []).append(later)
            length[name] += size
    yield from first.values()


def compact(target: Journal, *, dry_run: bool = False) -> dict[str, Any]:
    """Compact the journal; {journal, bytes, bytes_before, lines, lines_before}. A dry run writes nothing.

    ColonyError: BUSY when the lock is not to be had, FAILED when there is no room, or the journal was replaced by
    others again and again; it is then as it was.
    """
    for _ in range(_TRIES):
        try:
            before = os.stat(target.path, follow_symlinks=False)
        except FileNotFoundError:
            return _told(target, (0, 0), (0, 0))
        kept, end, count = _read(target)
        was = (end, count)
        now = (sum(map(len, kept)), len(kept))
        if now >= was:
            return _told(target, was, was)
        if dry_run or _replaced(target, kept, before, end):
            return _told(target, was, now)
    fix = "try again later"
    raise ColonyError(
        f"the journal '{target.name}' was replaced meanwhile, again and again", where=target.path, fix=fix
    )


def _told(target: Journal, was: tuple[int, int], now: tuple[int, int]) -> dict[str, Any]:
    found = {"journal": target.name, "bytes": now[0], "bytes_before": was[0]}
    return {**found, "lines": now[1], "lines_before": was[1]}


def _read(target: Journal) -> tuple[list[bytes], int, int]:
    """(the lines to keep, the byte up to which they stand for the journal, how many lines stand before it)."""
    unreadable: list[bytes] = []
    events: list[Event] = []
    end = count = 0
    for offset, line, ended in jsonl.lines(target.path):
        if not ended:
            break  # torn, or being written just now: it is kept with what comes later
        end = offset + len(line) + 1
        count += 1
        if line == jsonl.TOO_LONG:
            raise ColonyError(f"line {count} is too long to be read", where=target.path, fix="take it out by hand")
        try:
            record = jsontext.loads(line)
        except ColonyError:
            record = None
        if isinstance(record, dict) and isinstance(record.get("id"), str) and not journal.fault(record, target.check):
            events.append(record)
        elif line:
            unreadable.append(line + b"\n")
    packed = sorted(target.pack(journal.once(events)), key=lambda event: (event["clock"], event["id"]))
    return [*unreadable, *(jsontext.dumps(event).encode() + b"\n" for event in packed)], end, count


def _replaced(target: Journal, kept: list[bytes], before: os.stat_result, end: int) -> bool:
    """Put the lines, and what was appended behind `end` meanwhile, in the journal's place; False when the journal is
    no longer that file."""
    replacement = files.replacing(target.path)
    try:
        with replacement as fd:
            for start in range(0, len(kept), _CHUNK):
                files.write_all(fd, b"".join(kept[start : start + _CHUNK]))
            os.fsync(fd)  # the long part, before the lock
            with locks.held(target.lock, what=f"the journal '{target.name}'"):
                source = files.open_regular(target.path, follow=False)
                try:
                    now = os.fstat(source)
                    if (now.st_ino, now.st_dev) != (before.st_ino, before.st_dev) or now.st_size < end:
                        raise _Another
                    files.write_all(fd, os.pread(source, now.st_size - end, end))
                finally:
                    os.close(source)
                replacement.finish()
    except (_Another, FileNotFoundError):
        return False
    return True


class _Another(Exception):
    """The journal is another file than the one that was read."""


# -- by itself


def tasks_if_due() -> dict[str, Any] | None:
    """Compact the task list if it is long, has doubled since the last time, and holds mostly finished tasks; what
    `compact` tells, or None. Asks little, so that it may be called after every change."""
    size = os.stat(paths.tasks()).st_size
    if size < max(tasks.VERY_LONG, 2 * _last()):
        return None
    counts = tasks.asked(lambda board: board.tally())
    told = None
    if 2 * sum(counts[name] for name in taskfold.FINISHED) > sum(counts.values()):
        told = compact(every()[0])
        size = told["bytes"]
    files.write_json(paths.cache("compacted"), {"v": 1, "tasks": size}, durable=False)
    return told


def _last() -> int:
    """The size of the task list when it was last looked at; 0 when that is not known."""
    try:
        kept = files.read_json(paths.cache("compacted"), {}, follow=False)
    except ColonyError:
        return 0
    size = kept.get("tasks") if isinstance(kept, dict) else None
    return size if isinstance(size, int) else 0


def remove_dead_leases() -> int:
    """Remove the lock files of leases that nobody holds and no claim bears any more; how many."""
    folder = paths.leases_folder()
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return 0
    claimed = {(task["lease"] or {}).get("lock") for task in tasks.load().values()}
    removed = 0
    for name in names:
        lock = f"leases/{name.removesuffix('.lock')}"
        if lock in claimed:
            continue
        # Held while it goes, so that it is not a lease which is just beginning (leases.new looks whether it is gone).
        fd = locks.try_hold(os.path.join(folder, name))
        if fd is not None:
            os.unlink(os.path.join(folder, name))
            locks.release(fd)
            removed += 1
    return removed
