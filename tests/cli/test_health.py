"""`colony health`: what it finds wrong with a set-up, and that a sound one passes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base import locks
from colony_lib.store import health, mounts, paths, schema
from tests.conftest import Colony, clean_environment


def found(colony: Colony, check: str, code: int = 0, **settings: Any) -> list[dict[str, Any]]:
    """The findings of one check, after asserting the exit status of them all."""
    result = colony("health", "--json", check=False, **settings)
    assert result.code == code, result
    lines = [json.loads(line) for line in result.out.splitlines()]
    for line in lines:
        schema.check(line, "health")
    return [line for line in lines if line["check"] == check]


def test_a_sound_colony_has_no_failures(colony: Colony) -> None:
    result = colony("health")
    statuses = [line[:4].strip() for line in result.out.splitlines() if not line.startswith(" ")]
    assert set(statuses) <= {"ok", "warn"}
    warnings = statuses.count("warn")
    assert result.err == f"{statuses.count('ok')} ok, {warnings} warning{'s' * (warnings != 1)}, 0 failures\n"
    checks = [line[6:].split()[0] for line in result.out.splitlines() if not line.startswith(" ")]
    for name in (
        "python",
        "packages",
        "clock",
        "colony",
        "writing",
        "disk",
        "locks",
        "filesystem",
        "definitions",
        "journals",
    ):
        assert name in checks
    assert not list((colony.root / ".colony/cache").glob("health*"))


def test_what_fails_is_counted_and_the_status_is_1(colony: Colony) -> None:
    colony.write("colony.yml", "agents:\n  - id: a\n    rol: x\n")
    result = colony("health", check=False)
    assert result.code == 1
    assert (
        "fail  definitions  1 problem, the first: unknown key 'rol' in 'agents[0]' at colony.yml:3; did you mean 'role'?\n"
        "                   colony validate\n"
    ) in result.out
    assert result.err.endswith(" 1 failure\n")


def test_without_a_colony_the_machine_is_checked_all_the_same(colony: Colony) -> None:
    result = colony("health", "--json", cwd=colony.root.parent, check=False)
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert result.code == 1
    assert lines[0]["check"] == "python" and lines[0]["status"] == "ok"
    assert lines[-1]["check"] == "colony" and lines[-1]["status"] == "fail"
    assert lines[-1]["fix"].startswith("run 'colony init' here")


def test_an_unreadable_journal_line_is_named(colony: Colony) -> None:
    colony("state", "task", "add", "x")
    journal = colony.root / ".colony/state/tasks.jsonl"
    journal.write_text("garbage\n" + journal.read_text(encoding="utf-8") + '{"id":"torn', encoding="utf-8")
    (line,) = found(colony, "journals")
    assert line["status"] == "warn"
    assert line["message"].startswith("1 unreadable line, the first at .colony/state/tasks.jsonl:1: not JSON")
    journal.unlink()
    os.mkfifo(journal)
    (line,) = found(colony, "journals")
    assert line["status"] == "warn" and "is not a regular file" in line["message"]


def test_temporary_files_of_dead_writers_are_named_and_the_remedy_removes_them(colony: Colony) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    dead = colony.write(f".colony/state/.a file.json.{child.pid}.0123abcd.tmp", "{")
    alive = colony.write(f".colony/state/.doc.json.{os.getpid()}.0123abcd.tmp", "{")
    (line,) = found(colony, "leftovers")
    assert (line["status"], line["message"]) == ("warn", "1 temporary file of killed writers")
    subprocess.run(["sh", "-c", line["fix"]], check=True)
    assert not dead.exists() and alive.exists()
    assert found(colony, "leftovers")[0]["status"] == "ok"


def test_a_variable_that_an_agent_needs_and_lacks_is_named(colony: Colony) -> None:
    colony.write("colony.yml", "agents:\n  - {id: a, model: claude-opus-5-5, env: {K: $SOME_KEY}}\n")
    (line,) = found(colony, "agents")
    assert line["status"] == "warn"
    assert line["message"] == ("the environment variable SOME_KEY is not set, which agent 'a' needs at colony.yml:2")
    assert line["fix"] == "export SOME_KEY=…"
    (line,) = found(colony, "agents", env={"SOME_KEY": "x"})
    assert (line["status"], line["message"]) == ("ok", "1 agent; all variables are set")


def test_the_key_is_asked_for_only_where_a_runner_needs_it_and_never_shown(colony: Colony) -> None:
    (line,) = found(colony, "key")
    assert (line["status"], line["message"]) == ("ok", "ANTHROPIC_API_KEY is not set, and no workflow asks a model")
    colony.write("colony.yml", "agents:\n  - {id: a}\n")
    colony.workflow("w", "steps: [{name: a, agent: a, instructions: look}]\n")
    (line,) = found(colony, "key")
    assert line["message"] == "ANTHROPIC_API_KEY is not set, and the workflow 'w' asks a model"
    assert line["status"] == "warn"
    result = colony("health", env={"ANTHROPIC_API_KEY": "sk-very-secret"})
    assert "ANTHROPIC_API_KEY is set" in result.out
    assert "sk-very-secret" not in result.out + result.err
    colony.write("colony.yml", "agents:\n  - {id: a, runner: command, command: cat}\n")
    assert found(colony, "key") == []


def test_an_env_file_must_be_there_be_readable_as_such_and_be_private(colony: Colony) -> None:
    colony.write("colony.yml", "env_file: .env\n")
    assert found(colony, "env_file")[0]["message"] == "'.env' does not exist"
    file = colony.write(".env", "A=1\n")
    file.chmod(0o644)
    (line,) = found(colony, "env_file")
    assert (line["status"], line["message"], line["fix"]) == (
        "warn",
        "'.env' can be read by other users",
        "chmod 600 .env",
    )
    file.chmod(0o600)
    assert found(colony, "env_file")[0]["message"] == "1 variable in '.env'"
    file.write_text("A=1\nhunter2 nonsense\n", encoding="utf-8")
    (line,) = found(colony, "env_file", 1)
    assert (line["status"], line["message"]) == ("fail", "not a NAME=value line at .env:2")


def bare_path(tmp_path: Path, *programs: str) -> str:
    """A PATH that holds python3 and those programs only."""
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "python3").symlink_to(sys.executable)
    for program in programs:
        script = folder / program
        script.write_text("#!/bin/sh\necho here\n", encoding="utf-8")
        script.chmod(0o755)
    return str(folder)


SCHEDULED = 'trigger: {type: schedule, cron: "0 2 * * *"}\nsteps:\n  - name: one\n    run: echo hi\n'


def run_with_path(colony: Colony, path: str) -> dict[str, dict[str, Any]]:
    from tests.conftest import BIN

    done = subprocess.run(
        [sys.executable, str(BIN / "colony-health"), "--json"],
        cwd=colony.root,
        env={**clean_environment(), "PATH": path},
        capture_output=True,
        text=True,
    )
    return {line["check"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_git_is_asked_for_where_something_needs_it(colony: Colony, tmp_path: Path) -> None:
    path = bare_path(tmp_path)
    assert run_with_path(colony, path)["git"]["message"] == "not found; nothing here needs it"
    colony.write("colony.yml", "shared_state: {backend: git-backed}\n")
    assert run_with_path(colony, path)["git"] == {
        "check": "git",
        "status": "warn",
        "message": "not found, and shared_state is git-backed",
        "fix": "install git",
    }
    (line,) = found(colony, "git")
    assert (line["status"], line["fix"]) == ("warn", "git init")
    subprocess.run(["git", "init", "-q", "."], cwd=colony.root, env=clean_environment(), check=True)
    assert found(colony, "git")[0]["status"] == "ok"


def test_cron_is_asked_for_where_a_workflow_has_a_schedule(colony: Colony, tmp_path: Path) -> None:
    assert found(colony, "cron")[0]["message"] == "no workflow has a schedule"
    colony.workflow("daily", SCHEDULED)
    line = run_with_path(colony, bare_path(tmp_path))["cron"]
    assert (line["status"], line["message"]) == ("warn", "'daily' has a schedule, but there is no crontab command")


def test_a_schedule_that_no_line_of_the_crontab_starts_is_told(colony: Colony, tmp_path: Path) -> None:
    from tests.cli.test_cron import Cron

    cron = Cron(colony, tmp_path)
    colony.workflow("daily", SCHEDULED)
    colony.workflow("weekly", SCHEDULED.replace("0 2 * * *", "@weekly"))

    def told() -> list[str]:
        lines = found(colony, "cron", env=cron.env)
        return [
            f"{line['status']}: {line['message']}; {line['fix']}"
            for line in lines
            if "no cron daemon" not in line["message"]
        ]

    missing = "warn: '{}' has a schedule, but no line in the crontab; colony cron install"
    assert told() == [missing.format("daily")]
    cron("install", "daily")
    assert told() == [missing.format("weekly")]
    cron("install")
    assert missing.format("daily") not in told() and missing.format("weekly") not in told()
    # A line of somebody's own is as good, a remark is not.
    for table, good in [
        ("# daily weekly\n", False),
        ("0 2 * * * cd x && colony workflow run daily\n", False),
        ("0 2 * * * cd x && colony workflow run daily && colony workflow run 'weekly'\n", True),
        ("* * * * * cd x && colony cron tick >>log 2>&1\n", True),
        ("* * * * * cd x && colony cron tick daily >>log 2>&1\n", False),
    ]:
        cron.table.write_text(table)
        assert (missing.format("daily") not in told() and missing.format("weekly") not in told()) is good, table


def test_a_clock_that_was_set_back_is_noticed(colony: Colony) -> None:
    assert found(colony, "clock")[0]["status"] == "ok"
    os.utime(colony.root / "colony.yml", (4e9, 4e9))
    (line,) = found(colony, "clock")
    assert line["status"] == "warn"
    assert line["message"].endswith(f"but {colony.root}/colony.yml is from 2096-10-02T07:06:40.000Z")


def test_a_folder_that_cannot_be_written_is_a_failure(colony: Colony) -> None:
    colony.write(".colony/cache", "in the way\n")
    (line,) = found(colony, "writing", 1)
    assert line["status"] == "fail"
    assert "Not a directory" in line["message"]


def test_a_lock_keeps_another_process_out_only_while_it_is_held(colony: Colony) -> None:
    paths.use(str(colony.root))
    path = paths.lock("some")
    assert health._can_hold_elsewhere(path) is True
    with locks.held(path):
        assert health._can_hold_elsewhere(path) is False
    assert health._can_hold_elsewhere(path) is True


@pytest.mark.parametrize(("limit", "status"), [("TOO_LITTLE_SPACE", "fail"), ("LITTLE_SPACE", "warn")])
def test_a_full_disk_is_noticed(colony: Colony, monkeypatch: pytest.MonkeyPatch, limit: str, status: str) -> None:
    paths.use(str(colony.root))
    monkeypatch.setattr(health, "TOO_LITTLE_SPACE", 0)
    monkeypatch.setattr(health, "LITTLE_SPACE", 0)
    assert [line["status"] for line in health._disk()] == ["ok"]
    monkeypatch.setattr(health, limit, 1 << 62)
    assert [(line["status"], line["fix"]) for line in health._disk()] == [(status, "free some space")]


def test_two_at_once_do_not_find_each_other(colony: Colony) -> None:
    started = [colony.start("health") for _ in range(4)]
    for process in started:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert "ok    locks        a held lock keeps other processes out" in out


@pytest.mark.parametrize(
    ("mount", "status", "said"),
    [
        ("nfs4 rw,hard", "ok", "nfs4 at /: the server keeps the locks, also for other machines"),
        ("nfs rw,nolock", "warn", "nfs at /: locks hold on this machine only (mounted with 'nolock')"),
        ("lustre rw", "fail", "lustre at /: no locks (mounted without 'flock')"),
    ],
)
def test_a_file_system_is_told_by_how_far_its_locks_reach(
    colony: Colony, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mount: str, status: str, said: str
) -> None:
    table = tmp_path / "mounts"
    table.write_text(f"server:/x / {mount} 0 0\n")
    of = mounts.of
    monkeypatch.setattr(mounts, "of", lambda path: of(path, str(table)))
    monkeypatch.chdir(colony.root)
    (only,) = health._filesystem()
    assert (only["status"], only["message"]) == (status, said)
    assert (only["fix"] is None) == (status == "ok")
