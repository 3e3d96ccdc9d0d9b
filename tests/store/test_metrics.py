"""Metrics: what is recorded is what is read, whatever the order, the spelling or the state of the lines."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import clock, jsonl
from colony_lib.base.errors import ColonyError
from colony_lib.store import metrics, paths, pointrows, points, prometheus, schema

NOW = "2026-11-23T12:00:00.000Z"


@pytest.fixture(params=["few", "many"])
def journal(colony: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the metric `m_seconds` in a colony whose clock stands at NOW; each way to read it by itself."""
    monkeypatch.setattr(points, "LARGE", 0 if request.param == "many" else 1 << 40)
    paths.use(str(colony.root))
    clock.freeze(NOW)
    return colony.root / ".colony/metrics/m_seconds.jsonl"


def window(hours: float | None = 24, **labels: str) -> points.Window:
    return points.Window("m_seconds", hours, labels or None)


def line(number: int, value: float, ts: str = NOW, **more: Any) -> str:
    return json.dumps(
        {"v": 1, "id": f"p{number}", "ts": ts, "value": value, "labels": {}, **more}, separators=(",", ":")
    )


def test_a_recorded_point_is_one_line_that_meets_its_schema(journal: Path) -> None:
    made = metrics.record("m_seconds", "12.50", {"step": "load-data"})
    assert journal.read_text() == json.dumps(made, separators=(",", ":")) + "\n"
    assert made == {"v": 1, "id": made["id"], "ts": NOW, "value": 12.5, "labels": {"step": "load-data"}}
    schema.check(made, "metric")


@pytest.mark.parametrize(
    ("given", "kept"),
    [("10543", 10543), ("-5", -5), ("0.98", 0.98), ("1e3", 1000.0), (".5", 0.5), ("+7", 7), (3, 3), (2.5, 2.5)],
)
def test_numbers_are_kept_as_they_are_written(given: Any, kept: float) -> None:
    assert metrics.number(given) == kept
    assert type(metrics.number(given)) is type(kept)


@pytest.mark.parametrize(
    "given",
    [
        *("nan", "inf", "-Infinity", "1e999", "", " 1", "1_000", "1,834", "0x10", "٣", "twelve", "1.2.3", "e5", "--5"),
        *(True, None, [], float("nan"), float("inf"), 10**400, "9" * 400),
    ],
)
def test_what_is_no_finite_number_is_refused_before_anything_is_written(journal: Path, given: Any) -> None:
    with pytest.raises(ColonyError) as error:
        metrics.record("m_seconds", given)
    assert error.value.code == 2
    assert not journal.exists()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "a..b", "x" * 129, "ü", "-n", "a\n"])
def test_a_name_that_is_no_safe_file_name_is_refused(journal: Path, name: str) -> None:
    with pytest.raises(ColonyError) as error:
        metrics.record(name, 1)
    assert error.value.code == 2
    assert not journal.parent.exists() or not list(journal.parent.iterdir())


@pytest.mark.parametrize(
    "labels",
    [
        *({"": "x"}, {"1a": "x"}, {"a-b": "x"}, {"__name__": "x"}, {"a": "x\ny"}, {"a": "x" * 257}, {"a" * 65: "x"}),
        {f"l{i}": "x" for i in range(17)},
    ],
)
def test_labels_that_prometheus_would_not_take_are_refused(journal: Path, labels: dict[str, str]) -> None:
    with pytest.raises(ColonyError) as error:
        metrics.record("m_seconds", 1, labels)
    assert error.value.code == 2
    assert not journal.exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pipeline_duration_seconds", ("gauge", "seconds")),
        ("workflow.run.duration_seconds", ("gauge", "seconds")),
        ("agent.cost_usd", ("gauge", "usd")),
        ("warehouse_bytes", ("gauge", "bytes")),
        ("http_requests_total", ("counter", "requests")),
        ("pipeline_error_count", ("gauge", "count")),
        ("data_quality_score", ("gauge", "ratio")),
        ("hit-ratio", ("gauge", "ratio")),
        ("pipeline_records_processed", ("gauge", "records")),
        ("agent.tokens.input", ("gauge", "tokens")),
        ("temperature", ("gauge", None)),
    ],
)
def test_type_and_unit_follow_from_the_name(name: str, told: tuple[str, str | None]) -> None:
    assert metrics.describe(name) == told


