"""The tools of a model: what each does, and the sentence that a model gets for what it may not or cannot do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colony_lib.store import paths
from colony_lib.work.tools import Outcome, Setting, Tools
from tests.conftest import BIN, Colony

Use = Callable[..., Outcome]
SCRIPT: dict[str, Any] = {
    "name": "put", "description": "puts a row", "command": ["sh", "-c", "cat; echo; echo $0 $1 $COLONY_TOOL_KEY", "{{row}}", "--n={{n}}"],
    "input": {"type": "object", "properties": {"row": {"type": "string"}, "n": {"type": "integer"}}, "required": ["row"]},
    "effect": "idempotent", "network": False, "writes": [], "timeout_seconds": 20.0,
}  # fmt: skip


@pytest.fixture
def make(colony: Colony, tmp_path: Path) -> Callable[..., Tools]:
    """Tools of an agent that has no worktree, in a small colony with a seed and a secret."""
    paths.use(str(colony.root))
    (colony.root / "staging").mkdir()
    (colony.root / "reports").mkdir()
    (colony.root / "staging/seed.txt").write_text("one\ntwo\nthree\n")
    (colony.root / ".env").write_text("TOKEN=verysecret\n")
    (tmp_path / "scratch").mkdir()

    def made(**more: Any) -> Tools:
        given: dict[str, Any] = {
            "root": str(colony.root), "folder": str(colony.root), "shared": ["staging", "reports"],
            "scratch": str(tmp_path / "scratch"), "outputs": str(colony.root / ".colony/runs/r/outputs"),
            "environment": {"API_KEY": "verysecret", "COLONY_ROOT": str(colony.root), "COLONY_AGENT": "worker"}, "bin": str(BIN),
            "tools": None, "scripts": [SCRIPT], "permissions": {}, "network": False, "env_file": ".env",
            "redact": lambda text: text.replace("verysecret", "[API_KEY]"),
        }  # fmt: skip
        return Tools(Setting(**{**given, **more}))

    return made


def use(tools: Tools, name: str, deadline: float | None = None, key: str = "k1", **given: Any) -> Outcome:
    return tools.call(name, given, key=key, deadline=deadline, started=lambda pid: None, asked=lambda: False)


def test_the_tools_come_in_one_order_whatever_colony_yml_says(make: Callable[..., Tools]) -> None:
    names = ["bash", "read_file", "list_files", "write_file", "edit_file", "colony", "put"]
    assert [tool["name"] for tool in make().definitions] == names
    assert [tool["name"] for tool in make(tools=["put", "colony", "bash"]).definitions] == ["bash", "colony", "put"]
    allowed = make(permissions={"allow": ["colony(fetch *)", "read_file"]})
    assert [tool["name"] for tool in allowed.definitions] == ["read_file", "colony"]
    assert "bash" not in [tool["name"] for tool in make(permissions={"deny": ["bash"]}).definitions]


def test_an_effect_is_what_may_be_done_again(make: Callable[..., Tools]) -> None:
    tools = make()
    effects = {
        ("bash", "write"): {"command": "ls"}, ("read_file", "read"): {"path": "x"}, ("write_file", "idempotent"): {"path": "x"},
        ("edit_file", "write"): {"path": "x"}, ("put", "idempotent"): {"row": "1"}, ("nothing", "read"): {},
    }  # fmt: skip
    for (name, effect), given in effects.items():
        assert tools.effect(name, given) == effect
    for words, effect in {
        "load --date 2013-02-08": "idempotent", "state task list --json": "read", "state task add x": "write",
        "workflow status": "read", "workflow run x": "read", "metrics record a 1": "write", "broadcast hello": "write",
        "state get doc": "read", "state set doc n=1": "write",
    }.items():  # fmt: skip
        assert tools.effect("colony", {"arguments": words.split()}) == effect, words


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("bsh", {"command": "ls"}, "there is no tool 'bsh'; did you mean 'bash'"),
        ("bash", {}, "'command' is a required property"),
        ("bash", {"command": "ls", "x": 1}, "Additional properties are not allowed"),
        ("read_file", {"path": "no/such"}, "there is no file 'no/such'"),
        ("read_file", {"path": "../outside"}, "must be below your working folder"),
        ("read_file", {"path": "/etc/passwd"}, "outside your working folder"),
        ("read_file", {"path": ".env"}, "not yours to read"),
        ("read_file", {"path": "./staging/../.env"}, "must be below"),
        ("read_file", {"path": ".git/config"}, "not yours to read"),
        ("read_file", {"path": ".colony/state/tasks.jsonl"}, "not yours to read"),
        ("read_file", {"path": "staging"}, "not a regular file"),
        ("read_file", {"path": "staging/seed.txt", "offset": 9}, "no line 9"),
        ("write_file", {"path": "colony.yml", "content": "x"}, "not in a shared folder"),
        ("write_file", {"path": ".colony/runs/r/x", "content": "x"}, "not yours to write"),
        ("write_file", {"path": "staging/\0", "content": "x"}, "is no path"),
        ("edit_file", {"path": "staging/seed.txt", "old": "four", "new": "x"}, "does not stand in the file"),
        ("edit_file", {"path": "staging/seed.txt", "old": "e", "new": "x"}, "stands in the file 3 times"),
        ("list_files", {"pattern": "/etc/*"}, "below your working folder"),
        ("colony", {"arguments": ["workflow", "run", "x"]}, "with list, show"),
        ("colony", {"arguments": ["cron", "install"]}, "no command that an agent may use"),
        ("colony", {"arguments": ["fetch", "--pipeline", "evil.yml"]}, "may not use '--pipeline'"),
        ("colony", {"arguments": ["fetch", "--pipeline=evil.yml"]}, "may not use"),
        ("colony", {"arguments": ["-C", "/", "fetch"]}, "no command that an agent may use"),
        ("colony", {"arguments": ["logs", "-nf"]}, "may not use '-nf'"),
        ("colony", {"arguments": ["state", "sync"]}, "an agent may use 'colony state' with"),
        ("colony", {"arguments": ["state", "--json", "task", "list"]}, "an agent may use 'colony state' with"),
        ("put", {"row": "--config=/evil"}, "must not begin with '-'"),
        ("put", {}, "'row' is a required property"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    make: Callable[..., Tools], name: str, given: dict[str, Any], said: str
) -> None:
    outcome = make().call(name, given, key="k", deadline=None, started=lambda pid: None, asked=lambda: False)
    assert outcome.is_error and said in outcome.content, outcome.content
    assert "\n" not in outcome.content


def test_links_lead_nowhere(make: Callable[..., Tools], colony: Colony) -> None:
    (colony.root / "staging/link").symlink_to("/etc/hostname")
    (colony.root / "staging/out").symlink_to("/tmp")
    os.mkfifo(colony.root / "staging/fifo")
    tools = make()
    assert "symbolic link" in use(tools, "read_file", path="staging/out/x").content
    assert use(tools, "read_file", path="staging/link").is_error
    assert "symbolic link" in use(tools, "write_file", path="staging/out/x", content="x").content
    assert "not a regular file" in use(tools, "write_file", path="staging/link", content="x").content
    assert "not a regular file" in use(tools, "read_file", path="staging/fifo").content
    listed = use(tools, "list_files", pattern="staging/**").content
    assert "seed.txt" in listed and "hostname" not in listed and "link" not in listed


def test_files_are_read_written_and_edited(make: Callable[..., Tools], colony: Colony) -> None:
    tools = make()
    assert use(tools, "read_file", path="staging/seed.txt").content == "one\ntwo\nthree\n"
    assert use(tools, "read_file", path=str(colony.root / "staging/seed.txt"), offset=2, limit=1).content == (
        "two\n… lines 2 to 2 of 14 bytes; go on with offset 3 …"
    )
    assert use(tools, "write_file", path="reports/new/a.md", content="# é\n").content == "written: 5 bytes"
    assert (colony.root / "reports/new/a.md").read_text() == "# é\n"
    assert use(tools, "edit_file", path="reports/new/a.md", old="é", new="e").content == "replaced 1 time"
    assert use(tools, "edit_file", path="staging/seed.txt", old="e", new="E", all=True).content == "replaced 3 times"
    assert use(tools, "list_files", pattern="reports/**/*.md").content == "reports/new/a.md  4"
    (colony.root / "staging/bin").write_bytes(b"\0\1")
    assert "not a text file" in use(tools, "read_file", path="staging/bin").content
    (colony.root / "staging/secret.txt").write_text("the key is verysecret")
    assert use(tools, "read_file", path="staging/secret.txt").content == "the key is [API_KEY]"


def test_a_long_file_is_read_by_parts(make: Callable[..., Tools], colony: Colony) -> None:
    (colony.root / "staging/long.txt").write_text("".join(f"line {number}\n" for number in range(1, 20_001)))
    (colony.root / "staging/one.txt").write_text("x" * 200_000)
    tools = make()
    first = use(tools, "read_file", path="staging/long.txt").content
    assert first.startswith("line 1\n") and len(first) < 31_000 and "go on with offset" in first
    offset = int(first.split("offset ")[1].split()[0])
    assert use(tools, "read_file", path="staging/long.txt", offset=offset, limit=1).content.startswith(
        f"line {offset}\n"
    )
    assert len(use(tools, "read_file", path="staging/one.txt").content) <= 30_100


def test_in_a_worktree_everything_but_git_is_the_agents(make: Callable[..., Tools], colony: Colony) -> None:
    tree = colony.root / ".colony/worktrees/worker"
    tree.mkdir(parents=True)
    (tree / ".git").write_text("gitdir: x\n")
    (tree / "staging").symlink_to(colony.root / "staging")
    tools = make(folder=str(tree))
    assert not use(tools, "write_file", path="sql/a.sql", content="select 1").is_error
    assert (tree / "sql/a.sql").read_text() == "select 1"
    assert not use(tools, "write_file", path="staging/b.txt", content="b").is_error
    assert (colony.root / "staging/b.txt").read_text() == "b"
    assert use(tools, "write_file", path=".git", content="x").is_error
    assert "staging/b.txt" in use(tools, "list_files", pattern="staging/*").content


def test_permissions_hold_for_what_a_tool_is_asked(make: Callable[..., Tools]) -> None:
    tools = make(
        permissions={
            "allow": ["bash(echo *)", "write_file(staging/*)", "colony(state task *)"],
            "deny": ["colony(state task cancel *)"],
        }
    )
    assert use(tools, "bash", command="echo hello").content == "hello\n"
    for command in (
        "echo a; echo b",
        "echo $(ls)",
        "echo a | cat",
        "echo a\necho b",
        "echo `ls`",
        "echo a > staging/x",
    ):
        assert "only one plain command" in use(tools, "bash", command=command).content, command
    assert "may use bash(echo *)" in use(tools, "bash", command="ls").content
    assert "may use write_file(staging/*)" in use(tools, "write_file", path="reports/x", content="x").content
    assert "may use write_file(staging/*)" in use(tools, "write_file", path="staging/../reports/x", content="x").content
    assert not use(tools, "write_file", path="staging/x", content="x").is_error
    assert not use(tools, "colony", arguments=["state", "task", "list"]).is_error
    assert "is denied to this agent" in use(tools, "colony", arguments=["state", "task", "cancel", "x"]).content
    assert "there is no tool 'read_file'" in use(tools, "read_file", path="staging/seed.txt").content


def test_a_command_sees_what_the_agents_env_names_and_nothing_else(
    make: Callable[..., Tools], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-other")
    monkeypatch.setenv("SOMETHING", "else")
    shown = use(make(), "bash", command="env | cut -d= -f1 | sort | tr '\\n' ' '; echo $API_KEY").content
    names = shown.split("\n")[0].split() if "\n" in shown else shown.split()
    known = {
        "API_KEY",
        "COLONY_ROOT",
        "COLONY_AGENT",
        "COLONY_TOOL_KEY",
        "HOME",
        "LANG",
        "PATH",
        "PWD",
        "TMPDIR",
        "TZ",
        "SHLVL",
        "_",
        "OLDPWD",
    }
    assert set(names) - {"[API_KEY]"} <= known, shown
    assert "[API_KEY]" in shown and "verysecret" not in shown and "sk-ant" not in shown


def test_a_long_result_keeps_its_head_and_tail_and_the_whole_in_a_file(
    make: Callable[..., Tools], colony: Colony
) -> None:
    tools = make()
    outcome = use(tools, "bash", command="seq 1 100000; echo verysecret", key="abc")
    assert (
        outcome.content.startswith("1\n2\n")
        and outcome.content.endswith("[API_KEY]\n")
        and len(outcome.content) < 31_000
    )
    assert "bytes are left out here" in outcome.content and outcome.output_file is not None
    whole = (colony.root / outcome.output_file).read_text()
    assert whole.startswith("1\n2\n") and "99999\n100000\n[API_KEY]\n" in whole
    assert use(tools, "read_file", path=".outputs/abc.txt", offset=50000, limit=2).content.startswith("50000\n50001\n")


def test_how_a_command_ends_is_said(make: Callable[..., Tools]) -> None:
    tools = make()
    failed = use(tools, "bash", command="echo oops >&2; exit 3")
    assert (failed.content, failed.is_error, failed.exit_status) == ("exit status 3\noops\n", True, 3)
    slow = use(tools, "bash", command="echo begun; sleep 60", timeout_seconds=1)
    assert slow.is_error and slow.content == "ended: it took longer than 1.0s\nbegun\n"
    late = use(tools, "bash", command="ls", deadline=time.monotonic() - 1)
    assert late.is_error and "time is up" in late.content
    asked = make().call(
        "bash", {"command": "sleep 60"}, key="k", deadline=None, started=lambda pid: None, asked=lambda: True
    )
    assert asked.is_error and asked.content.startswith("ended")


def test_a_script_gets_its_input_in_its_words_and_on_standard_input(make: Callable[..., Tools]) -> None:
    outcome = use(make(), "put", row="a b; $(x)", n=2)
    assert outcome.content.split("\n") == ['{"row":"a b; $(x)","n":2}', "a b; $(x) --n=2 k1", ""], outcome.content


def test_colonys_own_commands_work_in_the_tool_and_in_the_shell(make: Callable[..., Tools], colony: Colony) -> None:
    tools = make()
    assert not use(tools, "colony", arguments=["state", "task", "add", "by the tool"]).is_error
    in_shell = use(
        tools,
        "bash",
        command="colony state task add 'by the shell' && colony broadcast hello && colony metrics record rows 7",
    )
    assert not in_shell.is_error, in_shell.content
    assert [task["title"] for task in colony.lines("state", "task", "list", "--json")] == [
        "by the tool",
        "by the shell",
    ]
    assert [message["from"] for message in colony.lines("messages", "list", "--json")] == ["worker"]
    assert "by the shell" in use(tools, "colony", arguments=["state", "task", "list"]).content


def test_a_plain_command_is_judged_as_it_is_run(make: Callable[..., Tools]) -> None:
    tools = make(permissions={"allow": ["bash(*)"], "deny": ["bash(rm *)"]})
    for command in ("rm -r staging", "'rm' -r staging", 'r"m"\t-r staging', " rm  staging", "\\rm staging"):
        assert "bash(rm *) is denied" in use(tools, "bash", command=command).content, command
    assert use(tools, "bash", command="echo 'a  b'").content == "a  b\n"
    assert "No closing quotation" in use(tools, "bash", command="echo 'a").content
    assert "is empty" in use(tools, "bash", command="''").content


def test_a_pattern_for_paths_holds_however_the_path_is_written(make: Callable[..., Tools], colony: Colony) -> None:
    tools = make(permissions={"deny": ["read_file(staging/*)", "write_file(reports/*)"]})
    for path in ("staging/seed.txt", "./staging//seed.txt", str(colony.root / "staging/seed.txt")):
        assert "is denied to this agent" in use(tools, "read_file", path=path).content, path
    assert "is denied" in use(tools, "write_file", path=f"{colony.root}//reports/./a", content="x").content


def test_the_env_file_is_hidden_wherever_it_lies(make: Callable[..., Tools], colony: Colony) -> None:
    (colony.root / "staging/env").write_text("TOKEN=verysecret\n")
    (colony.root / "link.env").symlink_to("staging/env")
    for env_file in ("staging/env", str(colony.root / "staging/env"), "link.env"):
        tools = make(env_file=env_file, redact=str)
        assert "not yours to read" in use(tools, "read_file", path="staging/env").content, env_file
        assert use(tools, "list_files", pattern="staging/*").content == "staging/seed.txt  14"
        for command in (["validate-data", "staging/env"], ["transform", str(colony.root / "staging/env")]):
            assert "not yours to read" in use(tools, "colony", arguments=command).content
        assert "verysecret" not in use(tools, "bash", command="cat staging/env link.env").content


def test_from_a_worktree_the_roots_own_files_are_read_by_their_whole_path(
    make: Callable[..., Tools], colony: Colony
) -> None:
    tree = colony.root / ".colony/worktrees/worker"
    tree.mkdir(parents=True)
    (tree / "staging").symlink_to(colony.root / "staging")
    (colony.root / "notes.md").write_text("of the root")
    (tree / "notes.md").write_text("of the worktree")
    tools = make(folder=str(tree))
    assert use(tools, "read_file", path="notes.md").content == "of the worktree"
    assert use(tools, "read_file", path=str(tree / "notes.md")).content == "of the worktree"
    assert use(tools, "read_file", path=str(colony.root / "notes.md")).content == "of the root"
    assert "not in a shared folder" in use(tools, "write_file", path=f"{colony.root}/notes.md", content="x").content
    assert "not yours to write" in use(tools, "write_file", path=".colony/workflows/w.yaml", content="x").content
    assert use(tools, "write_file", path="staging", content="x").is_error and (tree / "staging").is_symlink()


def test_the_workflows_are_read_and_listed_through_a_worktrees_link(make: Callable[..., Tools], colony: Colony) -> None:
    tree = colony.root / ".colony/worktrees/worker"
    tree.mkdir(parents=True)
    (tree / ".colony").symlink_to(colony.root / ".colony")
    colony.workflow("w", "steps: []")
    tools = make(folder=str(tree))
    assert "steps: []" in use(tools, "read_file", path=".colony/workflows/w.yaml").content
    listed = use(tools, "list_files", pattern=".colony/**").content
    assert ".colony/workflows/w.yaml" in listed and "worktrees" not in listed and "locks" not in listed
    assert use(tools, "read_file", path=".colony/state/tasks.jsonl").is_error


def test_a_shared_folder_that_is_missing_is_not_made_a_file(make: Callable[..., Tools], colony: Colony) -> None:
    assert use(make(shared=["metrics"]), "write_file", path="metrics", content="x").is_error
    assert not (colony.root / "metrics").exists()


def test_files_are_listed_by_patterns_and_no_link_is_followed(make: Callable[..., Tools], colony: Colony) -> None:
    (colony.root / "staging/a/b").mkdir(parents=True)
    (colony.root / "staging/a/b/deep.sql").write_text("select 1")
    (colony.root / "staging/a/loop").symlink_to("..")
    tools = make()

    def listed(pattern: str) -> list[str]:
        return use(tools, "list_files", pattern=pattern).content.split("\n")

    assert listed("staging/*") == ["staging/a/", "staging/seed.txt  14"]
    assert listed("**/*.sql") == ["staging/a/b/deep.sql  8"]
    assert listed("staging/**/**/b/*") == ["staging/a/b/deep.sql  8"]
    assert listed("staging/**") == ["staging/a/", "staging/a/b/", "staging/a/b/deep.sql  8", "staging/seed.txt  14"]
    assert listed(".colony/*") == [".colony/workflows/"] and listed(".env") == ["no file matches '.env'"]
    for number in range(600):
        (colony.root / f"reports/{number}").touch()
    assert len(listed("reports/*")) == 501 and listed("reports/*")[-1].startswith("… more than 500")


def test_colonys_commands_open_no_way_round_the_bounds(make: Callable[..., Tools], colony: Colony) -> None:
    (colony.root / "staging/link.json").symlink_to("/etc/hostname")
    for words, said in {
        "state task claim -- touch staging/run": "may not run a command",
        "state task claim x --agent worker -- touch staging/run": "may not run a command",
        "state task -- claim": "with task list",
        "fetch -- --pipeline evil.yml": "may not use",
        "workflow show /etc/passwd": "outside your working folder",
        "workflow validate ../w.yaml": "must be below",
        "transform staging/link.json --dataset x": "cannot read 'link.json'",
        "validate-data .git/config": "not yours to read",
    }.items():
        outcome = use(make(), "colony", arguments=words.split())
        assert outcome.is_error and said in outcome.content, (words, outcome.content)
    assert not (colony.root / "staging/run").exists()
    assert not use(make(), "colony", arguments=["workflow", "list"]).is_error


def test_what_a_shell_leaves_in_its_home_is_in_no_other_tools(make: Callable[..., Tools], tmp_path: Path) -> None:
    tools = make(scripts=[{**SCRIPT, "command": ["sh", "-c", "ls -A ~; echo $HOME"]}])
    assert not use(tools, "bash", command="touch ~/.netrc $TMPDIR/x").is_error
    home = tmp_path / "scratch/put"
    assert use(tools, "put", row="1").content == f"{home}\n"
    for other in (home, tmp_path / "scratch/colony", tmp_path / "scratch"):
        other.mkdir(exist_ok=True)
        assert use(tools, "bash", command=f"touch {other}/.netrc").is_error
    assert "\n.netrc" in use(tools, "bash", command="ls -A ~; ls -A ~").content


@pytest.mark.parametrize(
    "text", ["", "\0", "\ud800", "x" * 300_000, "../" * 900, "é\u202e", "-", "~", "*" * 50, "[", "{{row}}"]
)
def test_whatever_a_model_writes_it_gets_an_answer_that_can_be_kept(make: Callable[..., Tools], text: str) -> None:
    tools = make()
    calls: list[tuple[str, Any]] = [
        ("bash", {"command": text}), ("bash", {"command": f"echo '{text}'"}), ("bash", text), ("bash", None), (text, {}),
        ("read_file", {"path": text}), ("list_files", {"pattern": text}), ("write_file", {"path": "staging/" + text, "content": text}),
        ("write_file", {"path": "staging/f", "content": text}), ("edit_file", {"path": "staging/f", "old": text, "new": text}),
        ("colony", {"arguments": [text]}), ("colony", {"arguments": ["state", "get", text]}), ("colony", {"arguments": ["transform", text]}),
        ("put", {"row": text}), ("put", [text]),
    ]  # fmt: skip
    for name, given in calls:
        assert tools.effect(name, given) in ("read", "idempotent", "write")
        outcome = tools.call(name, given, key="k", deadline=None, started=lambda pid: None, asked=lambda: False)
        assert outcome.content.encode() is not None and len(outcome.content) < 32_000, (name, given)


def test_a_shell_command_changes_nothing_that_colony_believes_later(make: Callable[..., Tools], colony: Colony) -> None:
    (colony.root / ".colony/cache").mkdir(exist_ok=True)
    (colony.root / ".colony/cache/colony.json").write_text("{}")
    places = ("cache/colony.json", "cache/workflow-hello.yaml.json", "workflows/x.yaml", "runs/x", "spending/x")
    for place in places:
        assert use(make(), "bash", command=f"echo harm > .colony/{place}").is_error, place
    assert use(make(), "bash", command="mv .colony/cache .colony/state/").is_error
    assert (colony.root / ".colony/cache/colony.json").read_text() == "{}"


def test_the_names_of_secrets_are_told_for_those_alone_that_are_there(make: Callable[..., Tools]) -> None:
    tools = make(environment={"API_KEY": "verysecret", "COLONY_SECRETS": "ANTHROPIC_API_KEY:API_KEY"})
    assert use(tools, "bash", command="echo $COLONY_SECRETS").content == "API_KEY\n"
