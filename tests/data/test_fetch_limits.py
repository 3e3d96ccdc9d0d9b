"""Rate limits and circuit breakers as processes share them: the files outlive every process, and never block for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.data.limits import Breaker, Bucket
from tests.conftest import REPOSITORY, clean_environment
from tests.web import Answer, Asked, Web, free_port


def bucket(folder: Path, **settings: Any) -> Bucket:
    return Bucket(str(folder), "s", str(folder / "bucket.lock"), **settings)


def breaker(folder: Path, **settings: Any) -> Breaker:
    return Breaker(str(folder), "s", str(folder / "breaker.lock"), **settings)


def test_a_full_bucket_gives_at_once_and_an_empty_one_makes_wait(tmp_path: Path) -> None:
    waits = [bucket(tmp_path, requests=3, per=60.0).take(60) for _ in range(5)]
    assert waits[:3] == [0, 0, 0]
    assert waits[3] == pytest.approx(20, abs=1) and waits[4] == pytest.approx(40, abs=1)


def test_a_wait_that_is_too_long_takes_nothing_and_exits_75(tmp_path: Path) -> None:
    one = bucket(tmp_path, requests=1, per=3600.0)
    assert one.take(1) == 0
    before = (tmp_path / "bucket-s.json").read_bytes()
    with pytest.raises(ColonyError) as caught:
        one.take(60)
    assert caught.value.code == 75
    assert str(caught.value).startswith("the rate limit of 's' is used up for ") and "try again after 20" in str(
        caught.value
    )
    assert (tmp_path / "bucket-s.json").read_bytes() == before


def test_eight_processes_share_one_bucket(tmp_path: Path) -> None:
    script = (
        "import sys; from colony_lib.data.limits import Bucket\n"
        "b = Bucket(sys.argv[1], 's', sys.argv[1] + '/l', requests=40, per=1e6)\n"
        "print(sum(b.take(1e9) == 0 for _ in range(10)))"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            cwd=REPOSITORY,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    given = [int(process.communicate()[0]) for process in running]
    # Of 80 tokens asked for, the 40 that were in it were given at once, none twice.
    assert sum(given) == 40


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"tokens": "x", "at": null}', '{"tokens": -1e300, "at": 1e300}'])
def test_a_damaged_bucket_does_not_stop_a_fetch(tmp_path: Path, damage: str) -> None:
    (tmp_path / "bucket-s.json").write_text(damage)
    assert bucket(tmp_path, requests=10, per=1.0).take(1e9) <= 101
    json.loads((tmp_path / "bucket-s.json").read_text())


def test_a_breaker_opens_after_so_many_failures_in_a_row(tmp_path: Path) -> None:
    one = breaker(tmp_path, failures=3, timeout=120)
    for _ in range(2):
        one.before()
        one.failed("503 Service Unavailable")
    one.succeeded()
    for _ in range(3):
        one.before()
        one.failed("connection refused")
    with pytest.raises(ColonyError) as caught:
        breaker(tmp_path, failures=3, timeout=120).before()
    assert caught.value.code == 75
    text = str(caught.value)
    assert text.startswith(
        "the circuit breaker of 's' is open after 3 failures in a row (the last: connection refused); try again after 20"
    )
    assert one.state()["state"] == "OPEN"


def test_after_its_time_one_may_try_and_a_success_closes_it(tmp_path: Path) -> None:
    one = breaker(tmp_path, failures=1, timeout=0.15)
    one.failed("x")
    with pytest.raises(ColonyError):
        one.before()
    time.sleep(0.16)
    one.before()
    assert one.state()["state"] == "HALF_OPEN"
    with pytest.raises(ColonyError) as caught:
        breaker(tmp_path, failures=1, timeout=0.15).before()
    assert "is being tried by another fetch" in str(caught.value)
    one.succeeded()
    assert one.state() == {"v": 1, "state": "CLOSED", "failures": 0}
    one.before()


def test_a_failure_while_half_open_opens_it_again_at_once(tmp_path: Path) -> None:
    one = breaker(tmp_path, failures=5, timeout=0.1)
    for _ in range(5):
        one.failed("x")
    time.sleep(0.11)
    one.before()
    one.failed("y")
    assert one.state()["state"] == "OPEN" and one.state()["failures"] == 6
    with pytest.raises(ColonyError):
        one.before()


def test_one_who_died_while_trying_does_not_block_the_rest(tmp_path: Path) -> None:
    one = breaker(tmp_path, failures=1, timeout=0.1)
    one.failed("x")
    time.sleep(0.11)
    one.before()  # and dies
    time.sleep(0.11)
    one.before()


@pytest.mark.parametrize("damage", ["", "[1]", '{"state": "OPEN"}', '{"state": "OPEN", "until_epoch": "soon"}'])
def test_a_damaged_breaker_lets_one_try(tmp_path: Path, damage: str) -> None:
    (tmp_path / "breaker-s.json").write_text(damage)
    breaker(tmp_path).before()


def test_a_clock_that_was_set_back_does_not_keep_it_open_for_years(tmp_path: Path) -> None:
    (tmp_path / "breaker-s.json").write_text(
        json.dumps({"state": "OPEN", "failures": 5, "until_epoch": time.time() + 1e9})
    )
    with pytest.raises(ColonyError) as caught:
        breaker(tmp_path, timeout=120).before()
    assert ", in 2m00s" in str(caught.value) or ", in 1m59s" in str(caught.value)


def test_refused_connections_open_the_breaker_and_the_next_fetch_asks_nobody(fetch: Any, folder: Path) -> None:
    port = free_port()
    settings = {
        "type": "rest",
        "url": f"http://127.0.0.1:{port}/x",
        "retry": {"max_attempts": 2},
        "circuit_breaker": {"failures": 3, "timeout": "1h"},
    }
    first = fetch(settings)
    assert first.code == 1 and "connection refused after 2 attempts" in first.error()
    second = fetch(settings)
    assert second.code == 75 and "is open after 3 failures in a row (the last: connection refused)" in second.error()
    third = fetch(settings)
    assert third.code == 75 and third.figures()["status"] == "busy"
    assert os.path.exists(folder / "staging/.colony-data/breaker-s.json")


def test_a_server_that_comes_back_is_tried_once_and_then_trusted(fetch: Any) -> None:
    well = False

    def answer(_: Asked) -> Any:
        return [{"id": 1}] if well else Answer({}, 503)

    with Web(answer) as web:
        settings = {
            "type": "rest",
            "url": web.url,
            "retry": {"max_attempts": 1},
            "circuit_breaker": {"failures": 1, "timeout": "150ms"},
        }
        assert fetch(settings).code == 1
        assert fetch(settings).code == 75 and len(web.asked) == 1
        well = True
        time.sleep(0.16)
        assert fetch(settings).code == 0
        assert fetch(settings).code == 0
    assert len(web.asked) == 3


def test_an_answer_that_says_no_does_not_open_the_breaker(fetch: Any) -> None:
    with Web(lambda _: Answer({}, 404)) as web:
        settings = {"type": "rest", "url": web.url, "circuit_breaker": {"failures": 1, "timeout": "1h"}}
        assert [fetch(settings).code for _ in range(3)] == [1, 1, 1]
    assert len(web.asked) == 3


def test_waits_for_our_own_limit_are_counted(fetch: Any) -> None:
    def answer(asked: Asked) -> Any:
        page = int(asked.query["page"])
        return [{"id": page}] if page < 5 else []

    with Web(answer) as web:
        settings = {
            "type": "rest",
            "url": web.url,
            "pagination": {"type": "page"},
            "rate_limit": {"requests": 2, "per": "200ms"},
        }
        started = time.monotonic()
        done = fetch(settings)
    assert done.code == 0 and len(done.rows()) == 4
    assert time.monotonic() - started >= 0.25
    assert done.figures()["waits"] == 3 and done.figures()["waited_seconds"] > 0.1


def test_sources_may_share_one_limit_whichever_process_fetches_them(fetch: Any, folder: Path) -> None:
    with Web(lambda _: [{"id": 1}]) as web:
        limit = {"requests": 2, "per": "1h", "shared": "key-1"}
        settings = {"type": "rest", "url": web.url, "rate_limit": limit, "retry": {"max_wait": "1s"}}
        done = fetch(sources={name: dict(settings) for name in ("a", "b", "c")})
        assert done.code == 75 and len(web.asked) == 2
        ended = [done.figures(name)["status"] for name in ("a", "b", "c")]
        assert sorted(ended) == ["busy", "complete", "complete"]
        command = ["colony", "fetch", "a", "--date", "2013-02-08"]
        again = subprocess.run(command, env=clean_environment(), capture_output=True, text=True)
        assert again.returncode == 75 and "the rate limit of 'shared-key-1'" in again.stderr and len(web.asked) == 2


def test_the_limit_may_come_from_the_environment(fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"type": "rest", "url": "http://127.0.0.1:9/", "rate_limit": {"requests": "$RATE", "per": "1m"}}
    monkeypatch.setenv("RATE", "many")
    with pytest.raises(ColonyError) as caught:
        fetch(settings)
    assert caught.value.code == 2
    assert str(caught.value) == "the rate limit is 'many' at pipeline.yml:1; give a whole number from 1 on"
    monkeypatch.delenv("RATE")
    with pytest.raises(ColonyError) as caught:
        fetch(settings)
    assert "the environment variable RATE is not set, which the pipeline needs at pipeline.yml:1" in str(caught.value)