def test_a_type_and_unit_of_ones_own_are_kept_with_the_points(journal: Path) -> None:
    metrics.record("m_seconds", 1, type="counter", unit="ticks")
    metrics.record("m_seconds", 2)
    found = window()
    assert (found.type, found.unit) == ("counter", "ticks")
    newest = points.Newest("m_seconds")
    assert (newest.type, newest.unit, newest.value) == ("counter", "ticks", 2)
    with pytest.raises(ColonyError, match="not a type of metric"):
        metrics.record("m_seconds", 1, type="histogram")


def test_statistics_agree_with_the_standard_library(journal: Path) -> None:
    rolls = random.Random(7)
    values = [rolls.expovariate(0.01) for _ in range(997)]
    metrics.record_many({"name": "m_seconds", "value": value} for value in values)
    found = window().statistics()
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    assert found["count"] == 997
    assert found["current"] == values[-1]
    assert found["average"] == pytest.approx(statistics.fmean(values), rel=1e-15)
    assert (found["min"], found["max"]) == (min(values), max(values))
    assert found["p50"] == pytest.approx(statistics.median(values), rel=1e-12)
    assert found["p95"] == pytest.approx(cuts[94], rel=1e-12)


def test_one_point_is_all_of_its_statistics_and_none_is_a_defined_result(journal: Path) -> None:
    nothing = {
        "count": 0,
        "sum": 0,
        "current": None,
        "average": None,
        "min": None,
        "max": None,
        "p50": None,
        "p95": None,
    }
    assert window().statistics() == nothing
    metrics.record("m_seconds", 4)
    assert window().statistics() == {"count": 1} | dict.fromkeys(
        ("sum", "current", "average", "min", "max", "p50", "p95"), 4
    )


def test_numbers_at_the_edge_of_floating_point_stay_finite(journal: Path) -> None:
    for value in ("1.7e308", "1.7e308", "-1.7e308", "1.7e308"):
        metrics.record("m_seconds", value)
    found = window().statistics()
    assert found["average"] == pytest.approx(8.5e307)
    assert all(abs(found[key]) <= 1.7976931348623157e308 for key in ("sum", "p50", "p95", "min", "max"))
    assert [value for value in window().buckets(10) if value is not None] == [pytest.approx(8.5e307)]


def test_neither_the_order_of_the_lines_nor_repeats_change_the_meaning(journal: Path) -> None:
    made = [line(i, i * 1.1, clock.stamp(clock.seconds(NOW) - 60 * (i % 50))) for i in range(300)]
    pictures = set()
    for seed in range(5):
        mixed = made + made[seed::7]
        random.Random(seed).shuffle(mixed)
        journal.write_text("\n".join(mixed) + "\n")
        found = window()
        times = [ts for ts, _, _ in found.points()]
        assert times == sorted(times)
        pictures.add(json.dumps([found.statistics(), found.buckets(24), found.last]))
    assert len(pictures) == 1


def test_of_points_with_one_time_the_last_recorded_is_the_current_one(journal: Path) -> None:
    metrics.record_many([{"name": "m_seconds", "value": value} for value in (5, 9, 2)])
    assert window().statistics()["current"] == 2
    for value in range(10):
        metrics.record("n", value)
    assert points.Newest("n").value == 9
    assert points.Window("n", 24).statistics()["count"] == 10


def test_a_point_recorded_again_under_its_id_counts_once(journal: Path) -> None:
    for _ in range(3):
        metrics.record("m_seconds", 7, point_id="run-1-load the data")
    metrics.record_many([{"name": "m_seconds", "value": 7, "id": "run-1-load the data"}] * 2)
    assert len(journal.read_text().splitlines()) == 5
    assert window().statistics()["count"] == 1


def test_many_points_are_checked_before_the_first_is_written(journal: Path) -> None:
    with pytest.raises(ColonyError, match="not a number"):
        metrics.record_many([{"name": "m_seconds", "value": 1}, {"name": "other", "value": "x"}])
    with pytest.raises(ColonyError, match="no key 'colour'"):
        metrics.record_many([{"name": "m_seconds", "value": 1, "colour": "red"}])
    assert metrics.names() == []


def test_the_window_has_the_points_of_the_last_hours_and_knows_the_last_one_before(journal: Path) -> None:
    for hours in (0, 1, 23.9, 24.1, 100):
        metrics.record("m_seconds", hours, ts=clock.stamp(clock.epoch() - hours * 3600))
    assert [value for _, value, _ in window(24).points()] == [23.9, 1, 0]
    assert window(1000).statistics()["count"] == 5
    assert window(None).statistics()["count"] == 5
    clock.freeze("2026-12-24T00:00:00Z")
    empty = window(24)
    assert (len(empty), empty.last) == (0, (NOW, 0, {}))


