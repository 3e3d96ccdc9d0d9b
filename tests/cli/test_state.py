"""`colony state`: the real executable, its output, its errors and its exit statuses."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import clean_environment

SCHEMAS = Path(__file__).resolve().parent.parent.parent / "schemas"


def add(colony: Any, *words: str) -> str:
    return str(colony("state", "task", "add", *words).out.strip())


def fails(colony: Any, code: int, *words: str, **settings: Any) -> str:
    """The one line on standard error of a command that must fail with that code, print nothing and write nothing."""
    before = {file: file.read_bytes() for file in (colony.root / ".colony" / "state").iterdir()}
    result = colony("state", *words, check=False, **settings)
    assert (result.code, result.out) == (code, ""), result
    assert result.err.startswith("colony state: ") and result.err.count("\n") == 1, result
    assert {file: file.read_bytes() for file in (colony.root / ".colony" / "state").iterdir()} == before
    return str(result.err.removeprefix("colony state: ").rstrip("\n"))


@pytest.fixture
def chain(colony: Any) -> Any:
    """The chain of tasks of the data pipeline, made by the document's own commands."""
    script = """
        colony state task add "fetch-daily-data" \
          --description "Fetch data from all sources"
        colony state task add "transform-daily-data" \
          --description "Clean and transform fetched data" \
          --blockers "fetch-daily-data"
        colony state task add "validate-daily-data" \
          --description "Run quality validation" \
          --blockers "transform-daily-data"
        colony state task add "load-daily-data" \
          --description "Load to warehouse" \
          --blockers "validate-daily-data"
        colony state task add "generate-daily-report" \
          --description "Create pipeline report" \
          --blockers "load-daily-data"
    """
    done = subprocess.run(
        ["bash", "-ec", script], cwd=colony.root, env=clean_environment(), text=True, capture_output=True
    )
    assert done.returncode == 0 and done.stderr == ""
    colony.ids = done.stdout.split()
    assert len(colony.ids) == 5
    return colony


def test_the_chain_of_the_data_pipeline_lists_in_eighty_columns_with_what_blocks_it(chain: Any) -> None:
    a, b, c, d, e = chain.ids
    assert chain("state", "task", "list").out == (
        "ID              STATUS   P  AGENT  TITLE                  BLOCKED BY\n"
        f"{a}  ready    2  -      fetch-daily-data       -\n"
        f"{b}  blocked  2  -      transform-daily-data   fetch-daily-data\n"
        f"{c}  blocked  2  -      validate-daily-data    transform-daily-data\n"
        f"{d}  blocked  2  -      load-daily-data        validate-daily-data\n"
        f"{e}  blocked  2  -      generate-daily-report  load-daily-data\n"
    )


def test_the_chain_is_worked_off_by_claim_and_complete(chain: Any) -> None:
    for title in ("fetch", "transform", "validate", "load", "generate"):
        task = chain.json("state", "task", "claim", "--agent", "worker", "--json")
        assert task["title"].startswith(title) and task["status"] == "in_progress"
        assert chain("state", "task", "complete", task["id"], "--result", '{"rows": 842}').out == ""
    assert {task["status"] for task in chain.lines("state", "task", "list", "--json")} == {"completed"}
    assert fails(chain, 1, "task", "claim", "--agent", "worker") == (
        "no task is ready for 'worker'; 5 tasks, none open"
    )


def test_list_json_is_one_object_a_line_and_meets_the_schema(chain: Any) -> None:
    schema = json.loads((SCHEMAS / "task.schema.json").read_text())
    found = chain.lines("state", "task", "list", "--json")
    for task in found:
        jsonschema.validate(task, schema)
    assert [task["id"] for task in found] == chain.ids
    assert found[1]["blockers"] == [chain.ids[0]] and found[1]["blocked_by"] == ["fetch-daily-data"]
    assert chain.json("state", "task", "show", "fetch-daily-data", "--json") == found[0]
    assert chain.lines("state", "task", "ready", "--json") == [found[0]]


def test_list_filters_by_status_and_agent(colony: Any) -> None:
    add(colony, "a", "--agent", "worker")
    add(colony, "b", "--blockers", "a")
    add(colony, "c", "--priority", "p0", "--agent", "orchestrator")

    def titles(*words: str) -> list[str]:
        return [task["title"] for task in colony.lines("state", "task", *words, "--json")]

    assert titles("list", "--status", "blocked") == ["b"]
    assert titles("list", "--status", "ready,blocked", "--agent", "worker") == ["a"]
    assert titles("ready") == ["c", "a"] and titles("list") == ["a", "b", "c"]
    assert fails(colony, 2, "task", "list", "--status", "redy") == "unknown status 'redy'; did you mean 'ready'?"


