"""Kill an agent's step anywhere: nothing that it did is done again, nothing that it paid for is bought again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agents.crashes import Trial, make
from tests.faults.harness import LONG_LIMIT, STRIDE, Fault, Place, Point

ROLES = ("run-step ",)  # the agent's own process; the engine's points are those of every run (tests/faults)
SAMPLE = 2  # points of each kind, unless COLONY_TEST_LONG asks for more


def points_of(folder: Path) -> list[Point]:
    """The points of the agent's process in a run without a fault, which must itself be in order."""
    place = Place(folder, make)
    trial = Trial(place)
    trial.go()
    assert trial.wrong == []
    return [point for point in place_points(place) if point[0].startswith(ROLES)]


def place_points(place: Place) -> list[Point]:
    place.faults = place.folder / "faults-1"
    return place.points()


def sample(points: list[Point], offset: int) -> list[Point]:
    if STRIDE:
        return points[offset % STRIDE :: STRIDE]
    step = max(1, len(points) // SAMPLE)
    # And the last record of all, the answer: once it is written, no request may follow.
    last = [point for point in points if point[0].endswith("transcript.jsonl")][-1]
    return [*(point for point in points[offset % step :: step][:SAMPLE] if point != last), last]


@pytest.mark.timeout(LONG_LIMIT)
@pytest.mark.parametrize(
    ("kind", "when"),
    [
        ("self", "before"),
        ("self", "after"),
        ("self", "half"),
        ("everything", "before"),
        ("everything", "after"),
        ("EIO", "before"),
        ("ENOSPC+", "before"),
    ],
)
def test_an_agents_step_survives_a_fault_at_any_point(tmp_path: Path, kind: str, when: str) -> None:
    points = points_of(tmp_path / "first")
    if when == "half":
        points = [point for point in points if point[0].split(" ")[1] in ("write", "pwrite")]
    tried, missed, lost = 0, 0, 0
    broken: dict[str, list[str]] = {}
    for number, point in enumerate(sample(points, len(kind) + len(when))):
        fault = Fault(kind, when, *point)
        trial = Trial(Place(tmp_path / f"trial-{number}", make), fault).go()
        tried += trial.happened
        missed += not trial.happened
        lost += trial.lost
        if trial.wrong:
            broken[str(fault)] = trial.wrong
    print(f"{kind} {when}: {tried} tried of {len(points)}, {missed} not reached, {lost} replies paid twice")
    assert broken == {}
    assert tried > missed
