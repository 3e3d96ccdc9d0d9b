"""Peers that keep a database of their own, and mostly a server: dagster, prefect, airflow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.bench.peers.peer import Graph, Peer, remove


class Dagster(Peer):
    name = "dagster"
    packages = ("dagster",)
    steps = 200
    # Its default, a new Python for each step, takes seconds a step.
    step = "Python in the one process of the run, one at a time"
    durable = "each step as it ends, in SQLite, fsynced"

    def write(self, folder: Path, graph: Graph) -> None:
        (folder / "steps.py").write_text(
            "from dagster import In, Nothing, job, op\n\n\n"
            "def step(n, waits):\n"
            '    @op(name=f"s{n}", ins={"after": In(Nothing)} if waits else {})\n'
            f"    def act():\n        {graph.python('n')}\n\n"
            "    return act\n\n\n"
            "@job\ndef steps():\n    last = None\n"
            f"    for n in range(1, {graph.steps + 1}):\n"
            f"        done = step(n, last is not None)(*([last] if last is not None else []))\n"
            f"        last = {'done' if graph.chained else 'None'}\n"
        )
        (folder / "run.yaml").write_text("execution: {config: {in_process: {}}}\n")

    def words(self, folder: Path, graph: Graph) -> Sequence[str]:
        return ("dagster", "job", "execute", "-f", "steps.py", "-j", "steps", "-c", "run.yaml")

    def environment(self, folder: Path) -> dict[str, str]:
        return {"DAGSTER_HOME": str(folder / "home"), "DAGSTER_DISABLE_TELEMETRY": "1"}

    def clean(self, folder: Path) -> None:
        remove(folder, "home")
        (folder / "home").mkdir()
        (folder / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")

    def ran(self, said: str, folder: Path) -> int:
        return len(set(re.findall(r" (s\d+) - STEP_SUCCESS", said)))


class Prefect(Peer):
    name = "prefect"
    packages = ("prefect",)
    steps = 200
    step = "Python in a thread"
    durable = "each step soon after its end, in the SQLite of a server started for the run, fsynced now and then"

    def write(self, folder: Path, graph: Graph) -> None:
        waits = "[last] if last is not None else None" if graph.chained else "None"
        (folder / "steps.py").write_text(
            "from prefect import flow, task\n"
            "from prefect.futures import wait\n"
            "from prefect.task_runners import ThreadPoolTaskRunner\n\n\n"
            f"@task\ndef step(n):\n    {graph.python('n')}\n\n\n"
            "@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))\ndef steps():\n"
            "    last, futures = None, []\n"
            f"    for n in range(1, {graph.steps + 1}):\n"
            f"        last = step.submit(n, wait_for={waits})\n"
            "        futures.append(last)\n"
            "    wait(futures)\n\n\n"
            'if __name__ == "__main__":\n    steps()\n'
        )

    def words(self, folder: Path, graph: Graph) -> Sequence[str]:
        return ("python", "steps.py")

    def environment(self, folder: Path) -> dict[str, str]:
        return {
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }

    def clean(self, folder: Path) -> None:
        (folder / "home").mkdir(exist_ok=True)  # the database, which takes longer to make than the run, stays

    def ran(self, said: str, folder: Path) -> int:
        return len(re.findall(r"Task run 'step-\w+' - Finished in state Completed", said))


class Airflow(Peer):
    name = "airflow"
    packages = ("apache-airflow",)
    steps = 200
    step = "Python in the one process of the run, one at a time"
    durable = "each step as it ends, in SQLite, fsynced"

    def write(self, folder: Path, graph: Graph) -> None:
        (folder / "dags").mkdir()
        (folder / "dags" / "steps.py").write_text(
            "import pendulum\nfrom airflow.sdk import dag, task\n\n\n"
            f"@task\ndef step(n):\n    {graph.python('n')}\n\n\n"
            '@dag(schedule=None, start_date=pendulum.datetime(2024, 1, 1, tz="UTC"), catchup=False)\n'
            "def steps():\n    last = None\n"
            f"    for n in range(1, {graph.steps + 1}):\n"
            '        done = step.override(task_id=f"s{n}")(n)\n'
            + ("        if last is not None:\n            last >> done\n        last = done\n" if graph.chained else "")
            + "\n\nsteps()\n"
        )

    def words(self, folder: Path, graph: Graph) -> Sequence[str]:
        return ("airflow", "dags", "test", "steps")

    def prepare(self, folder: Path) -> Sequence[str]:
        return ("airflow", "db", "migrate")

    def environment(self, folder: Path) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(folder / "home"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    def ran(self, said: str, folder: Path) -> int:
        return len(set(re.findall(r" end task task_id=(s\d+) ", said)))
