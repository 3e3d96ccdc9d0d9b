"""Loads into PostgreSQL that are shot, or lose the server, between any two things that they tell it: COMMIT too."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.data import load as loader
from colony_lib.data import pipeline as pipelines
from tests.conftest import REPOSITORY, clean_environment
from tests.data.loading import day, write_pipeline
from tests.postgres import PostgreSQL

ROWS = 300  # of a day; the next one changes half of them


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        yield server


class Wire:
    """A way to the server that is cut at the `point`-th piece that the client sends, before or after it has arrived;
    then `at` is called. `pieces`: what was sent by the newest connection."""

    def __init__(self, server: PostgreSQL) -> None:
        self.point, self.arrives = 0, False
        self.at: Callable[[], None] = lambda: None
        self.pieces: list[bytes] = []
        self._to = server.port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = server.url.replace(f":{server.port}/", f":{self._socket.getsockname()[1]}/")
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=self._ask, args=(client, there), daemon=True).start()
            threading.Thread(target=self._answer, args=(there, client), daemon=True).start()

    def _ask(self, client: socket.socket, there: socket.socket) -> None:
        self.pieces = []
        while piece := _received(client):
            self.pieces.append(piece)
            cut = len(self.pieces) == self.point
            if not cut or self.arrives:
                there.sendall(piece)
            if cut:
                self.at()
                break
        for end in (there, client):
            _shut(end)

    def _answer(self, there: socket.socket, client: socket.socket) -> None:
        while piece := _received(there):
            try:
                client.sendall(piece)
            except OSError:
                break
        _shut(client)

    def commit(self) -> int:
        """Which piece did the COMMIT; the one before it had prepared it."""
        return next(number for number, piece in enumerate(self.pieces, start=2) if b"COMMIT" in piece)

    def close(self) -> None:
        self._socket.close()


def _received(one: socket.socket) -> bytes:
    try:
        return one.recv(1 << 16)
    except OSError:
        return b""


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was first


@pytest.fixture
def wire(server: PostgreSQL) -> Iterator[Wire]:
    made = Wire(server)
    yield made
    made.close()


def date_of(number: int) -> str:
    return f"2013-02-{number:02}"


def rows_of(number: int) -> list[dict[str, Any]]:
    return [{"k": k + number * ROWS // 2, "day": number, "text": f"row {k}"} for k in range(ROWS)]


def prepared(folder: Path, url: str, table: str, mode: str) -> None:
    """Days to load; the mode's table, and one of appended rows, in one transaction."""
    key = {"key": "k"} if mode != "replace" else {}
    datasets = {"a": {"load": {"table": table, "mode": mode, **key}}, "b": {"load": {"table": f"{table}_log", "mode": "append"}}}
    write_pipeline(folder, datasets, warehouse={"url": url}, views={f"{table}_v": f"select max(day) as d from {table}"})


def load(number: int) -> dict[str, Any]:
    for name in "ab":
        day(Path(), name, rows_of(number), date_of(number))
    return loader.load(pipelines.load(), date_of(number), [], timeout=60)[0]


def seen(server: PostgreSQL, table: str) -> tuple[Any, ...]:
    """(rows, sum of their days, appended rows, loads) as another program finds them."""
    with psycopg.connect(server.url, autocommit=True) as session:
        found = session.execute(
            f"SELECT (SELECT count(*) FROM {table}), (SELECT sum(day) FROM {table}), (SELECT count(*) FROM {table}_log), "
            f"(SELECT count(*) FROM colony_load_history WHERE table_name = '{table}')"
        ).fetchone()
    assert found is not None
    return found


LOAD = """\
import sys
from colony_lib.data import load as loader, pipeline as pipelines
loader.load(pipelines.load(), sys.argv[1], [], timeout=60)
"""


@pytest.mark.parametrize("mode", ["upsert", "replace"])
def test_a_load_killed_between_any_two_words_to_the_server_is_there_whole_or_not_at_all(
    folder: Path, server: PostgreSQL, wire: Wire, mode: str
) -> None:
    table = f"killed_{mode}"
    prepared(folder, wire.url, table, mode)
    for number in (1, 2):
        load(number)
    before, commit = seen(server, table), wire.commit()
    for share, more in [(0.3, 0), (0.5, 0), (0.7, 0), (0.9, 0), (1, -1), (1, 0), (1, 1)]:
        number += 1
        for name in "ab":
            day(folder, name, rows_of(number), date_of(number))
        wire.point, wire.arrives = round(commit * share) + more, number % 2 == 0
        process = subprocess.Popen(
            [sys.executable, "-c", LOAD, date_of(number)],
            cwd=folder, env=clean_environment(PYTHONPATH=str(REPOSITORY)),
        )  # fmt: skip
        wire.at = partial(os.kill, process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        wire.point = 0
        killed = seen(server, table)
        load(number)
        after = seen(server, table)
        assert killed in (before, after) and after[2:] == (number * ROWS, number), f"at piece {wire.point}"
        before, commit = after, commit if killed == after else wire.commit()


@pytest.mark.parametrize("arrives", [False, True])
def test_a_connection_that_is_lost_at_the_commit_leaves_it_to_the_receipt_what_was_loaded(
    folder: Path, server: PostgreSQL, wire: Wire, arrives: bool
) -> None:
    table = f"lost_{int(arrives)}"
    prepared(folder, wire.url, table, "upsert")
    load(1)
    load(2)
    wire.point, wire.arrives = wire.commit(), arrives
    with pytest.raises(ColonyError) as caught:
        load(3)
    assert caught.value.code == FAILED
    assert "nobody knows whether the load was committed: the connection to postgresql://" in str(caught.value)
    assert "what was committed is known by its receipt, and not loaded twice" in str(caught.value)
    wire.point = 0
    summary = load(3)
    assert [result["repeat"] for result in summary["tables"].values()] == [arrives] * 2
    assert seen(server, table)[2:] == (3 * ROWS, 3)