def test_show_tells_a_person_all_about_a_task(chain: Any) -> None:
    a, b, c = chain.ids[:3]
    chain("state", "task", "fail", "fetch-daily-data", "--result", "no network")
    shown = chain("state", "task", "show", b).out
    assert re.sub(r"20\d\d-\S+Z", "TIME", shown) == (
        "transform-daily-data\n"
        f"id           {b}\n"
        "status       blocked\n"
        "priority     2\n"
        "created      TIME\n"
        "updated      TIME\n"
        f"blockers     fetch-daily-data ({a}): failed\n"
        f"blocks       validate-daily-data ({c}): blocked\n"
        "\n"
        "Clean and transform fetched data\n"
    )


def test_failing_a_task_says_what_stays_blocked(chain: Any) -> None:
    result = chain("state", "task", "fail", "fetch-daily-data")
    assert result.out == "" and result.err == (
        "'transform-daily-data' stays blocked: complete 'fetch-daily-data' after all, or 'task unblock'\n"
    )
    assert chain("state", "task", "fail", "fetch-daily-data").err == (
        "'fetch-daily-data' is failed already; nothing changed\n"
    )


def test_what_is_refused_is_said_in_one_line_with_the_right_status(chain: Any) -> None:
    assert fails(chain, 1, "task", "add", "x", "--blockers", "load-dayly-data").startswith(
        "unknown blocker 'load-dayly-data'; did you mean 'load-daily-data'"
    )
    assert fails(chain, 2, "task", "block", "fetch-daily-data", "transform-daily-data").startswith("a circle of blockers")
    assert "did you mean 'fetch-daily-data'" in fails(chain, 1, "task", "complete", "fetch-daily-dta")
    assert fails(chain, 2, "task", "add", "") == "a task needs a title"
    assert fails(chain, 2, "task", "add", "x", "--priority", "high").startswith("'high' is not a priority")
    assert fails(chain, 2, "task", "add", "x", "--id", "../x").startswith("'../x' is not a name for a task")
    assert fails(chain, 2, "task", "claim") == "who claims?; say --agent ID"
    assert fails(chain, 2, "task", "complete", "fetch-daily-data", "--result", '{"rows": ').startswith("'{\"rows\": ' is not JSON")
    assert fails(chain, 2, "task", "lst") == "unknown command 'lst'; did you mean 'list'?"
    assert fails(chain, 2, "task", "list", "--jsn") == "unknown option '--jsn'; did you mean '--json'?"
    assert fails(chain, 2, "tsk").startswith("unknown command 'tsk'; did you mean 'task'?")
    assert fails(chain, 2, "task").startswith("the following arguments are required: COMMAND")


def test_a_misspelled_agent_is_warned_of_and_the_task_is_added(colony: Any) -> None:
    result = colony("state", "task", "add", "load", "--agent", "wroker")
    assert result.err == "warning: no agent 'wroker' in colony.yml; did you mean 'worker'?\n"
    assert colony("state", "task", "assign", "load", "worker").err == ""


def test_json_lines_of_tasks_come_in_whole_or_not_at_all(colony: Any) -> None:
    lines = '{"title":"a"}\n\n{"title":"b","blockers":["a"],"priority":"p1","agent":"worker"}\n{"title":"c","blockers":"a,b"}\n'
    ids = colony("state", "task", "add", "-", input=lines).out.split()
    found = colony.lines("state", "task", "list", "--json")
    assert [task["id"] for task in found] == ids and found[2]["blockers"] == ids[:2] and found[1]["priority"] == 1
    for bad, what in (
        ('{"title":"d"}\n{"title":"e","blockers":["zzz"]}\n', "unknown blocker 'zzz' at standard input:2; there is 'a', 'b', 'c', 'd'"),
        ('{"title":"d"}\n{"titel":"e"}\n', "unknown field 'titel' at standard input:2; did you mean 'title'?"),
        ('{"title":"d"}\nnot json\n', "not JSON: Expecting value (column 1) at standard input:2"),
        ('{"title":"d"}\n[1]\n', "not a JSON object at standard input:2"),
        ('{"title":"d","priority":NaN}\n', "not JSON: NaN is not JSON at standard input:1"),
    ):
        assert fails(colony, 1 if "zzz" in bad else 2, "task", "add", "-", input=bad) == what
    assert fails(colony, 2, "task", "add", "-", "--agent", "worker", input=lines).startswith("with '-' each line")