def test_points_from_the_future_neither_break_nor_rule_the_window(journal: Path) -> None:
    metrics.record("m_seconds", 1)
    metrics.record("m_seconds", 2, ts=clock.stamp(clock.epoch() + 120))  # another machine's clock, a little ahead
    metrics.record("m_seconds", 99, ts="2096-01-01T00:00:00Z")
    metrics.record("m_seconds", 98, ts="1956-01-01T00:00:00Z")
    found = window()
    assert [value for _, value, _ in found.points()] == [1, 2]
    assert (found.future, found.last and found.last[1]) == (1, 2)
    assert sum(value is not None for value in found.buckets(24)) == 1


def test_only_points_with_all_of_the_labels_are_taken(journal: Path) -> None:
    for step, day in (("load", "1"), ("load", "2"), ("fetch", "1")):
        metrics.record("m_seconds", 1, {"step": step, "day": day})
    metrics.record("m_seconds", 1)
    assert len(window()) == 4
    assert len(window(step="load")) == 2
    assert len(window(step="load", day="1")) == 1
    assert len(window(step="lo")) == 0


def test_lines_in_other_spellings_are_the_same_points(journal: Path) -> None:
    journal.parent.mkdir(exist_ok=True)
    journal.write_text(
        '{"v": 1, "id": "a", "ts": "2026-11-23T11:00:00.000Z", "value": 1, "labels": {"k": "v"}}\n'
        '{"labels":{"k":"}\\u00e9"},"value":2.0,"ts":"2026-11-23T12:30:00+01:00","id":"b","v":1}\n'
        '{"v":1,"id":"c","ts":"2026-11-23T11:45:00Z","value":3e0}\n',
        encoding="utf-8",
    )
    found = window()
    assert [(ts[11:16], value, json.loads(labels)) for ts, value, labels in found.points()] == [
        ("11:00", 1, {"k": "v"}),
        ("11:30", 2, {"k": "}é"}),
        ("11:45", 3, {}),
    ]
    assert found.problems == []


DAMAGE = [
    "garbage",
    '{"v":1,"id":"x","ts":"2026-11-23T12:00:00.000Z","value":NaN,"labels":{}}',
    '{"v":1,"id":"x","ts":"2026-11-23T12:00:00.000Z","value":1e999,"labels":{}}',
    '{"v":1,"id":"x","ts":"2026-11-23T12:00:00.000Z","value":"5","labels":{}}',
    '{"v":1,"id":"x","ts":"2026-11-23T12:00:00.000Z","value":null,"labels":{}}',
    '{"v":1,"id":"x","ts":"yesterday","value":5,"labels":{}}',
    '{"v":1,"id":"x","ts":"2026-11-23 12h00m00.000Z","value":5,"labels":{}}',
    '{"v":1,"ts":"2026-11-23T12:00:00.000Z","value":5,"labels":{}}',
    '{"v":1,"id":"x","ts":"2026-11-23T12:00:00.000Z","value":5,"labels":[1]}',
    '{"v":1,"id":"x","ts":"2026-11-23T12:00:00.000Z","value":5,"labels":{"a"}}',
    '{"v":1,"id":"x","ts":"2026-11-23T12:00:00.000Z","value":5,"labels":{}',
    'x{"v":1,"id":"x","ts":"2026-11-23T12:00:00.000Z","value":5,"labels":{}}',
    '{"v":1,"id":"x","ts":"2026-11-23T12:00:00.000Z","value":5,"labels":{},"type":}',
    "[1,2]",
    "\x00\x00\x00",
    "y" * 70_000,
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda text: text[:60])
def test_an_unreadable_line_is_reported_by_its_number_and_stops_nothing(journal: Path, damage: str) -> None:
    journal.write_text(f"{line(1, 1)}\n{line(2, 2)}\n{damage}\n\n{line(3, 3)}\n")
    found = window()
    assert [value for _, value, _ in found.points()] == [1, 2, 3]
    assert [(path, number) for path, number, _ in found.problems] == [(str(journal), 3)]


def test_bytes_that_are_no_text_are_one_bad_line(journal: Path) -> None:
    journal.write_bytes(line(1, 1).encode() + b'\n{"v":1,"id":"\xff\xfe"\n' + line(2, 2).encode() + b"\n")
    found = window()
    assert len(found) == 2
    assert [number for _, number, _ in found.problems] == [2]


