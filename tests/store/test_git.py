"""How git is run: in an environment in which nothing of the caller's matters, and ended when its caller is."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.store import git, stateremote
from tests.conftest import clean_environment


@pytest.fixture
def repository(tmp_path: Path) -> git.Repository:
    subprocess.run(["git", "init", "-q", str(tmp_path / "r")], check=True, env=clean_environment())
    return git.Repository(str(tmp_path / "r" / ".git"), str(tmp_path / "r"))


def test_what_points_git_elsewhere_or_lets_it_ask_does_not_get_through(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_CONFIG_PARAMETERS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ext")
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i key")
    monkeypatch.setenv("HOME", "/home/ann")
    found = git.environment()
    assert {name for name in found if name.startswith(("GIT_", "SSH_ASKPASS"))} == {
        "GIT_SSH_COMMAND", "GIT_TERMINAL_PROMPT", "SSH_ASKPASS_REQUIRE", "GIT_OPTIONAL_LOCKS",
        "GIT_NO_REPLACE_OBJECTS", "GIT_EDITOR", "GIT_PAGER",
    }  # fmt: skip
    assert found["HOME"] == "/home/ann" and found["LC_ALL"] == "C"


def test_ssh_asks_nothing_and_a_program_that_is_no_ssh_gets_no_options_of_it(
    repository: git.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "git@example.org:state.git"
    assert git.remote_environment(repository, url)["GIT_SSH_COMMAND"].startswith("ssh -o BatchMode=yes ")
    repository.run("config", "core.sshCommand", "/usr/bin/ssh -i key")
    assert git.remote_environment(repository, url)["GIT_SSH_COMMAND"].startswith("/usr/bin/ssh -i key -o BatchMode=yes ")
    monkeypatch.setenv("GIT_SSH_COMMAND", "plink -batch")
    assert git.remote_environment(repository, url) == {}
    assert git.remote_environment(repository, "https://example.org/state.git") == {}


def test_a_git_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path, repository: git.Repository) -> None:
    mark = tmp_path / "pid"
    repository.run("config", "alias.slow", f"!echo $$ > {mark}; sleep 300; true")
    began = time.monotonic()
    with pytest.raises(ColonyError) as raised:
        repository.run("slow", limit=1)
    assert raised.value.what == "git slow had not ended after 1 s" and time.monotonic() - began < 60
    while True:  # the shell may need a moment to be gone
        try:
            os.kill(int(mark.read_text()), 0)
        except ProcessLookupError:
            break


def test_what_git_says_is_one_line_without_the_values_of_variables(repository: git.Repository) -> None:
    repository.hide = lambda text: text.replace("s3cret", "[TOKEN]")
    with pytest.raises(ColonyError) as raised:
        repository.ask("find it", "rev-parse", "--verify", "s3cret^{commit}")
    assert str(raised.value) == "cannot find it: git says: Needed a single revision"
    with pytest.raises(ColonyError) as raised:
        repository.ask("find it", "cat-file", "-p", "s3cret")
    assert str(raised.value) == "cannot find it: git says: Not a valid object name [TOKEN]"
    with pytest.raises(ColonyError) as raised:
        repository.ask("find it", "cat-file", "--no-such-option")
    assert raised.value.fix == "git may be too old: 2.30 or newer is needed"


def test_the_remote_is_the_one_that_is_meant(repository: git.Repository, tmp_path: Path) -> None:
    def chosen(location: str) -> tuple[str, str, str] | None:
        from colony_lib.store import paths

        (tmp_path / ".colony").mkdir(exist_ok=True)
        paths.use(str(tmp_path))
        found = stateremote.choose(repository, location, location, "b")
        return None if found is None else (found.name, found.url, found.push_url)

    assert chosen("in-repo") is None
    repository.run("config", "remote.odd.name.url", "https://example.org/odd.git")
    repository.run("config", "remote.pushDefault", "nowhere")
    assert chosen("in-repo") == ("'odd.name'", "https://example.org/odd.git", "https://example.org/odd.git")
    repository.run("config", "remote.origin.url", "../r.git")
    repository.run("config", "remote.origin.pushurl", "git@example.org:r.git")
    assert chosen("in-repo") == ("'origin'", "../r.git", "git@example.org:r.git")
    assert chosen("odd.name") == ("'odd.name'", "https://example.org/odd.git", "https://example.org/odd.git")
    assert chosen("git@example.org:s.git") == ("'git@example.org:s.git'", *["git@example.org:s.git"] * 2)
    assert chosen("state.git") == ("'state.git'", *[str(tmp_path / "state.git")] * 2)
    for bad in ("", "ext::sh -c x", "fd::7"):
        with pytest.raises(ColonyError):
            chosen(bad)
