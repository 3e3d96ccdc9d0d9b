"""`colony completions`: TAB in the real shells gives what the parsers know and what the colony holds."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from colony_lib.cli import completions, grammar
from tests.conftest import BIN, Colony, clean_environment

CALL = """
source "$1"
COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDS=("${@:3}") COMP_CWORD=$(($# - 3))
_colony_bash
printf '%s\\n' "${COMPREPLY[@]}"
"""


PIPELINE = """\
# what is fetched
sources:
  flights: {type: rest, url: $URL}
  # the other one
  'odd name': {type: file, path: x}
  weather:
    type: file
    path: weather.csv

warehouse: w.duckdb
datasets:
  flights:
    schema: {fields: []}
  daily.delays: {from: flights}
views: {late: select 1}
"""


@pytest.fixture
def stocked(colony: Colony) -> Colony:
    """A colony with a name of every kind, one of them hostile."""
    colony.workflow("hello", "steps:\n  - name: look\n    run: echo 1\n  - {name: greet, run: echo 2}\n")
    colony.workflow("hourly", "steps:\n  - name: count\n    run: echo 1\n")
    colony.write(".colony/workflows/$(touch pwned).yaml", "x")
    colony.write("colony.yml", "name: c\nagents:\n  - id: loader\n    role: R\n  - id: checker\n    role: R\n")
    colony.write(".colony/runs/r20260101-000000-aaaaa/plan.json", "{}")
    colony.write(".colony/state/fetch_results.json", "{}")
    colony.write("a file.json", "{}")
    colony.write("pipeline.yml", PIPELINE)
    colony("state", "task", "add", "load it: now")
    colony("metrics", "record", "rows.loaded", "3")
    return colony


def script(shell: str, folder: Path) -> Path:
    file = folder / f"completions.{shell}"
    done = subprocess.run(
        [BIN / "colony-completions", shell], capture_output=True, text=True, env=clean_environment(), check=True
    )
    file.write_text(done.stdout, encoding="utf-8")
    return file


@pytest.fixture
def tab(stocked: Colony, tmp_path: Path):  # type: ignore[no-untyped-def]
    """tab(LINE, WORD…): what bash is offered for the last word of the line, as readline has broken it into words."""
    file = script("bash", tmp_path)

    def offered(line: str, *words: str, cwd: Path | None = None, path: str | None = None) -> list[str]:
        environment = clean_environment(**({"PATH": path} if path else {}))
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-c", CALL, "bash", file, line, *(words or re.split(" ", line))],
            capture_output=True,
            text=True,
            env=environment,
            cwd=cwd or stocked.root,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return [word for word in done.stdout.split("\n") if word]

    return offered


def test_every_verb_and_option_of_every_parser_is_in_the_script() -> None:
    seen = 0
    cases = "\n".join(completions._cases(dict.fromkeys(("state", "workflow", "logs"), "")))
    for name in ("state", "workflow", "logs"):
        for command in grammar.commands(name):
            helped = subprocess.run(
                [BIN / "colony", *command.path.split("/"), "--help"],
                capture_output=True,
                text=True,
                env=clean_environment(),
                check=True,
            ).stdout
            usage = helped.split("usage: ", 1)[1]
            options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", usage.split("\n\n")[0])) - {"--help"}
            assert options <= set(command.options), command.path
            for verb in command.verbs:
                assert f"'{command.path}/{verb}')" in cases
            seen += 1
    assert seen > 25


def test_an_executable_completes_alike_by_itself_and_through_colony(tab) -> None:  # type: ignore[no-untyped-def]
    assert tab("colony workflow run ") == ["hello", "hourly"]
    assert tab("colony-workflow run ") == ["hello", "hourly"]
    assert tab("colony workflow run ho") == ["hourly"]
    assert "workflow" in tab("colony ") and tab("colony wor") == ["workflow"]
    assert "exit-codes" in tab("colony help ")
    assert {"status", "run", "backfill"} <= set(tab("colony-workflow "))
    assert tab("colony workflow status --ex") == ["--exit-status"]


def test_names_of_every_kind_are_those_of_the_colony_one_stands_in(tab, stocked: Colony, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert tab("colony workflow status ") == ["latest", "r20260101-000000-aaaaa"]
    assert tab("colony run-step latest ") == ["count", "greet", "look"]
    assert tab("colony logs --run la") == ["latest"]
    assert tab("colony logs --run=la", "colony", "logs", "--run", "=", "la") == ["latest"]
    assert tab("colony logs loader ch") == ["checker"]
    assert "rows.loaded" in tab("colony metrics show ")
    assert tab("colony state get ") == ["fetch_results"]
    assert "bash" in tab("colony completions ")
    assert tab("colony fetch ") == ["flights", "weather"]
    assert tab("colony fetch flights we") == ["weather"]
    assert tab("colony load ") == tab("colony lineage ") == ["flights", "daily.delays"]
    assert tab("colony transform --dataset=d", "colony", "transform", "--dataset", "=", "d") == ["daily.delays"]
    assert tab("colony validate-data fl") == ["flights"]
    assert tab("colony transform a") == []  # the shell's own, of files
    below = stocked.root / "a" / "b"
    below.mkdir(parents=True)
    assert tab("colony workflow run ", cwd=below) == ["hello", "hourly"]
    outside = tmp_path / "no colony"
    outside.mkdir()
    assert tab("colony workflow run ", cwd=outside) == []
    assert tab("colony fetch ", cwd=outside) == []
    (outside / "pipeline.yml").write_text("sources:\n    one: {type: file, path: x}\n")
    assert tab("colony fetch ", cwd=outside) == ["one"]
    assert tab("colony -C", "colony", "-C", str(stocked.root), "workflow", "show", "", cwd=outside) == []
    line = f"colony -C {stocked.root} workflow show "
    assert tab(line, cwd=outside) == ["hello", "hourly"]
    assert not (stocked.root / "pwned").exists()


def test_names_with_blanks_and_colons_are_quoted_as_the_line_is(tab) -> None:  # type: ignore[no-untyped-def]
    assert tab("colony state task complete ") == ["load\\ it:\\ now"]
    # readline breaks at the colon and replaces what stands after it.
    assert tab("colony state task complete load\\ it:", "colony", "state", "task", "complete", "load\\ it", ":") == [
        "\\ now"
    ]
    quoted = "colony state task complete 'load i"
    assert tab(quoted, "colony", "state", "task", "complete", "'load i") == ["load it: now"]


def test_names_that_are_files_need_no_program_at_all(tab, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert tab("colony workflow run ", path=str(empty)) == ["hello", "hourly"]
    assert "backfill" in tab("colony workflow ", path=str(empty))


def on_a_terminal(command: list[str], keys: list[tuple[str, str]], stocked: Colony, folder: Path) -> str:
    """What a shell on a terminal shows; each (keys, what to wait for) is typed once the wait before is over."""
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(stocked.root)
        variables = {"TERM": "xterm", "HOME": str(folder), "ZDOTDIR": str(folder), "XDG_CONFIG_HOME": str(folder)}
        os.execvpe(command[0], command, clean_environment(**variables))
    shown = ""
    try:
        for text, awaited in keys:
            os.write(master, text.encode())
            before = len(shown)
            limit = time.monotonic() + 30
            while awaited not in re.sub(r"\x1b[^A-Za-z]*[A-Za-z]|\x1b[=>]", "", shown[before:]):
                assert time.monotonic() < limit, f"no {awaited!r} in {shown[before:]!r}"
                if select.select([master], [], [], 1)[0]:
                    got = os.read(master, 65536).decode("utf-8", "replace")
                    if "\x1b[0c" in got or "\x1b[c" in got:
                        os.write(master, b"\x1b[?6c")  # fish asks what terminal this is
                    shown += got
    finally:
        os.close(master)
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
        os.waitpid(pid, 0)
    return shown


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_names_and_says_what_verbs_do(stocked: Colony, tmp_path: Path) -> None:
    file = script("zsh", tmp_path)
    (tmp_path / ".zshrc").write_text(f"autoload -Uz compinit; compinit -u -D\nsource {file}\nPS1='ready> '\n")
    keys = [
        ("", "ready> "),
        ("colony workflow run hou\t", "hourly "),
        ("\x15colony-workflow run hel\t", "hello "),
        ("\x15colony workflow val\t", "validate"),
        ("\x15colony state task complete loa\t", "load\\ it:\\ now"),
        ("\x15colony workflow re\t", "-- "),
    ]
    on_a_terminal(["zsh", "-i"], keys, stocked, tmp_path)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_names_and_says_what_verbs_do(stocked: Colony, tmp_path: Path) -> None:
    file = script("fish", tmp_path)

    def offered(line: str) -> list[str]:
        done = subprocess.run(
            ["fish", "--no-config", "-c", f'source {file}; complete -C "$argv[1]"', line],
            capture_output=True,
            text=True,
            cwd=stocked.root,
            env=clean_environment(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path)),
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout.splitlines()

    assert offered("colony workflow run ") == ["hello", "hourly"]
    assert offered("colony-workflow run ho") == ["hourly"]
    assert [line.startswith("backfill\t") for line in offered("colony workflow backf")] == [True]
    assert offered("colony logs --run=la")[0].startswith("--run=latest")
    assert [line.split("\t")[0] for line in offered("colony state task complete loa")] == ["load it: now"]


def test_an_unknown_shell_is_refused_with_those_there_are(colony: Colony) -> None:
    result = colony("completions", "tcsh", check=False)
    assert (result.code, result.out) == (2, "")
    assert "bash, zsh, fish" in result.err and len(result.err.splitlines()) == 1
    # The scripts hold no path of this machine.
    assert str(BIN.parent) not in colony("completions", "bash").out
