"""Rare lines of large logs: what is known of blocks spares reading them, and never changes an answer."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import clock
from colony_lib.store import logblocks, logread, logs, paths
from colony_lib.store.logread import Wanted
from tests.conftest import clean_environment

NOW = "2026-11-23T12:00:00.000Z"
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def log(colony: Any) -> Path:
    """The log of the agent `worker` in a colony whose clock stands at NOW."""
    paths.use(str(colony.root))
    clock.freeze(NOW)
    return colony.root / ".colony/logs/worker.jsonl"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 2,000 bytes, and all that is learned is kept."""
    size_blocks(monkeypatch, 2000)


def size_blocks(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(logread, "BLOCK", size)
    monkeypatch.setattr(logblocks, "BLOCK", size)
    monkeypatch.setattr(logread, "FIRST_BLOCK", max(size // 16, 1))
    monkeypatch.setattr(logread, "LEARNED", 1)


def cache() -> Path:
    return Path(paths.cache("log-worker"))


def line(number: int, level: str = "info", message: str = "hello", minutes: float = 0, **more: Any) -> bytes:
    record = {
        "v": 1, "id": f"l{number:08d}", "ts": clock.stamp(clock.seconds(NOW) - minutes * 60), "level": level,
        "agent": "worker", "message": message, "run_id": None, "step": None, "attempt": None, **more,
    }  # fmt: skip
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def found(wanted: Wanted, count: int | None = 10) -> tuple[list[Any], list[Any]]:
    """The wanted lines' ids or messages, and the lines that could not be read."""
    sources = logread.open_all(["worker"])
    lines = list(logread.every(sources, wanted) if count is None else logread.last(sources, wanted, count))
    problems = [(number, why) for source in sources for _, number, why in source.problems()]
    for source in sources:
        source.close()
    return [record.get("id", record["message"]) for record in lines], problems


def bytes_read(monkeypatch: pytest.MonkeyPatch, ask: Callable[[], Any]) -> int:
    """How much of files the question reads."""
    total = 0
    pread, preadv = os.pread, os.preadv

    def counted(fd: int, size: int, offset: int) -> bytes:
        nonlocal total
        total += size
        return pread(fd, size, offset)

    def counted_too(fd: int, buffers: list[memoryview], offset: int) -> int:
        nonlocal total
        total += sum(map(len, buffers))
        return preadv(fd, buffers, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", counted)
        patch.setattr(os, "preadv", counted_too)
        ask()
    return total


# --- what it is for


def test_a_second_search_for_a_rare_level_reads_only_where_it_is(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filler = b"".join(line(i, message="m" * 900) for i in range(1000))
    with log.open("wb") as file:
        for i in range(12):
            file.write(line(i, "error", "rare") if i == 3 else b"")
            file.write(filler.replace(b'"id":"l', b'"id":"%d-' % i))
    assert found(Wanted("error"))[0] == ["l00000003"]
    assert bytes_read(monkeypatch, lambda: found(Wanted("error"))) < 5 << 20
    assert bytes_read(monkeypatch, lambda: found(Wanted("error"), None)) < 5 << 20
    assert found(Wanted("error")) == found(Wanted("error"), None) == (["l00000003"], [])
    assert bytes_read(monkeypatch, lambda: found(Wanted())) < 1 << 20
    cache().unlink()
    assert bytes_read(monkeypatch, lambda: found(Wanted("error"), None)) > 11 << 20
    assert bytes_read(monkeypatch, lambda: found(Wanted("error"), None)) < 5 << 20


def test_a_log_that_colony_has_written_is_known_from_the_start(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for batch in range(60):
        level = "warn" if batch == 7 else "info"
        logs.write("worker", [{"level": level, "message": "m" * 900} for _ in range(100)])
    assert log.stat().st_size > 6 << 20
    kept = json.loads(cache().read_text())
    assert [row[0] // logblocks.BLOCK for row in kept["blocks"]] == list(range(log.stat().st_size >> 20))
    assert bytes_read(monkeypatch, lambda: found(Wanted("error"))) < 3 << 20
    assert found(Wanted("error")) == ([], [])
    assert bytes_read(monkeypatch, lambda: found(Wanted("warn"))) < 4 << 20
    assert len(found(Wanted("warn"), 1000)[0]) == 100


def test_small_logs_and_common_levels_leave_no_cache(log: Path) -> None:
    logs.write("worker", [{"level": "info", "message": "x"}] * 50)
    found(Wanted("error"))
    assert not cache().exists()
    log.write_bytes(b"".join(line(i, "error", "m" * 900) for i in range(5000)))
    assert len(found(Wanted("error"))[0]) == 10
    assert not cache().exists()


# --- no second truth


def a_log(dice: random.Random, count: int, first: int = 0) -> bytes:
    """Lines of ours and of others, damaged ones, repeats, long ones; errors are rare."""
    lines: list[bytes] = []
    for number in range(first, first + count):
        level = dice.choices(("debug", "info", "warn", "error"), (40, 50, 3, 1))[0]
        more = {"run_id": dice.choice(("r1", "r2")), "step": dice.choice(("a", "b", None))}
        message = dice.choice(("x" * dice.randrange(1, 300), 'say "level":"error"', "é", ""))
        one = line(number, level, message, dice.randrange(500), **more)
        kind = dice.randrange(40)
        if kind == 0:
            one = one.replace(b'":', b'" : ').replace(b',"', b' , "')
        elif kind == 1:
            one = dice.choice(
                (b"garbage\n", b"\n", b"\xff\xfe\n", b"[]\n", one[: len(one) // 2] + b"\n", b'{"level":"error"}\n')
            )
        elif kind == 2 and lines:
            one = dice.choice(lines)
        elif kind == 3:
            one = json.dumps({"ts": NOW, "level": "error", "message": f"other {number}"}).encode() + b"\n"
        lines.append(one)
    return b"".join(lines)


def questions(dice: random.Random) -> list[tuple[Any, ...]]:
    since = clock.stamp(clock.seconds(NOW) - dice.randrange(500) * 60)
    return [
        (level, moment, run, step, count)
        for level in ("error", "warn", "info", "debug")
        for moment, run, step in ((None, None, None), (since, None, None), (None, "r1", None), (None, "r2", "a"))
        for count in (1, 10, None)
    ]


def answers(asked: list[tuple[Any, ...]]) -> list[Any]:
    return [found(Wanted(*what[:4]), what[4]) for what in asked]


def by_hand(asked: tuple[Any, ...], log: Path) -> list[Any]:
    """The answer, from all lines of the file."""
    level, since, run, step, count = asked
    picked: list[Any] = []
    order = [one for one in log.read_bytes().split(b"\n")[:-1] if one]
    for one in order if count is None else reversed(order):
        try:
            record = json.loads(one)
        except ValueError:
            continue
        if not isinstance(record, dict) or "ts" not in record or record.get("level") not in logread.LEVELS:
            continue
        if logread.LEVELS.index(record["level"]) < logread.LEVELS.index(level) or (since and record["ts"] < since):
            continue
        if (run and record.get("run_id") != run) or (step and record.get("step") != step):
            continue
        if "id" not in record or record["id"] not in picked:
            picked.append(record.get("id", record["message"]))
    return picked if count is None else picked[:count][::-1]


def by_colony(dice: random.Random, log: Path, number: int) -> None:
    for _ in range(20):
        logs.write("worker", [{"level": dice.choice(("info", "debug")), "message": "y" * dice.randrange(300)}] * 5)
    logs.line("worker", "error", "by colony")


def by_an_editor(dice: random.Random, log: Path, number: int) -> None:
    text = log.read_bytes() + a_log(dice, 30, number)
    fresh = log.with_suffix(".new")
    fresh.write_bytes(text)
    fresh.rename(log)


def appended(dice: random.Random, log: Path, number: int) -> None:
    with log.open("ab") as file:
        file.write(a_log(dice, 60, number))


def rewritten(dice: random.Random, log: Path, number: int) -> None:
    """In place, and no byte longer or shorter."""
    text = log.read_bytes()
    time.sleep(0.02)  # the kernel's clock for files stands still for some milliseconds
    with log.open("r+b") as file:
        file.write(text.replace(b'"level":"info"', b'"level":"warn"', 40).replace(b'"debug"', b'"error"', 40))


def truncated(dice: random.Random, log: Path, number: int) -> None:
    os.truncate(log, log.stat().st_size // dice.randrange(2, 5))
    logs.line("worker", "warn", "after the cut")


def emptied_and_grown(dice: random.Random, log: Path, number: int) -> None:
    size = log.stat().st_size
    os.truncate(log, 0)
    with log.open("ab") as file:
        while file.tell() <= size:
            number += 200
            file.write(a_log(dice, 200, number))


def rotated(dice: random.Random, log: Path, number: int) -> None:
    log.rename(log.with_suffix(".1"))
    log.write_bytes(a_log(dice, 200, number))


def forgotten(dice: random.Random, log: Path, number: int) -> None:
    cache().unlink(missing_ok=True)


def torn(dice: random.Random, log: Path, number: int) -> None:
    with log.open("ab") as file:
        file.write(line(number, "error")[:-20])


CHANGES = [by_colony, by_an_editor, appended, rewritten, truncated, emptied_and_grown, rotated, forgotten, torn]


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_to_a_log_the_answers_are_those_of_its_lines(
    log: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)
    size_blocks(monkeypatch, dice.choice((100, 700, 2000, 9000)))
    log.write_bytes(a_log(dice, 400))
    number = 1000
    for _ in range(6):
        asked = dice.sample(questions(dice), 12)
        first = answers(asked)
        assert [ids for ids, _ in first] == [by_hand(what, log) for what in asked]
        warm = answers(asked)
        cache().unlink(missing_ok=True)
        assert first == warm == answers(asked)
        number += 1000
        dice.choice(CHANGES)(dice, log, number)


def test_a_change_of_one_line_at_the_same_size_is_noticed(log: Path, small: None) -> None:
    log.write_bytes(b"".join(line(i) for i in range(300)))
    assert found(Wanted("error")) == found(Wanted("error")) == ([], [])
    assert cache().exists()
    time.sleep(0.02)
    with log.open("r+b") as file:
        file.seek(log.read_bytes().index(line(33)))
        file.write(line(33, "error", "hell"))
    assert found(Wanted("error")) == (["l00000033"], [])


def test_lines_too_long_are_reported_also_when_the_blocks_around_them_are_known(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logread, "LEARNED", 1)
    with log.open("wb") as file:
        for part in range(6):
            file.write(b"".join(line(part * 1000 + i, message="m" * 900) for i in range(1000)))
            file.write(b'"' + b"y" * (2 << 20) + b"\n" if part in (1, 4) else b"")
    expected = ([], [(2001, "too long"), (5002, "too long")])
    for count in (10, None, 10, None):
        assert found(Wanted("error"), count) == expected
    cache().unlink()
    for count in (None, 10, None):
        assert found(Wanted("error"), count) == expected


def test_a_line_just_too_long_is_reported_wherever_it_stands_and_however_it_is_read(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logread, "LEARNED", 1)
    filler = b"".join(line(i, message="m" * 900) for i in range(1100))
    for before in (0, 100, (1 << 20) - 10, (1 << 20) - 5000):
        for long in ((1 << 20) + 1, (1 << 20) + 30_000, (1 << 20) + 200_000, (2 << 20) - 1):
            head = filler[:before].rpartition(b"\n")[0]
            head += b"\n" + b" " * (before - len(head) - 2) + b"\n" if head else b""
            log.write_bytes(head + b'"' + b"y" * (long - 1) + b"\n" + filler * 3)
            expected = ([], [(head.count(b"\n") + 1, "too long")])
            logblocks.grown("worker", 0, log.stat().st_size)
            for count in (None, 10, None):
                assert found(Wanted("error"), count) == expected
                assert len(found(Wanted("info"), count)[1]) == (count is None)
            cache().unlink()
            for count in (10, None, 10):
                assert found(Wanted("error"), count) == expected


def test_what_was_learned_of_a_rotated_log_does_not_take_the_place_of_the_new_ones(log: Path, small: None) -> None:
    log.write_bytes(b"".join(line(i) for i in range(300)))
    old = logread.open_all(["worker"])
    log.rename(log.with_suffix(".1"))
    for _ in range(3):
        logs.write("worker", [{"message": "m" * 900}] * 10)
    kept = cache().read_bytes()
    assert logread.last(old, Wanted("error"), 10) == []
    assert cache().read_bytes() == kept
    assert json.loads(kept)["inode"][1] == log.stat().st_ino


def spoil(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    def spoiled(file: Path) -> None:
        kept = json.loads(file.read_text())
        change(kept)
        file.write_text(json.dumps(kept))

    return spoiled


def lying(**changes: Any) -> Callable[[Path], Any]:
    """Whole and sound, and saying of every block that nothing is in it: but it is not about this log."""

    def lie(kept: dict[str, Any]) -> None:
        for row in kept["blocks"]:
            row[2] = 15
        kept["check"] = logblocks._sum(kept["blocks"])
        kept.update({key: change(kept[key]) for key, change in changes.items()})

    return spoil(lie)


def move_the_starts(kept: dict[str, Any]) -> None:
    """As if another file of the same inode, no smaller, had had its blocks there."""
    for row in kept["blocks"]:
        row[2], row[3] = 15, row[3] ^ 1
    kept["check"] = logblocks._sum(kept["blocks"])


def instead(make: Callable[[Path], Any]) -> Callable[[Path], Any]:
    def replaced(file: Path) -> None:
        file.unlink()
        make(file)

    return replaced


SPOILED = {
    "empty": lambda file: file.write_bytes(b""),
    "garbage": lambda file: file.write_bytes(os.urandom(500)),
    "half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "a list": lambda file: file.write_text("[]"),
    "of another version": lying(v=lambda version: version + 1),
    "of other blocks": lying(block=lambda size: size * 2),
    "of another file": lying(inode=lambda inode: [inode[0], inode[1] + 1]),
    "of a larger file": lying(size=lambda size: size + 1),
    "of the file before a change": lying(changed=lambda moment: moment - 1),
    "with another sum": lying(check=lambda number: number ^ 1),
    "with other starts of blocks": spoil(move_the_starts),
    "with a block less": spoil(lambda kept: kept["blocks"].pop(3)),
    "with short rows": spoil(lambda kept: kept.update(blocks=[[1]], check=logblocks._sum([[1]]))),
    "with other rows": spoil(lambda kept: kept.update(blocks=[{}], check=logblocks._sum([{}]))),  # type: ignore[list-item]
    "without a key": spoil(lambda kept: kept.pop("check")),
    "a link": instead(lambda file: file.symlink_to("/dev/null")),
    "a pipe": instead(os.mkfifo),
    "a folder": instead(Path.mkdir),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_cache_changes_no_answer_and_is_made_anew(
    log: Path, small: None, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_bytes(b"".join(line(i, "error" if i in (20, 150) else "info") for i in range(300)))
    logblocks.grown("worker", 0, log.stat().st_size)
    assert len(json.loads(cache().read_text())["blocks"]) == log.stat().st_size // logblocks.BLOCK
    SPOILED[how](cache())
    assert found(Wanted("error")) == (["l00000020", "l00000150"], [])
    assert found(Wanted("error"), None) == (["l00000020", "l00000150"], [])
    if how != "a folder":  # which is not ours to remove
        assert bytes_read(monkeypatch, lambda: found(Wanted("error"))) < log.stat().st_size // 2


def test_a_colony_that_cannot_be_written_is_read_all_the_same(log: Path, small: None, colony: Any) -> None:
    log.write_bytes(b"".join(line(i, "error" if i == 20 else "info") for i in range(300)))
    (colony.root / ".colony/cache").write_text("a file where the folder should be")
    assert found(Wanted("error")) == found(Wanted("error"), None) == (["l00000020"], [])
    logs.write("worker", [{"message": "m" * 900}] * 10)
    assert len(found(Wanted(), None)[0]) == 310


def test_a_full_disk_is_no_error_of_a_reader(colony: Any) -> None:
    log = colony.root / ".colony/logs/worker.jsonl"
    log.write_bytes(b"".join(line(i, "error" if i == 20 else "info", "m" * 900) for i in range(12_000)))
    words = "ulimit -f 0; trap '' XFSZ; exec colony logs --level error"
    done = subprocess.run(["sh", "-c", words], cwd=colony.root, env=clean_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    assert not list((colony.root / ".colony/cache").glob("log-worker*"))
    assert colony("logs", "--level", "error").out == done.stdout
    assert (colony.root / ".colony/cache/log-worker.json").exists()


# --- together


SMALL = """\
import sys
from colony_lib.store import logblocks, logread, logs, paths
paths.use(sys.argv[1])
logread.BLOCK = logblocks.BLOCK = 2000
logread.FIRST_BLOCK, logread.LEARNED = 500, 1
"""
WRITER = (
    SMALL
    + """\
for i in range(int(sys.argv[3])):
    level = "error" if i % 25 == 0 else "info"
    logs.write("worker", [{"level": level, "message": f"{sys.argv[2]}-{i} " + "x" * (i % 200)}])
    if level == "error":
        print(f"{sys.argv[2]}-{i}", flush=True)
"""
)
READER = (
    SMALL
    + """\
print("ready", flush=True)
while True:
    logblocks.Known("worker", logread.Source("worker").fd, 2000)
    list(logread.every(logread.open_all(["worker"]), logread.Wanted("error")))
    logread.last(logread.open_all(["worker"]), logread.Wanted("error"), 10_000)
"""
)


def start(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, env=clean_environment()
    )


def test_readers_see_every_error_that_was_acknowledged_while_many_write(log: Path, small: None, colony: Any) -> None:
    clock.freeze(None)
    writers = [start(WRITER, str(colony.root), f"w{n}", "1500") for n in range(3)]
    readers = [start(READER, str(colony.root)) for _ in range(2)]
    known: set[str] = set()
    lines: dict[int, str] = {}
    while any(writer.poll() is None for writer in writers):
        for writer in writers:
            assert writer.stdout is not None
            known.add(writer.stdout.readline().strip())
        sources = logread.open_all(["worker"])
        lines = {i: r["message"].split(" ")[0] for i, r in enumerate(logread.every(sources, Wanted("error")))}
        assert known - {""} <= set(lines.values())
        for source in sources:
            source.close()
    for reader in readers:
        reader.kill()
        reader.communicate()
    expected = {f"w{n}-{i}" for n in range(3) for i in range(0, 1500, 25)}
    for _ in range(2):
        sources = logread.open_all(["worker"])
        assert {r["message"].split(" ")[0] for r in logread.last(sources, Wanted("error"), 1000)} == expected
    assert len(json.loads(cache().read_text())["blocks"]) > 100
    for writer in writers:
        writer.communicate()


def test_a_reader_shot_while_it_keeps_what_it_learned_spoils_nothing(log: Path, small: None, colony: Any) -> None:
    log.write_bytes(b"".join(line(i, "error" if i % 500 == 20 else "info") for i in range(3000)))
    expected = [f"l{i:08d}" for i in range(20, 3000, 500)]
    code = READER.replace(
        "while True:\n", "import os\nwhile True:\n    os.path.exists(f := paths.cache('log-worker')) and os.unlink(f)\n"
    )
    for shot in range(12):
        reader = start(code, str(colony.root))
        assert reader.stdout is not None
        reader.stdout.readline()
        time.sleep(0.004 * shot)
        reader.send_signal(signal.SIGKILL)
        reader.communicate()
        assert found(Wanted("error"), None)[0] == expected
        assert found(Wanted("error"), 10)[0] == expected
