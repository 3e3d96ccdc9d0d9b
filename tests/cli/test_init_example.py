"""`colony init --example` and the questions on a terminal: what is laid down, what is refused, what is asked."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from colony_lib.store import examples
from tests.cli.test_init import contents
from tests.conftest import BIN, REPOSITORY, Colony, clean_environment
from tests.examples.support import commands

NAMES = examples.names()


@pytest.fixture
def empty(tmp_path: Path) -> Colony:
    root = tmp_path / "flights"
    root.mkdir()
    return Colony(root)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_laid_down_and_valid_and_says_its_next_two_commands(empty: Colony, name: str) -> None:
    result = empty("init", "--example", name, "new/place")
    root = empty.root / "new" / "place"
    assert result.out == f"{root}\n"
    first, second = (line.split("#")[0].strip() for line in commands(root / "README.md")[:2])
    assert result.err.endswith(f"next (README.md there says more):\n  cd {root} && {first}\n  {second}\n")
    assert empty("-C", str(root), "validate").out.startswith("ok: colony.yml and ")
    for file in [root / "colony.yml", *(root / ".colony/workflows").iterdir(), *root.glob("pipeline.yml")]:
        schema = file.read_text(encoding="utf-8").split("\n")[0].removeprefix("# yaml-language-server: $schema=")
        assert json.loads((file.parent / schema).read_text(encoding="utf-8"))["$schema"], file
    for link in re.findall(r"\]\(([^)#:]+)\)", (root / "README.md").read_text(encoding="utf-8")):
        assert (root / link).exists(), link
    for file in root.iterdir():
        assert not file.is_file() or os.access(file, os.X_OK) == file.read_bytes().startswith(b"#!"), file


def test_hello_runs_as_it_was_laid_down_by_the_commands_that_are_told(empty: Colony) -> None:
    told = empty("init", "--example", "hello").err.partition("says more):\n")[2].split("\n")
    out = [empty(*line.split()[1:]).out for line in told[:2]]
    assert out[0].startswith("r2") and "completed" in out[1]


def test_without_a_name_or_with_one_that_is_none_the_examples_are_listed(empty: Colony) -> None:
    result = empty("init", "--example", check=False)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"colony init: no example is named; there is {', '.join(NAMES)}\n"
    result = empty("init", "--example", "helo", check=False)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"colony init: there is no example 'helo'; did you mean 'hello'? there is {', '.join(NAMES)}\n"
    assert empty("init", "--example", "../hello", check=False).code == 2
    assert list(empty.root.iterdir()) == []


@pytest.mark.parametrize("path", ["README.md", "colony.yml", "count.sh", ".colony/workflows/hello.yaml"])
def test_a_file_of_the_users_is_never_overwritten_and_nothing_else_made(empty: Colony, path: str) -> None:
    mine = empty.write(path, "mine\n")
    before = sorted(empty.root.rglob("*"))
    result = empty("init", "--example", "hello", check=False)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"colony init: '{path}' would be overwritten, so nothing was made at {empty.root}; "
        "give an empty folder: colony init --example NAME DIR\n"
    )
    assert mine.read_text() == "mine\n" and sorted(empty.root.rglob("*")) == before
    result = empty("init", "--example", "hello", "--force", check=False)
    assert result.code == 2 and mine.read_text() == "mine\n" and sorted(empty.root.rglob("*")) == before


@pytest.mark.parametrize("kind", ["folder", "fifo", "link"])
def test_what_is_no_file_is_in_the_way_too(empty: Colony, kind: str) -> None:
    place = empty.root / "count.sh"
    {"folder": place.mkdir, "fifo": lambda: os.mkfifo(place), "link": lambda: place.symlink_to("nowhere")}[kind]()
    result = empty("init", "--example", "hello", check=False)
    assert result.code == 2 and "'count.sh' would be overwritten" in result.err
    assert [file.name for file in empty.root.iterdir()] == ["count.sh"]


def test_other_files_stay_beside_it_and_a_second_time_changes_nothing(empty: Colony) -> None:
    empty.write("notes.txt", "mine\n")
    empty("init", "--example", "hello")
    before = contents(empty.root)
    assert before["notes.txt"] == b"mine\n"
    result = empty("init", "--example", "hello")
    assert result.err.startswith("nothing to do: this is a colony already, and its files are as they were\n")
    assert contents(empty.root) == before


def test_the_name_and_the_time_zone_are_written_into_it(empty: Colony) -> None:
    empty("init", "--example", "data-pipeline", "--name", "a: b", "--timezone", "Europe/Berlin")
    assert yaml.safe_load((empty.root / "colony.yml").read_text())["name"] == "a: b"
    daily = yaml.safe_load((empty.root / ".colony/workflows/daily-etl.yaml").read_text())
    assert daily["workflow"]["trigger"] == {"type": "schedule", "cron": "0 2 * * *", "timezone": "Europe/Berlin"}
    assert "Europe/Berlin" in empty("cron", "next", "daily-etl").out
    other = empty("init", "--example", "hello", "--timezone", "UTC", "other")
    assert "no workflow of 'hello' has a schedule yet; the time zone is written nowhere\n" in other.err
    wrong = empty("init", "--timezone", "berlin", "third", check=False)
    assert (wrong.code, wrong.err) == (2, "colony init: unknown time zone 'berlin'; did you mean 'Europe/Berlin'?\n")
    assert not (empty.root / "third").exists()


def test_a_place_that_is_no_folder_is_refused(empty: Colony) -> None:
    empty.write("file", "x")
    result = empty("init", "file", check=False)
    assert (result.code, result.err) == (2, f"colony init: '{empty.root}/file' is no folder; give another one\n")
    result = empty("init", "file/below", check=False)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert empty("init", "--yes", "new").out == f"{empty.root}/new\n"


# -- an installed package


def packaged() -> dict[str, bytes]:
    """What pyproject.toml puts into the wheel of examples/: {path: bytes}."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert (
        settings["package-dir"]["colony_lib.examples"] == "examples" and "colony_lib.examples" in settings["packages"]
    )
    place = REPOSITORY / "examples"
    found = {path for pattern in settings["package-data"]["colony_lib.examples"] for path in place.glob(pattern)}
    return {str(path.relative_to(place)): path.read_bytes() for path in found if path.is_file()}


