"""`colony logs` as people and jq use it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import clock
from colony_lib.store import logs, paths, schema
from tests.conftest import clean_environment

NOON = {"COLONY_NOW": "2026-11-23T12:00:00Z"}


@pytest.fixture
def logged(colony: Any) -> Any:
    """A colony with the lines of two agents, a minute apart, and the engine's."""
    paths.use(str(colony.root))
    for minute, agent, level, message in (
        (1, "colony", "info", "load-data started"),
        (2, "worker", "debug", "transform: 900 rows"),
        (3, "orchestrator", "warn", "slow warehouse"),
        (4, "worker", "error", "transform failed: no such column"),
        (5, "worker", "info", "ready"),
    ):
        clock.freeze(f"2026-11-23T11:0{minute}:00Z")
        logs.line(agent, level, message, run_id="r1" if minute > 1 else None, step="load-data" if minute == 4 else None)
    return colony


def out(colony: Any, *words: str, check: bool = True) -> list[str]:
    """The messages that `colony logs` prints."""
    return [
        json.loads(line)["message"] for line in colony("logs", *words, "--json", env=NOON, check=check).out.splitlines()
    ]


def test_all_agents_lines_are_merged_by_time_with_level_and_agent(logged: Any) -> None:
    result = logged("logs", env=NOON)
    assert result.out == (
        "2026-11-23T11:01:00.000Z INFO  colony load-data started\n"
        "2026-11-23T11:02:00.000Z DEBUG worker transform: 900 rows\n"
        "2026-11-23T11:03:00.000Z WARN  orchestrator slow warehouse\n"
        "2026-11-23T11:04:00.000Z ERROR worker transform failed: no such column\n"
        "2026-11-23T11:05:00.000Z INFO  worker ready\n"
    )
    assert result.err == ""


def test_the_commands_of_the_seed_work(logged: Any) -> None:
    assert out(logged, "worker") == ["transform: 900 rows", "transform failed: no such column", "ready"]
    assert out(logged, "--level", "error") == ["transform failed: no such column"]
    assert out(logged, "worker", "--level", "error") == ["transform failed: no such column"]
    assert out(logged, "worker", "--pattern", "transform") == [
        "transform: 900 rows",
        "transform failed: no such column",
    ]


def test_the_options_narrow_down_together(logged: Any) -> None:
    assert out(logged, "--level", "warn") == ["slow warehouse", "transform failed: no such column"]
    assert out(logged, "--level", "WARNING", "-n", "1") == ["transform failed: no such column"]
    assert out(logged, "--since", "57m") == ["slow warehouse", "transform failed: no such column", "ready"]
    assert out(logged, "--since", "2026-11-23T12:04:00+01:00") == ["transform failed: no such column", "ready"]
    assert out(logged, "--step", "load-data") == ["transform failed: no such column"]
    assert out(logged, "--pattern", "^(ready|slow)") == ["slow warehouse", "ready"]
    assert out(logged, "--pattern", "SLOW") == []
    assert out(logged, "--pattern", "SLOW", "-i") == ["slow warehouse"]
    assert out(logged, "worker", "colony", "-n", "2", "--level", "info") == [
        "transform failed: no such column",
        "ready",
    ]


def test_json_lines_meet_the_schema_and_jq_reads_them(logged: Any) -> None:
    for line in logged.lines("logs", "--json"):
        schema.check(line, "log")
        assert set(line) >= {"ts", "level", "agent", "message", "run_id", "step", "attempt"}
    script = "colony logs --json | jq -r 'select(.level == \"error\") | .message'"
    done = subprocess.run(
        ["sh", "-c", script], cwd=logged.root, env=clean_environment(), capture_output=True, text=True
    )
    assert done.stdout == "transform failed: no such column\n"


def test_the_last_hundred_lines_are_shown_unless_told(colony: Any) -> None:
    paths.use(str(colony.root))
    logs.write("worker", [{"message": str(i)} for i in range(150)])
    result = colony("logs")
    assert len(result.out.splitlines()) == 100
    assert result.out.endswith(" worker 149\n")
    assert result.err == "these are the last 100 lines; '-n all' shows all, '-n 500' more\n"
    assert len(colony("logs", "--since", "1h").out.splitlines()) == 150
    for count, lines in (("all", 150), ("0", 0), ("120", 120), ("1000", 150)):
        result = colony("logs", "-n", count)
        assert (len(result.out.splitlines()), result.err) == (lines, "")


