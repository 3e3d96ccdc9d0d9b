"""What runs inside the workers of a Dask cluster: hands each attempt to a process of Colony's on that machine.

All of this travels to the workers by value, so that nothing of Colony need be importable there; what it uses is
Python's and Dask's own. The process that it starts (`colony-run-step --away`, work/away.py) goes on without the worker.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

from distributed import WorkerPlugin, get_worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

# What the machine that does the work knows better than the one that sends it.
_OWN = ("TMPDIR", "TMP", "TEMP", "HOME", "USER", "LOGNAME", "SHELL", "HOSTNAME", "HOST", "PWD", "OLDPWD")
_OWN_PREFIXES = (
    "SLURM_", "PBS_", "SGE_", "LSB_", "OAR_", "_CONDOR_", "KUBERNETES_", "DASK_", "CUDA_", "NVIDIA_", "XDG_",
)  # fmt: skip


class Hand(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
    """What each worker of the cluster has of one engine: the processes that do its attempts there.

    `setup` is {run, root, python, script, environment} of the engine.
    """

    def __init__(self, name: str, setup: Record) -> None:
        self.name = name
        self.given = setup

    def setup(self, worker: Any) -> None:
        """Dask's word for: begin, on this worker."""
        # list.pop, list.append and those of dict are atomic: several threads of the worker share these.
        self.idle: list[Any] = []
        self.busy: dict[str, Any] = {}

    def teardown(self, worker: Any) -> None:
        """The engine or the worker ends: processes without an attempt end too, the others after it."""
        for process in self.idle:
            process.stdin.close()

    def attempt(self, slot: str, job: str) -> Record:
        """Have the job done here, and wait for it: {slot, ended: record} with the last record of the attempt, {slot,
        lost: why} when that is not known, {slot, refused: why} when it cannot be done on this machine."""
        process = self._process()
        if isinstance(process, str):
            return {"slot": slot, "refused": f"{socket.gethostname()} {process}"}
        self.busy[slot] = process
        line = b""
        try:
            process.stdin.write(job.encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        finally:
            del self.busy[slot]
        if line.endswith(b"\n"):
            self.idle.append(process)
            answer: Record = json.loads(line)
            return answer
        status = process.wait()
        why = f"the process on {socket.gethostname()} ended with status {status}"
        process.errors.seek(0)
        last = process.errors.read()[-2000:].decode("utf-8", "replace").strip().rpartition("\n")[2]
        return {"slot": slot, "lost": why + (f": {last}" if last else "")}

    def _process(self) -> Any:
        """A process without an attempt, a new one when there is none; or why there can be none."""
        while self.idle:
            process = self.idle.pop()
            if process.poll() is None:
                return process
        given = self.given
        if not os.path.isdir(os.path.join(given["root"], ".colony", "runs", given["run"])):
            return f"does not see the colony's folder {given['root']}"
        words = self._program()
        if words is None:
            return "has no colony-run-step, neither where the engine has it nor on the PATH"
        environment = {key: value for key, value in given["environment"].items() if not _is_own(key)}
        errors = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process
        process = subprocess.Popen(
            [*words, "--away", given["run"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=given["root"],
            env={**os.environ, **environment, "COLONY_ROOT": given["root"]},
            start_new_session=True,
        )
        process.errors = errors  # type: ignore[attr-defined]
        return process

    def _program(self) -> list[str] | None:
        """How colony-run-step is started here: as where the engine runs, when that is there, else from the PATH."""
        python, script = self.given["python"], self.given["script"]
        if os.path.exists(script):
            return [python if os.path.exists(python) else sys.executable, script]
        found = shutil.which("colony-run-step")
        return None if found is None else [found]

    def stop(self, slots: list[str]) -> None:
        """Ask the processes that do the attempts in those slots to end them."""
        for slot in slots:
            process = self.busy.get(slot)
            if process is not None:
                try:
                    process.stdin.write(b"stop\n")
                    process.stdin.flush()
                except OSError:
                    continue  # it has ended by itself


def _is_own(name: str) -> bool:
    return name in _OWN or name.startswith(_OWN_PREFIXES)


def attempt(line: str) -> Record:
    """The task that the cluster sees, of a job as a line of JSON; small, for the scheduler packs it anew each time."""
    job = json.loads(line)
    ours: Any = get_worker().plugins.get(job["hand"])
    if ours is None:
        return {"slot": job["slot"], "lost": "the scheduler is another one by now"}
    try:
        found: Record = ours.attempt(job["slot"], line)
    except Exception as error:  # whatever it is: Dask would write the job, with its secrets, into the worker's log
        return {"slot": job["slot"], "refused": f"{socket.gethostname()}: {type(error).__name__}: {error}"}
    return found


def stop(hand: str, slots: list[str], dask_worker: Any) -> None:
    """Ask for the end of the attempts in those slots, as far as this worker does them."""
    if hand in dask_worker.plugins:
        dask_worker.plugins[hand].stop(slots)


def census(dask_scheduler: Any) -> Record:
    """What the cluster has, asked in its scheduler: {threads, workers: [{address, threads, has}]}; `has` is
    {resource: amount}."""
    workers = [
        {"address": address, "threads": state.nthreads, "has": dict(state.resources)}
        for address, state in dask_scheduler.workers.items()
    ]
    return {"threads": sum(worker["threads"] for worker in workers), "workers": workers}


def look_around(root: str, lock: str) -> Record:
    """What a worker sees: {host, folder: whether the colony's is there, lock: whether that lock is seen as held}."""
    import fcntl

    found = {"host": socket.gethostname(), "folder": os.path.isdir(os.path.join(root, ".colony")), "lock": False}
    try:
        fd = os.open(lock, os.O_RDONLY)
    except OSError:
        return found
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        found["lock"] = True
    finally:
        os.close(fd)
    return found
