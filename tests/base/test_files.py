"""Documents: whole or not at all, whatever happens to the writer."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import signal
import time
from pathlib import Path

import pytest

from colony_lib.base import files, locks
from colony_lib.base.errors import BUSY, ColonyError


def test_a_document_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "er" / "x.json")
    value = {"text": "zürich ✓ \u2028", "list": [1, 2.5, None, True]}
    files.write_json(path, value)
    assert files.read_json(path) == value
    assert os.listdir(os.path.dirname(path)) == ["x.json"]


def test_a_value_that_is_not_json_leaves_the_old_document_in_place(tmp_path: Path) -> None:
    path = str(tmp_path / "x.json")
    files.write_json(path, {"n": 1})
    for bad in (float("nan"), float("inf"), object(), "\ud800"):
        with pytest.raises(ColonyError):
            files.write_json(path, {"n": bad})
    assert files.read_json(path) == {"n": 1}
    assert os.listdir(tmp_path) == ["x.json"]


def test_a_write_that_fails_leaves_the_old_document_and_no_temporary_file(tmp_path: Path) -> None:
    path = str(tmp_path / "x.json")
    files.write_json(path, {"n": 1})
    with pytest.raises(ColonyError, match="No space left"):
        with files.replacing(path) as fd:
            os.write(fd, b"half")
            raise OSError(28, "No space left on device")
    assert files.read_json(path) == {"n": 1}
    assert os.listdir(tmp_path) == ["x.json"]


def test_a_write_that_fails_where_nothing_can_be_removed_either_says_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "x.json")
    files.write_json(path, {"n": 1})

    def refused(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    for name in ("rename", "unlink"):
        monkeypatch.setattr(os, name, refused)
    with pytest.raises(ColonyError, match=r"cannot write '.*/x.json': Read-only file system"):
        files.write_json(path, {"n": 2})
    monkeypatch.undo()
    assert files.read_json(path) == {"n": 1}


def test_fifos_devices_folders_and_links_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "target").write_text("{}")
    os.symlink(tmp_path / "target", tmp_path / "link")
    for name in ("fifo", "."):
        with pytest.raises(ColonyError):
            files.read_bytes(str(tmp_path / name))
    with pytest.raises(ColonyError):
        files.read_json(str(tmp_path / "link"), follow=False)
    assert files.read_json(str(tmp_path / "link")) == {}


def _add_many(path: str, lock: str, times: int) -> None:
    for _ in range(times):
        files.update_json(path, lambda old: {"n": old["n"] + 1}, lock=lock, default={"n": 0}, durable=False)


def test_eight_processes_changing_one_document_lose_nothing(tmp_path: Path) -> None:
    path, lock = str(tmp_path / "x.json"), str(tmp_path / "locks" / "x.lock")
    processes = [multiprocessing.Process(target=_add_many, args=(path, lock, 40)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert files.read_json(path) == {"n": 320}


def _add_many_unlocked(path: str, times: int) -> None:
    for _ in range(times):
        value = files.read_json(path, {"n": 0})
        time.sleep(0.0005)
        files.write_json(path, {"n": value["n"] + 1}, durable=False)


def test_the_same_without_the_lock_loses_most_of_it(tmp_path: Path) -> None:
    path = str(tmp_path / "x.json")
    processes = [multiprocessing.Process(target=_add_many_unlocked, args=(path, 40)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert files.read_json(path)["n"] < 320


def _rewrite_for_ever(path: str) -> None:
    n = 0
    while True:
        n += 1
        files.write_json(path, {"n": n, "filler": "x" * 20000}, durable=False)


def test_a_reader_never_meets_half_a_document_of_writers_that_are_shot(tmp_path: Path) -> None:
    path = str(tmp_path / "x.json")
    files.write_json(path, {"n": 0, "filler": ""})
    for _ in range(10):
        process = multiprocessing.Process(target=_rewrite_for_ever, args=(path,))
        process.start()
        end = time.monotonic() + 0.15
        while time.monotonic() < end:
            assert json.loads(Path(path).read_bytes())["n"] >= 0
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert set(files.read_json(path)) == {"n", "filler"}


def test_a_busy_lock_is_said_to_be_busy_with_75(tmp_path: Path) -> None:
    path = str(tmp_path / "x.lock")
    with locks.held(path), pytest.raises(ColonyError) as caught:
        locks.held(path, timeout=0.05, what="the list").__enter__()
    assert caught.value.code == BUSY and "the list is busy" in str(caught.value)


def _hold_and_wait(path: str, ready: multiprocessing.synchronize.Event) -> None:
    assert locks.try_hold(path) is not None
    ready.set()
    time.sleep(60)


def test_a_lock_dies_with_its_holder_and_being_asked_does_not_take_it(tmp_path: Path) -> None:
    path = str(tmp_path / "x.lock")
    ready = multiprocessing.Event()
    process = multiprocessing.Process(target=_hold_and_wait, args=(path, ready))
    process.start()
    assert ready.wait(120)
    assert locks.is_held(path) and locks.try_hold(path) is None
    process.kill()
    process.join()
    assert not locks.is_held(path) and not locks.is_held(path)
    fd = locks.try_hold(path)
    assert fd is not None
    locks.release(fd)


def test_filelock_on_the_same_file_excludes_us_and_is_excluded(tmp_path: Path) -> None:
    import filelock

    path = str(tmp_path / "x.lock")
    theirs = filelock.FileLock(path, fallback_to_soft=False)
    with theirs:
        assert locks.try_hold(path) is None and locks.is_held(path)
    fd = locks.try_hold(path)
    assert fd is not None
    with pytest.raises(filelock.Timeout):
        theirs.acquire(timeout=0.05)
    locks.release(fd)


@pytest.mark.parametrize("links", [True, False])
def test_a_shared_file_has_two_names_or_two_copies_and_outlives_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*words: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    source, other = tmp_path / "source", tmp_path / "made" / "other"
    data = os.urandom(3 << 20)
    source.write_bytes(data)
    for _ in range(2):  # a killed taker does it again
        files.share(str(source), str(other))
    assert os.path.samefile(source, other) == links
    source.unlink()
    assert other.read_bytes() == data and os.listdir(other.parent) == ["other"]
    with pytest.raises(FileNotFoundError):
        files.share(str(source), str(other))
    source.symlink_to(other)
    with pytest.raises(ColonyError, match="not a regular file"):
        files.share(str(source), str(tmp_path / "third"))


def test_a_removed_folder_goes_with_its_links_and_without_what_they_lead_to(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    (folder / "deep" / "er").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").touch()
    (folder / "deep" / "link").symlink_to(outside)
    aside = files.set_aside(str(folder))
    assert not folder.exists() and re.match(files.TEMPORARY, os.path.basename(aside))
    files.remove_folder(aside)
    assert os.listdir(tmp_path) == ["outside"] and (outside / "kept").exists()
