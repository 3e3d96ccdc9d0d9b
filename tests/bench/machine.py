"""What the figures were taken on, in a line without names of hosts or paths, and the machine made ready."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

from tests.bench.measure import Failed
from tests.conftest import REPOSITORY

IN_MEMORY = ("tmpfs", "ramfs")


def file_system(folder: Path) -> str:
    """The kind of file system that the folder lies on: ext4, xfs, tmpfs …; 'unknown' where /proc does not say."""
    here = os.path.realpath(folder)
    found = ("", "unknown")
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return found[1]
    for line in mounts:
        _, place, kind, *_ = line.split(" ")
        inside = here == place or here.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(found[0]):
            found = (place, kind)
    return found[1]


def sync_milliseconds(folder: Path, times: int = 50) -> float:
    """The median time of one write of a line and its fdatasync, by one process alone."""
    taken = []
    fd = os.open(folder / "sync", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        for _ in range(times):
            started = time.perf_counter()
            os.write(fd, b"x" * 199 + b"\n")
            os.fdatasync(fd)
            taken.append(time.perf_counter() - started)
    finally:
        os.close(fd)
        os.unlink(folder / "sync")
    return sorted(taken)[times // 2] * 1000


def today() -> str:
    """The date, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def facts(folder: Path) -> str:
    """Cores, versions, file system, what an fsync takes, how busy it is, the date."""
    kind = file_system(folder)
    disk = f"{kind}, one fdatasync {sync_milliseconds(folder):.1f} ms"
    if kind in IN_MEMORY:
        disk = f"{kind}: memory and no disk, what must be durable looks cheaper than it is"
    cores = len(os.sched_getaffinity(0))
    kernel = ".".join(platform.release().split(".")[:2])
    busy = "" if os.getloadavg()[0] < cores / 2 else f", busy with other things (load {os.getloadavg()[0]:.1f})"
    return (
        f"{today()}, {cores} core{'s' * (cores != 1)}, Python {platform.python_version()}, "
        f"{platform.system()} {kernel}, {disk}{busy}"
    )


def compile_library(environment: dict[str, str]) -> None:
    """Byte-compile the library for the Python that the commands will run in, else each start would pay for it."""
    words = ["python3", "-m", "compileall", "-q", str(REPOSITORY / "colony_lib")]
    if subprocess.run(words, env=environment, stdout=subprocess.DEVNULL).returncode:
        raise Failed("the library does not compile")
