"""The screen in a real terminal: how it begins, how it is drawn and ended, and that the terminal is given back."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.conftest import BIN, Colony, clean_environment
from tests.tui.screen import LONG, failed_run

GIVEN_BACK = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l", b"\x1b[?1003l", b"\x1b[?2004l")


class Terminal:
    """A program on a pseudo-terminal of 100x30, and all that it has written to it."""

    def __init__(self, colony: Colony, *words: str, python: tuple[str, ...] = (), **environment: str) -> None:
        self.ours, theirs = pty.openpty()
        ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.written = b""
        command = [sys.executable, *python] if python else [str(BIN / "colony"), "tui", *words]
        environ = clean_environment(**{"TERM": "xterm-256color", **environment})
        for name in ("NO_COLOR", "TMUX"):
            if name not in environment:
                environ.pop(name, None)
        self.process = subprocess.Popen(
            command, cwd=colony.root, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        self.theirs = theirs

    def until(self, *texts: bytes, seconds: float = 60) -> None:
        """Read what it writes until all of the texts have come."""
        end = time.monotonic() + seconds
        while not all(text in self.written for text in texts):
            assert time.monotonic() < end, self.written[-2000:]
            self.read(0.1)

    def read(self, seconds: float) -> None:
        if select.select([self.ours], [], [], seconds)[0]:
            try:
                self.written += os.read(self.ours, 1 << 16)
            except OSError:
                return

    def end(self) -> int:
        """Wait for its end, reading on; its exit status."""
        end = time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < end, self.written[-2000:]
            self.read(0.05)
        while select.select([self.ours], [], [], 0.05)[0]:
            size = len(self.written)
            self.read(0.05)
            if len(self.written) == size:
                break
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, None])
def test_the_terminal_is_given_back_however_it_ends(colony: Colony, number: int | None) -> None:
    failed_run(colony)
    terminal = Terminal(colony)
    try:
        terminal.until(b"load failed", b"\x1b[?1049h")
        if number is None:
            os.write(terminal.ours, b"q")
        else:
            terminal.process.send_signal(number)
        code = terminal.end()
        assert code == (0 if number is None else 128 + number)
        after = terminal.written[terminal.written.rindex(b"\x1b[?1049h") :]
        assert all(sequence in after for sequence in GIVEN_BACK), after[-500:]
        assert termios.tcgetattr(terminal.theirs)[:4] == terminal.before[:4]
        assert b"Traceback" not in terminal.written
    finally:
        terminal.close()


def test_ctrl_c_ends_it(colony: Colony) -> None:
    terminal = Terminal(colony)
    try:
        terminal.until(b"no run yet")
        os.write(terminal.ours, b"\x03")
        assert terminal.end() == 0
    finally:
        terminal.close()


def test_without_colours_no_colour_is_sent(colony: Colony) -> None:
    failed_run(colony)
    terminal = Terminal(colony, NO_COLOR="1")
    try:
        terminal.until(b"load failed")
        os.write(terminal.ours, b"q")
        assert terminal.end() == 0
        assert b"\x1b[38;2;" not in terminal.written and b";48;2;" not in terminal.written
        assert b"\x1b[31m" not in terminal.written
    finally:
        terminal.close()


def test_without_a_terminal_it_refuses_in_one_line(colony: Colony) -> None:
    result = colony("tui", check=False)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "colony tui: there is no terminal to draw on; use 'colony status', or 'colony workflow status --watch' to "
        "follow a run\n"
    )
    terminal = Terminal(colony, TERM="dumb")
    try:
        assert terminal.end() == 2
        assert b"\x1b" not in terminal.written and b"there is no terminal to draw on" in terminal.written
    finally:
        terminal.close()


def test_what_is_wrong_is_said_before_the_screen_is_taken(colony: Colony) -> None:
    for words, text in ((["--run", "r9"], b"there is none yet"), ([], b"colony.yml:1")):
        if not words:
            colony.write("colony.yml", "agents: 5\n")
        terminal = Terminal(colony, *words)
        try:
            assert terminal.end() in (1, 2)
            assert text in terminal.written and b"\x1b" not in terminal.written, terminal.written
        finally:
            terminal.close()


def test_without_the_extra_it_says_what_to_type(colony: Colony) -> None:
    code = f"import sys; sys.modules['textual'] = None; sys.path.insert(0, {str(BIN.parent)!r})\n"
    code += "from colony_lib.cli import run; sys.exit(run('tui', []))"
    terminal = Terminal(colony, python=("-c", code))
    try:
        assert terminal.end() == 2
        said = b"colony tui: the screen needs the package 'textual'; type: pip install 'colony[tui]'"
        assert terminal.written.strip() == said
    finally:
        terminal.close()


def test_a_bug_in_it_is_one_line_on_a_terminal_that_is_given_back(colony: Colony, tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(BIN.parent)!r})\n"
    code += "from colony_lib.tui.feed import Feed\n"
    code += "Feed.look = lambda *given, **more: 1 / 0\n"
    code += "from colony_lib.cli import run; sys.exit(run('tui', []))"
    terminal = Terminal(colony, python=("-c", code))
    try:
        assert terminal.end() == 70
        last = terminal.written[terminal.written.rindex(b"\x1b[?1049l") :]
        assert b"colony tui: a bug in Colony: ZeroDivisionError" in last and b"Traceback" not in terminal.written
    finally:
        terminal.close()


class Tmux:
    """A tmux server of our own with one window; what it shows is what a person sees."""

    def __init__(self, colony: Colony, folder: Path, columns: int, rows: int) -> None:
        self.socket = str(folder / "tmux")
        self.environment = clean_environment(TERM="xterm-256color", SHELL="/bin/sh", PS1="$ ")
        self.environment.pop("NO_COLOR", None)
        self.environment.pop("TMUX", None)
        size = ["-x", str(columns), "-y", str(rows)]
        self(
            "-f", os.devnull, "new-session", "-d", *size, "-c", str(colony.root), "colony tui; echo ended with $?; cat"
        )

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self.socket, *words], env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done
        return done.stdout

    def until(self, *texts: str) -> str:
        end = time.monotonic() + 60
        while True:
            shown = self("capture-pane", "-p")
            if all(text in shown for text in texts):
                return shown
            assert time.monotonic() < end, shown
            time.sleep(0.05)


@pytest.fixture
def tmux(colony: Colony, tmp_path: Path) -> Iterator[Tmux]:
    colony.workflow("long", LONG)
    colony("workflow", "run", "long", "--detach")
    made = Tmux(colony, tmp_path, 80, 24)
    yield made
    made("kill-server")
    colony("workflow", "cancel", "latest")


if shutil.which("tmux"):  # what a terminal of the system's makes of it; the tests above need none

    def test_in_tmux_it_is_drawn_resized_and_ended(colony: Colony, tmux: Tmux) -> None:
        shown = tmux.until("endless runs for", "following", "? Help  q Quit")
        assert all(len(line) <= 80 for line in shown.split("\n"))
        tmux("send-keys", "2")
        tmux.until("no tasks yet: a adds one")
        tmux("send-keys", "6")
        tmux.until("all agents", "endless started")
        tmux("resize-window", "-x", "60", "-y", "15")
        tmux("send-keys", "4")
        tmux.until("endless runs", "4Workflow")
        tmux("resize-window", "-x", "50", "-y", "10")
        tmux.until("needs 60x15")
        tmux("resize-window", "-x", "80", "-y", "24")
        tmux.until("endless runs for")
        tmux("send-keys", "X")
        tmux.until("leave it as it is")
        tmux("send-keys", "Escape")
        tmux.until("endless runs for", "following")
        tmux("send-keys", "q")
        shown = tmux.until("ended with 0")
        assert "endless" not in shown

    def test_in_tmux_a_paste_changes_nothing(colony: Colony, tmux: Tmux) -> None:
        tmux.until("endless runs for")
        tmux("set-buffer", "echo XyRyAy\n")
        tmux("paste-buffer", "-p")  # as terminals paste: in brackets
        tmux("send-keys", "6")
        tmux.until("all agents")
        assert colony.json("workflow", "status", "--json")["status"] == "running"
        tmux("send-keys", "4")
        tmux.until("endless runs for")
        tmux("paste-buffer")  # and as some do: like keys
        time.sleep(1)
        assert colony.json("workflow", "status", "--json")["status"] == "running"