def test_an_adding_with_an_id_can_be_repeated(colony: Any) -> None:
    assert add(colony, "load", "--id", "load-2013-02-08") == "load-2013-02-08"
    again = colony("state", "task", "add", "load", "--id", "load-2013-02-08")
    assert again.out == "load-2013-02-08\n" and again.err == "'load-2013-02-08' is there already; nothing changed\n"
    assert len(colony.journal("state/tasks.jsonl")) == 1


@pytest.mark.parametrize(
    "title",
    ["$(touch pwned)", "a\tb\nc", "\x1b[31mred\x1b[0m", "-- dashes", "🚨 ünï日本", "a' \"b\\", "{{steps.x.output}}", "null", "x" * 1000],
)  # fmt: skip
def test_any_title_comes_back_as_it_was_and_is_harmless_on_a_terminal(colony: Any, title: str) -> None:
    add(colony, "--", title)
    assert colony.json("state", "task", "show", "--json", "--", title)["title"] == title
    for words in (["list"], ["show", "--", title]):
        printed = colony("state", "task", *words).out
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", printed)
    assert not (colony.root / "pwned").exists()


def test_a_bad_line_is_reported_on_standard_error_and_the_rest_is_listed(colony: Any) -> None:
    add(colony, "fetch")
    journal = colony.root / ".colony" / "state" / "tasks.jsonl"
    journal.write_bytes(b"<<<<<<< HEAD\n" + journal.read_bytes())
    for words in (["list"], ["list", "--json"], ["show", "fetch"], ["ready"]):
        result = colony("state", "task", *words)
        assert "fetch" in result.out
        assert result.err == (
            "colony state: skipped an unreadable line at .colony/state/tasks.jsonl:1: not JSON: Expecting value (column 1)\n"
        )


def test_the_list_fits_a_terminal(colony: Any) -> None:
    add(colony, "a title that is much longer than what the terminal of eighty columns has room for", "--agent", "worker")
    add(colony, "b", "--blockers", "a title that is much longer than what the terminal of eighty columns has room for")
    here, there = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with colony.start("state", "task", "list", stdout=there, env={"TERM": "xterm", "NO_COLOR": "1"}) as process:
        os.close(there)
        data = b""
        while select.select([here], [], [], 10)[0]:
            try:
                part = os.read(here, 4096)
            except OSError:
                break
            if not part:
                break
            data += part
        assert process.wait() == 0
    os.close(here)
    lines = data.decode().replace("\r\n", "\n").splitlines()
    assert len(lines) == 3 and all(len(line) <= 80 for line in lines) and "…" in lines[1] and "BLOCKED BY" in lines[0]


def test_a_closed_pipe_ends_a_list_quietly(colony: Any) -> None:
    lines = "".join(f'{{"title":"task {number} {"x" * 200}"}}\n' for number in range(2000))
    colony("state", "task", "add", "-", input=lines)
    process = colony.start("state", "task", "list", "--json")
    assert process.stdout is not None and json.loads(process.stdout.readline())["title"].startswith("task 0")
    process.stdout.close()
    process.wait()
    assert process.stderr is not None and process.stderr.read() == ""
    process.stderr.close()