def test_a_torn_last_line_is_ignored_and_mended_by_the_next_write(journal: Path) -> None:
    whole = f"{line(1, 1)}\n"
    for cut in range(1, len(line(2, 2))):
        journal.write_text(whole + line(2, 2)[:cut])
        found = window()
        assert ([value for _, value, _ in found.points()], found.problems) == ([1], [])
    metrics.record("m_seconds", 3)
    assert [value for _, value, _ in window().points()] == [1, 3]
    assert window().problems == []


def test_a_last_line_that_lost_only_its_newline_counts(journal: Path) -> None:
    journal.write_text(f"{line(1, 1)}\n{line(2, 2)}")
    assert len(window()) == 2
    metrics.record("m_seconds", 3)
    assert len(window()) == 3


def test_blocks_end_anywhere_in_a_line(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.write_text("".join(f"{line(i, i)}\n" for i in range(20)) + "bad\n")
    for size in range(1, 130):
        monkeypatch.setattr(pointrows, "BLOCK", size)
        found = window()
        assert sorted(value for _, value, _ in found.points()) == list(range(20))
        assert [number for _, number, _ in found.problems] == [21]


def test_buckets_are_averages_of_equal_parts_with_gaps(journal: Path) -> None:
    for hours, value in ((3.5, 10), (3.25, 20), (1.5, 7), (0.0, 1)):
        metrics.record("m_seconds", value, ts=clock.stamp(clock.epoch() - hours * 3600))
    assert window(4).buckets(4) == [15, None, 7, 1]


def test_the_newest_point_is_found_without_reading_the_whole_journal(journal: Path) -> None:
    journal.write_text("".join(f"{line(i, i, clock.stamp(clock.epoch() - 5000 + i))}\n" for i in range(3000)))
    assert points.Newest("m_seconds").value == 2999
    clock.freeze("2026-11-23T11:10:00Z")  # all that is near the end now lies in the future
    assert points.Newest("m_seconds").value == 2300
    assert points.Newest("nothing").value is None


def test_a_name_is_found_by_its_unique_start_only(journal: Path) -> None:
    for name in ("pipeline_duration_seconds", "pipeline_error_count", "data"):
        metrics.record(name, 1)
    assert metrics.find("data") == "data"
    assert metrics.find("pipeline_d") == "pipeline_duration_seconds"
    with pytest.raises(ColonyError, match="several metrics start with 'pipeline_'"):
        metrics.find("pipeline_")
    with pytest.raises(ColonyError, match="unknown metric 'pipline_error_count'") as error:
        metrics.find("pipline_error_count")
    assert error.value.code == 1
    assert str(error.value.fix).startswith("did you mean 'pipeline_error_count'")


def test_links_and_fifos_in_the_folder_are_no_metrics(journal: Path, tmp_path: Path) -> None:
    import os

    metrics.record("m_seconds", 1)
    (tmp_path / "secret").write_text("{}\n")
    os.symlink(tmp_path / "secret", journal.parent / "link.jsonl")
    os.mkfifo(journal.parent / "fifo.jsonl")
    (journal.parent / ".m_seconds.jsonl.1.tmp").write_text("x")
    assert metrics.names() == ["m_seconds"]
    with pytest.raises(ColonyError):
        metrics.record("link", 1)
    assert (tmp_path / "secret").read_text() == "{}\n"


def test_clear_removes_the_metric_and_its_name(journal: Path) -> None:
    metrics.record_many([{"name": "m_seconds", "value": 1}] * 3)
    assert metrics.clear("m_seconds") == 3
    assert metrics.names() == []
    assert metrics.clear("m_seconds") == 0
    metrics.record("m_seconds", 5)
    assert window().statistics()["count"] == 1


def test_clear_before_a_time_keeps_the_rest_and_what_it_cannot_read(journal: Path) -> None:
    old, new = line(1, 1, "2026-01-01T00:00:00.000Z"), line(2, 2)
    journal.write_text(f"{old}\nbad line\n{new}\n" + new[:20])
    assert metrics.clear("m_seconds", metrics.moment("2026-06-01")) == 1
    assert journal.read_text() == f"bad line\n{new}\n"
    assert [entry.name for entry in journal.parent.iterdir()] == ["m_seconds.jsonl"]


def test_a_failing_rewrite_leaves_the_points_as_they_were(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from colony_lib.base import files

    before = f"{line(1, 1, '2026-01-01T00:00:00.000Z')}\n{line(2, 2)}\n"
    journal.write_text(before)

    def full(fd: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "write_all", full)
    with pytest.raises(ColonyError, match="No space left on device"):
        metrics.clear("m_seconds", metrics.moment("2026-06-01"))
    assert journal.read_text() == before
    assert len(list(journal.parent.iterdir())) == 1


def test_two_hundred_thousand_points_take_little_memory(journal: Path, colony: Any) -> None:
    start = clock.epoch() - 80_000
    with journal.open("w") as file:
        for i in range(200_000):
            file.write(
                f'{{"v":1,"id":"{i:020d}","ts":"{clock.stamp(start + i * 0.4)}","value":{i % 977}.25,"labels":{{}}}}\n'
            )
    code = (
        "import resource, sys; from colony_lib.base import clock; from colony_lib.store import paths, points\n"
        f"points.LARGE = {points.LARGE}\n"
        "points._fold('x')\n"  # numpy is no point
        f"paths.use({str(colony.root)!r}); clock.freeze({NOW!r})\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "w = points.Window('m_seconds', 24); found = w.statistics()\n"
        "assert found['count'] == 200000 and found['max'] == 976.25, found\n"
        "for _ in w.document(found): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    repository = Path(__file__).resolve().parents[2]
    used = int(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository).stdout
    )
    assert used < 60_000, f"{used} KiB for 200,000 points"


# --- Prometheus


def exposition(*names: str, timestamps: bool = True) -> list[str]:
    return list(prometheus.lines([points.Latest(name) for name in names], timestamps=timestamps))


def test_prometheus_gets_the_newest_sample_of_every_set_of_labels(journal: Path) -> None:
    metrics.record("m_seconds", 1, {"step": "load"}, ts="2026-11-20T00:00:00Z")
    metrics.record("m_seconds", 2.5, {"step": "load"})
    metrics.record("m_seconds", 9, {"step": "load"}, ts="2096-01-01T00:00:00Z")
    metrics.record("m_seconds", 3, {"step": "fetch"}, ts="2026-11-22T00:00:00.250Z")
    assert exposition("m_seconds") == [
        "# HELP m_seconds m_seconds as Colony recorded it, in seconds",
        "# TYPE m_seconds gauge",
        'm_seconds{step="fetch"} 3 1795305600250',
        'm_seconds{step="load"} 2.5 1795435200000',
    ]
    assert exposition("m_seconds", timestamps=False)[2:] == ['m_seconds{step="fetch"} 3', 'm_seconds{step="load"} 2.5']


def test_prometheus_names_are_mapped_and_those_that_meet_are_told_apart(journal: Path) -> None:
    metrics.record("workflow.runs_total", 4)
    metrics.record("workflow_runs_total", 5)
    metrics.record("2nd-try", 1)
    assert exposition(
        "workflow.runs_total",
        "workflow_runs_total",
        "2nd-try",
    ) == [
        "# HELP _2nd_try 2nd-try as Colony recorded it",
        "# TYPE _2nd_try gauge",
        "_2nd_try 1 1795435200000",
        "# HELP workflow_runs_total workflow.runs_total and workflow_runs_total as Colony recorded it, in runs",
        "# TYPE workflow_runs_total counter",
        'workflow_runs_total{colony_metric="workflow.runs_total"} 4 1795435200000',
        'workflow_runs_total{colony_metric="workflow_runs_total"} 5 1795435200000',
    ]


def test_no_label_value_can_break_out_of_its_quotes(journal: Path) -> None:
    value = 'a\\b"} 1\nevil 2\x1b[31m'
    record = {"v": 1, "id": "a", "ts": NOW, "value": 1, "labels": {"k": value}}
    jsonl.append(str(journal), [record], lock=str(journal.parent / "lock"))
    lines = exposition("m_seconds")
    assert lines[2] == 'm_seconds{k="a\\\\b\\"} 1\\nevil 2\\\\x1b[31m"} 1 1795435200000'
    assert len(lines) == 3


def test_the_same_labels_spelled_two_ways_are_one_series(journal: Path) -> None:
    journal.write_text(
        f'{{"v":1,"id":"a","ts":"{NOW}","value":1,"labels":{{"a":"1","b":"2"}}}}\n'
        f'{{"v":1,"id":"b","ts":"{NOW}","value":2,"labels":{{"b": "2", "a": "1"}}}}\n'
    )
    assert exposition("m_seconds")[2:] == ['m_seconds{a="1",b="2"} 2 1795435200000']
