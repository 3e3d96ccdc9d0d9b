"""The crontab, the Makefile and the alerts among the examples: each is run as cron, make and sh run it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import BIN, Colony, clean_environment
from tests.examples.conftest import KEY
from tests.examples.support import EXAMPLES, shell
from tests.examples.test_demo import counts


def make(colony: Colony, *words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "-C", str(EXAMPLES), f"PIPELINE={colony.root}", *words]
    return subprocess.run(command, env=clean_environment(**(env or {})), capture_output=True, text=True, timeout=120)


def texts(colony: Colony) -> list[str]:
    return [message["text"] for message in colony.lines("messages", "list", "--json")]


def test_alerts_are_silent_while_all_is_well_and_speak_of_the_newest_figures(after: Colony) -> None:
    before = texts(after)
    script = str(EXAMPLES / "report.sh")
    done = shell(script, after.root)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert texts(after) == before
    after("metrics", "record", "data_quality_score", "0.949")
    after("metrics", "record", "pipeline_error_count", "11")
    assert shell(script, after.root).code == 0
    assert texts(after)[len(before) :] == [
        "🚨 Pipeline errors exceeded threshold: 11 errors",
        "⚠️ Data quality below threshold: 0.949",
    ]
    after("metrics", "record", "data_quality_score", "0.95")
    after("metrics", "record", "pipeline_error_count", "10")
    assert shell(script, after.root).code == 0
    later = {"COLONY_NOW": "2033-01-01T00:00:00Z"}
    done = shell(script, after.root, env=later)
    assert (done.code, done.out, done.err.count("nothing to compare")) == (0, "", 2)
    assert len(texts(after)) == len(before) + 2


def test_alerts_outside_a_colony_say_so(tmp_path: Path) -> None:
    done = shell(str(EXAMPLES / "report.sh"), tmp_path)
    assert done.code == 2 and done.err.startswith("colony metrics: no colony in ") and done.out == ""


def lines_of_crontab() -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Its environment, and (schedule, command as cron gives it to the shell)."""
    variables, jobs = {}, []
    for line in (EXAMPLES / "crontab").read_text(encoding="utf-8").split("\n"):
        if re.match(r"[A-Z_]+=", line):
            name, _, value = line.partition("=")
            variables[name] = value
        elif line and not line.startswith("#"):
            fields = line.split(None, 5)
            assert not re.search(r"(?<!\\)%", fields[5]), "cron would read this % as a new line"
            jobs.append((" ".join(fields[:5]), fields[5].replace("\\%", "%")))
    return variables, jobs


