"""Where a peer lives: a virtual environment and a home of its own under build/peers/, and no process left behind."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.measure import Failed
from tests.bench.peers.peer import Peer
from tests.conftest import REPOSITORY, clean_environment

PLACE = REPOSITORY / "build" / "peers"
INSTALL_SECONDS = 900
MARK = "COLONY_BENCH_PEER"  # a variable that every process of a peer inherits, to find those that stayed


def installed(peer: Peer) -> str:
    """The peer's version, installed from PyPI if it is not there yet. Failed, with pip's reason, when it cannot be."""
    if not peer.packages:
        return ""
    venv = PLACE / peer.name / "venv"
    done = venv / "installed"
    if not done.exists():
        shutil.rmtree(venv, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(venv)])
        _run(
            [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *peer.packages]
        )
        done.touch()
    code = f"from importlib.metadata import version; print(version({peer.packages[0]!r}))"
    return _run([str(venv / "bin" / "python"), "-c", code]).strip()


def _run(words: list[str]) -> str:
    """What the command prints; Failed with the last line of what it complained of."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Failed(f"could not be installed: not done in {INSTALL_SECONDS // 60} minutes") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.lower().startswith("error")] or [done.stderr[-200:]]
        raise Failed(f"could not be installed: {errors[-1].strip()[:200]}")
    return done.stdout


def variables(peer: Peer, mark: str) -> dict[str, str]:
    """The environment of the peer's processes: its programs first, a home of its own, and the mark."""
    home = PLACE / peer.name / "home"
    home.mkdir(parents=True, exist_ok=True)
    own = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        MARK: mark,
    }
    if peer.packages:
        programs = PLACE / peer.name / "venv" / "bin"
        own |= {"PATH": f"{programs}{os.pathsep}{clean_environment()['PATH']}", "VIRTUAL_ENV": str(programs.parent)}
    return own


def new_mark() -> str:
    return secrets.token_hex(16)


def stop_all(mark: str) -> int:
    """End every process that has the mark in its environment, and return how many there were: a server that a peer
    has left must not run beside the next one."""
    found = _marked(mark)
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 10
        left = _marked(mark)
        for process in left:
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue
        while _marked(mark) and time.monotonic() < deadline:
            time.sleep(0.1)
    return len(found)


def _marked(mark: str) -> list[int]:
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
