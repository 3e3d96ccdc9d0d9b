"""Digests of files: right always, and remembered where that cannot make them wrong."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.store import digests, paths
from colony_lib.store.digests import Digests
from tests.conftest import Colony

LARGE = b"x" * (digests.WORTH + 1)
AGO = 3600 * 10**9


@pytest.fixture
def root(colony: Colony) -> Path:
    paths.use(str(colony.root))
    return colony.root


def old(path: Path, data: bytes) -> Path:
    """A file that was written an hour ago, as far as its modification time tells."""
    path.write_bytes(data)
    os.utime(path, ns=(time.time_ns() - AGO, time.time_ns() - AGO))
    return path


def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files from a minute in the future: nobody can set back a file's time of change."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 60 * 10**9)


def kept(root: Path) -> dict[str, Any]:
    path = root / ".colony/cache/digests.json"
    found: dict[str, Any] = json.loads(path.read_text())["files"] if path.exists() else {}
    return found


def test_the_digest_is_what_sha256sum_prints(root: Path) -> None:
    path = root / "f"
    for data in (b"", b"abc", LARGE):
        path.write_bytes(data)
        assert Digests().of(str(path))[0] == hashlib.sha256(data).hexdigest()


def test_a_remembered_file_is_not_read_again_and_a_changed_one_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(monkeypatch)
    path = old(root / "f", LARGE)
    first = Digests()
    right = first.of(str(path))[0]
    first.keep()
    # Another content under the remembered stamp shows that the file is not read.
    memory = root / ".colony/cache/digests.json"
    told = json.loads(memory.read_text())
    told["files"][str(path)][0] = "remembered"
    memory.write_text(json.dumps(told))
    assert Digests().of(str(path))[0] == "remembered"
    os.utime(path)
    assert Digests().of(str(path))[0] == right
    path.write_bytes(LARGE + b"y")
    assert Digests().of(str(path))[0] == hashlib.sha256(LARGE + b"y").hexdigest()


def test_a_change_that_keeps_size_and_modification_time_is_seen(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(monkeypatch)
    path = old(root / "f", LARGE)
    stamp = path.stat().st_mtime_ns
    first = Digests()
    first.of(str(path))
    first.keep()
    path.write_bytes(b"y" + LARGE[1:])
    os.utime(path, ns=(stamp, stamp))
    assert Digests().of(str(path))[0] == hashlib.sha256(b"y" + LARGE[1:]).hexdigest()


def test_a_file_that_was_changed_just_now_is_not_remembered(root: Path) -> None:
    # The next change may come within the same tick of the file system's clock, and leave the same stamp.
    path = root / "f"
    path.write_bytes(LARGE)
    first = Digests()
    first.of(str(path))
    first.keep()
    assert kept(root) == {}
    old(path, LARGE)  # its modification time is old, its time of change is not
    first.of(str(path))
    first.keep()
    assert kept(root) == {}


def test_a_small_file_is_not_worth_remembering(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(monkeypatch)
    first = Digests()
    first.of(str(old(root / "f", b"small")))
    first.keep()
    assert kept(root) == {}


def test_damaged_memory_is_no_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(monkeypatch)
    path = old(root / "f", LARGE)
    memory = root / ".colony/cache/digests.json"
    memory.parent.mkdir()
    for text in ("{", "[]", '{"files": 3}', json.dumps({"files": {str(path): 3}})):
        memory.write_text(text)
        found = Digests()
        assert found.of(str(path))[0] == hashlib.sha256(LARGE).hexdigest()
        found.keep()
        assert kept(root)[str(path)][0] == hashlib.sha256(LARGE).hexdigest()


def test_two_that_learn_at_the_same_time_forget_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(monkeypatch)
    one, two = Digests(), Digests()
    one.of(str(old(root / "f", LARGE)))
    two.of(str(old(root / "g", LARGE)))
    one.keep()
    two.keep()
    assert {Path(name).name for name in kept(root)} == {"f", "g"}


def test_what_is_no_file_is_refused(root: Path) -> None:
    os.mkfifo(root / "fifo")
    with pytest.raises(ColonyError, match="not a regular file"):
        Digests().of(str(root / "fifo"))
    with pytest.raises(FileNotFoundError):
        Digests().of(str(root / "nothing"))
