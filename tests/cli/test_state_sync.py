"""`colony state pull`, `push` and `sync`: machines that share one state through a bare remote."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from itertools import permutations
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from colony_lib.store import paths, statesync, stateworktree
from tests.conftest import REPOSITORY, Colony, clean_environment
from tests.machines import CONFIG, WHO, Machine, bare, check_whole, environment, git, machine, settle

SCHEMA = json.loads((REPOSITORY / "schemas" / "state-sync.schema.json").read_text())
HOST = re.escape(os.uname().nodename)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return bare(tmp_path)


@pytest.fixture
def two(tmp_path: Path, remote: Path) -> tuple[Machine, Machine]:
    return machine(tmp_path, "a", remote), machine(tmp_path, "b", remote)


@pytest.fixture
def one(tmp_path: Path, remote: Path) -> Machine:
    return machine(tmp_path, "a", remote)


@pytest.fixture(autouse=True)
def _nobodys_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git has no identity and no configuration but the repository's own."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def refused(each: Machine, code: int, *words: str, **settings: Any) -> str:
    """The one line of a sync that must fail with that status and leave the state's files as they were."""
    before = each.meaning()
    result = each.sync(*words or ("sync",), check=False, **settings)
    assert (result.code, result.out) == (code, ""), result
    assert result.err.startswith("colony state: ") and result.err.count("\n") == 1, result
    assert each.meaning() == before
    return result.err.removeprefix("colony state: ").rstrip("\n")


# ---- two machines


def test_what_two_machines_did_offline_is_on_both_after_a_sync_of_each(
    two: tuple[Machine, Machine], remote: Path
) -> None:
    a, b = two
    code = a.code(), b.code()
    for each, name in ((a, "a"), (b, "b")):
        each.add(f"from {name}")
        each.remember(f"seen by {name}")
        each.set("load_metadata", **{f"rows_{name}": 1}, by__all=True)
    assert a.sync().err == "sent tasks: 1 added; memory: 1 added; load_metadata: rows_a, by\n"
    assert b.sync().err == (
        "received tasks: 1 added; memory: 1 added; load_metadata: rows_a\n"
        "sent tasks: 1 added; memory: 1 added; load_metadata: rows_b\n"
    )
    assert a.sync().err == "received tasks: 1 added; memory: 1 added; load_metadata: rows_b\n"
    assert a.sync().err == b.sync().err == "unchanged\n"
    check_whole(remote, [a, b])
    assert a.titles() == b.titles() == ["from a", "from b"]
    assert b.document("load_metadata") == {"rows_a": 1, "rows_b": 1, "by": {"all": True}}
    assert (a.code(), b.code()) == code


def test_commits_say_what_changed_and_where_and_the_folder_is_a_clean_worktree(two: tuple[Machine, Machine]) -> None:
    a, b = two
    ids = [a.add(f"t{number}") for number in range(3)]
    a("state", "task", "claim", ids[0], "--agent", "worker")
    a("state", "task", "complete", ids[0])
    a.set("load_metadata", rows=5)
    a.exchange()
    assert a.state_git("status").splitlines()[0] == "On branch colony/state"
    assert a.state_git("status", "--porcelain") == ""
    assert re.fullmatch(
        f"{HOST}: tasks: 3 added, 1 claimed, 1 completed; load_metadata: rows\n", a.state_git("log", "--format=%s")
    )
    b.remember("x")
    b.exchange()
    assert b.state_git("log", "-1", "--format=%s").strip().endswith(
        ": merged tasks: 3 added, 1 claimed, 1 completed; load_metadata: rows"
    )
    tree = b.state_git("ls-tree", "-r", "--name-only", "HEAD").split()
    assert tree == [".fields/load_metadata.jsonl", ".gitattributes", ".gitignore", "load_metadata.json", "memory.jsonl", "tasks.jsonl"]
    assert git(b.root, "merge-base", "main", "colony/state", check=False) == ""  # no code in it, now or ever


@pytest.mark.parametrize("order", sorted(set(permutations("aabb"))))
def test_any_order_of_pulls_and_pushes_comes_to_the_same(order: tuple[str, ...], tmp_path: Path, remote: Path) -> None:
    machines = {name: machine(tmp_path, name, remote, dirty=False) for name in "ab"}
    verbs = {"a": iter(("push", "pull")), "b": iter(("pull", "push"))}
    for number, name in enumerate(order):
        machines[name].add(f"{name}{number}")
        machines[name].set("doc", **{name: number}, last=number)
        machines[name].exchange(next(verbs[name]))
    settle([*machines.values()])
    check_whole(remote, [*machines.values()])
    assert machines["a"].titles() == sorted(f"{name}{number}" for number, name in enumerate(order))
    last = {name: max(n for n, other in enumerate(order) if other == name) for name in "ab"}
    assert machines["b"].document("doc") == {**last, "last": 3}


