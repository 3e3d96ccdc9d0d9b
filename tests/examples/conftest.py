"""The demo, run once by `demo.py` for all tests of the examples; each test that changes anything gets a copy of it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Colony, clean_environment
from tests.examples.support import EXAMPLES

sys.path.insert(0, str(EXAMPLES / "data-pipeline"))

import flights_api

DAYS = ("2013-02-07", "2013-02-08", "2013-02-12")
KEY = "nyc-2013-demo"


class Demo:
    """What a run of the demo left: the colony's folder, and what it said."""

    def __init__(self, colony: Colony, said: str) -> None:
        self.colony = colony
        self.root = colony.root
        self.said = said


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """`demo.py --into DIR`, for its own three days; processes that share the tests between them share it."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    root, said = folder / "demo" / "data-pipeline", folder / "demo.txt"
    command = [sys.executable, str(EXAMPLES / "data-pipeline" / "demo.py"), "--into", str(root)]
    with (folder / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            done = subprocess.run(
                command, env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8"
            )
            assert done.returncode == 0, done
            said.write_text(done.stdout, encoding="utf-8")
    return Demo(Colony(root), said.read_text(encoding="utf-8"))


@pytest.fixture
def after(demo: Demo, tmp_path: Path) -> Colony:
    """A copy of the demo's colony as it was when the demo had ended."""
    return Colony(Path(shutil.copytree(demo.root, tmp_path / "home" / "data-pipeline")))


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start the flights API in a thread, without a rate limit; its URL. `spoiled` are days with a broken export."""
    servers: list[tuple[flights_api.Api, threading.Thread]] = []

    def start(*spoiled: str) -> str:
        api = flights_api.Api(0, KEY, rate=1e6, burst=1000, spoiled=set(spoiled), data=None)
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((api, thread))
        return api.url

    yield start
    for api, thread in servers:
        api.shutdown()
        thread.join()
        api.server_close()
