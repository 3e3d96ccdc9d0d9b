"""`colony help`: manual pages that say what the parsers say, and topics that say what the code reads."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from colony_lib.cli import grammar
from tests.conftest import BIN, Colony, clean_environment

MAN = shutil.which("man")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man1")
    subprocess.run([BIN / "colony", "help", "--man", folder], check=True, env=clean_environment())
    return folder


def plain(roff: str) -> str:
    """What a page says, without the marks of roff."""
    return re.sub(r"\\f[BIR]|\\&", "", roff).replace("\\-", "-").replace("\\e", "\\")


def test_there_is_a_page_for_every_executable(pages: Path) -> None:
    assert sorted(path.stem for path in pages.iterdir()) == sorted(path.name for path in BIN.iterdir())
    overview = plain((pages / "colony.1").read_text(encoding="utf-8"))
    for path in BIN.iterdir():
        assert path.name in overview or path.name == "colony-help"


@pytest.mark.parametrize("name", [path.name for path in sorted(BIN.iterdir()) if path.name[6:] not in ("", "-help")])
def test_a_page_holds_every_verb_option_and_help_of_its_parser(pages: Path, name: str) -> None:
    page = plain((pages / f"{name}.1").read_text(encoding="utf-8"))
    for command in grammar.commands(name.removeprefix("colony-")):
        if command.verbs:
            continue
        assert command.parser.prog in page
        for action in command.parser._actions:
            names = ", ".join(action.option_strings) or str(action.metavar)
            assert f"\n{names}" in page and grammar.line(action.help) in page, f"{command.path} {names}"


@pytest.mark.skipif(MAN is None, reason="man is not installed")
def test_man_reads_every_page_without_a_warning(pages: Path) -> None:
    done = subprocess.run(
        [str(MAN), "--warnings=w", "-P", "cat", "-l", *sorted(map(str, pages.iterdir()))],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=clean_environment(MANWIDTH="80"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("SYNOPSIS") == len(list(pages.iterdir()))


@pytest.mark.skipif(MAN is None, reason="man is not installed")
def test_help_of_a_command_is_its_page_on_a_terminal_and_its_help_text_in_a_pipe(colony: Colony) -> None:
    assert colony("help", "logs").out == colony("logs", "--help").out
    pid, master = pty.fork()
    if pid == 0:
        os.execvpe("colony", ["colony", "help", "logs"], clean_environment(TERM="xterm", MANPAGER="cat", PAGER="cat"))
    shown = b""
    while True:
        try:
            got = os.read(master, 65536)
        except OSError:
            break
        if not got:
            break
        shown += got
    os.close(master)
    assert os.waitpid(pid, 0)[1] == 0
    words = re.sub(rb".\x08", b"", shown)  # bold is a letter struck twice
    assert b"COLONY-LOGS(1)" in words and b"SEE ALSO" in words


def test_pages_go_only_into_a_folder_that_is_there(colony: Colony) -> None:
    for words in (["--man"], ["--man", "nowhere"], ["--man", "a", "b"]):
        result = colony("help", *words, check=False)
        assert (result.code, result.out) == (2, "") and len(result.err.splitlines()) == 1
