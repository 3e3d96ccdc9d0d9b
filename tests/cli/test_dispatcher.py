"""`colony NAME`: finding executables, help, hints, and the manners that all commands share."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.conftest import BIN, Colony, clean_environment


def test_an_unknown_command_exits_2_with_the_nearest_name(colony: Colony) -> None:
    result = colony("wrkflow", check=False)
    assert (result.code, result.out) == (2, "")
    assert result.err == "colony: unknown command 'wrkflow'; did you mean 'workflow'?\n"


def test_any_colony_foo_on_path_becomes_colony_foo(colony: Colony, tmp_path: Path) -> None:
    folder = tmp_path / "path"
    folder.mkdir()
    script = folder / "colony-foo"
    script.write_text('#!/bin/sh\n# Summary: says what it was given\necho "foo:$#:$1"\n')
    script.chmod(0o755)
    path = f"{folder}{os.pathsep}{clean_environment()['PATH']}"
    assert colony("foo", "a b", env={"PATH": path}).out == "foo:1:a b\n"
    assert "says what it was given" in colony("help", env={"PATH": path}).out
    # What is built in wins over what is on PATH.
    (folder / "colony-state").write_text("#!/bin/sh\necho shadow\n")
    (folder / "colony-state").chmod(0o755)
    assert "shadow" not in colony("state", "task", "list", env={"PATH": path}).out


def test_help_lists_every_executable_and_help_name_is_its_help(colony: Colony) -> None:
    listed = colony("help").out
    for name in (path.name.removeprefix("colony-") for path in BIN.iterdir() if path.name.startswith("colony-")):
        assert name == "help" or f"  {name} " in listed
    assert colony("help", "state").out == colony("state", "--help").out
    assert "75" in colony("help", "exit-codes").out
    assert colony("help", "nope", check=False).code == 2
    assert colony(check=False).code == 2
    assert colony("--version").out.startswith("colony ")


def test_it_runs_by_a_symbolic_link_from_anywhere(colony: Colony, tmp_path: Path) -> None:
    link = tmp_path / "c"
    link.symlink_to(BIN / "colony")
    done = subprocess.run([str(link), "--version"], env=clean_environment(), capture_output=True, text=True, cwd="/")
    assert done.returncode == 0 and done.stdout.startswith("colony ")


def test_the_root_is_the_nearest_above_and_can_be_named(colony: Colony, tmp_path: Path) -> None:
    below = colony.root / "a" / "b"
    below.mkdir(parents=True)
    colony("state", "task", "add", "here", cwd=below)
    assert "here" in colony("state", "task", "list").out
    assert "here" in colony("-C", str(colony.root), "state", "task", "list", cwd=tmp_path).out
    assert "here" in colony("state", "task", "list", cwd=tmp_path, env={"COLONY_ROOT": str(colony.root)}).out
    nowhere = colony("state", "task", "list", cwd=tmp_path, check=False)
    assert nowhere.code == 2 and "colony init" in nowhere.err and len(nowhere.err.splitlines()) == 1
    assert colony("-C", str(tmp_path / "none"), "status", check=False).code == 2


def test_run_by_a_relative_path_it_finds_its_commands_also_after_a_change_of_folder(colony: Colony) -> None:
    words = ["bin/colony", "-C", str(colony.root), "state", "task", "add", "found"]
    done = subprocess.run(words, cwd=BIN.parent, env=clean_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "found" in colony("state", "task", "list").out


def test_inside_an_agents_worktree_the_root_is_the_colonys(colony: Colony) -> None:
    tree = colony.root / ".colony" / "worktrees" / "worker"
    (tree / ".colony" / "workflows").mkdir(parents=True)
    colony("state", "task", "add", "seen", cwd=tree)
    assert "seen" in colony("state", "task", "list").out
    assert not (tree / ".colony" / "state").exists()


def test_a_closed_pipe_ends_it_quietly(colony: Colony) -> None:
    for n in range(3):
        colony("state", "task", "add", "-", input="".join(f'{{"title":"task {n} {i}"}}\n' for i in range(700)))
    done = subprocess.run(
        "colony state task list --json | head -1",
        shell=True,
        cwd=colony.root,
        env=clean_environment(),
        capture_output=True,
    )
    assert done.stdout.count(b"\n") == 1 and done.stderr == b""


def test_an_unknown_option_and_verb_exit_2_with_a_hint_in_one_line(colony: Colony) -> None:
    option = colony("state", "task", "list", "--jsno", check=False)
    assert option.code == 2 and "did you mean '--json'?" in option.err and len(option.err.splitlines()) == 1
    verb = colony("workflow", "hstory", check=False)
    assert verb.code == 2 and "did you mean 'history'?" in verb.err
    short = colony("state", "task", "list", "--js", check=False)
    assert short.code == 2  # no abbreviations: a later option must not change what they mean


def test_a_bug_is_one_line_and_70_and_a_traceback_only_on_request(colony: Colony) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import colony_lib.cli as c\n"
        "c.load_module = lambda name: type('M', (), {'main': staticmethod(lambda argv: 1 // 0)})\n"
        "sys.exit(c.run('status', []))\n"
    )
    for debug in ("", "1"):
        done = subprocess.run(
            ["python3", "-c", script, str(BIN.parent)],
            env=clean_environment(COLONY_DEBUG=debug),
            capture_output=True,
            text=True,
        )
        if debug:
            assert "Traceback" in done.stderr
        else:
            assert done.returncode == 70 and len(done.stderr.splitlines()) == 1 and "ZeroDivisionError" in done.stderr


def test_every_command_of_colonys_own_stands_in_a_group_of_the_overview(tmp_path: Path) -> None:
    done = subprocess.run(["colony", "--help"], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True)
    assert done.returncode == 0 and "also on your PATH" not in done.stdout
    for name in ("start", "stop", "agents", "attach", "tui"):
        assert f"\n  {name} " in done.stdout.partition("agents and the screen:")[2]