def test_pull_sends_nothing_and_push_leaves_the_files_as_they_are(two: tuple[Machine, Machine], remote: Path) -> None:
    a, b = two
    a.add("from a")
    a.exchange()
    b.add("from b")
    before = b.meaning()
    assert b.sync("push").err == "sent tasks: 1 added\n"
    assert {name: data for name, data in b.meaning().items() if not name.startswith(".")} == before
    assert b.state_git("status", "--porcelain") == ""
    a.add("more")
    there = git(remote, "rev-parse", "colony/state")
    assert a.sync("pull").err == "received tasks: 1 added\n"
    assert git(remote, "rev-parse", "colony/state") == there
    assert a.titles() == ["from a", "from b", "more"]
    assert a.sync("push").err == "sent tasks: 1 added\n"
    assert b.sync("pull").err == "received tasks: 2 added\n"
    check_whole(remote, [a, b])


def test_json_is_one_object_of_its_schema(two: tuple[Machine, Machine]) -> None:
    a, b = two
    a.add("x")
    a.set("doc", n=1)
    (a.state / "notes").mkdir()
    sent = json.loads(a.sync("sync", "--json").out)
    received = json.loads(b.sync("pull", "--json").out)
    for found in (sent, received):
        jsonschema.validate(found, SCHEMA)
    nothing = {"tasks": {}, "memory": {}, "documents": {}}
    assert (sent["pushed"], sent["remote"], sent["received"]) == (True, "origin", nothing)
    assert sent["sent"] == received["received"] == {"tasks": {"added": 1}, "memory": {}, "documents": {"doc": ["n"]}}
    assert sent["left_out"] == [{"name": "notes", "why": "it is neither a journal of Colony's nor a document"}]
    assert received["commit"] == sent["commit"] == a.git("rev-parse", "colony/state").strip()


# ---- documents


def test_of_a_field_the_newest_write_counts_and_other_fields_are_kept(two: tuple[Machine, Machine], remote: Path) -> None:
    a, b = two
    a.set("doc", both=0, gone=1, list=[1], deep__a=1, deep__b=1)
    settle([a, b])
    b("state", "set", "doc", "-", input='{"both": "b", "list": [1, 2], "deep": {"a": 1, "b": 2}, "only_b": {}}')
    a.set("doc", both="a", deep__a=2, only_a=[])
    settle([b, a])
    check_whole(remote, [a, b])
    assert a.document("doc") == {"both": "a", "list": [1, 2], "deep": {"a": 2, "b": 2}, "only_b": {}, "only_a": []}


def test_a_field_that_was_written_before_anothers_is_not_made_newer_by_its_neighbours(
    two: tuple[Machine, Machine], remote: Path
) -> None:
    a, b = two
    a.set("doc", x="a", y="a")
    b.set("doc", x="b", z="b")
    a.set("doc", y="later", z="a")
    b("state", "set", "doc", "-", input='{"x": "b", "z": "b", "n": 1}')
    settle([b, a])
    check_whole(remote, [a, b])
    assert a.document("doc") == {"x": "b", "y": "later", "z": "a", "n": 1}
    assert not list(a.state.glob(".*.times")) + list(b.state.glob(".*.times"))


@pytest.mark.parametrize("year", [1956, 2096])
def test_a_write_that_knew_another_one_is_later_whatever_the_clocks_say(
    year: int, two: tuple[Machine, Machine], remote: Path
) -> None:
    a, b = two
    moment = (year - 1970) * 31_556_952
    for turn, (each, other) in enumerate([(a, b), (b, a), (a, b), (b, a)]):
        if each is a:
            each.set("doc", who="a", turn=turn)
        else:  # written by a program that knows nothing of Colony, so that the file's time is all there is
            b.write(".colony/state/doc.json", json.dumps({"who": "b", "turn": turn}))
            os.utime(b.state / "doc.json", (moment, moment))
        each.exchange()
        other.exchange()
        assert a.document("doc") == b.document("doc") == {"who": each.root.name, "turn": turn}
    check_whole(remote, [a, b])


def test_a_damaged_document_stays_as_it_is_where_it_is_and_damages_no_other(
    two: tuple[Machine, Machine], remote: Path
) -> None:
    a, b = two
    a.set("doc", n=1)
    settle([a, b])
    damaged = '{"n": 1, '
    a.write(".colony/state/doc.json", damaged)
    b.set("doc", n=2)
    b.exchange()
    result = a.sync()
    assert result.err == "colony state: 'doc.json' is not shared: it is not JSON\nreceived doc: n\n"
    assert (a.state / "doc.json").read_text() == damaged
    assert b.sync().err == "unchanged\n" and b.document("doc") == {"n": 2}
    (a.state / "doc.json").unlink()
    a.exchange()
    check_whole(remote, [a, b])
    assert a.document("doc") == {"n": 2}


