"""What `permissions:` allows and denies, by its patterns."""

from __future__ import annotations

import pytest

from colony_lib.work.tools import permissions
from colony_lib.work.tools.permissions import Permissions


def test_without_patterns_everything_is_allowed() -> None:
    none = Permissions([], [])
    assert none.may_use("bash") and none.problem("bash", "rm -r /") is None and not none.wants_words("bash")


def test_where_anything_is_allowed_nothing_else_is() -> None:
    some = Permissions(["read_file", "bash(git status)"], [])
    assert some.may_use("read_file") and some.may_use("bash") and not some.may_use("colony")
    assert some.problem("read_file", "any/file") is None
    assert some.problem("bash", "git status") is None
    assert some.problem("bash", "git push") == "not permitted: this agent may use bash(git status)"
    assert some.problem("colony", "status") == "not permitted: this agent may use another tool"


def test_deny_wins() -> None:
    both = Permissions(["colony(state *)", "bash"], ["colony(state set *)", "bash(sudo *)"])
    assert both.problem("colony", "state get doc") is None
    assert "colony(state set *) is denied" in str(both.problem("colony", "state set doc n=1"))
    assert "bash(sudo *) is denied" in str(both.problem("bash", "sudo ls"))
    assert Permissions([], ["bash(x)"]).may_use("bash") and not Permissions(["bash"], ["bash"]).may_use("bash")


def test_files_stands_for_the_four_file_tools() -> None:
    names = ("read_file", "list_files", "write_file", "edit_file")
    assert all(Permissions(["files"], []).may_use(name) for name in names)
    assert not any(Permissions([], ["files"]).may_use(name) for name in names)
    held = Permissions(["files(staging/*)"], [])
    assert held.problem("write_file", "staging/a") is None and held.problem("edit_file", "reports/a") is not None


@pytest.mark.parametrize(
    ("glob", "text", "fits"),
    [
        ("git status", "git status", True),
        ("git status", "git status -s", False),
        ("git *", "git", True),
        ("git *", "git log --all", True),
        ("git *", "gitk", False),
        ("git*", "gitk", True),
        ("Git *", "git log", False),
        ("staging/*", "staging/a/b", True),
        ("staging/[ab].txt", "staging/c.txt", False),
        ("echo (a)", "echo (a)", True),
    ],
)
def test_a_pattern_is_a_glob_on_all_of_what_is_asked(glob: str, text: str, fits: bool) -> None:
    assert (Permissions([f"bash({glob})"], []).problem("bash", text) is None) is fits


def test_only_patterns_that_hold_a_command_to_a_glob_want_plain_words() -> None:
    assert Permissions(["bash(git *)"], []).wants_words("bash")
    assert not Permissions(["bash(git *)", "bash"], []).wants_words("bash")
    assert not Permissions([], ["bash(rm *)"]).wants_words("bash")


@pytest.mark.parametrize("more", [";ls", "&& ls", "| ls", "> x", "< x", "$(ls)", "${X}", "`ls`", "\nls", "\rls", "&"])
def test_what_a_shell_makes_more_of_is_not_plain(more: str) -> None:
    assert permissions.is_plain("git status") and not permissions.is_plain(f"git status {more}")
    assert not permissions.is_plain(f"git status '{more}'")  # in quotes too: nobody has to know where these end
