"""A fan-out on a Dask cluster that is shot again and again ends with every batch done, and no attempt begun twice.

COLONY_TEST_LONG=1 makes it 2,000 batches.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clusters import Cluster, kill_away
from tests.conftest import Colony

BATCHES = 2000 if os.environ.get("COLONY_TEST_LONG") else 240
# Says which attempt of which batch begins, and fails where the same batch is being done at the same time.
COMMAND = (
    'exec 5>at-work/{{item}} && flock -n 5 || exit 9; echo "{{item}} $COLONY_ATTEMPT" >> begun; sleep 0.02; '
    'echo "{{item}}" >> done; echo {{item}}'
)


@pytest.mark.parametrize("seed", range(2))
def test_whoever_dies_each_batch_is_done_and_no_attempt_is_begun_twice(
    colony: Colony, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance = random.Random(seed)
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    (colony.root / "at-work").mkdir()
    colony.write("colony.yml", f"executors: [{{name: cluster, type: dask, address: '{cluster.address}'}}]\n")
    items = json.dumps(list(range(BATCHES)))
    colony.workflow("w", f"executor: cluster\nsteps:\n  - name: each\n    for_each: {items}\n    run: {json.dumps(COMMAND)}\n")
    try:
        cluster.start(3)
        engine = colony.start("workflow", "run", "w", "--quiet", stderr=subprocess.DEVNULL)
        assert engine.stdout is not None
        run = engine.stdout.readline().strip()

        def shoot_a_worker() -> None:
            cluster.kill_worker(chance.randrange(len(cluster.workers)))
            cluster.start_worker()

        def shoot_attempts() -> None:
            kill_away(run)

        def shoot_the_scheduler() -> None:
            cluster.kill_scheduler()
            for worker in cluster.workers:
                worker.kill()
                worker.wait()
            cluster.workers.clear()
            cluster.start(3)

        def shoot_the_engine() -> None:
            nonlocal engine
            engine.kill()
            engine.wait()
            engine = colony.start("workflow", "resume", run, "--quiet", stderr=subprocess.DEVNULL)

        shots: list[Callable[[], None]] = [shoot_a_worker, shoot_the_engine, shoot_the_scheduler]
        # Every third killing of one batch by one engine fails it, and rightly: so attempts are shot at once only.
        chance.shuffle(shots)
        for number, shot in enumerate([shoot_attempts, *shots]):
            wait_for(lambda number=number: len(lines(colony.root / "begun")) > BATCHES * (number + 1) / 6)
            shot()
        assert engine.wait(300) == 0
    finally:
        cluster.stop()
    begun = Counter(lines(colony.root / "begun"))
    assert set(begun.values()) == {1}, [line for line, count in begun.items() if count > 1]
    ends = [record for record in colony.journal(f"runs/{run}/journal.jsonl") if record["type"] == "attempt_ended"]
    completed = Counter(record["batch"] for record in ends if record["status"] == "completed")
    assert completed == {number: 1 for number in range(BATCHES)}
    (step,) = colony.json("workflow", "status", run, "--json")["steps"]
    assert step["output"] == list(range(BATCHES)) and set(lines(colony.root / "done")) == set(map(str, range(BATCHES)))


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def wait_for(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)
