"""Completion in the real shells: what comes after a TAB, of commands, options and the names in a colony."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Colony, clean_environment

SHELLS = ("bash", "zsh", "fish")
Complete = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def colony(tmp_path_factory: pytest.TempPathFactory) -> Colony:
    colony = Colony(tmp_path_factory.mktemp("colony"))
    assert colony("init").code == 0
    assert colony("workflow", "run", "hello").code == 0
    assert colony("state", "task", "add", "a task", "--id", "t-first").code == 0
    assert colony("metrics", "record", "rows.loaded", "3").code == 0
    (colony.root / "pipeline.yml").write_text(
        "sources:\n  flights: {type: file, path: f.csv}\ndatasets:\n  flights:\n    required: true\n  planes: {}\n"
    )
    # What a hostile repository might bring: no shell may look into such a name.
    (colony.root / ".colony/workflows/$(touch pwned).yaml").write_text("")
    return colony


def in_bash(colony: Colony, script: Path, line: str) -> list[str]:
    words = line.split(" ")
    driver = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _colony; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "--norc", "-c", driver, "bash", str(script), *words],
        cwd=colony.root, env=clean_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def in_fish(colony: Colony, script: Path, line: str) -> list[str]:
    done = subprocess.run(
        ["fish", "-N", "-c", 'source $argv[1]; complete -C "$argv[2]"', str(script), line],
        cwd=colony.root, env=clean_environment(HOME=str(script.parent)), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return [found.split("\t")[0] for found in done.stdout.splitlines()]


def in_zsh(colony: Colony, script: Path, line: str) -> list[str]:
    """What zsh lists for the line, in a terminal."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(colony.root)
        os.execvpe("zsh", ["zsh", "-f"], clean_environment(TERM="dumb", HOME=str(script.parent)))
    try:
        setup = "PROMPT='>' LISTMAX=999; autoload -U compinit; compinit -D -u; setopt no_beep; "
        setup += "zstyle ':completion:*' list-separator '::'; unsetopt automenu autolist; "
        os.write(fd, f"{setup}source {script}; stty cols 200; echo rea''dy\n".encode())
        _until(fd, rb"ready.*\x1b\[\?2004h")  # the line editor is on: before it, ^D would be the terminal's
        os.write(fd, line.encode() + b"\x04")  # ^D lists the possibilities
        os.write(fd, b"\x15echo do''ne\n")
        return _until(fd, rb"done").decode().split(line, 1)[1].replace("\x00", "").split("echo do")[0].split()
    finally:
        os.close(fd)
        os.waitpid(pid, 0)


def _until(fd: int, mark: bytes) -> bytes:
    seen = b""
    deadline = time.monotonic() + 60
    while not re.search(mark, seen, re.DOTALL):
        assert time.monotonic() < deadline, seen
        if select.select([fd], [], [], 1)[0]:
            seen += os.read(fd, 65536)
    return seen


@pytest.fixture(scope="module", params=SHELLS)
def complete(request: pytest.FixtureRequest, colony: Colony, tmp_path_factory: pytest.TempPathFactory) -> Complete:
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = colony("completions", shell)
    assert done.code == 0, done
    script = tmp_path_factory.mktemp(shell) / f"colony.{shell}"
    script.write_text(done.out)
    within = {"bash": in_bash, "zsh": in_zsh, "fish": in_fish}[shell]
    return lambda line: within(colony, script, line)


def test_a_tab_completes_commands_options_values_and_the_names_in_the_colony(
    complete: Complete, colony: Colony
) -> None:
    run = next(path.name for path in (colony.root / ".colony/runs").iterdir())
    wanted = {
        "colony workf": {"workflow"},
        "colony workflow ": {"run", "status", "resume", "history"},
        "colony workflow run ": {"hello"},
        "colony-workflow run h": {"hello"},
        "colony workflow run hello --": {"--input", "--date", "--detach"},
        "colony workflow status ": {"latest", run},
        "colony workflow rerun latest --from ": {"greet", "look"},
        "colony logs ": {"orchestrator", "worker"},
        "colony logs --level ": {"debug", "info", "warn", "error"},
        "colony state task show t-": {"t-first"},
        "colony metrics show rows": {"rows.loaded"},
        "colony transform pl": {"planes"},
        "colony fetch ": {"flights"},
        f"colony -C {colony.root} help ex": {"exit-codes"},
    }
    for line, names in wanted.items():
        found = set(complete(line))
        assert names <= found, (line, found)


def test_nothing_is_offered_where_nothing_is_known(complete: Complete) -> None:
    for line in ("colony nonsense x", "colony workflow run zzz"):
        assert complete(line) == [], line


def test_names_are_never_looked_at_as_shell_code(complete: Complete, colony: Colony) -> None:
    assert not any("pwned" in name for name in complete("colony workflow run "))
    assert not (colony.root / "pwned").exists()


def test_the_scripts_have_every_option_that_help_has(colony: Colony) -> None:
    script = colony("completions", "bash").out
    for words in (["fetch"], ["workflow", "run"], ["state", "task", "add"]):
        options = [
            word.strip("[,]") for word in colony(*words, "--help").out.split() if word.lstrip("[").startswith("--")
        ]
        line = next(line for line in script.splitlines() if line.startswith(f"        '{' '.join(words)} -')"))
        assert options and all(f"'{option}\\t" in line for option in options), words


def test_an_unknown_shell_is_refused(colony: Colony) -> None:
    done = colony("completions", "tcsh", check=False)
    assert done.code == 2
    assert done.err == "colony completions: unknown shell 'tcsh'; there is bash, zsh, fish\n"
