"""`colony metrics` as people, cron and jq use it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from colony_lib.store import schema
from tests.conftest import BIN, clean_environment

NOON = {"COLONY_NOW": "2026-11-23T12:00:00Z"}


def record(colony: Any, *words: str, at: str = "2026-11-23T11:00:00Z") -> None:
    result = colony("metrics", "record", *words, "--at", at, env=NOON)
    assert (result.out, result.err) == ("", "")


def test_the_commands_of_the_seed_work(colony: Any) -> None:
    for name, value in (
        ("pipeline_records_processed", "10543"),
        ("pipeline_duration_seconds", "1834"),
        ("pipeline_error_count", "3"),
        ("data_quality_score", "0.98"),
    ):
        result = colony("metrics", "record", name, value)
        assert (result.out, result.err) == ("", "")
    assert "current  10543  at " in colony("metrics", "show", "pipeline_records_processed").out
    result = colony("metrics", "show", "pipeline_duration")
    assert result.err == "colony metrics: 'pipeline_duration' is taken for 'pipeline_duration_seconds'\n"
    assert "current  1834 (30m34s)" in result.out
    assert "last 168 h" in colony("metrics", "show", "pipeline_duration_seconds", "--hours", "168").out


def test_show_prints_a_screen_for_people(colony: Any) -> None:
    for hour, value in ((9, 300), (10, 600), (11, 1200)):
        record(colony, "load_seconds", str(value), "--label", "step=load-data", at=f"2026-11-23T{hour:02}:00:00Z")
    assert colony("metrics", "show", "load_seconds", "--hours", "6", env=NOON).out == (
        "load_seconds  (gauge, seconds, last 6 h)\n"
        "current  1200 (20m00s)  at 2026-11-23T11:00:00.000Z {step=load-data}\n"
        "average  700 (11m40s)\n"
        "min      300 (5m00s)\n"
        "max      1200 (20m00s)\n"
        "p50      600 (10m00s)\n"
        "p95      1140 (19m00s)\n"
        "sum      2100 (35m00s)\n"
        "count    3\n"
        + "·" * 30 + "▁" + "·" * 9 + "▃" + "·" * 9 + "█" + "·" * 9 + "\n"
    )  # fmt: skip


def test_a_latin_output_gets_a_sparkline_it_can_show(colony: Any) -> None:
    record(colony, "a", "1")
    out = colony("metrics", "show", "a", env={**NOON, "PYTHONIOENCODING": "latin-1"}).out
    assert out.split("\n")[-2] == " " * 57 + "~  "
    assert out.isascii()


def test_show_json_has_the_keys_of_the_contract_and_meets_its_schema(colony: Any) -> None:
    record(colony, "data_quality_score", "0.5", "--label", "b=2", "--label", "a=é")
    record(colony, "data_quality_score", "1", at="2026-11-23T11:30:00+00:00")
    found = colony.json("metrics", "show", "data_quality_score", "--hours", "2", "--json", env=NOON)
    schema.check(found, "metric-summary")
    points = [
        {"ts": "2026-11-23T11:00:00.000Z", "value": 0.5, "labels": {"a": "é", "b": "2"}},
        {"ts": "2026-11-23T11:30:00.000Z", "value": 1, "labels": {}},
    ]
    assert found == {
        "name": "data_quality_score", "type": "gauge", "unit": "ratio", "hours": 2, "count": 2, "current": 1,
        "average": 0.75, "min": 0.5, "max": 1, "sum": 1.5, "p50": 0.75, "p95": 0.975,
        "last": points[1], "future": 0, "points": points,
    }  # fmt: skip
    assert (
        colony.json("metrics", "show", "data_quality_score", "--label", "b=2", "--json", env=NOON)["points"]
        == points[:1]
    )


def test_a_known_metric_without_points_in_the_window_is_a_result_and_not_an_error(colony: Any) -> None:
    record(colony, "rare_count", "4", at="2026-11-01T00:00:00Z")
    result = colony("metrics", "show", "rare_count", env=NOON)
    assert result.out == (
        "rare_count  (gauge, count, last 24 h)\n"
        "no points in the last 24 h; the last was 4 at 2026-11-01T00:00:00.000Z\n"
    )
    found = colony.json("metrics", "show", "rare_count", "--json", env=NOON)
    schema.check(found, "metric-summary")
    assert (found["count"], found["current"], found["sum"], found["points"]) == (0, None, 0, [])
    assert found["last"]["value"] == 4


def test_an_unknown_metric_is_exit_1_with_the_nearest_names(colony: Any) -> None:
    record(colony, "pipeline_error_count", "4")
    record(colony, "pipeline_error_rate", "4")
    for verb in (["show"], ["check"], ["clear"]):
        result = colony("metrics", *verb, "pipeline_eror_count", *(["< 1"] if verb == ["check"] else []), check=False)
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith(
            "colony metrics: unknown metric 'pipeline_eror_count'; did you mean 'pipeline_error_count'"
        )
    result = colony("metrics", "show", "pipeline", check=False)
    assert (result.code, result.out) == (1, "")
    assert (
        result.err
        == "colony metrics: several metrics start with 'pipeline'; say which: 'pipeline_error_count', 'pipeline_error_rate'\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["record", "x", "nan"], "'nan' is not a number"),
        (["record", "x", "inf"], "'inf' is not a number"),
        (["record", "x", "-inf"], "'-inf' is not a number"),
        (["record", "x", "1,834"], "'1,834' is not a number; write it without group separators"),
        (["record", "x", "five"], "'five' is not a number"),
        (["record", "x", ""], "'' is not a number"),
        (["record", "x", "1e999"], "too large"),
        (["record", "../x", "1"], "'../x' is not a name for a metric"),
        (["record", "x\ny", "1"], "'x\\ny' is not a name for a metric"),
        (["record", "x"], "required: VALUE"),
        (["record", "x", "1", "2"], "unknown argument '2'"),
        (["record", "x", "1", "--label", "step"], "'step' is not a label"),
        (["record", "x", "1", "--label", "a b=1"], "'a b' is not a name for a label"),
        (["record", "x", "1", "--label", "a=\x1b[31m"], "holds control characters"),
        (["record", "x", "1", "--at", "soon"], "'soon' is not a time"),
        (["record", "x", "1", "--at", "99999-01-01"], "is not a time"),
        (["record", "x", "1", "--id", 'a"b'], "'a\"b' is not an id for a point"),
        (["record", "x", "1", "--unit", "light years"], "is not a unit"),
        (["record", "x", "1", "--lable", "a=1"], "unknown option '--lable'; did you mean '--label'?"),
        (["show", "x", "--hours", "0"], "'0' is not a number of hours"),
        (["show", "x", "--hours", "-3"], "'-3' is not a number of hours"),
        (["show", "x", "--hours", "nan"], "'nan' is not a number of hours"),
        (["show", "x", "--hours", "1e9"], "'1e9' is not a number of hours"),
        (["show", "*"], "'*' is not a name for a metric"),
        (["check", "x", "0.95"], "'0.95' is not a condition"),
        (["check", "x", "< a"], "'a' is not a number"),
        (["check", "x", "< 1; rm"], "is not a condition"),
        (["check", "x", "< 1", "--aggregate", "mean"], "unknown aggregate 'mean'"),
        (["export", "--format", "xml"], "unknown format 'xml'"),
        (["clear"], "name one metric, or say --all"),
        (["clear", "x", "--all"], "name one metric, or say --all"),
        (["clear", "x", "--before", "soon"], "'soon' is not a time"),
        (["recrod", "x", "1"], "unknown command 'recrod'; did you mean 'record'?"),
        ([], "required: COMMAND"),
    ],
)
def test_bad_input_is_exit_2_and_one_line_and_writes_nothing(colony: Any, words: list[str], message: str) -> None:
    before = sorted(colony.root.rglob("*"))
    result = colony("metrics", *words, check=False)
    assert (result.code, result.out) == (2, ""), result
    assert message in result.err
    assert result.err.startswith("colony metrics: ") and result.err.count("\n") == 1
    assert sorted(colony.root.rglob("*")) == before


@pytest.mark.parametrize("value", ["-5", "-1e5", "-.5", "+3"])
def test_signed_numbers_are_no_options(colony: Any, value: str) -> None:
    record(colony, "balance", value)
    assert colony.json("metrics", "show", "balance", "--json", env=NOON)["current"] == float(value)


def test_record_with_json_prints_the_point(colony: Any) -> None:
    point = colony.json("metrics", "record", "a_usd", "0.25", "--label", "agent=x", "--id", "mine", "--json", env=NOON)
    schema.check(point, "metric")
    assert point == {
        "name": "a_usd", "v": 1, "id": "mine", "ts": "2026-11-23T12:00:00.000Z", "value": 0.25, "labels": {"agent": "x"},
    }  # fmt: skip
    colony("metrics", "record", "a_usd", "0.25", "--id", "mine", env=NOON)
    assert colony.json("metrics", "show", "a_usd", "--json", env=NOON)["count"] == 1


def test_a_point_in_the_future_is_taken_and_left_out_with_a_word(colony: Any) -> None:
    result = colony("metrics", "record", "a", "9", "--at", "2027-01-01", env=NOON)
    assert "lies in the future" in result.err
    record(colony, "a", "1")
    result = colony("metrics", "show", "a", "--json", env=NOON)
    assert result.err == "colony metrics: left out as lying in the future: 1 point\n"
    assert (json.loads(result.out)["current"], json.loads(result.out)["future"]) == (1, 1)


def test_points_of_standard_input_are_all_checked_before_one_is_written(colony: Any) -> None:
    colony("metrics", "record", "q", "-", "--label", "host=a", input='1\n\n2.5\n{"value": 3, "labels": {"k": "v"}}\n')
    found = colony.json("metrics", "show", "q", "--json")
    assert [(point["value"], point["labels"]) for point in found["points"]] == [
        (1, {"host": "a"}),
        (2.5, {"host": "a"}),
        (3, {"host": "a", "k": "v"}),
    ]
    assert found["current"] == 3
    for wrong, where in (
        ("1\nx\n", 2),
        ("NaN\n", 1),
        ('{"value":1,"name":"z"}\n', 1),
        ('{"value":1,"a":1}', 1),
        ("[]", 1),
    ):
        result = colony("metrics", "record", "q", "-", input="5\n" + wrong, check=False)
        assert (result.code, result.out) == (2, "")
        assert f"at standard input:{where + 1}" in result.err
    assert colony.json("metrics", "show", "q", "--json")["count"] == 3


def test_what_export_prints_can_be_recorded_again(colony: Any) -> None:
    for value in ("1", "2.5", "-3e10"):
        record(colony, "a_seconds", value, "--label", "s=x y")
    exported = colony("metrics", "export", "a_seconds", env=NOON).out
    for line in exported.splitlines():
        schema.check(json.loads(line), "metric-sample")
    colony("metrics", "clear", "a_seconds")
    colony("metrics", "record", "a_seconds", "-", input=exported, env=NOON)
    assert colony("metrics", "export", "a_seconds", env=NOON).out == exported


def test_list_names_every_metric_with_its_newest_value(colony: Any) -> None:
    assert colony("metrics", "list").err == "no metrics yet: record one with 'colony metrics record NAME VALUE'\n"
    record(colony, "b_total", "7")
    record(colony, "a_seconds", "1.5", at="2026-01-01T00:00:00Z")
    assert colony("metrics", "list", env=NOON).out == (
        "NAME       CURRENT  UNIT     TYPE     UPDATED\n"
        "a_seconds      1.5  seconds  gauge    2026-01-01T00:00:00.000Z\n"
        "b_total          7  count    counter  2026-11-23T11:00:00.000Z\n"
    )
    lines = colony.lines("metrics", "list", "--json", env=NOON)
    for line in lines:
        schema.check(line, "metric-line")
    assert [line["name"] for line in lines] == ["a_seconds", "b_total"]


def test_prometheus_export_is_valid_exposition_text(colony: Any) -> None:
    record(colony, "workflow.step.duration_seconds", "1.5", "--label", 'step=a "b" \\c')
    record(colony, "runs_total", "7")
    out = colony("metrics", "export", "--format", "prometheus", env=NOON).out
    assert out == (
        "# HELP runs_total runs_total as Colony recorded it, in runs\n"
        "# TYPE runs_total counter\n"
        "runs_total 7 1795431600000\n"
        "# HELP workflow_step_duration_seconds workflow.step.duration_seconds as Colony recorded it, in seconds\n"
        "# TYPE workflow_step_duration_seconds gauge\n"
        'workflow_step_duration_seconds{step="a \\"b\\" \\\\c"} 1.5 1795431600000\n'
    )
    sample = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_]\w*="([^"\\\n]|\\["\\n])*",?)*\})? [-+.\deE]+ \d+')
    assert all(line.startswith("# ") or sample.fullmatch(line) for line in out.splitlines())
    plain = colony("metrics", "export", "runs_total", "--format", "prometheus", "--no-timestamps", env=NOON).out
    assert plain.endswith("\nruns_total 7\n")
    assert colony("metrics", "export", "--format", "prometheus", "--hours", "0.5", env=NOON).out == ""


@pytest.mark.parametrize(
    "words",
    [
        ["record", "a_seconds", "5"],
        ["record", "a_seconds", "5", "--label", "step=load", "--json"],
        ["show", "a_seconds"],
        ["show", "a_seconds", "--hours", "168", "--json"],
        ["list"],
        ["check", "a_seconds", "> 1", "--quiet"],
    ],
)
def test_what_stands_in_loops_starts_without_what_costs_as_much_as_python_itself(colony: Any, words: list[str]) -> None:
    colony("metrics", "record", "a_seconds", "5")
    assert imported("metrics", words, colony) & {*SLOW, "array", "collections", "numpy"} == set()


SLOW = {"argparse", "json", "re", "enum", "typing", "gettext", "datetime", "pathlib", "inspect", "subprocess"}


def imported(name: str, words: list[str], colony: Any) -> set[str]:
    """The modules that `colony NAME WORDS…` imports."""
    done = subprocess.run(
        [sys.executable, "-S", "-X", "importtime", str(BIN / f"colony-{name}"), *words],
        capture_output=True,
        text=True,
        env=clean_environment(),
        cwd=colony.root,
    )
    assert done.returncode == 0, done.stderr
    names = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "colony_lib.cli" in names
    return names


def test_a_long_journal_is_shown_as_a_short_one(colony: Any) -> None:
    values = [i * 7919 % 100_003 / 4 for i in range(50_000)]
    lines = "".join(json.dumps({"value": value, "labels": {"n": str(i % 3)}}) + "\n" for i, value in enumerate(values))
    colony("metrics", "record", "a_seconds", "-", "--at", "2026-11-23T11:00:00Z", input=lines, env=NOON)
    file = colony.root / ".colony/metrics/a_seconds.jsonl"
    with file.open("a") as journal:
        journal.write("bad\n")
    assert file.stat().st_size > 4 << 20
    found = colony("metrics", "show", "a_seconds", "--json", env=NOON)
    summary = json.loads(found.out)
    schema.check(summary, "metric-summary")
    assert found.err.startswith("colony metrics: skipped an unreadable line at .colony/metrics/a_seconds.jsonl:50001: ")
    assert [point["value"] for point in summary["points"]] == values
    assert (summary["count"], summary["current"], summary["max"]) == (50_000, values[-1], max(values))
    exported = colony("metrics", "export", "--format", "prometheus", env=NOON).out.splitlines()
    assert [line.split(" ")[:2] for line in exported[2:]] == [
        [f'a_seconds{{n="{n}"}}', f"{values[i]:g}"] for n, i in ((0, 49_998), (1, 49_999), (2, 49_997))
    ]


# --- check


def check(colony: Any, *words: str) -> tuple[int, str]:
    result = colony("metrics", "check", "data_quality_score", *words, env=NOON, check=False)
    return result.code, result.out


def test_check_compares_the_latest_point_and_answers_by_its_status(colony: Any) -> None:
    record(colony, "data_quality_score", "0.99", at="2026-11-23T09:00:00Z")
    record(colony, "data_quality_score", "0.93", at="2026-11-23T11:00:00Z")
    assert check(colony, "< 0.95") == (0, "data_quality_score latest 0.93 < 0.95: yes\n")
    assert check(colony, "<0.95", "-q") == (0, "")
    assert check(colony, "<", "0.95", "--quiet") == (0, "")
    assert check(colony, ">= 0.95") == (1, "data_quality_score latest 0.93 >= 0.95: no\n")
    assert [check(colony, condition)[0] for condition in ("== 0.93", "= 0.93", "!= 0.93", "<= 0.93", "> -1")] == [
        0,
        0,
        1,
        0,
        0,
    ]
    assert check(colony, "> 0.95", "--aggregate", "avg") == (0, "data_quality_score avg 0.96 > 0.95: yes\n")
    assert check(colony, "== 0.99", "--aggregate", "max")[0] == 0
    assert check(colony, "== 2", "--aggregate", "count")[0] == 0
    assert check(colony, "== 1", "--aggregate", "count", "--hours", "2")[0] == 0


def test_check_without_data_never_looks_fine(colony: Any) -> None:
    record(colony, "data_quality_score", "0.5", at="2026-11-01T00:00:00Z")
    for condition in ("< 0.95", ">= 0.95"):
        result = colony("metrics", "check", "data_quality_score", condition, env=NOON, check=False)
        assert (result.code, result.out) == (1, "")
        assert result.err == (
            "colony metrics: nothing to compare: 'data_quality_score' has no point in the last 24 h "
            "(the last was at 2026-11-01T00:00:00.000Z)\n"
        )
    result = colony("metrics", "check", "data_quality_score", "< 0.95", "--json", env=NOON, check=False)
    found = json.loads(result.out)
    schema.check(found, "metric-check")
    assert (result.code, found["holds"], found["value"], found["count"]) == (1, False, None, 0)
    assert check(colony, "== 0", "--aggregate", "count")[0] == 0


def test_the_alert_of_the_seed_fires_in_a_shell(colony: Any) -> None:
    script = """
        QUALITY_SCORE=0.93
        colony metrics record data_quality_score $QUALITY_SCORE
        if colony metrics check data_quality_score '< 0.95' --quiet; then echo "below threshold: $QUALITY_SCORE"; fi
        colony metrics record data_quality_score 0.97
        if colony metrics check data_quality_score '< 0.95' --quiet; then echo never; fi
    """
    done = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=colony.root, env=clean_environment(), capture_output=True, text=True
    )
    assert (done.stdout, done.stderr, done.returncode) == ("below threshold: 0.93\n", "", 0)


# --- clear, damage, surroundings


def test_clear_removes_one_metric_or_all_with_yes(colony: Any) -> None:
    for name in ("a", "b"):
        record(colony, name, "1", at="2026-01-01")
        record(colony, name, "2")
    assert colony("metrics", "clear", "a", "--before", "30d", env=NOON).err == "removed 1 point of a\n"
    assert colony("metrics", "clear", "a", env=NOON).err == "removed 1 point of a\n"
    result = colony("metrics", "clear", "--all", check=False)
    assert (result.code, result.err) == (
        2,
        "colony metrics: this removes every metric; say --yes to do it without being asked\n",
    )
    assert colony("metrics", "clear", "--all", "--yes").err == "removed 2 points of b\n"
    assert colony("metrics", "list").out == ""


def test_clear_takes_no_start_of_a_name(colony: Any) -> None:
    record(colony, "pipeline_error_count", "1")
    result = colony("metrics", "clear", "pipeline_error", check=False)
    assert result.code == 1
    assert "did you mean 'pipeline_error_count'?" in result.err


def test_an_unreadable_line_is_named_and_the_rest_is_shown(colony: Any) -> None:
    record(colony, "a", "1")
    with (colony.root / ".colony/metrics/a.jsonl").open("a") as file:
        file.write("what is this \x1b[31m\n")
    record(colony, "a", "2")
    result = colony("metrics", "show", "a", "--json", env=NOON)
    assert json.loads(result.out)["count"] == 2
    assert result.err.startswith("colony metrics: skipped an unreadable line at .colony/metrics/a.jsonl:2: ")
    assert "\x1b" not in result.err


def test_a_closed_pipe_ends_it_quietly(colony: Any) -> None:
    colony("metrics", "record", "a", "-", input="\n".join(map(str, range(30000))))
    for verb in ("show a --json", "export"):
        done = subprocess.run(
            ["sh", "-c", f"colony metrics {verb} | head -c 10"],
            cwd=colony.root,
            env={
                **os.environ,
                "PATH": f"{Path(__file__).resolve().parents[2] / 'bin'}{os.pathsep}{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
        )
        assert (len(done.stdout), done.stderr) == (10, "")


def test_outside_a_colony_it_says_so(colony: Any, tmp_path: Path) -> None:
    result = colony("metrics", "record", "a", "1", cwd=tmp_path, check=False)
    assert result.code == 2
    assert result.err.startswith("colony metrics: no colony in ")


def test_a_full_disk_is_one_line_and_changes_nothing(colony: Any) -> None:
    record(colony, "a", "1")
    file = colony.root / ".colony/metrics/a.jsonl"
    before = file.read_bytes()
    words = "ulimit -f 0; trap '' XFSZ; exec colony metrics record a 2"
    done = subprocess.run(["sh", "-c", words], cwd=colony.root, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("colony metrics: cannot append to ") and done.stderr.count("\n") == 1
    assert file.read_bytes() == before


def test_a_terminal_gets_a_chart_with_its_scale(colony: Any) -> None:
    for hour, value in ((2, 10), (4, 40), (6, 20)):
        record(colony, "a", str(value), at=f"2026-11-23T{hour:02}:00:00Z")
    out = on_a_terminal(colony, "metrics", "show", "a")
    assert re.search(r"^40 │[ ·⠀-⣿]+$", out, re.MULTILINE)
    assert re.search(r"^10 │[ ·⠀-⣿]+$", out, re.MULTILINE)
    assert re.search(r"^    2026-11-22T12:00Z +now$", out, re.MULTILINE)


def on_a_terminal(colony: Any, *words: str, columns: int = 80) -> str:
    """What the command prints on a pseudo-terminal."""
    import fcntl
    import pty
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        ["colony", *words], cwd=colony.root, env=clean_environment(**NOON, TERM="xterm"), stdout=slave, stdin=slave
    )
    os.close(slave)
    out = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    os.close(master)
    assert process.wait() == 0
    return out.decode().replace("\r\n", "\n")
