"""A run that is stopped, starved or cut short at each system call of all its processes, resumed, and held to account."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import scenario
from tests.faults.harness import LONG, LONG_LIMIT, STRIDE, Fault, Place, Point, evenly, layer
from tests.faults.runs import trial

FAULTS = [
    ("engine", "before"), ("self", "before"), ("self", "half"), ("self", "after"), ("pythons", "before"), ("commands", "before"),
    ("everything", "before"), ("everything", "half"), ("terminate", "before"), ("ENOSPC", "before"), ("ENOSPC", "half"),
    ("ENOSPC+", "before"), ("EIO", "before"), ("EIO+", "before"),
]  # fmt: skip
PARTS = 4 if LONG else 1  # tests that share the points of one kind of fault
SAMPLE = 2  # points of each kind that are tried without COLONY_TEST_LONG
DOUBLE = 400 // STRIDE if LONG else 3  # pairs of faults, the second during the recovery from the first


class Whole:
    """The points of a whole run that meets no fault, and a colony whose caches are warm."""

    def __init__(self, folder: Path) -> None:
        warm = Place(folder / "warm", scenario.make)
        assert warm("workflow", "validate").code == 0
        self.warm = warm.root
        place = Place(folder / "whole", lambda root: scenario.make(root, self.warm))
        place.arm()
        assert place("workflow", "run", "w", "-q").code == 1  # the gate is closed, until the handler has mended it
        assert place("workflow", "resume", "latest", "-q").code == 0
        self.points: list[Point] = place.points()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


def try_all(faults: list[tuple[Fault, ...]], whole: Whole, folder: Path, record: Callable[[str, object], None]) -> None:
    wrong = []
    missed = 0
    for number, given in enumerate(faults):
        made = trial(folder / str(number), whole.warm, *given)
        wrong += [f"{' and '.join(map(str, given))}: {each}" for each in made.wrong]
        missed += not made.happened
        kind = "two faults" if len(given) > 1 else f"{given[0].kind} {given[0].when}"
        record("tried", f"run: {kind}" if made.happened else "run: not reached")
    assert wrong == [], "\n".join(wrong)
    assert missed <= max(len(faults) // 5, 1), f"{missed} of {len(faults)} faults did not happen"


@pytest.mark.timeout(LONG_LIMIT)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("kind", "when"), FAULTS)
def test_a_run_that_meets_a_fault_keeps_every_promise(
    kind: str, when: str, part: int, whole: Whole, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    points = [point for point in whole.points if layer.takes(point[0], kind, when)]
    start = FAULTS.index((kind, when))
    chosen = points[(start + part * STRIDE) % len(points) :: PARTS * STRIDE] if LONG else evenly(points, SAMPLE, start * 17)
    try_all([(Fault(kind, when, *point),) for point in chosen], whole, tmp_path, record_property)


@pytest.mark.timeout(LONG_LIMIT)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_run_that_meets_a_second_fault_while_it_recovers_keeps_every_promise(
    part: int, whole: Whole, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(f"double {part}")
    pairs = []
    for _ in range(max(DOUBLE // PARTS, 1)):
        kind, when = chance.choice(FAULTS)
        points = [point for point in whole.points if layer.takes(point[0], kind, when)]
        pairs.append((Fault(kind, when, *chance.choice(points)), Fault(*chance.choice(FAULTS), "*", chance.randint(1, 120))))
    try_all(pairs, whole, tmp_path, record_property)
