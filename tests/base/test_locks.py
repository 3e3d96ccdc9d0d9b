"""Kernel locks: who asks about one is in nobody's way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from colony_lib.base import locks
from tests.conftest import REPOSITORY

ASKS = """\
import sys
sys.path.insert(0, sys.argv[1])
from colony_lib.base import locks
print("asking", flush=True)
while True:
    locks.is_held(sys.argv[2])
"""


def test_those_who_ask_whether_a_lock_is_held_keep_nobody_from_taking_it(tmp_path: Path) -> None:
    path = str(tmp_path / "x.lock")
    fd = locks.try_hold(path)
    assert fd is not None
    words = [sys.executable, "-c", ASKS, str(REPOSITORY), path]
    asking = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for process in asking:
            assert process.stdout is not None and process.stdout.readline() == "asking\n"
        # Who holds it keeps everybody out, at once and whoever asks meanwhile.
        assert [locks.try_hold(path) for _ in range(200)] == [None] * 200
        locks.release(fd)
        refused = 0
        for _ in range(20_000):
            fd = locks.try_hold(path)
            if fd is None:
                refused += 1
            else:
                locks.release(fd)
        assert refused == 0
        with locks.held(path):
            assert locks.is_held(path)
    finally:
        for process in asking:
            process.kill()
            process.communicate()
    assert not locks.is_held(path)