def test_a_file_that_is_gone_is_brought_back_and_is_nobodys_deletion(two: tuple[Machine, Machine], remote: Path) -> None:
    a, b = two
    a.add("kept")
    a.set("doc", n=1)
    settle([a, b])
    for path in a.state.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    settle([a, b])
    check_whole(remote, [a, b])
    assert a.titles() == ["kept"] and a.document("doc") == {"n": 1}


def test_two_colonies_that_began_apart_become_one(two: tuple[Machine, Machine], remote: Path) -> None:
    a, b = two
    git(a.root, "config", "--remove-section", "remote.origin")
    for each in (a, b):
        each.add(f"from {each.root.name}")
        each.set("doc", **{each.root.name: 1}, who=each.root.name)
        each.exchange()
    assert "committed here only" in a.sync().err
    git(a.root, "remote", "add", "origin", str(remote))
    a.exchange()
    settle([a, b])
    check_whole(remote, [a, b])
    assert b.titles() == ["from a", "from b"] and a.document("doc") == {"who": "b", "a": 1, "b": 1}


def test_a_state_that_was_copied_is_not_a_new_write_of_all_of_it(two: tuple[Machine, Machine], remote: Path) -> None:
    a, b = two
    a.set("doc", n=1, m=1)
    a.exchange()
    shutil.copy(a.state / "doc.json", b.state.parent)
    a.set("doc", n=2)
    a.exchange()
    b.state.mkdir()
    shutil.move(b.state.parent / "doc.json", b.state / "doc.json")
    os.utime(b.state / "doc.json", (0, 0))
    settle([b, a])
    check_whole(remote, [a, b])
    assert a.document("doc") == {"n": 2, "m": 1}


# ---- claims


def test_a_task_claimed_on_both_machines_is_settled_alike_and_the_loser_is_told_once(
    two: tuple[Machine, Machine], remote: Path
) -> None:
    a, b = two
    task = a.add("load")
    settle([a, b])
    a.claim(task, "worker")
    b.claim(task, "worker")
    a.exchange()
    results = [b.sync(), a.sync(), b.sync()]
    check_whole(remote, [a, b])
    events = [json.loads(line) for line in (a.state / "tasks.jsonl").read_text().splitlines()]
    claims = sorted((event["clock"], event["id"]) for event in events if event["type"] == "claim")
    assert len(claims) == 2
    for each in (a, b):
        (found,) = each.tasks()
        assert (found["status"], found["claim"]) == ("in_progress", claims[0][1])
    told = f"the task 'load' ({task}) is no longer with 'worker': it went to 'worker' on another machine"
    assert sum(result.err.count(f"colony state: {told}\n") for result in results) == 1
    losers = [each for each in (a, b) if each.lines("messages", "list", "worker", "--json")]
    assert len(losers) == 1
    (message,) = losers[0].lines("messages", "list", "worker", "--json")
    assert (message["from"], message["to"], message["text"]) == ("colony", "worker", told)
    (line,) = losers[0].lines("logs", "worker", "--json")
    assert (line["level"], line["message"]) == ("warn", told)


def test_every_way_to_lose_a_task_is_told_and_ends_that_are_no_loss_are_not(two: tuple[Machine, Machine]) -> None:
    a, b = two
    names = ("done", "given", "back", "mine", "theirs")
    ids = {name: a.add(name) for name in names}
    for name in names[:4]:
        a.claim(ids[name], "nobody-known" if name == "back" else "worker")
    settle([a, b])
    b("state", "task", "complete", ids["done"])
    b("state", "task", "assign", ids["given"], "loader")
    b("state", "task", "update", ids["back"], "ready")
    b("state", "task", "claim", ids["theirs"], "--agent", "loader")
    b.exchange()
    a("state", "task", "complete", ids["mine"])
    lost = a.exchange()["lost"]
    assert {(loss["title"], loss["agent"], loss["status"], loss["holder"]) for loss in lost} == {
        ("done", "worker", "completed", None),
        ("given", "worker", "in_progress", "loader"),
        ("back", "nobody-known", "open", None),
    }
    assert "was put back on another machine" in a("messages", "list", "user").out
    b("state", "task", "complete", ids["theirs"])
    b.exchange()
    for each in (a, b):  # b hears of the end of a's task, and a of the end of b's: neither had it
        assert each.exchange()["lost"] == []


# ---- what goes wrong