def test_a_busy_lock_exits_75_and_names_the_file(colony: Any) -> None:
    import fcntl

    add(colony, "load")
    with open(colony.root / ".colony" / "locks" / "tasks.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = fails(colony, 75, "task", "add", "x", "--lock-timeout", "50ms")
        assert said.startswith("the task list is busy: its lock was not free within 0.05 s at ")
        assert colony.lines("state", "task", "list", "--json")[0]["title"] == "load"  # readers wait for nobody


def test_outside_a_colony_nothing_is_made(colony: Any, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    result = colony("state", "task", "add", "x", cwd=elsewhere, check=False)
    assert result.code == 2 and result.err.startswith("colony state: no colony in ")
    assert list(elsewhere.iterdir()) == []


# ---- memory


def test_memory_is_added_and_searched(colony: Any) -> None:
    first = colony("state", "memory", "add", "decision", "Load by upsert").out.strip()
    colony("state", "memory", "add", "learned", "-", input="two lines\nof upsert\n", env={"COLONY_AGENT": "worker"})
    found = colony.lines("state", "memory", "search", "UPSERT", "--json")
    schema = json.loads((SCHEMAS / "memory.schema.json").read_text())
    for memory in found:
        jsonschema.validate(memory, schema)
    assert [m["text"] for m in found] == ["two lines\nof upsert", "Load by upsert"]
    assert found[1]["id"] == first and found[0]["from"] == "worker"
    assert colony.lines("state", "memory", "search", "upsert", "load", "--json") == [found[1]]
    assert colony.lines("state", "memory", "search", "--type", "learned", "upsert", "--json") == [found[0]]
    table = colony("state", "memory", "search", "upsert", "-n", "1").out.splitlines()
    assert len(table) == 2 and table[1].endswith("  learned  worker  two lines\\nof upsert")
    assert colony.lines("state", "memory", "search", "-n", "1", "upsert", "--type", "learned", "--json") == [found[0]]
    missing = colony("state", "memory", "search", "nothing-like-it", check=False)
    assert (missing.code, missing.out, missing.err) == (1, "", "")
    assert fails(colony, 2, "memory", "add", "../x", "text").startswith("'../x' is not a name")
    assert fails(colony, 2, "memory", "add", "note", " ").startswith("there is nothing to remember")
    assert fails(colony, 2, "memory", "search", "x", "-n", "many").startswith("'many' is not a whole number")


def test_a_search_of_the_memory_starts_without_what_costs_as_much_as_python_itself(colony: Any) -> None:
    from tests.cli.test_metrics import SLOW, imported

    colony("state", "memory", "add", "decision", "load by upsert")
    assert imported("state", ["memory", "search", "upsert", "--json"], colony) & SLOW == set()


# ---- documents


def test_values_print_bare_and_objects_as_json(colony: Any) -> None:
    colony("state", "set", "load", "status=PASS", "rows=842", "ok=true", "gone=null", 'by={"a":[1,"é"]}', "text=two\nlines")
    for path, printed in {
        "status": "PASS", "rows": "842", "ok": "true", "gone": "null", "by": '{"a":[1,"é"]}', "by.a.1": "é", "text": "two\nlines",
    }.items():
        assert colony("state", "get", "load", path).out == printed + "\n"
    assert colony("state", "get", "load", "status", "--json").out == '"PASS"\n'
    assert colony.json("state", "get", "load")["rows"] == 842
    assert json.loads((colony.root / ".colony/state/load.json").read_text())["by"] == {"a": [1, "é"]}


def test_what_is_absent_exits_1(colony: Any) -> None:
    colony("state", "set", "load", "rows=1")
    assert fails(colony, 1, "get", "laod") == "unknown document 'laod'; did you mean 'load'?"
    assert fails(colony, 1, "get", "load", "row") == "the document 'load' has no 'row'; did you mean 'rows'?"


def test_a_counter_and_a_condition(colony: Any) -> None:
    assert colony.json("state", "set", "count", "n+=2", "sum+=0.5", "--json") == {"n": 2, "sum": 0.5}
    assert colony.json("state", "set", "count", "n+=-5", "--if", "n=2", "--json") == {"n": -3, "sum": 0.5}
    assert fails(colony, 1, "set", "count", "n+=1", "--if", "n=2") == "'n' of 'count' is -3, not 2"
    assert colony("state", "set", "count", "-", input='{"n": 0}\n').out == ""
    assert colony("state", "get", "count").out == '{"n":0}\n'


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "../../colony"], "'../../colony' is not a name for a document"),
        (["set", "../x", "a=1"], "'../x' is not a name for a document"),
        (["set", "x", "a"], "'a' is not a change; write PATH=JSON or PATH+=N"),
        (["set", "x", "=1"], "'' is not a path"),
        (["set", "x", "a..b=1"], "'a..b' is not a path"),
        (["set", "x", "a=NaN"], "'NaN' is not JSON"),
        (["set", "x", "a=1e999"], "'1e999' is not JSON"),
        (["set", "x", 'a={"b":'], "'{\"b\":' is not JSON"),
        (["set", "x", "a+=one"], "'a+=' adds numbers only"),
        (["set", "x", "a=1", "--if", "a"], "'a' is not a change"),
        (["set", "x", "a=1", "--if", "a+=1"], "'a+=1' is not a condition"),
        (["set", "x", "-"], "not JSON: nothing but white space at standard input"),
        (["set", "x"], "the following arguments are required: PATH=JSON"),
    ],
)
def test_bad_changes_are_refused(colony: Any, words: list[str], said: str) -> None:
    assert fails(colony, 2, *words).startswith(said)


def test_help_begins_with_what_it_is_and_examples(colony: Any) -> None:
    for words in ([], ["task"], ["task", "add"], ["task", "claim"], ["memory"], ["get"], ["set"]):
        text = colony("state", *words, "--help").out
        assert text.split("\n\n")[1].startswith("examples:\n  ") or "examples:\n" in text
        assert "usage: " + " ".join(["colony state", *words]) in text
