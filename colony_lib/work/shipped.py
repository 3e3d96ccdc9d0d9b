"""What runs inside the workers of a Dask cluster: hands each attempt to a process of Colony's on that machine.

These functions travel to the workers by value, so that nothing of Colony need be importable there; all they use is
Python's own, and the process that they start (`colony-run-step --away`, work/away.py) goes on without the worker.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

# What the machine that does the work knows better than the one that sends it.
_OWN = ("TMPDIR", "TMP", "TEMP", "HOME", "USER", "LOGNAME", "SHELL", "HOSTNAME", "HOST", "PWD", "OLDPWD")
_OWN_PREFIXES = (
    "SLURM_", "PBS_", "SGE_", "LSB_", "OAR_", "_CONDOR_", "KUBERNETES_", "DASK_", "CUDA_", "NVIDIA_", "XDG_",
)  # fmt: skip


def attempt(setup: Record, job: Record) -> Record:
    """Have the job done here, and wait for it: {slot, ended: record} with the last record of the attempt, {slot,
    lost: why} when that is not known, {slot, refused: why} when it cannot be done on this machine.

    `setup` is {run, root, python, script, environment, engine} of the engine that sends it.
    """
    import socket
    import subprocess
    import sys
    import tempfile

    from distributed import get_worker

    slot, here = job["slot"], socket.gethostname()
    worker = get_worker()
    kept: Record = worker.__dict__.setdefault("_colony", {"idle": [], "busy": {}})
    # list.pop and list.append are atomic: several threads of the worker share these.
    child = None
    while child is None and kept["idle"]:
        child = kept["idle"].pop()
        if child["engine"] != setup["engine"] or child["process"].poll() is not None:
            child["process"].stdin.close()
            child["process"].stdout.close()
            child = None
    if child is None:
        if not os.path.isdir(os.path.join(setup["root"], ".colony", "runs", setup["run"])):
            return {"slot": slot, "refused": f"{here} does not see the colony's folder {setup['root']}"}
        words = _program(setup, sys.executable)
        if words is None:
            return {
                "slot": slot,
                "refused": f"{here} has no colony-run-step, neither at its place here nor on the PATH",
            }
        environment = {key: value for key, value in setup["environment"].items() if not _is_own(key)}
        said = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process
        process = subprocess.Popen(
            [*words, "--away", setup["run"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            cwd=setup["root"],
            env={**os.environ, **environment, "COLONY_ROOT": setup["root"]},
            start_new_session=True,
        )
        child = {"process": process, "said": said, "engine": setup["engine"]}
    import json

    process = child["process"]
    kept["busy"][slot] = process
    line = b""
    try:
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except OSError:
        line = b""
    finally:
        kept["busy"].pop(slot, None)
    if line.endswith(b"\n"):
        kept["idle"].append(child)
        answer: Record = json.loads(line)
        return answer
    status = process.wait()
    child["said"].seek(0)
    last = child["said"].read()[-2000:].decode("utf-8", "replace").strip().rpartition("\n")[2]
    return {"slot": slot, "lost": f"the process on {here} ended with status {status}" + (f": {last}" if last else "")}


def _program(setup: Record, python: str) -> list[str] | None:
    """How colony-run-step is started here: as where the engine runs, when that is there, else from the PATH."""
    import shutil

    if os.path.exists(setup["script"]):
        return [setup["python"] if os.path.exists(setup["python"]) else python, setup["script"]]
    found = shutil.which("colony-run-step")
    return None if found is None else [found]


def _is_own(name: str) -> bool:
    return name in _OWN or name.startswith(_OWN_PREFIXES)


def stop(slots: list[str], dask_worker: Any) -> None:
    """Ask the processes of this worker that do the attempts in those slots to end them."""
    kept: Record = dask_worker.__dict__.get("_colony", {"busy": {}})
    for slot in slots:
        process = kept["busy"].get(slot)
        if process is not None:
            try:
                process.stdin.write(b"stop\n")
                process.stdin.flush()
            except OSError:
                continue  # it has ended by itself


def census(dask_scheduler: Any) -> Record:
    """What the cluster has, asked in its scheduler: {threads, workers: [{resource: amount}]}."""
    workers = list(dask_scheduler.workers.values())
    return {
        "threads": sum(worker.nthreads for worker in workers),
        "workers": [dict(worker.resources) for worker in workers],
    }
