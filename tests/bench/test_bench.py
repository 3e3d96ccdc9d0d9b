"""The benchmark measures what it says it does; how fast anything is, is nowhere asserted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from colony_lib.base import jsontext
from colony_lib.store import logs, metrics, paths, tasks
from tests.bench import __main__ as bench
from tests.bench import bulk, machine, measure, suite, tables
from tests.bench.peers import __main__ as peers
from tests.bench.peers import environment
from tests.bench.peers.peer import Graph
from tests.bench.rows import chain
from tests.conftest import REPOSITORY, Colony, clean_environment


def run(module: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=REPOSITORY,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_quick_look_at_one_group_prints_a_table_with_a_ratio() -> None:
    done = run("tests.bench", "resume", "--quick", "--runs", "1")
    assert done.returncode == 0, done.stderr
    head, table = done.stdout.split("\n\n")
    assert re.match(r"\d{4}-\d\d-\d\d, \d+ cores?, Python 3\.\d+\.\d+, Linux \d+\.\d+, \w+", head)
    ((what, measured, aim, spread, day),) = tables.read(table)
    assert what == "`workflow resume` of a finished run of 100 steps"
    assert re.fullmatch(r"\*\*[\d.,]+ ×\*\* \([\d.]+ m?s to [\d.]+ m?s; CPU [\d.,]+ ×; \d+ MB\)", measured)
    assert aim == "≤ 10 × `python3 -c pass`"
    assert re.fullmatch(r"([\d.,]+)–\1 \(1\)", spread) and head.startswith(f"{day}, ")
    assert done.stderr.startswith("resume: `workflow resume`")


@pytest.mark.parametrize(
    ("module", "words", "said"),
    [
        ("tests.bench", ["chian"], "unknown benchmark 'chian'; did you mean 'chain'?"),
        ("tests.bench", ["--runs", "0"], "--runs 0 is not 1 to 50"),
        ("tests.bench", ["chain", "--write", "--quick"], "--write is for figures of the whole size"),
        ("tests.bench.peers", ["nimja"], "unknown peer 'nimja'; did you mean 'ninja'?"),
        ("tests.bench.peers", ["ninja", "--write"], "--write is for all peers"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_measured(module: str, words: list[str], said: str) -> None:
    done = run(module, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_what_cannot_be_measured_is_said_in_its_row(tmp_path: Path) -> None:
    make = tmp_path / "make"
    make.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    make.chmod(0o755)
    done = run("tests.bench", "chain", "--quick", PATH=f"{tmp_path}:{clean_environment()['PATH']}")
    assert done.returncode == 1
    ((what, measured, aim, spread, _),) = tables.read(done.stdout)
    assert what == "`workflow run`: a chain of 20 such steps" and spread == ""
    assert measured == "not measured: 'make -s -j2 -f Makefile-20-chain-' ended with 3: out of order"
    assert done.stderr.splitlines()[-1] == f"chain: {measured}"


def test_the_readme_holds_a_figure_of_every_row_that_the_suite_knows() -> None:
    table = tables.between((REPOSITORY / "README.md").read_text(encoding="utf-8"), "bench")
    lines = tables.read(table)
    assert [(what, aim) for what, _, aim, _, _ in lines] == bench.every_row(suite.Sizes())
    for _, measured, _, spread, day in lines:
        assert re.match(r"\*\*[\d.,]+", measured) and re.fullmatch(r"[\d.,]+–[\d.,]+ \(\d+\)", spread)
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", day)


def test_rows_measured_anew_join_those_that_the_readme_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = tmp_path / "README.md"
    old = [[row.what, "**9.9 ×** (old)", row.aim, "9.9–9.9 (3)", "2020-02-02"] for row in bench.every_row(suite.Sizes())]
    readme.write_text(f"before\n<!-- bench: made -->\n{tables.made(bench.COLUMNS, old)}<!-- end of bench -->\nafter\n")
    monkeypatch.setattr(bench, "README", readme)
    monkeypatch.setattr(bench, "group", lambda name: Known if name == "chain" else import_module(f"tests.bench.rows.{name}"))
    assert bench.main(["chain", "--write"]) == 0
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    lines = tables.read(text)
    changed = {line[0]: line for line, was in zip(lines, old, strict=True) if line != was}
    what = Known.rows(suite.Sizes())[0].what
    assert changed == {what: [what, "**2.0 ×** (a | b)", "≤ 4 × `make -j2`", "1.0–3.0 (7)", machine.today()]}


class Known:
    """A group whose figure is known before it is measured."""

    @staticmethod
    def rows(sizes: suite.Sizes) -> list[suite.Row]:
        return chain.rows(sizes)

    @staticmethod
    def measure(made: suite.Bench) -> Iterator[suite.Figure]:
        yield suite.Figure("**2.0 ×** (a | b)", "1.0–3.0", 7)


def test_contributing_holds_a_line_of_every_peer() -> None:
    table = tables.between((REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8"), "peers")
    named = [line.split()[1] for line in table.splitlines() if line.startswith("|")]
    assert {"colony", *peers.NAMES} - {"taskwarrior"} <= set(named)
    assert "taskwarrior" in table


def test_cells_come_out_of_a_table_as_they_went_in() -> None:
    made = tables.made(["a", "b"], [["one", "`x | y`"], ["", "two"]])
    assert tables.read(made) == [["one", "`x | y`"], ["", "two"]]
    text = "head\n<!-- it: made -->\nold\n<!-- end of it -->\ntail\n"
    assert tables.replaced(text, "it", made) == f"head\n<!-- it: made -->\n{made}<!-- end of it -->\ntail\n"


def test_a_command_is_measured_whole_and_a_failing_one_is_no_figure(tmp_path: Path) -> None:
    worker = "import sys; x = bytearray(80_000_000); sum(range(10**6)); print(len(x), file=sys.stderr)"
    done = []
    with measure.stopwatch(tmp_path / "watch", clean_environment(MORE="yes")) as watch:
        small = watch(measure.Command(("python3", "-c", "pass"), tmp_path))
        # The work is a child's of the process that is measured.
        command = measure.Command(("sh", "-c", f"python3 -c '{worker}'; :"), tmp_path, after=lambda: done.append(1))
        large = watch(command)
        assert watch.said() == "80000000\n" and done == [1]
        assert large.peak_bytes > 80_000_000 > small.peak_bytes > 1_000_000
        assert large.cpu_seconds > 0 and large.seconds > 0
        watch(measure.Command(("sh", "-c", 'test "$MORE $OWN" = "yes too"'), tmp_path, environment={"OWN": "too"}))
        with pytest.raises(measure.Failed, match=r"'sh -c echo no >&2; exit 3' ended with 3: no"):
            watch(measure.Command(("sh", "-c", "echo no >&2; exit 3"), tmp_path))
        with pytest.raises(measure.Failed, match="was not done in 0 s"):
            watch(measure.Command(("sh", "-c", "sleep 300; :"), tmp_path, seconds=0.2))
        # What a command leaves running is ended with it.
        watch(measure.Command(("sh", "-c", "sleep 300 & echo $!"), tmp_path))
        left = Path("/proc", watch.said().strip(), "stat")
        deadline = time.monotonic() + 60
        while is_alive(left):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def is_alive(stat: Path) -> bool:
    """Whether the process of /proc/ID/stat runs; one that only waits to be reaped does not."""
    try:
        return stat.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_made_journals_are_what_the_library_writes(colony: Colony) -> None:
    paths.use(str(colony.root))
    tasks.add([tasks.wanted({"title": "by the library"})])
    metrics.record("rows", 1.5, {"source": "files"})
    logs.write("worker", [{"message": "by the library", "level": "error", "run_id": "r", "step": "s", "attempt": 1}])
    for path, made in (
        (paths.tasks(), bulk.tasks(1)),
        (paths.metric("rows"), bulk.points(1)),
        (paths.log("worker"), bulk.log(1, "worker")),
    ):
        (theirs,) = Path(path).read_text(encoding="utf-8").splitlines()
        for line in next(made).splitlines():
            assert list(json.loads(line)) == list(json.loads(theirs))
            assert jsontext.dumps(json.loads(line)) == line  # no blank, no escape that the library would not write


def test_made_journals_are_read_without_a_complaint_and_hold_what_was_asked_for(colony: Colony) -> None:
    bulk.write(colony.root / ".colony/state/tasks.jsonl", bulk.tasks(100))
    bulk.write(colony.root / ".colony/metrics/rows.jsonl", bulk.points(500))
    bulk.write(colony.root / ".colony/logs/common.jsonl", bulk.log(2_000_000, "common"))
    bulk.write(colony.root / ".colony/logs/rare.jsonl", bulk.log(2_000_000, "rare", errors=3))
    listed = colony("state", "task", "list", "--json")
    statuses = [json.loads(line)["status"] for line in listed.out.splitlines()]
    assert listed.err == "" and {name: statuses.count(name) for name in set(statuses)} == {
        "ready": 80, "blocked": 10, "completed": 10,
    }  # fmt: skip
    assert colony.json("metrics", "show", "rows", "--json")["count"] == 500
    for agent, errors in (("common", None), ("rare", 3)):
        path = colony.root / f".colony/logs/{agent}.jsonl"
        lines = colony.lines("logs", agent, "-n", "100000", "--json")
        assert len(lines) == path.read_bytes().count(b"\n") and path.stat().st_size >= 2_000_000
        found = [line["level"] for line in lines].count("error")
        assert found == (len(lines) // 100 if errors is None else errors)


@pytest.mark.parametrize(("engine", "case"), [("duckdb", "tenth"), ("sqlite", "append")])
def test_a_load_and_its_floor_come_to_the_same_rows_before_either_is_a_figure(
    tmp_path: Path, engine: str, case: str
) -> None:
    done = run("tests.bench.warehouse", engine, case, "1000", "2", "2", str(tmp_path))
    assert done.returncode == 0, done.stderr
    took = json.loads(done.stdout)
    assert list(took) == ["floor", "ours"] and [len(found) for found in took.values()] == [2, 2]
    assert all(seconds > 0 for found in took.values() for seconds, _ in found)


def test_every_peer_writes_both_graphs_with_all_their_steps(tmp_path: Path) -> None:
    for peer in peers.PEERS:
        for chained in (False, True):
            for ledger in (False, True):
                folder = tmp_path / f"{peer.name}-{chained}-{ledger}"
                folder.mkdir()
                peer.write(folder, Graph(12, chained=chained, ledger=ledger))
                peer.clean(folder)
                text = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
                assert "12" in text or "13" in text, peer.name
                assert ("ledger" in text) == ledger, peer.name


def test_a_process_that_a_peer_left_is_found_by_its_mark_and_ended() -> None:
    mark, other = environment.new_mark(), environment.new_mark()
    words = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(300)"]
    settings = {"stdout": subprocess.PIPE, "start_new_session": True, "text": True}
    ours = subprocess.Popen(words, env=clean_environment(COLONY_BENCH_PEER=mark), **settings)
    others = subprocess.Popen(words, env=clean_environment(COLONY_BENCH_PEER=other), **settings)
    try:
        assert ours.stdout.readline() == others.stdout.readline() == "up\n"
        assert environment.stop_all(mark) == 1
        assert ours.wait(timeout=60) != 0 and others.poll() is None
    finally:
        others.kill()
        ours.kill()