def test_a_run_is_named_by_id_or_latest(logged: Any) -> None:
    logged.write(
        ".colony/workflows/w.yaml", 'name: w\nsteps:\n  - {name: one, run: "echo ERROR of mine >&2", agent: worker}\n'
    )
    run = logged("workflow", "run", "w").out.split("\n")[0]
    for reference in (run, "latest", run[:-2]):
        assert "ERROR of mine" in out(logged, "--run", reference)
        assert "ready" not in out(logged, "--run", reference)
    assert out(logged, "--run", "latest", "--level", "error") == ["ERROR of mine"]
    line = logged.lines("logs", "worker", "--run", run, "--level", "error", "--json")[0]
    assert (line["run_id"], line["step"], line["attempt"], line["agent"]) == (run, "one", 1, "worker")
    result = logged("logs", "--run", "nothing", check=False)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"colony logs: unknown run 'nothing'; the newest is '{run}'; 'colony workflow history' lists them\n"
    )


def test_an_agent_that_has_not_logged_yet_is_no_error_and_an_unknown_one_is(logged: Any) -> None:
    logged.write("colony.yml", "name: x\nagents: [{id: worker, role: r}, {id: reporter, role: r}]\n")
    result = logged("logs", "reporter")
    assert (result.out, result.err) == ("", "")
    result = logged("logs", "wroker", check=False)
    assert (result.code, result.out, result.err) == (
        1,
        "",
        "colony logs: unknown agent 'wroker'; did you mean 'worker'?\n",
    )
    logged.write("colony.yml", ": [broken")
    assert logged("logs", "worker", "-n", "1").out.endswith("worker ready\n")
    assert logged("logs", "reporter", check=False).code == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--level", "loud"], "unknown level 'loud'; "),
        (["--pattern", "("], "'(' is not a regular expression: missing )"),
        (["--pattern", "a{99999999999}"], "is not a regular expression"),
        (["--pattern", "\x1b[["], "'\\x1b[[' is not a regular expression"),
        (["--pattern", "x" * 1001], "the pattern is longer than 1000 characters"),
        (["-n", "-1"], "'-1' is not a whole number"),
        (["-n", "ten"], "'ten' is not a whole number"),
        (["--since", "tomorrow"], "'tomorrow' is neither a duration nor a time"),
        (["--since", "2026-13-01"], "'2026-13-01' is neither a duration nor a time"),
        (["../../etc/passwd"], "'../../etc/passwd' is not a name for a"),
        (["--lvel", "error"], "unknown option '--lvel'; did you mean '--level'"),
    ],
)
def test_bad_input_is_exit_2_and_one_line(logged: Any, words: list[str], message: str) -> None:
    result = logged("logs", *words, check=False)
    assert (result.code, result.out) == (2, ""), result
    assert message in result.err
    assert result.err.startswith("colony logs: ") and result.err.count("\n") == 1


def test_a_pattern_that_would_take_for_ever_is_stopped(colony: Any) -> None:
    paths.use(str(colony.root))
    logs.line("worker", "info", "a" * 60 + "!")
    result = colony("logs", "--pattern", "(a+)+$", check=False, timeout=120)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("colony logs: the pattern '(a+)+$' takes too long on a line; ")
    logs.line("worker", "info", "good")
    assert out(colony, "--pattern", "o{2}d$") == ["good"]


def test_control_characters_are_shown_and_not_obeyed(colony: Any) -> None:
    paths.use(str(colony.root))
    logs.write("worker", [{"message": "\x1b[2Jgone\r\nINFO forged\x9b\u202e", "fields": {"k\x1b": "v\n"}}])
    text = colony("logs").out
    assert text.endswith("worker \\x1b[2Jgone\\r\\nINFO forged\\x9b\\u202e k\\x1b=v\\n\n")
    assert text.count("\n") == 1


def test_unreadable_lines_are_named_and_skipped(logged: Any) -> None:
    file = logged.root / ".colony/logs/worker.jsonl"
    file.write_bytes(file.read_bytes() + b"\xff\xfe\x1b[2J\n" + b'{"torn')
    result = logged("logs", "worker", env=NOON)
    assert len(result.out.splitlines()) == 3
    assert (
        result.err
        == "colony logs: skipped an unreadable line at .colony/logs/worker.jsonl:4: not JSON: not UTF-8 text\n"
    )