def test_the_wheel_holds_every_file_that_an_example_needs() -> None:
    carried = packaged()
    for name in NAMES:
        for path in examples.texts(name):
            assert f"{name}/{path}" in carried


def test_an_installed_colony_lays_down_the_same_examples(empty: Colony, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "colony_lib", installed / "colony_lib", ignore=leave)
    shutil.copytree(REPOSITORY / "schemas", installed / "colony_lib" / "schemas")
    shutil.copytree(BIN, installed / "bin", ignore=leave)
    for path, data in packaged().items():
        file = installed / "colony_lib" / "examples" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    for name in NAMES:
        empty("init", "--example", name, f"checkout/{name}")
        words = [str(installed / "bin" / "colony"), "init", "--example", name, f"installed/{name}"]
        env = {**clean_environment(), "PYTHONPATH": str(installed)}
        env["PATH"] = f"{installed / 'bin'}:{env['PATH']}"
        subprocess.run(words, cwd=empty.root, env=env, check=True, capture_output=True)
        one, other = (contents(empty.root / side / name) for side in ("checkout", "installed"))
        assert one == other


# -- on a terminal


class Terminal:
    """`colony init WORDS…` on a terminal of its own."""

    def __init__(self, root: Path, *words: str) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            ["colony", "init", *words],
            cwd=root,
            env=clean_environment(TERM="xterm"),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""

    def until(self, wanted: str) -> str:
        """What was written up to the text and with it."""
        while wanted not in self.text:
            assert select.select([self.master], [], [], 60)[0], self.text
            self.text += os.read(self.master, 4096).decode().replace("\r\n", "\n")
        before, _, self.text = self.text.partition(wanted)
        return before + wanted

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> tuple[int, str]:
        """The exit status, and what was still written."""
        while True:
            try:
                data = os.read(self.master, 4096)
            except OSError:  # EIO: the last one has closed the terminal
                break
            if not data:
                break
            self.text += data.decode().replace("\r\n", "\n")
        os.close(self.master)
        return self.process.wait(timeout=60), self.text


def test_on_a_terminal_it_asks_and_enter_takes_what_is_in_brackets(empty: Colony) -> None:
    terminal = Terminal(empty.root)
    assert "Name of the colony [flights]: " in terminal.until("Name of the colony [flights]: ")
    terminal.type("\n")
    terminal.until(f"Begin with (empty, {', '.join(NAMES)}) [empty]: ")
    terminal.type("\n")
    assert re.search(r"Time zone of its schedules \[[A-Za-z/_]+\]: ", terminal.until("]: "))
    terminal.type("Europe/Berlin\n")
    code, text = terminal.end()
    assert code == 0 and "next:\n  colony validate\n" in text
    assert "\nname: flights\n" in (empty.root / "colony.yml").read_text()
    assert empty("validate").out == "ok: colony.yml and 1 workflow\n"
    hello = empty.root / ".colony/workflows/hello.yaml"
    line = '  # trigger: {cron: "0 2 * * *", timezone: Europe/Berlin}\n'
    assert line in hello.read_text()
    hello.write_text(hello.read_text().replace(line, line.replace("# ", "")))
    assert "Europe/Berlin" in empty("cron", "next", "hello").out


def test_a_wrong_answer_is_asked_for_again_and_an_example_without_schedules_needs_no_zone(empty: Colony) -> None:
    terminal = Terminal(empty.root)
    terminal.until("[flights]: ")
    terminal.type("mine\n")
    terminal.until("[empty]: ")
    terminal.type("helo\n")
    assert f"'helo' is none of empty, {', '.join(NAMES)}" in terminal.until("[empty]: ")
    terminal.type("hello\n")
    code, text = terminal.end()
    assert code == 0 and "Time zone" not in text
    assert yaml.safe_load((empty.root / "colony.yml").read_text())["name"] == "mine"
    assert empty("workflow", "run", "hello").code == 0


@pytest.mark.parametrize("key", ["\x04", "\x03"])
def test_the_end_of_the_answers_makes_nothing(empty: Colony, key: str) -> None:
    terminal = Terminal(empty.root)
    terminal.until("[flights]: ")
    terminal.type("mine\n")
    terminal.until("[empty]: ")
    if key == "\x03":
        os.killpg(terminal.process.pid, 2)
    else:
        terminal.type(key)
    code, text = terminal.end()
    assert code == 130 and "Traceback" not in text
    assert list(empty.root.iterdir()) == []


def test_nothing_is_asked_with_an_option_or_of_a_colony_that_is_there(empty: Colony) -> None:
    for words in (["--yes"], []):  # the second finds a colony
        code, text = Terminal(empty.root, *words).end()
        assert code == 0 and "]: " not in text
    assert (empty.root / "colony.yml").is_file()