def test_what_cannot_be_is_said_in_one_line(one: Machine, tmp_path: Path, colony: Colony) -> None:
    one.add("x")
    refuse = refused(Machine(colony.root), 2)
    assert refuse == (
        "the state of this colony is kept in its files only; "
        "write 'shared_state: {backend: git-backed, location: in-repo}' into colony.yml"
    )
    colony.write("colony.yml", CONFIG)
    assert refused(Machine(colony.root), 2) == (
        f"shared_state is in-repo, but '{colony.root}' lies in no git repository; "
        "run 'git init' there, or write the URL of a remote as location into colony.yml"
    )
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sh").symlink_to("/bin/sh")
    (tools / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tools / "python3").chmod(0o755)
    done = subprocess.run(
        [REPOSITORY / "bin" / "colony-state", "sync"],
        cwd=one.root,
        env={**clean_environment(), "PATH": str(tools)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "colony state: git is not installed, or not on PATH; install git, 2.30 or newer\n"
    git(one.root, "config", "--remove-section", "remote.origin")
    assert refused(one, 1, "pull") == "there is no remote to pull from; git remote add origin URL"
    assert refused(one, 1, "push") == "there is no remote to push to; git remote add origin URL"
    git(one.root, "remote", "add", "x", "nowhere")
    git(one.root, "remote", "add", "y", "nowhere")
    assert refused(one, 2).startswith("the repository has 2 remotes, and none is 'origin'; name one of them: ")
    assert one.titles() == ["x"]


def test_offline_nothing_is_touched_and_what_was_done_goes_with_the_next_sync(
    two: tuple[Machine, Machine], remote: Path
) -> None:
    a, b = two
    a.add("first")
    away = remote.with_name("away.git")
    remote.rename(away)
    code = a.code()
    for verb in ("pull", "sync"):
        assert refused(a, 1, verb).startswith("cannot reach 'origin': git says: ")
    assert not (a.state / ".git").exists() and a.code() == code
    away.rename(remote)
    a.exchange()
    remote.rename(away)
    a.set("doc", n=1)
    here = a.git("for-each-ref")
    refused(a, 1)
    assert a.git("for-each-ref") == here
    away.rename(remote)
    settle([a, b])
    check_whole(remote, [a, b])
    assert b.titles() == ["first"] and b.document("doc") == {"n": 1}


def test_a_remote_that_refuses_says_why_and_nothing_is_lost(two: tuple[Machine, Machine], remote: Path) -> None:
    a, b = two
    a.add("from a")
    a.exchange()
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'not on a Friday' >&2\nexit 1\n")
    hook.chmod(0o755)
    b.add("from b")
    result = b.sync(check=False)
    assert (result.code, result.err) == (
        1,
        "received tasks: 1 added\n"
        "colony state: 'origin' refuses the state: [remote rejected] (pre-receive hook declined): not on a Friday; "
        "the state here is kept, and goes with the next sync that the remote takes\n",
    )
    assert b.titles() == ["from a", "from b"]  # what came is there
    hook.unlink()
    settle([b, a])
    check_whole(remote, [a, b])
    assert a.titles() == ["from a", "from b"]


def test_a_branch_that_was_deleted_or_wound_back_at_the_remote_is_made_whole_again(
    two: tuple[Machine, Machine], remote: Path
) -> None:
    a, b = two
    a.add("one")
    settle([a, b])
    old = git(remote, "rev-parse", "colony/state").strip()
    b.add("two")
    b.set("doc", n=1)
    settle([b, a])
    for command in (["branch", "-D", "colony/state"], ["update-ref", "refs/heads/colony/state", old]):
        git(remote, *command)
        a.exchange()
        settle([b, a])
        check_whole(remote, [a, b])
        assert a.titles() == b.titles() == ["one", "two"] and b.document("doc") == {"n": 1}


def test_a_line_that_somebody_took_out_of_the_branch_comes_back(two: tuple[Machine, Machine], remote: Path) -> None:
    a, b = two
    a.add("one")
    a.add("two")
    settle([a, b])
    text = (b.state / "tasks.jsonl").read_text().splitlines(keepends=True)
    (b.state / "tasks.jsonl").write_text(text[0])
    b.state_git("rm", "-q", "--cached", ".gitattributes")
    b.state_git(*WHO, "commit", "-q", "-n", "-am", "less")
    b.state_git("push", "-q", "--no-verify", str(remote), "HEAD:colony/state")
    settle([a, b])
    check_whole(remote, [a, b])
    assert a.titles() == b.titles() == ["one", "two"]


def test_a_shallow_clone_shares_like_any_other(one: Machine, tmp_path: Path, remote: Path) -> None:
    for number in range(4):
        one.add(f"t{number}")
        one.exchange()
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{remote}", "shallow")
    shallow = Machine(tmp_path / "shallow")
    shallow.add("from there")
    settle([shallow, one])
    check_whole(remote, [one, shallow])
    assert len(one.titles()) == 5


def test_what_is_hostile_in_the_branch_stays_in_git_and_is_named(
    two: tuple[Machine, Machine], tmp_path: Path, remote: Path
) -> None:
    a, b = two
    a.add("good")
    a.exchange()
    (tmp_path / "victim").write_text("untouched")

    def blob(data: str) -> str:
        return git(a.root, "hash-object", "-w", "--stdin", input=data).strip()

    line = '{"v":1,"id":"x","clock":3,"ts":"2026-11-23T06:18:00.123Z","by":"m","type":"add","task":"t-x","title":"came"}'
    entries = {line.split("\t")[1]: line for line in a.git("ls-tree", "colony/state").splitlines()}
    bad = {
        "link.json": ("120000", "blob", blob(str(tmp_path / "victim"))),
        "evil.json": ("120000", "blob", blob("../../colony.yml")),
        "sub": ("160000", "commit", "1" * 40),
        "folder.json": ("040000", "tree", git(a.root, "mktree", input="").strip()),
        "-rf.json": ("100644", "blob", blob("{}")),
        "a\x1b[2J.json": ("100644", "blob", blob("{}")),
        "run.sh": ("100755", "blob", blob("touch /tmp/x")),
        "half.json": ("100644", "blob", blob("{")),
        "deep.json": ("100644", "blob", blob("[" * 100_000)),
        "not-utf8-\udcff.json": ("100644", "blob", blob("{}")),
        "good.json": ("100644", "blob", blob('{"n": 1}')),
        "tasks.jsonl": ("100644", "blob", blob((a.state / "tasks.jsonl").read_text() + line + "\nnot an event\n")),
    }
    made = entries | {name: f"{' '.join(entry)}\t{name}" for name, entry in bad.items()}
    tree = git(a.root, "mktree", "-z", "--missing", input="".join(line + "\0" for line in made.values())).strip()
    commit = git(a.root, *WHO, "commit-tree", tree, "-p", "colony/state", "-m", "evil").strip()
    a.git("push", "-q", "--no-verify", "origin", f"{commit}:refs/heads/colony/state")
    b.add("from b")
    result = b.sync()
    for name in ("link.json", "evil.json", "sub", "folder.json", "-rf.json", "run.sh", "half.json", "deep.json"):
        assert f"colony state: '{name}' is not shared: " in result.err
        assert not os.path.lexists(b.state / name)
    assert "\x1b" not in result.err and "'a\\x1b[2J.json' is not shared" in result.err
    assert "skipped" not in result.err
    assert b.document("good") == {"n": 1}
    assert {path.name for path in b.state.iterdir()} == {
        ".fields", ".git", ".gitattributes", ".gitignore", ".claims.json", "good.json", "tasks.jsonl",
    } - ({".claims.json"} - {path.name for path in b.state.iterdir()})  # fmt: skip
    assert sorted(task["title"] for task in b.lines("state", "task", "list", "--json")) == ["came", "from b", "good"]
    assert "not an event" in (b.state / "tasks.jsonl").read_text().splitlines()
    listed = git(b.root, "ls-tree", "-z", "--name-only", "colony/state").split("\0")
    assert set(bad) <= set(listed)  # what is others' is still there
    said = {found["name"] for found in json.loads(a.sync("sync", "--json").out)["left_out"]}
    assert said >= {"link.json", "not-utf8-\\udcff.json", "a\\x1b[2J.json"}
    assert a.meaning() == b.meaning()
    assert (tmp_path / "victim").read_text() == "untouched"


def test_a_branch_of_code_is_never_written_to(two: tuple[Machine, Machine], remote: Path) -> None:
    a, _ = two
    a.git("branch", "develop", "main")
    a.write("colony.yml", CONFIG.replace("location: in-repo", "location: in-repo\n  branch: develop"))
    a.add("x")
    before = a.git("for-each-ref")
    assert refused(a, 2).startswith("the branch 'develop' holds code: it shares its history with HEAD; ")
    a.write("colony.yml", CONFIG.replace("location: in-repo", "location: in-repo\n  branch: main"))
    assert refused(a, 2).startswith(f"the branch 'main' is checked out in '{a.root}'; ")
    assert a.git("for-each-ref") == before and not (a.state / ".git").exists()


def test_a_second_colony_of_the_repository_is_told_to_take_a_branch_of_its_own(one: Machine, tmp_path: Path) -> None:
    one.add("x")
    one.exchange()
    git(one.root, "worktree", "add", "-q", str(tmp_path / "feature"), "-b", "feature")
    other = Machine(tmp_path / "feature")
    other.add("y")
    assert refused(other, 2).startswith(f"the branch 'colony/state' is checked out in '{one.state}'; ")
    other.write("colony.yml", CONFIG.replace("location: in-repo", "location: in-repo\n  branch: colony/feature"))
    other.exchange()
    assert one.sync().err == "unchanged\n" and one.titles() == ["x"] and other.titles() == ["y"]


def test_in_a_git_hook_the_state_goes_to_its_own_branch_and_not_into_the_commit(one: Machine) -> None:
    for hook in (one.root / ".git" / "hooks").iterdir():
        hook.unlink()
    one.add("x")
    hook = one.root / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\ncolony state sync\n")
    hook.chmod(0o755)
    environ = environment(GIT_WORK_TREE=str(one.root), GIT_DIR=str(one.root / ".git"))
    done = subprocess.run(
        ["git", *WHO, "commit", "-a", "-m", "all"], cwd=one.root, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0 and "sent tasks: 1 added" in done.stderr, done
    assert one.git("show", "--name-only", "--format=").split() == ["code.py", "staged.py"]
    assert one.git("status", "--porcelain") == ""
    assert "tasks.jsonl" in one.git("ls-tree", "--name-only", "colony/state")


def test_a_plain_merge_by_git_itself_keeps_every_event(two: tuple[Machine, Machine], remote: Path) -> None:
    a, b = two
    a.add("common")
    settle([a, b])
    for each in (a, b):
        each.add(f"from {each.root.name}")
        each.set("doc", **{each.root.name: 1}, who="x")
    a.exchange()
    (b.root / ".git" / "hooks").rename(b.root / ".git" / "no-hooks")
    b.state_git("add", ".")
    b.state_git(*WHO, "commit", "-q", "-m", "by hand")
    b.state_git("fetch", "-q", "origin", "colony/state")
    done = subprocess.run(
        ["git", *WHO, "merge", "--no-edit", "FETCH_HEAD"], cwd=b.state, env=environment(), capture_output=True, text=True
    )
    assert "tasks.jsonl" in done.stdout and "CONFLICT" in done.stdout and "tasks.jsonl" not in re.findall(
        "CONFLICT.* in (.*)", done.stdout
    )
    (b.state / "doc.json").write_text('{"who": "a person", "a": 1, "b": 1}\n')
    b.state_git("add", ".")
    b.state_git(*WHO, "commit", "-q", "-m", "merged by hand")
    (b.root / ".git" / "no-hooks").rename(b.root / ".git" / "hooks")
    settle([b, a])
    check_whole(remote, [a, b])
    assert a.titles() == ["common", "from a", "from b"]
    assert a.document("doc") == {"who": "a person", "a": 1, "b": 1}


def test_a_document_that_was_edited_in_the_branch_counts_as_written_then(
    two: tuple[Machine, Machine], tmp_path: Path, remote: Path
) -> None:
    a, b = two
    a.set("doc", n=1, m=1)
    settle([a, b])
    git(tmp_path, "clone", "-q", "-b", "colony/state", str(remote), "forge")
    (tmp_path / "forge" / "doc.json").write_text('{"n": 5, "m": 1, "new": true}')
    git(tmp_path / "forge", *WHO, "commit", "-q", "-am", "edited in the browser")
    git(tmp_path / "forge", "push", "-q")
    b.set("doc", m=2)
    settle([a, b])
    check_whole(remote, [a, b])
    assert a.document("doc") == {"n": 5, "m": 2, "new": True}


def test_a_state_folder_that_has_something_else_checked_out_is_left_alone(
    two: tuple[Machine, Machine], remote: Path, tmp_path: Path
) -> None:
    a, b = two
    a.set("doc", n=1)
    a.exchange()
    a.set("doc", n=2)
    settle([a, b])
    a.state_git("checkout", "-q", "HEAD^")
    assert refused(a, 1) == (
        "the state folder has something else than the branch 'colony/state' checked out; "
        "git -C .colony/state checkout colony/state"
    )
    a.state_git("checkout", "-q", "colony/state")
    a.exchange()
    check_whole(remote, [a, b])
    assert a.document("doc") == {"n": 2}
    (a.state / ".git").write_text(f"gitdir: {git(tmp_path, 'init', '-q', 'other')}{tmp_path}/other/.git\n")
    assert refused(a, 2).endswith("/.colony/state/.git' is in the way: the state folder is a checkout of something else; move that file away")
    (a.state / ".git").unlink()
    a.write("colony.yml", CONFIG.replace("location: in-repo", "location: in-repo\n  branch: other/state"))
    a.exchange()  # colony.yml names another branch: that one is checked out from now on
    assert a.state_git("status", "--porcelain", "--branch") == "## other/state\n" and a.document("doc") == {"n": 2}


def test_what_one_machine_compacted_stays_so_on_all(two: tuple[Machine, Machine]) -> None:
    a, b = two
    for number in range(6):
        a("state", "task", "add", f"t{number}")
        a("state", "task", "claim", "--agent", "worker")
        a("state", "task", "complete", f"t{number}")
    settle([a, b])
    meant = b.lines("state", "task", "list", "--json")
    a("state", "compact")
    b("state", "task", "add", "meanwhile")
    settle([a, b])
    journals = [(machine.root / ".colony/state/tasks.jsonl").read_bytes() for machine in two]
    assert journals[0] == journals[1] and len(journals[0].splitlines()) == 7
    assert [task["title"] for task in a.lines("state", "task", "list", "--json")] == [*(f"t{n}" for n in range(6)), "meanwhile"]
    assert a.lines("state", "task", "list", "--json")[:6] == meant
    settle([b, a])
    assert [(machine.root / ".colony/state/tasks.jsonl").read_bytes() for machine in two] == journals


def test_what_many_syncs_leave_is_packed_and_nothing_else_is(
    two: tuple[Machine, Machine], remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    mine = a.git("hash-object", "-w", "--stdin", input="nobody refers to this").strip()
    code = a.code()
    monkeypatch.setattr(stateworktree, "MANY", 3)
    for number in range(7):
        a.set("doc", n=number)
        a.exchange()
    loose = {path.parent.name + path.name for path in (a.root / ".git" / "objects").glob("??/*")}
    state = set(a.git("rev-list", "--objects", "--no-object-names", "colony/state~3").split())
    assert mine in loose and len(state) > 15 and not state & loose
    assert a.code() == code
    settle([a, b])
    check_whole(remote, [a, b])


# ---- where the state goes


def test_outside_any_repository_the_state_folder_is_one_of_its_own(
    tmp_path: Path, colony: Colony, remote: Path, one: Machine
) -> None:
    here = Machine(colony.root)
    environ = {"STATE_TOKEN": "s3cret-token-value", "STATE_REMOTE": str(remote)}
    here.write("colony.yml", CONFIG.replace("in-repo", "$STATE_REMOTE"))
    here.add("from outside")
    assert "STATE_REMOTE is not set" in refused(here, 2)
    assert here.sync(env=environ).err == "sent tasks: 1 added\n"
    one.add("from inside")
    settle([one])
    assert here.sync(env=environ).err == "received tasks: 1 added\n"
    assert one.titles() == here.titles() == ["from inside", "from outside"]
    assert here.state_git("status", "--porcelain", "--branch") == "## colony/state\n"
    here.write("colony.yml", CONFIG.replace("in-repo", "https://user:$STATE_TOKEN@localhost:1/$STATE_TOKEN.git"))
    result = here.sync(env=environ, check=False)
    assert result.code == 1 and "s3cret" not in result.err and "cannot reach" in result.err
    for path in colony.root.rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes()


@pytest.mark.parametrize("location", ["-u/x", "ext::sh -c touch% pwned", "fd::3", ""])
def test_a_location_is_never_an_option_or_a_program(location: str, colony: Colony, tmp_path: Path) -> None:
    here = Machine(colony.root)
    git(here.root, "init", "-q")
    here.write("colony.yml", CONFIG.replace("in-repo", "$WHERE"))
    assert here.sync(env={"WHERE": location}, check=False).code in (1, 2)
    here.write("colony.yml", CONFIG)
    git(here.root, "config", "remote.origin.url", location or "::")
    result = here.sync(check=False)
    assert result.code in (1, 2) and result.err.count("\n") == 1
    assert not list(tmp_path.rglob("*pwned*"))


def test_a_colony_that_was_moved_or_copied_goes_on_by_itself(two: tuple[Machine, Machine], tmp_path: Path, remote: Path) -> None:
    a, b = two
    a.add("one")
    settle([a, b])
    a.root.rename(tmp_path / "moved")
    moved = Machine(tmp_path / "moved")
    shutil.copytree(b.root, tmp_path / "copy", symlinks=True)
    copy = Machine(tmp_path / "copy")
    for each in (moved, copy, b):
        each.add(f"from {each.root.name}")
        each.exchange()
        assert each.state_git("rev-parse", "--absolute-git-dir").startswith(str(each.root))
    settle([moved, copy, b])
    check_whole(remote, [moved, copy, b])
    assert b.titles() == ["from b", "from copy", "from moved", "one"]
    assert len(git(moved.root, "worktree", "list").splitlines()) == 2


def test_a_state_folder_on_another_file_system_is_shared_as_well(
    two: tuple[Machine, Machine], remote: Path, tmp_path: Path
) -> None:
    a, b = two
    elsewhere = Path("/dev/shm") / f"colony-{os.getpid()}-{tmp_path.name}"
    elsewhere.mkdir()
    try:
        a.state.symlink_to(elsewhere)
        a.add("from a")
        b.add("from b")
        settle([a, b])
        check_whole(remote, [a, b])
        assert a.titles() == ["from a", "from b"]
    finally:
        shutil.rmtree(elsewhere)


def test_from_inside_an_agents_worktree_it_is_the_colonys_state_that_is_shared(one: Machine) -> None:
    one.add("x")
    inside = one.root / ".colony" / "worktrees" / "worker"
    git(one.root, "worktree", "add", "-q", str(inside), "-b", "agent/worker")
    assert one("state", "sync", cwd=inside, env={"HOME": "/nonexistent"}).err == "sent tasks: 1 added\n"
    assert not (inside / ".colony" / "state").exists()


def test_init_makes_the_worktree_ahead_of_the_first_sync(one: Machine) -> None:
    code = one.code()
    one("init", env={"HOME": "/nonexistent"})
    assert one.state_git("rev-parse", "--show-toplevel").strip() == str(one.state)
    assert "On branch colony/state\n\nNo commits yet\n" in one.state_git("status")
    assert one.code()["refs"] == code["refs"] and one.code()["index"] == code["index"]
    one.add("x")
    one.exchange()
    one("init", env={"HOME": "/nonexistent"})
    assert one.state_git("status", "--porcelain") == ""


def test_health_says_what_would_keep_the_state_from_being_shared(one: Machine, tmp_path: Path) -> None:
    def state() -> list[tuple[str, str]]:
        paths.use(str(one.root))
        return [found[:2] for found in statesync.obstacles()]

    (line,) = [line for line in one("health", check=False).out.splitlines() if line.split()[1] == "state"]
    assert line == "ok    state        the branch 'colony/state' at 'origin'; not synced yet"
    one.add("x")
    one.exchange()
    assert state() == [("ok", "the branch 'colony/state' at 'origin'")]
    git(one.root, "config", "--remove-section", "remote.origin")
    (one.root / ".colony" / ".gitignore").unlink()
    assert state()[:2] == [
        ("warn", "git does not ignore .colony/state"),
        ("warn", "the repository has no remote: the state is committed here and shared with nobody"),
    ]
    one.write("colony.yml", CONFIG.replace("in-repo", "in-repo\n  branch: main"))
    assert state() == [("warn", f"the branch 'main' is checked out in '{one.root}'")]


# ---- locks, signals, full disks


def test_dead_locks_of_its_own_are_cleared_and_nobody_elses(one: Machine, remote: Path) -> None:
    one.add("x")
    one.exchange()
    folder = one.root / ".git"
    own = [
        folder / "refs/heads/colony/state.lock",
        folder / "refs/colony/base/colony/state.lock",
        folder / "refs/colony/merging/colony/state.lock",
        folder / "refs/colony/fetched/colony/state.lock",
        folder / "worktrees/colony-state/index.lock",
        folder / "worktrees/colony-state/HEAD.lock",
    ]
    others = [folder / "index.lock", folder / "HEAD.lock", folder / "refs/heads/main.lock", folder / "config.lock"]
    for path in own + others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    one.add("y")
    assert one.sync().err == "sent tasks: 1 added\n"
    assert not any(path.exists() for path in own) and all(path.exists() for path in others)
    (remote / "refs/heads/colony/state.lock").touch()  # a push to a remote on this machine was shot
    one.add("z")
    assert one.sync().err == "sent tasks: 1 added\n"


def test_a_second_sync_waits_for_the_first_and_then_gives_up_with_75(one: Machine, remote: Path) -> None:
    one.add("x")
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    go = remote / "go"
    os.mkfifo(go)
    hook.write_text(f"#!/bin/sh\ntouch {remote}/begun\ncat {go}\n")
    hook.chmod(0o755)
    first = one.start("state", "sync", env={"HOME": "/nonexistent"})
    try:
        while not (remote / "begun").exists():
            assert first.poll() is None
        result = one.sync("sync", "--lock-timeout", "200ms", check=False)
        assert (result.code, result.out) == (75, "")
        assert result.err.startswith("colony state: another sync of the state is busy: ")
        one("state", "task", "add", "meanwhile")  # writers do not wait for a sync
    finally:
        hook.unlink()
        go.write_text("")
    assert first.communicate(timeout=60)[1] == "sent tasks: 1 added\n" and first.returncode == 0
    one.exchange()
    assert one.titles() == ["meanwhile", "x"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_sync_and_the_git_that_it_started(number: int, code: int, one: Machine, remote: Path) -> None:
    one.add("x")
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho $$ > {remote}/begun.new\nmv {remote}/begun.new {remote}/begun\nexec sleep 300\n")
    hook.chmod(0o755)
    first = one.start("state", "sync", env={"HOME": "/nonexistent"})
    while not (remote / "begun").exists():
        assert first.poll() is None
    first.send_signal(number)
    out, err = first.communicate(timeout=60)
    assert (first.returncode, out, err) == (code, "", "")
    hook.unlink()
    assert one.sync("sync", "--lock-timeout", "60s").err == "sent tasks: 1 added\n"
    check_whole(remote, [one])


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
import os
os.execvp("colony", ["colony", "state", "sync"])
"""


@pytest.mark.parametrize("size", [0, 500, 30_000])
def test_a_disk_that_is_full_is_said_and_loses_nothing(size: int, two: tuple[Machine, Machine], remote: Path) -> None:
    a, b = two
    a.remember(os.urandom(20_000).hex())
    a.set("doc", n=1)
    b.add("from b")
    settle([b])
    a.exchange()
    before = b.meaning()
    b.add("more")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(size)],
        cwd=b.root, env=environment(), capture_output=True, text=True, preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, done
    assert all(b.meaning()[name].startswith(data[:10]) for name, data in before.items())
    assert b.titles() == ["from b", "more"]
    settle([b, a])
    check_whole(remote, [a, b])
    assert a.titles() == ["from b", "more"] and b.document("doc") == {"n": 1}


def test_a_repository_that_cannot_be_written_to_is_said(one: Machine) -> None:
    one.add("x")
    (one.root / ".git" / "refs" / "colony").write_text("in the way")
    said = refused(one, 1)
    assert said.startswith("cannot reach 'origin'") or "cannot " in said
    (one.root / ".git" / "refs" / "colony").unlink()
    assert one.sync().err == "sent tasks: 1 added\n"