def test_on_a_terminal_todays_lines_have_short_times_and_colours(logged: Any) -> None:
    paths.use(str(logged.root))
    clock.freeze("2026-11-22T23:59:59Z")
    logs.line("reporter", "error", "yesterday")
    text, code = on_a_terminal(logged, "logs", "--level", "warn")
    assert code == 0
    assert text == (
        "2026-11-22T23:59:59.000Z \x1b[31mERROR\x1b[0m reporter     yesterday\n"
        "11:03:00 \x1b[33mWARN \x1b[0m orchestrator slow warehouse\n"
        "11:04:00 \x1b[31mERROR\x1b[0m worker       transform failed: no such column\n"
    )
    assert "\x1b" not in on_a_terminal(logged, "logs", NO_COLOR="1")[0]


def on_a_terminal(colony: Any, *words: str, **env: str) -> tuple[str, int]:
    master, slave = pty.openpty()
    environment = clean_environment(**NOON, TERM="xterm", **env)
    process = subprocess.Popen(["colony", *words], cwd=colony.root, env=environment, stdout=slave, stdin=slave)
    os.close(slave)
    text = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        text += piece
    os.close(master)
    return text.decode().replace("\r\n", "\n"), process.wait()


def test_the_everyday_lines_start_without_what_costs_as_much_as_python_itself(logged: Any) -> None:
    from tests.cli.test_metrics import SLOW, imported

    for words in (["-n", "10"], ["worker", "--level", "error", "--json"], ["--step", "load-data"]):
        assert imported("logs", words, logged) & SLOW == set()


# --- following


def read_until(process: subprocess.Popen[str], text: str, limit: float = 20) -> str:
    """What the process prints until the text has come."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    seen = b""
    deadline = time.monotonic() + limit
    while text.encode() not in seen:
        assert time.monotonic() < deadline, f"{text!r} did not come; there was {seen!r}"
        try:
            seen += os.read(process.stdout.fileno(), 65536)
        except BlockingIOError:
            time.sleep(0.01)
    return seen.decode()


def test_follow_prints_each_line_as_it_comes_over_new_files_and_rotation_until_interrupted(logged: Any) -> None:
    process = logged.start("logs", "-f", "-n", "1", "--level", "info")
    assert read_until(process, "ready").count("\n") == 1
    logs.line("worker", "info", "more")
    logs.line("worker", "debug", "not this")
    read_until(process, "worker more")
    logs.line("fetcher", "warn", "a new agent")
    read_until(process, "fetcher a new agent")
    file = logged.root / ".colony/logs/worker.jsonl"
    file.rename(file.with_suffix(".1"))
    logs.line("worker", "error", "rotated")
    text = read_until(process, "worker rotated")
    assert "not this" not in text
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=120)
    assert (process.returncode, rest, errors) == (130, "", "")


def test_follow_of_one_agent_waits_for_its_first_line_and_ends_on_sigterm(logged: Any) -> None:
    logged.write("colony.yml", "name: x\nagents: [{id: reporter, role: r}]\n")
    process = logged.start("logs", "reporter", "-f", "--json")
    logs.line("worker", "info", "not this")
    time.sleep(0.1)
    logs.line("reporter", "info", "first")
    assert json.loads(read_until(process, "first"))["agent"] == "reporter"
    process.terminate()
    assert process.wait(timeout=120) == 143


def test_follow_ends_quietly_when_nobody_reads_any_more_even_without_new_lines(logged: Any) -> None:
    process = logged.start("logs", "-f", "-n", "1")
    read_until(process, "ready")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=120) == 141
    assert process.stderr.read() == ""


def test_a_closed_pipe_ends_it_quietly(colony: Any) -> None:
    paths.use(str(colony.root))
    logs.write("worker", [{"message": "x" * 1000} for _ in range(2000)])
    done = subprocess.run(
        ["sh", "-c", "colony logs -n all | head -n 1"],
        cwd=colony.root,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_a_colony_without_logs_prints_nothing(colony: Any) -> None:
    result = colony("logs")
    assert (result.out, result.err) == ("", "")
    assert colony("logs", "--json", "--level", "error").out == ""
    (colony.root / ".colony/logs").rmdir()
    assert colony("logs").out == ""


def test_help_has_examples_first(colony: Any) -> None:
    text = colony("logs", "--help").out
    assert re.match(r"read what .*\n\nexamples:\n  colony logs\n", text)
    assert len(text.splitlines()) < 60
    assert Path(colony.root / ".colony/logs").is_dir()
