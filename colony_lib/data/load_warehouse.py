"""The pipeline's warehouse: where it is, and the lock under which it is open."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from colony_lib.base import clock, locks
from colony_lib.base.errors import BUSY, ColonyError
from colony_lib.base.text import escape
from colony_lib.data import warehouses
from colony_lib.data.pipeline import Pipeline
from colony_lib.data.warehouses import Warehouse
from colony_lib.store import env


def warehouse_url(pipeline: Pipeline) -> tuple[str, str]:
    """(URL, where it stands) of the pipeline's warehouse; a DuckDB file of its own where none is named."""
    given = pipeline.document.get("warehouse") or warehouses.DEFAULT
    if isinstance(given, dict):
        return str(pipeline.expand(given["url"], "warehouse", "url")), pipeline.where("warehouse", "url")
    return str(pipeline.expand(given, "warehouse")), pipeline.where("warehouse")


@contextmanager
def opened(pipeline: Pipeline, timeout: float) -> Iterator[Warehouse]:
    """The pipeline's warehouse, open, and its lock held; ColonyError (BUSY) that names the holder.

    This lock is held for as long as the load takes: one load at a time, the others wait or are told.
    """
    from filelock import FileLock, Timeout

    url, where = warehouse_url(pipeline)
    path = pipeline.lock("warehouse-" + warehouses.identity(url, pipeline.root))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    deadline = time.monotonic() + timeout
    lock = FileLock(path, timeout=timeout, fallback_to_soft=False, on_acquired=_sign)
    try:
        lock.acquire()
    except Timeout:
        holder = locks.note(path) or "another process"
        raise ColonyError(
            f"the warehouse is being loaded by {escape(holder)}",
            fix=f"it was not done within {timeout:g} s; try again, or wait longer with --lock-timeout",
            code=BUSY,
        ) from None
    try:
        rest = max(deadline - time.monotonic(), 0.0)
        warehouse = warehouses.connect(url, root=pipeline.root, where=where, timeout=rest)
        try:
            yield warehouse
        finally:
            warehouse.close()
    finally:
        lock.release()


def _sign(fd: int) -> None:
    """Write who holds the lock into its file, for those who find it held."""
    step = env.step()
    who = f"process {os.getpid()}, '{os.path.basename(sys.argv[0] or 'python')}'"
    if "run_id" in step:
        who += f", run {step['run_id']}, step {step.get('step', '?')}"
    locks.sign(fd, f"{who}, since {clock.now()}")