def cron(command: str, variables: dict[str, str], home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command as cron does: its shell, its few variables, the home folder; only PATH leads to these executables."""
    path = ":".join([str(BIN), clean_environment()["PATH"].split(":")[1], variables["PATH"]])
    env = {**variables, "HOME": str(home), "LOGNAME": "somebody", "PATH": path, **more}
    return subprocess.run(
        [variables["SHELL"], "-c", command], cwd=home, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )  # fmt: skip


def test_every_line_of_the_crontab_works_with_what_cron_gives_it(after: Colony, serve: Callable[..., str]) -> None:
    variables, jobs = lines_of_crontab()
    schedules = [schedule for schedule, _ in jobs]
    assert schedules == ["0 2 * * *", "5 * * * *", "30 7 * * 1", "45 3 * * *", "30 4 * * 0"]
    home = after.root.parent
    shutil.copy(EXAMPLES / "report.sh", after.root)
    environment = after.root / "demo.env"
    environment.write_text(re.sub(r"FLIGHTS_API=.*", f"FLIGHTS_API={serve()}", environment.read_text(encoding="utf-8")))
    nightly, alerts, weekly, clearing, pruning = (command for _, command in jobs)

    done = cron(nightly, variables, home, COLONY_NOW="2013-02-10T02:00:00Z")
    log = (after.root / "logs" / "cron.log").read_text(encoding="utf-8")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), log
    assert counts(after.root)["2013-02-09"] == 684
    assert KEY not in log

    done = cron(alerts, variables, home)
    assert (done.returncode, done.stderr) == (0, "")

    done = cron(weekly, variables, home)
    assert done.returncode == 0 and len(done.stdout.rstrip("\n").split("\n")) == 5

    old, new = (
        after.root / "staging" / "raw" / "flights_2013-02-07.json",
        after.root / "staging" / "raw" / "flights_2013-02-08.json",
    )
    date = subprocess.run(["date", "-d", "61 days ago", "+%Y-%m-%d"], capture_output=True, text=True).stdout.strip()
    old = old.rename(old.with_name(f"flights_{date}.json"))
    assert cron(clearing, variables, home).returncode == 0
    assert not old.exists() and new.exists()

    runs = after.root / ".colony" / "runs"
    before = len(os.listdir(runs))
    assert cron(pruning, variables, home).returncode == 0 and len(os.listdir(runs)) == before  # they are not old
    assert "removed 0 runs" in (after.root / "logs" / "cron.log").read_text(encoding="utf-8")


def test_the_crontab_is_one_that_colony_would_write(after: Colony) -> None:
    _, jobs = lines_of_crontab()
    line = after("cron", "list").out
    assert line.split(None, 5)[:5] == jobs[0][0].split()


def test_make_runs_a_day_only_when_its_report_is_not_there(after: Colony, serve: Callable[..., str]) -> None:
    report = f"{after.root}/reports/daily_2013-02-14.md"
    done = make(after, "day", "DAY=2013-02-14", env={"FLIGHTS_API": serve("2013-02-14")})
    assert done.returncode == 2 and "2013-02-14" not in counts(after.root)
    done = make(after, "day", "DAY=2013-02-14", env={"FLIGHTS_API": serve()})  # the source is mended
    assert done.returncode == 0 and done.stdout.endswith(report + "\n"), done
    assert counts(after.root)["2013-02-14"] == 956
    runs = len(after.lines("workflow", "history", "--json"))
    done = make(after, "backfill", "FROM=2013-02-07", "TO=2013-02-08", env={"FLIGHTS_API": "http://127.0.0.1:9"})
    assert done.returncode == 0, done
    assert [Path(line).name for line in done.stdout.split()] == ["daily_2013-02-07.md", "daily_2013-02-08.md"]
    assert len(after.lines("workflow", "history", "--json")) == runs


def test_make_backfill_names_each_day_from_first_to_last(after: Colony) -> None:
    done = make(after, "--dry-run", "backfill", "FROM=2013-02-27", "TO=2013-03-02")
    assert re.findall(r"--date (\S+)", done.stdout) == ["2013-02-28", "2013-03-01", "2013-03-02", "2013-03-03"]


def test_make_shows_status_quality_and_alerts(after: Colony) -> None:
    done = make(after, "status", "quality", "alerts")
    assert done.returncode == 0, done
    assert "data-pipeline-colony" in done.stdout and "generate-report" in done.stdout
    found = [line.split("\t")[:4] for line in done.stdout.split("\n") if line.startswith("2013-")]
    assert found == [
        ["2013-02-08", "flights", "warn", "few_flights_cancelled"],
        ["2013-02-08", "weather", "warn", "completeness"],
        ["2013-02-12", "weather", "warn", "wind_gauges_work"],
    ]


def test_make_serves_the_api_and_its_targets_are_listed(after: Colony) -> None:
    command = ["make", "--no-print-directory", "-s", "-C", str(EXAMPLES), f"PIPELINE={after.root}", "api", "PORT=0"]
    with subprocess.Popen(
        command, env=clean_environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert '"ok"' in shell(f"curl -s --max-time 5 {url}/health", after.root).out
        os.killpg(process.pid, signal.SIGTERM)
    listed = make(after, "help").stdout
    assert [line.split()[1] for line in listed.rstrip("\n").split("\n")] == [
        "help", "api", "day", "backfill", "status", "quality", "alerts", "clean",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["report.sh", "hello/count.sh", "data-pipeline/demo.py", "data-pipeline/flights_api.py"]
)
def test_scripts_are_executable(name: str) -> None:
    assert (EXAMPLES / name).stat().st_mode & 0o111 == 0o111
