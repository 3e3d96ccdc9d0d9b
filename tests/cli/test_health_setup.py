"""`colony health` for a set-up that only goes wrong later: each check with the bad case, and what mends it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from colony_lib.store import health, health_place, paths
from tests.cli.test_cron import Cron
from tests.cli.test_health import SCHEDULED, found
from tests.conftest import Colony, clean_environment
from tests.fake_api import KEY

ASKED = 'trigger: {type: schedule, cron: "0 2 * * *"}\nsteps:\n  - {name: one, agent: worker, instructions: look}\n'


def git(colony: Colony, *words: str) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", *who, *words], cwd=colony.root, env=clean_environment(), check=True, capture_output=True)


def test_a_key_of_the_env_file_counts_as_it_does_for_runs(colony: Colony) -> None:
    colony.write("colony.yml", "env_file: .env\nagents:\n  - {id: a}\n")
    colony.write(".env", f"ANTHROPIC_API_KEY={KEY}\n").chmod(0o600)
    (line,) = found(colony, "key")
    assert (line["status"], line["message"]) == ("ok", "ANTHROPIC_API_KEY is set in the env_file")
    (line,) = found(colony, "key", env={"ANTHROPIC_API_KEY": "sk-another"})
    assert (line["status"], line["fix"]) == ("warn", "take it out of one of them")
    assert "another in the env_file" in line["message"]


@pytest.mark.parametrize("key", ["sk-x\n", "'sk-x'", '"sk-x"', "sk x", "$KEY", "sk-é"])
def test_a_key_that_was_not_copied_whole_is_a_failure_and_not_shown(colony: Colony, key: str) -> None:
    (line,) = found(colony, "key", 1, env={"ANTHROPIC_API_KEY": key})
    assert line["status"] == "fail" and "was not copied whole" in line["message"]
    assert line["fix"] == "set it anew, with nothing around it" and key not in line["message"]


def test_a_model_that_nobody_knows_is_named_with_the_nearest(colony: Colony) -> None:
    assert found(colony, "model")[0]["status"] == "ok"
    colony.write("colony.yml", "agents:\n  - {id: a, model: claude-sonet-5-5}\n  - {id: b, model: claude-sonnet-5-5}\n")
    (line,) = found(colony, "model")
    assert line["status"] == "warn"
    assert line["message"].startswith("agent 'a': nothing is known of the model 'claude-sonet-5-5'")
    assert "did you mean 'claude-sonnet-5-5'" in line["fix"] and ".colony/models.json" in line["fix"]
    colony.write("colony.yml", "agents:\n  - {id: a, model: any, runner: command, command: cat}\n")
    assert found(colony, "model") == []


def test_a_worktree_needs_a_repository_with_a_commit(colony: Colony) -> None:
    colony.write("colony.yml", "agents:\n  - {id: a, worktree_branch: agents/a}\n")
    assert found(colony, "git")[0]["fix"] == "git init"
    git(colony, "init", "-q", ".")
    (line,) = found(colony, "git")
    assert (line["status"], line["message"]) == (
        "warn", "agent 'a' has a worktree_branch, but the repository has no commit yet for it to begin at",
    )  # fmt: skip
    git(colony, "add", "colony.yml")
    git(colony, "commit", "-qm", "begin")
    assert found(colony, "git")[0]["status"] == "ok"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_repository_that_git_does_not_trust_is_not_called_none(colony: Colony, tmp_path: Path) -> None:
    colony.write("colony.yml", "shared_state: {backend: git-backed}\n")
    git(colony, "init", "-q", ".")
    home = tmp_path / "home"
    home.mkdir()
    env = {"HOME": str(home)}
    os.chown(colony.root, 65534, 65534)
    os.chown(colony.root / ".git", 65534, 65534)
    lines = found(colony, "git", env=env)
    assert [line["status"] for line in lines] == ["warn"]
    assert lines[0]["message"].endswith("git does not trust the repository: it belongs to another user")
    assert lines[0]["fix"] == f"git config --global --add safe.directory {colony.root}"
    subprocess.run(["sh", "-c", lines[0]["fix"]], env=clean_environment(HOME=str(home)), check=True)
    assert found(colony, "git", env=env)[0]["status"] == "ok"


def test_what_a_schedule_would_miss_under_cron_is_told(colony: Colony, tmp_path: Path) -> None:
    cron = Cron(colony, tmp_path)
    colony.write("colony.yml", "agents:\n  - {id: worker, env: {TOKEN: $SOME_TOKEN}}\n")
    colony.workflow("asked", ASKED)
    here = {**cron.env, "SOME_TOKEN": "x", "ANTHROPIC_API_KEY": KEY}

    def told() -> list[tuple[str, str]]:
        lines = found(colony, "cron", env=here)
        return [
            (line["message"], line["fix"])
            for line in lines
            if "cron" in line["message"] and "no " not in line["message"]
        ]

    token, key = told()
    assert token == (
        "'asked': the environment variable SOME_TOKEN is not set under cron, which agent 'worker' needs",
        "write SOME_TOKEN=… into a file .env, and 'env_file: .env' into colony.yml",
    )
    assert key[0] == "'asked' asks a model, and cron will not have ANTHROPIC_API_KEY"
    colony.write("colony.yml", "env_file: .env\nagents:\n  - {id: worker, env: {TOKEN: $SOME_TOKEN}}\n")
    colony.write(".env", f"SOME_TOKEN=x\nANTHROPIC_API_KEY={KEY}\n").chmod(0o600)
    assert all("asked" not in message for message, _ in told())


def test_a_schedule_of_commands_misses_no_key(colony: Colony, tmp_path: Path) -> None:
    cron = Cron(colony, tmp_path)
    colony.workflow("daily", SCHEDULED)
    assert all("ANTHROPIC_API_KEY" not in line["message"] for line in found(colony, "cron", env=cron.env))


def test_folders_of_another_user_are_named(colony: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    paths.use(str(colony.root))
    closed = {str(colony.root / ".colony/runs"), str(colony.root / ".colony/logs")}
    assert [line["status"] for line in health_place._owner()] == ["ok"]
    real = health_place._may_write
    monkeypatch.setattr(health_place, "_may_write", lambda folder: folder not in closed and real(folder))
    (line,) = health_place._owner()
    assert line["status"] == "fail" and line["message"].startswith(
        "2 folders in which you cannot write, the first: .colony/"
    )
    assert line["fix"].startswith('sudo chown -R "$(id -un)" ') and all(folder in line["fix"] for folder in closed)


def test_a_full_scratch_disk_is_noticed(colony: Colony, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert found(colony, "scratch", env={"TMPDIR": str(tmp_path)})[0]["message"].startswith(f"{tmp_path}, ")
    monkeypatch.setattr(health, "TOO_LITTLE_SPACE", 1 << 62)
    (line,) = health_place._scratch()
    assert line["status"] == "fail" and "set TMPDIR to a larger disk" in line["fix"]
