"""Many processes that write at once, each the next thing when the one before is acknowledged; prints how many
acknowledgements a second all of them got together.

`python -m tests.bench.hands KIND HANDS SECONDS FOLDER`, where KIND is one of KINDS and FOLDER a colony.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from colony_lib.base import clock, jsonl
from colony_lib.store import documents, paths, tasks

LINE = b"x" * 199 + b"\n"  # about as long as a task's event
# What a command must do at the least, without a lock: start, append a line, make it durable.
BARE = "import os; fd = os.open('bare', os.O_WRONLY | os.O_CREAT | os.O_APPEND); os.write(fd, b'x' * 199); os.fdatasync(fd)"


def disk(hand: int) -> Callable[[], object]:
    """The kernel alone: append to one file that all share, without any lock, and fdatasync."""
    fd = os.open("disk", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def act() -> None:
        os.write(fd, LINE)
        os.fdatasync(fd)

    return act


def files(hand: int) -> Callable[[], object]:
    """The same, each to a file of its own."""
    fd = os.open(f"disk-{hand}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def act() -> None:
        os.write(fd, LINE)
        os.fdatasync(fd)

    return act


def journal(hand: int) -> Callable[[], object]:
    """`jsonl.append`, durable, to one journal."""
    path, lock = paths.inside("state", "bench.jsonl"), paths.lock("bench")
    return lambda: jsonl.append(
        path, [{"v": 1, "id": clock.new_id(), "by": hand, "text": "x" * 140}], lock=lock, durable=True
    )


def task(hand: int) -> Callable[[], object]:
    """`tasks.add`."""
    return lambda: tasks.add([tasks.wanted({"title": f"one more of {hand}"})])


def document(hand: int) -> Callable[[], object]:
    """`documents.change`: count up in one document."""
    return lambda: documents.change("counts", [("n", "+=", 1)])


def command(hand: int) -> Callable[[], object]:
    """`colony state task add`."""
    return lambda: _spawn("colony", "state", "task", "add", f"one more of {hand}")


def bare(hand: int) -> Callable[[], object]:
    """A bare Python that appends a line and makes it durable."""
    return lambda: _spawn("python3", "-c", BARE)


KINDS = {act.__name__: act for act in (disk, files, journal, task, document, command, bare)}


def _spawn(*words: str) -> None:
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    child = os.posix_spawnp(words[0], words, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
    os.close(null)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"'{' '.join(words)[:60]}' ended with {os.waitstatus_to_exitcode(status)}")


def hand(kind: str, number: int, ready: int, start: int, seconds: float) -> float:
    """Acknowledgements a second of this one, from when `start` is closed to the first after so many seconds."""
    act = KINDS[kind](number)
    act()  # what is imported and made at the first time is not the write
    os.write(ready, b".")
    os.read(start, 1)
    began = time.monotonic()
    count, took = 0, 0.0
    while took < seconds:
        act()
        count += 1
        took = time.monotonic() - began
    return count / took


def together(kind: str, hands: int, seconds: float) -> float:
    """Acknowledgements a second of so many processes."""
    ready, is_ready = os.pipe()
    start, started = os.pipe()
    rates, rate = os.pipe()
    children = []
    for number in range(hands):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(started)
                os.write(rate, b"%r\n" % hand(kind, number, is_ready, start, seconds))
                status = 0
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os.write(is_ready, b".")  # nobody waits for this one any more
            finally:
                os._exit(status)
        children.append(child)
    for fd in (is_ready, start, rate):
        os.close(fd)
    arrived = 0
    while arrived < hands and (more := os.read(ready, hands)):
        arrived += len(more)
    os.close(started)
    with os.fdopen(rates) as told:
        total = sum(map(float, told))
    if any([os.waitpid(child, 0)[1] for child in children]):
        raise SystemExit("a hand ended before its time")
    return total


if __name__ == "__main__":
    which, many, long, folder = sys.argv[1:]
    os.chdir(folder)
    paths.use(str(Path.cwd()))
    print(together(which, int(many), float(long)))
