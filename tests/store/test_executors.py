"""`executors:` of colony.yml and `resources:` of steps: what they may say, and what is said of a mistake."""

from __future__ import annotations

from typing import Any

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.store import executor_rules
from tests.conftest import Colony


def problems(colony: Colony, executors: str) -> list[str]:
    colony.write("colony.yml", f"name: c\nexecutors:\n{executors}")
    found = colony("validate", check=False)
    return [line for line in (found.out + found.err).split("\n") if line.startswith("colony.yml:")]


def test_what_an_executor_may_say(colony: Colony) -> None:
    assert problems(
        colony,
        "  - {name: a, type: dask, address: 'tcp://host:8786', resources: {cpus: 0.5, memory: 2 GiB, tags: [gpu]}}\n"
        "  - {name: b, type: dask, scheduler_file: $SHARED/scheduler.json, connect_timeout: 1m, max_parallel: 9}\n"
        "  - {name: c, type: dask, deploy: {with: slurm, options: {cores: 4}}, adapt: {maximum: 40}}\n"
        "  - {name: d, type: local, max_parallel: 2}\n",
    ) == []


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{name: a, type: dask}", "colony.yml:3: the executor 'a' does not say where it is; write one of address, scheduler_file and deploy"),
        ("{name: a, type: dask, address: 'tcp://h:1', deploy: {with: local}}", "colony.yml:3: the executor 'a' has address and deploy; write one of address, scheduler_file and deploy"),
        ("{name: a, type: dask, address: 'host:8786'}", "colony.yml:3: 'host:8786' is no scheduler's address; write tcp://HOST:8786"),
        ("{name: a, type: dask, address: 'tcp://h:1', adapt: {maximum: 3}}", "colony.yml:3: the executor 'a' adapts a cluster that others have started; write 'deploy', or take 'adapt' out"),
        ("{name: a, type: dask, deploy: {with: local, workers: 2}, adapt: {maximum: 3}}", "colony.yml:3: the executor 'a' has both a number of workers and 'adapt'; keep one"),
        ("{name: a, type: dask, deploy: {with: local}, adapt: {minimum: 4, maximum: 3}}", "colony.yml:3: the executor 'a' has a minimum above its maximum; write maximum above minimum"),
        ("{name: local, type: dask, address: 'tcp://h:1'}", "colony.yml:3: 'local' is this machine, and always there; choose another name"),
        ("{name: a, type: local, address: 'tcp://h:1'}", "colony.yml:3: the executor 'a' is this machine, and 'address' says where another is; write 'type: dask'"),
        ("{name: a, type: dask, address: 'tcp://h:1'}\n  - {name: a, type: local}", "colony.yml:4: the executor 'a' is there twice; rename one"),
        ("{name: a, type: dask, address: 'tcp://h:1', resources: {memory: lots}}", "colony.yml:3: 'executors[0].resources.memory' must be a size such as 500MB or 4GB, not 'lots'"),
        ("{name: a, type: spark, address: 'tcp://h:1'}", "colony.yml:3: 'executors[0].type' must be 'local' or 'dask', not 'spark'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_executor_is_said_with_its_line(colony: Colony, entry: str, said: str) -> None:
    assert problems(colony, f"  - {entry}\n") == [said]


def test_an_unknown_executor_is_said_with_the_line_and_the_nearest_name(colony: Colony) -> None:
    colony.write("colony.yml", "name: c\nexecutors: [{name: cluster, type: dask, address: 'tcp://h:1'}]\n")
    colony.workflow("w", "steps:\n  - name: a\n    executor: clutser\n    run: 'true'\n")
    result = colony("workflow", "validate", "w", check=False)
    assert result.code == 2
    assert ".colony/workflows/w.yaml:4: unknown executor 'clutser'; did you mean 'cluster'?" in result.out + result.err


@pytest.mark.parametrize(
    ("given", "size"),
    [("500MB", 5e8), ("4GB", 4e9), ("2 GiB", 2.0**31), ("1.5k", 1500.0), (7, 7.0), ("12B", 12.0), ("3", 3.0)],
)
def test_a_size_is_read_by_its_unit(given: Any, size: float) -> None:
    assert executor_rules.size(given) == size


@pytest.mark.parametrize("given", ["", "GB", "-3MB", "4 G B", True, None])
def test_what_is_no_size_is_refused(given: Any) -> None:
    with pytest.raises(ColonyError):
        executor_rules.size(given)


def test_what_a_step_asks_for_replaces_what_its_executor_asks_for() -> None:
    executor = {"resources": {"cpus": 1, "memory": "1GB"}}
    assert executor_rules.amounts(executor, None) == {"cpus": 1.0, "memory": 1e9}
    asked = executor_rules.amounts(executor, {"cpus": 4, "tags": ["gpu"]})
    assert asked == {"cpus": 4.0, "memory": 1e9, "gpu": 2.0**-20}
    assert executor_rules.shown(asked) == "gpu=1 cpus=4 memory=1e+09"
    assert executor_rules.is_met(asked, {"cpus": 8, "memory": 2e9, "gpu": 1})
    assert not executor_rules.is_met(asked, {"cpus": 8, "memory": 2e9})
