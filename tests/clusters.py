"""A real Dask cluster on this machine: a scheduler and workers, each a process that a test may kill."""

from __future__ import annotations

import datetime
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.conftest import clean_environment


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


class Cluster:
    """`address` of a scheduler that is up, and its workers' processes, of one thread each."""

    def __init__(self, folder: Path, scheme: str = "tcp", environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = environment or {}
        self.port = free_port()
        self.address = f"{scheme}://127.0.0.1:{self.port}"
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self._started = 0

    def start(self, workers: int = 3) -> Cluster:
        self.start_scheduler()
        for _ in range(workers):
            self.start_worker()
        return self

    def start_scheduler(self, *more: str) -> None:
        words = ["scheduler", "--host", self.address.rpartition(":")[0], "--port", str(self.port), "--no-dashboard", *more]
        self.scheduler = self._spawn("scheduler", words)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(self.log("scheduler"))

    def start_worker(self, *words: str, before: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Any:
        self._started += 1
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "60", *words]
        worker = self._spawn(f"worker-{self._started}", ["worker", self.address, *options], before, env)
        self.workers.append(worker)
        return worker

    def _spawn(
        self, name: str, words: list[str], before: tuple[str, ...] = (), env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*before, sys.executable, "-m", "dask", *words], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=clean_environment(**self.environment, **(env or {})), start_new_session=True,
            )  # fmt: skip

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def kill_scheduler(self) -> None:
        assert self.scheduler is not None
        self.scheduler.kill()
        self.scheduler.wait()

    def kill_worker(self, number: int = 0) -> None:
        worker = self.workers.pop(number)
        worker.kill()
        worker.wait()

    def stop(self) -> None:
        for process in [*self.workers, *([self.scheduler] if self.scheduler else [])]:
            if process.poll() is None:
                process.kill()
            process.wait()


def certificates(folder: Path) -> dict[str, str]:
    """What Dask wants in its environment for tls://, of a key and a certificate that are made in the folder."""
    # The package is moto's.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "colony-test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    both, pem = folder / "both.pem", serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    both.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()) + made.public_bytes(pem))
    start = "DASK_DISTRIBUTED__COMM__TLS__"
    ends = ("CA_FILE", *(f"{who}__{what}" for who in ("SCHEDULER", "WORKER", "CLIENT") for what in ("CERT", "KEY")))
    return {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True", **{start + end: str(both) for end in ends}}


def away(run_id: str) -> list[int]:
    """The processes in which workers of a cluster do attempts of the run."""
    return [pid for pid, words in _processes() if "--away" in words and run_id in words]


def _processes() -> list[tuple[int, list[str]]]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            found.append((int(name), words))
    return found


def brokers(engine: int) -> list[int]:
    """The processes beside that engine which are connected to a cluster."""
    named = [pid for pid, words in _processes() if any(word.startswith("colony-broker-") for word in words)]
    return [pid for pid in named if pid in _descendants(engine)]


def kill_away(run_id: str) -> int:
    """Kill them and all that they have started; how many there were."""
    pids = away(run_id)
    for pid in pids:
        for child in _descendants(pid):
            _kill(child)
    return len(pids)


def _descendants(pid: int) -> list[int]:
    """The process first, so that it cannot start more, then those below it."""
    found, parents = [pid], {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(int(fields[1]), []).append(int(name))
    for each in found:
        found += parents.get(each, [])
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
