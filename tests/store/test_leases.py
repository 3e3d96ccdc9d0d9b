"""Leases: a claim lives as long as the lock that its claimant holds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import locks
from colony_lib.base.errors import ColonyError
from colony_lib.store import leases, paths, replica, tasks
from tests.store.test_tasks import add, refused, seen


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    home = tmp_path / "here"
    (home / ".colony" / "state").mkdir(parents=True)
    paths.use(str(home))
    return home


def test_a_task_whose_claimant_is_gone_is_ready_again_and_says_who_had_it() -> None:
    add("load", agent="a1")
    with leases.new() as lease:
        claimed = tasks.claim("a1", lease=lease)
        assert (claimed["status"], claimed["owner"], claimed["abandoned"]) == ("in_progress", "a1", False)
        assert "is in_progress with 'a1'" in refused(tasks.claim, "a1", "load").what
    found = seen("load")
    assert (found["status"], found["owner"], found["agent"], found["abandoned"]) == ("ready", "a1", "a1", True)
    again = tasks.claim("a1")
    assert (again["status"], again["abandoned"]) == ("in_progress", False) and again["claim"] != claimed["claim"]


def test_a_claim_without_a_lease_is_held_until_it_is_ended() -> None:
    add("load")
    tasks.claim("a1")
    assert seen("load")["status"] == "in_progress" and seen("load")["abandoned"] is False
    tasks.put_back(seen("load"))
    assert seen("load")["status"] == "ready"


def test_an_abandoned_task_is_blocked_while_a_blocker_is_open() -> None:
    add("fetch")
    add("load")
    with leases.new() as lease:
        tasks.claim("a1", "load", lease=lease)
        tasks.block("load", "fetch")
        assert seen("load")["status"] == "in_progress"
    assert (seen("load")["status"], seen("load")["blocked_by"]) == ("blocked", ["fetch"])
    assert "is blocked by 'fetch'" in refused(tasks.claim, "a2", "load").what


def test_who_took_over_an_abandoned_task_is_not_disturbed_by_the_one_that_had_it() -> None:
    add("load")
    with leases.new() as lease:
        first = tasks.claim("a1", lease=lease)
    second = tasks.claim("a2")
    assert "is no longer yours: it is with 'a2'" in refused(tasks.finish, "load", "completed", claim=first["claim"]).what
    assert tasks.put_back(first)["owner"] == "a2"
    assert tasks.finish("load", "completed", claim=second["claim"])[1] is True


def test_of_two_machines_that_take_over_one_abandoned_task_the_first_in_order_wins_on_both() -> None:
    from tests.store.test_tasks import diverged, everything_of

    add("load")
    with leases.new() as lease:
        tasks.claim("dead", lease=lease)
    left, right = diverged(lambda: tasks.claim("left"), lambda: tasks.claim("right"))
    meanings = [everything_of(left + right), everything_of(right + left)]
    assert meanings[0] == meanings[1] and meanings[0][0]["owner"] in ("left", "right")


def test_a_claim_of_another_copy_of_the_colony_counts_as_alive(root: Path) -> None:
    add("load")
    with leases.new() as lease:
        tasks.claim("a1", lease=lease)
    assert seen("load")["abandoned"] is True
    mine = replica.name()
    shutil.copytree(root, root.parent / "there")
    paths.use(str(root.parent / "there"))
    assert replica.name() != mine  # the folder's name came along, and is not this folder's
    assert (seen("load")["abandoned"], seen("load")["status"]) == (False, "in_progress")
    assert replica.name() == replica.name() and Path(paths.replica()).exists()


def test_a_lease_on_a_slot_ends_with_its_token_and_not_with_the_slots_next_holder(root: Path) -> None:
    slot = paths.lease("runs/r1/slot-0")
    fd = locks.try_hold(slot, note="4711 first")
    assert fd is not None
    lease = {"lock": "runs/r1/slot-0", "token": "first", "copy": replica.name()}
    assert not leases.is_lost(lease)
    locks.sign(fd, "4712 second")
    assert leases.is_lost(lease) and not leases.is_lost({**lease, "token": "second"})
    locks.release(fd)
    assert leases.is_lost({**lease, "token": "second"})


def test_the_lease_of_the_surroundings_counts_while_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    assert leases.ours() is None
    lease = leases.new()
    with lease as held:
        monkeypatch.setenv("COLONY_LEASE", leases.spell(lease.lock))
        assert leases.ours() == held
        add("load")
        assert tasks.claim("a1")["abandoned"] is False
    assert seen("load")["abandoned"] is True
    assert leases.ours() is None


@pytest.mark.parametrize("name", ["", "x", "leases/../x", "leases/a/b", "/etc/passwd", "runs/r1", "agents/../../x", "leases/"])
def test_a_lease_of_a_strange_name_is_nobodys(name: str, root: Path) -> None:
    assert leases.is_lost({"lock": name, "copy": replica.name()})
    with pytest.raises(ColonyError):
        paths.lease(name)
    leases.forget({"lock": name, "copy": replica.name()})


def test_a_claim_that_takes_over_removes_the_dead_lock_file_and_a_held_one_removes_its_own(root: Path) -> None:
    folder = root / ".colony/locks/leases"
    with leases.new():
        assert len(list(folder.iterdir())) == 1
    assert list(folder.iterdir()) == []
    add("load")
    (folder / "dead.lock").touch()
    tasks.claim("a1", lease={"lock": "leases/dead", "copy": replica.name()})
    tasks.claim("a2")
    assert list(folder.iterdir()) == []


def test_a_damaged_name_of_the_copy_is_made_anew(root: Path) -> None:
    first = replica.name()
    Path(paths.replica()).write_text("{")
    replica._known = ("", "")
    second = replica.name()
    assert second != first and os.path.getsize(paths.replica()) > 10


def test_asking_whether_a_lock_is_held_never_makes_a_taker_fail(root: Path) -> None:
    """Askers hold the lock shared for an instant; who wants it for itself then waits for them."""
    import threading

    path = str(root / "x.lock")
    Path(path).touch()
    stop: list[Any] = []

    def ask() -> None:
        while not stop:
            assert locks.is_held(path) in (True, False)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(2000):
            fd = locks.try_hold(path)
            assert fd is not None
            locks.release(fd)
    finally:
        stop.append(1)
        for asker in askers:
            asker.join()
