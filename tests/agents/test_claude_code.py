"""The runner 'claude-code', with a stand-in for the program `claude`, and with the real one where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Colony, Result, clean_environment

CONFIG = """\
name: test-colony
shared_paths: [staging]
agents:
  - id: analyst
    role: analyst
    runner: claude-code
    model: claude-sonnet-5-5
    startup_prompt: You like short answers.
"""
STEP = """\
steps:
  - name: count
    agent: analyst
    instructions: Count the rows of {{date}}.
"""
SCHEMA = """\
    output_schema:
      {type: object, properties: {rows: {type: integer, minimum: 1}}, required: [rows]}
"""


class StandIn:
    """A colony with a stand-in for `claude` on its PATH."""

    def __init__(self, colony: Colony, folder: Path) -> None:
        self.colony = colony
        self.folder = folder
        folder.mkdir()
        text = Path(__file__).with_name("claude_standin.py").read_text()
        program = folder / "claude"
        program.write_text(f"#!{sys.executable}\n{text}")
        program.chmod(0o755)
        self.env = {
            "PATH": f"{folder}{os.pathsep}{clean_environment()['PATH']}",
            "ANTHROPIC_API_KEY": "sk-not-a-key-4711",
        }
        self.configure()
        colony.workflow("daily", STEP)

    def configure(self, more: str = "") -> None:
        self.colony.write("colony.yml", CONFIG + more)

    def plan(self, *calls: dict[str, Any]) -> None:
        (self.folder / "plan.json").write_text(json.dumps(calls))

    def calls(self) -> list[dict[str, Any]]:
        """What it was called with; a call that is just being written is not there yet."""
        path = self.folder / "calls.jsonl"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def run(self, *words: str, check: bool = True) -> Result:
        return self.colony("workflow", "run", "daily", "--date", "2026-11-20", *words, env=self.env, check=check)

    def start(self, *words: str) -> Any:
        return self.colony.start("workflow", "run", "daily", "--date", "2026-11-20", *words, env=self.env)

    def resume(self, check: bool = True) -> Result:
        return self.colony("workflow", "resume", "latest", env=self.env, check=check)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.colony.json("workflow", "status", "latest", "--json")
        return found

    def step(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status()["steps"][0]
        return found

    def unit(self) -> Path:
        """The folder of the newest run's step."""
        return max(path for path in (self.colony.root / ".colony/runs").glob("r*") if path.is_dir()) / "steps" / "count"

    def transcript(self, attempt: int = 1) -> list[dict[str, Any]]:
        text = (self.unit() / str(attempt) / "transcript.jsonl").read_text()
        return [json.loads(line) for line in text.split("\n") if line]

    def ended(self) -> dict[str, Any]:
        """The record that ended the last attempt."""
        text = (self.unit().parent.parent / "journal.jsonl").read_text()
        records = [json.loads(line) for line in text.split("\n") if line]
        return [record for record in records if record["type"] == "attempt_ended"][-1]

    def ledger(self) -> list[dict[str, Any]]:
        (path,) = (self.colony.root / ".colony/spending").glob("*.jsonl")
        return [json.loads(line) for line in path.read_text().split("\n") if line]


@pytest.fixture
def standin(colony: Colony, tmp_path: Path) -> StandIn:
    return StandIn(colony, tmp_path / "program")


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it has not come about")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def types(records: list[dict[str, Any]]) -> list[str]:
    return [record["type"] for record in records]


# -- a step


def test_a_step_is_done_by_one_call_and_its_words_are_the_output(standin: StandIn) -> None:
    standin.plan({"run": ["echo 42"], "result": "42 rows"})
    standin.run()
    assert standin.step()["output"] == "42 rows"
    (call,) = standin.calls()
    assert "Count the rows of 2026-11-20." in call["prompt"] and call["cwd"] == str(standin.colony.root)
    words = call["words"]
    assert words["--model"] == "claude-sonnet-5-5" and words["--output-format"] == "stream-json"
    assert words["--permission-mode"] == "dontAsk" and words["--setting-sources"] == "" and words["--max-turns"] == "50"
    assert "You like short answers." in words["--append-system-prompt"]
    assert "--max-budget-usd" not in words and "--json-schema" not in words


def test_the_session_is_recorded_before_the_call_and_all_that_happens_after_it(standin: StandIn) -> None:
    standin.plan({"run": ["echo 42"], "result": "42 rows"})
    standin.run()
    records = standin.transcript()
    assert types(records) == ["begun", "session", "request", "event", "event", "event", "response", "final"]
    assert records[1]["session_id"] == standin.calls()[0]["words"]["--session-id"]
    assert records[3]["content"][0]["input"] == {"command": "echo 42"}
    assert records[4]["content"][0]["content"] == "42\n"
    assert records[6]["content"] == [{"type": "text", "text": "42 rows"}] and records[6]["turns"] == 2


def test_what_it_reports_is_in_the_status_the_journal_and_the_ledger_marked_as_reported(standin: StandIn) -> None:
    standin.plan({"run": ["echo 42"], "result": "42 rows"})
    standin.run()
    ended = standin.ended()
    assert ended["tokens"] == 2 * 135 and ended["cost_usd"] == 0.5
    assert ended["usage"] == {
        "model": "claude-sonnet-5-5", "input": 230, "output": 40, "cache_read": 20, "cache_write": 10, "requests": 2,
        "cost_usd": 0.5, "reported": True,
    }  # fmt: skip
    used = [record for record in standin.ledger() if record["type"] == "used"]
    assert [(each["usd"], each["requests"], each["reported"], each["agent"]) for each in used] == [
        (0.5, 2, True, "analyst")
    ]
    (settled,) = [record for record in standin.ledger() if record["type"] == "settled"]
    assert settled["outcome"] == "released"


def test_its_progress_is_in_the_agents_log(standin: StandIn) -> None:
    standin.plan({"run": ["echo 42", "exit 3"], "result": "first line\nsecond line"})
    standin.run()
    log = standin.colony("logs", "analyst").out
    for said in ("Claude Code 2.1.197 (stand-in)", "→ Bash: echo 42", "← Bash", "← Bash (an error)", "second line"):
        assert said in log
    assert "3 turns: 345 tokens in (30 cached), 60 out, $0.75 as Claude Code reports" in log


def test_a_retired_model_is_replaced_and_that_is_said(standin: StandIn) -> None:
    standin.colony.write("colony.yml", CONFIG.replace("claude-sonnet-5-5", "claude-sonnet-4-20250514"))
    standin.plan({"result": "ok"})
    standin.run()
    assert standin.calls()[0]["words"]["--model"] == "claude-sonnet-5-5"
    assert "the model 'claude-sonnet-4-20250514' is retired" in standin.colony("logs", "analyst").out


# -- what it finds


def test_its_environment_is_made_from_nothing_and_its_commands_do_not_have_the_key(standin: StandIn) -> None:
    standin.configure("    env: {TOKEN: $OUTSIDE_TOKEN}\n")
    standin.env |= {"OUTSIDE_TOKEN": "tok-4712-xyz", "OTHER_SECRET": "x", "HOME": "/somebody"}
    standin.plan({"run": ["env; echo key=[$ANTHROPIC_API_KEY]"], "result": "ok"})
    standin.run()
    found = standin.calls()[0]["env"]
    assert found["ANTHROPIC_API_KEY"] == "sk-not-a-key-4711" and found["TOKEN"] == "tok-4712-xyz"
    assert found["COLONY_DATE"] == "2026-11-20" and found["COLONY_STEP"] == "count"
    assert not {"OTHER_SECRET", "OUTSIDE_TOKEN", "COLONY_OUTPUT"} & set(found) and found["HOME"] != "/somebody"
    text = (standin.unit() / "1" / "transcript.jsonl").read_text()
    assert "key=[]" in text and "TOKEN=[OUTSIDE_TOKEN]" in text
    assert "4711" not in text and "4712" not in text


def test_without_a_key_it_finds_the_users_own_login(standin: StandIn, tmp_path: Path) -> None:
    del standin.env["ANTHROPIC_API_KEY"]
    standin.env["HOME"] = str(tmp_path)
    standin.plan({"result": "ok"})
    standin.run()
    found = standin.calls()[0]["env"]
    assert found["HOME"] == str(tmp_path) and "CLAUDE_CONFIG_DIR" not in found


def test_the_conversation_is_kept_privately_while_it_may_be_gone_on_with_and_then_removed(standin: StandIn) -> None:
    standin.plan({"status": 529, "is_error": True, "errors": ["overloaded"]}, {"result": "ok"})
    assert standin.run(check=False).code == 75
    kept = standin.unit() / "claude"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    standin.resume()
    assert not kept.exists()


def permissions(call: dict[str, Any]) -> tuple[list[str], list[str]]:
    given = json.loads(call["words"]["--settings"])["permissions"]
    return given["allow"], given["deny"]


def test_by_default_it_may_run_commands_and_change_files_in_its_folder_and_the_shared_ones(standin: StandIn) -> None:
    standin.plan({"result": "ok"})
    standin.run()
    (call,) = standin.calls()
    shared = f"/{standin.colony.root}/staging/**"
    assert call["words"]["--tools"] == "Bash,Read,Glob,Grep,Write,Edit"
    assert permissions(call) == (
        ["Bash", "Read(./**)", f"Read({shared})", "Edit(./**)", f"Edit({shared})", "Bash(colony *)"],
        [],
    )


def test_tools_and_permissions_of_the_agent_are_those_of_claude_code(standin: StandIn) -> None:
    standin.configure(
        "    tools: [bash, read_file, edit_file, fetch_day]\n"
        "    scripts:\n"
        "      - {name: fetch_day, description: Fetch a day, command: [colony, fetch, --date, '{{date}}'],\n"
        "         input: {properties: {date: {type: string}}}}\n"
        "    permissions:\n"
        "      allow: ['bash(git status)', 'edit_file(staging/*)', fetch_day]\n"
        "      deny: ['bash(rm *)', 'colony(load *)']\n"
    )
    standin.plan({"result": "ok"})
    standin.run()
    (call,) = standin.calls()
    assert call["words"]["--tools"] == "Bash,Read,Edit"
    allowed, denied = permissions(call)
    assert allowed[0] == "Bash(git status)" and allowed[-2:] == ["Edit(staging/*)", "Bash(colony fetch --date *)"]
    assert "Bash" not in allowed and denied == ["Bash(rm *)", "Bash(colony load *)"]
    assert "`colony fetch --date '{{date}}'` (Fetch a day)" in call["words"]["--append-system-prompt"]


# -- the answer


def test_structured_output_is_the_output(standin: StandIn) -> None:
    standin.colony.workflow("daily", STEP + SCHEMA)
    standin.plan({"result": "given", "structured": {"rows": 3}})
    standin.run()
    assert standin.step()["output"] == {"rows": 3}
    assert json.loads(standin.calls()[0]["words"]["--json-schema"])["required"] == ["rows"]


def test_an_answer_that_is_not_what_was_asked_for_is_corrected_in_the_same_session(standin: StandIn) -> None:
    standin.colony.workflow("daily", STEP + SCHEMA)
    standin.plan({"result": "three rows"}, {"result": '{"rows": 0}'}, {"result": '{"rows": 3}'})
    standin.run()
    assert standin.step()["output"] == {"rows": 3}
    first, second, third = standin.calls()
    session = first["words"]["--session-id"]
    assert second["words"]["--resume"] == third["words"]["--resume"] == session
    assert "not JSON" in second["prompt"] and "rows" in third["prompt"] and "Count the rows" not in second["prompt"]
    assert standin.ended()["usage"]["requests"] == 3 and standin.ended()["cost_usd"] == 0.75


def test_messages_are_told_with_the_next_call_and_to_whoever_begins_anew(standin: StandIn) -> None:
    standin.colony("messages", "send", "analyst", "only the red rows")
    standin.colony.workflow("daily", STEP + SCHEMA)
    standin.plan({"stderr": "broken", "silent": True}, {"result": "three rows"}, {"result": '{"rows": 3}'})
    assert standin.run(check=False).code == 1
    standin.colony("broadcast", "the API is back")
    standin.resume()
    told = [[text in call["prompt"] for text in ("only the red rows", "the API is back")] for call in standin.calls()]
    assert told == [[True, False], [True, True], [False, False]]
    assert standin.colony.lines("messages", "list", "analyst", "--json")


def test_after_two_corrections_the_attempt_has_failed(standin: StandIn) -> None:
    standin.colony.workflow("daily", STEP + SCHEMA)
    standin.plan({"result": "three rows"})
    assert standin.run(check=False).code == 1
    assert len(standin.calls()) == 3
    assert standin.ended()["error"].startswith("after 2 corrections the answer is not JSON")


# -- errors


@pytest.mark.parametrize(
    ("call", "words", "again"),
    [
        ({"is_error": True, "status": 401, "errors": ["Invalid API key"]}, "is not let in: Invalid API key; set ANTHROPIC", False),
        ({"is_error": True, "result": "Not logged in · Please run /login"}, "is not let in: Not logged in", False),
        ({"is_error": True, "status": 404, "errors": ["no such model"]}, "no such model", False),
        ({"is_error": True, "status": 500, "errors": ["Internal error"]}, "Internal error", True),
        ({"is_error": True, "stop_reason": "refusal", "errors": ["no"]}, "the model refused the step: no", False),
        ({"subtype": "error_during_execution", "errors": ["it broke"], "run": ["true"]}, "it broke", True),
        ({"exit": 3, "stderr": "a bad day"}, "claude ended without a report (exit status 3): a bad day", True),
        ({"exit": 1, "stderr": "error: unknown option '--tools'"}, "unknown option", False),
        ({"silent": True}, "claude ended without a report (exit status 0)", True),
    ],
)  # fmt: skip
def test_an_error_is_the_steps_with_its_reason(standin: StandIn, call: dict[str, Any], words: str, again: bool) -> None:
    standin.plan(call)
    assert standin.run(check=False).code == 1
    assert words in standin.ended()["error"] and standin.ended()["again"] is again
    assert len(standin.calls()) == 1
    assert standin.transcript()[-1]["type"] == "final"


def test_a_refused_key_is_not_tried_ten_times(standin: StandIn) -> None:
    standin.plan(
        {"retry": {"error_status": 401, "error": "authentication_failed", "retry_delay_ms": 500}, "hang": True}
    )
    assert standin.run(check=False).code == 1
    assert "authentication_failed (401); set ANTHROPIC_API_KEY" in standin.ended()["error"]
    assert standin.ended()["again"] is False


def test_a_busy_api_makes_the_run_wait_and_resume_goes_on_with_the_session(standin: StandIn) -> None:
    standin.plan({"is_error": True, "status": 429, "errors": ["slow down"], "run": ["echo 1"]}, {"result": "done"})
    assert standin.run(check=False).code == 75
    assert standin.status()["status"] == "waiting" and standin.transcript()[-1]["type"] == "paused"
    standin.resume()
    first, second = standin.calls()
    assert second["words"]["--resume"] == first["words"]["--session-id"]
    assert standin.step()["output"] == "done"


def test_a_wait_past_the_steps_time_is_not_waited_for(standin: StandIn) -> None:
    standin.colony.workflow("daily", STEP + "    timeout: 10m\n")
    standin.plan({"retry": {"error_status": 529, "error": "overloaded", "retry_delay_ms": 3_600_000}, "hang": True})
    assert standin.run(check=False).code == 75
    assert standin.transcript()[-1]["until"] is not None


def test_without_claude_the_step_says_what_to_install(standin: StandIn) -> None:
    (standin.folder / "claude").unlink()
    standin.env["PATH"] = os.pathsep.join(
        folder for folder in standin.env["PATH"].split(os.pathsep) if not os.path.exists(f"{folder}/claude")
    )
    found = standin.run(check=False)
    said = found.err + (standin.colony("logs", "analyst", check=False).out)
    assert (
        found.code != 0 and "needs the program 'claude'" in said and "npm install -g @anthropic-ai/claude-code" in said
    )


# -- limits


def test_the_steps_limits_are_the_calls_own(standin: StandIn) -> None:
    standin.configure("    limits: {usd: 1.5, turns: 7}\n")
    standin.plan({"result": "ok"})
    standin.run()
    words = standin.calls()[0]["words"]
    assert words["--max-turns"] == "7" and float(words["--max-budget-usd"]) == 1.5
    reserved = standin.ledger()[0]
    assert reserved["type"] == "reserved" and reserved["usd"] == 1.5


@pytest.mark.parametrize(
    ("limit", "subtype", "words"),
    [
        ("usd: 0.5", "error_max_budget_usd", "step 'count' has used $0.50 of $0.50"),
        ("turns: 2", "error_max_turns", "step 'count' has used 2 of 2 turns"),
    ],
)
def test_when_a_limit_is_used_up_the_step_fails_and_is_not_tried_again(
    standin: StandIn, limit: str, subtype: str, words: str
) -> None:
    standin.configure(f"    limits: {{{limit}}}\n")
    standin.plan({"run": ["true", "true"], "subtype": subtype, "errors": ["Reached maximum"]})
    assert standin.run(check=False).code == 1
    assert words in standin.ended()["error"] and standin.ended()["again"] is False
    assert len(standin.calls()) == 1


def test_a_days_budget_is_taken_in_shares_and_the_session_goes_on_with_the_next(standin: StandIn) -> None:
    standin.configure("limits: {usd_per_day: 5}\n")
    standin.plan(
        {"run": ["true"], "cost": 2.0, "subtype": "error_max_budget_usd", "errors": ["Reached maximum"]},
        {"result": "done", "cost": 1.0},
    )
    standin.run()
    first, second = standin.calls()
    assert (
        float(first["words"]["--max-budget-usd"]) == 2.0
        and second["words"]["--resume"] == first["words"]["--session-id"]
    )
    assert second["prompt"] == "Go on with the step where you were." and standin.ended()["cost_usd"] == 3.0


@pytest.mark.parametrize(
    ("limit", "words"), [("tool_calls: 2", "limit of tool calls"), ("tokens: 300", "the limits had left 300")]
)
def test_it_is_ended_when_it_passes_a_limit_that_it_does_not_know(standin: StandIn, limit: str, words: str) -> None:
    standin.configure(f"    limits: {{{limit}}}\n")
    standin.plan({"run": ["true"] * 3, "hang": True})
    assert standin.run(check=False).code == 1
    assert words in standin.ended()["error"] and standin.ended()["cost_usd"] == 0.75


# -- interruption


def started(standin: StandIn) -> tuple[Any, Path]:
    """A run whose step's command is at work, and a file that the command keeps touching. Both calls are in the
    transcript by then: the command may be at work before the line that tells of it was read."""
    beat = standin.colony.root / "beat"
    standin.plan(
        {"run": ["echo one", f"while [ ! -e {beat}.end ]; do date >> {beat}; sleep 0.05; done"]}, {"result": "done"}
    )
    process = standin.start()
    wait_for(lambda: beat.exists() and json.dumps(standin.transcript()).count('"tool_use"') == 2)
    return process, beat


def agents_process(standin: StandIn) -> int:
    """The process in which the step is done: the parent of the stand-in's guard."""
    pid = standin.calls()[-1]["pid"]
    for _ in range(2):
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert "--agent" in Path(f"/proc/{pid}/cmdline").read_text()
    return pid


def test_when_our_process_is_killed_claude_and_its_commands_end_and_the_session_is_gone_on_with(
    standin: StandIn,
) -> None:
    process, beat = started(standin)
    claude = standin.calls()[0]["pid"]
    os.kill(agents_process(standin), signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for(lambda: not is_alive(claude))
    if standin.status()["status"] != "completed":
        standin.resume()
    first, second = standin.calls()
    assert second["words"]["--resume"] == first["words"]["--session-id"]
    size = beat.stat().st_size
    assert "its outcome is not known" in second["prompt"] and '"echo one"}: it was done' in second["prompt"]
    assert standin.step()["output"] == "done"
    assert beat.stat().st_size == size  # nothing writes there any more
    assert [each["outcome"] for each in standin.ledger() if each["type"] == "settled"] == ["lost", "released"]


def test_a_cancelled_step_ends_claude_and_what_it_has_used_is_known(standin: StandIn) -> None:
    process, beat = started(standin)
    claude = standin.calls()[0]["pid"]
    standin.colony("workflow", "cancel", "latest")
    process.communicate(timeout=60)
    assert not is_alive(claude)
    assert standin.ended()["status"] == "cancelled" and standin.ended()["cost_usd"] == 0.5
    size = beat.stat().st_size
    assert len(standin.calls()) == 1 and beat.stat().st_size == size


def test_a_step_that_is_timed_out_goes_on_with_its_session_when_it_is_tried_again(standin: StandIn) -> None:
    standin.colony.workflow("daily", STEP + "    timeout: 2s\n    retry: {max_attempts: 2, delay: 10ms}\n")
    standin.plan({"run": ["echo one"], "hang": True}, {"result": "done"})
    standin.run()
    first, second = standin.calls()
    assert second["words"]["--resume"] == first["words"]["--session-id"] and not is_alive(first["pid"])
    assert standin.step()["output"] == "done" and types(standin.transcript())[-1] == "response"
    assert sum(each["usd"] for each in standin.ledger() if each["type"] == "used") == 0.5


def test_batches_have_sessions_of_their_own(standin: StandIn) -> None:
    standin.colony.workflow("daily", STEP + "    for_each: [a, b]\n")
    standin.plan({"result": "ok"})
    standin.run()
    assert standin.step()["output"] == ["ok", "ok"]
    assert len({call["words"]["--session-id"] for call in standin.calls()}) == 2
    assert sorted('item: "b"' in call["prompt"] for call in standin.calls()) == [False, True]


def test_a_guard_that_is_killed_takes_claude_with_it(standin: StandIn) -> None:
    process, _ = started(standin)
    claude = standin.calls()[0]["pid"]
    guard = int(Path(f"/proc/{claude}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(guard, signal.SIGKILL)
    wait_for(lambda: not is_alive(claude))
    process.communicate(timeout=60)
    assert standin.ended()["status"] != "completed"
    (standin.colony.root / "beat.end").touch()  # what claude had started has lost its guard


def test_what_a_command_leaves_in_the_background_ends_with_the_step(standin: StandIn) -> None:
    beat = standin.colony.root / "beat"
    loop = f"setsid sh -c 'while :; do date >> {beat}; sleep 0.05; done' >/dev/null 2>&1 & echo $!"
    standin.plan({"run": [loop, f"while [ ! -e {beat} ]; do sleep 0.02; done"], "result": "ok"})
    standin.run()
    size = beat.stat().st_size
    pid = int(standin.transcript()[4]["content"][0]["content"])
    assert not is_alive(pid) and beat.stat().st_size == size


def test_a_session_that_is_gone_is_begun_anew_with_what_is_known_of_it(standin: StandIn) -> None:
    standin.plan({"is_error": True, "status": 529, "errors": ["busy"], "run": ["echo 1"]}, {}, {"result": "done"})
    assert standin.run(check=False).code == 75
    shutil.rmtree(standin.unit() / "claude")
    standin.resume()
    first, second, third = standin.calls()
    assert second["words"]["--resume"] == first["words"]["--session-id"]
    assert third["words"]["--session-id"] not in (first["words"]["--session-id"], "")
    assert "Count the rows" in third["prompt"] and '"echo 1"}: it was done' in third["prompt"]
    assert standin.step()["output"] == "done"


def test_a_report_that_was_recorded_is_not_asked_for_again(standin: StandIn) -> None:
    standin.plan({"result": "done"})
    standin.run()
    cut_after(standin, "response")
    standin.resume()
    assert len(standin.calls()) == 1 and standin.step()["output"] == "done"
    used = [record for record in standin.ledger() if record["type"] == "used"]
    assert len(used) == 1


def cut_after(standin: StandIn, kind: str) -> None:
    """Put the run back to where its step's process died after that record of the transcript."""
    path = standin.unit() / "1" / "transcript.jsonl"
    kept = []
    for record in standin.transcript():
        kept.append(record)
        if record["type"] == kind:
            break
    path.write_text("".join(json.dumps(record) + "\n" for record in kept))
    run = standin.unit().parent.parent
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().split("\n") if line]
    started = next(place for place, record in enumerate(lines) if record["type"] == "attempt_started")
    (run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[: started + 1]))


# -- replay


def test_a_replay_gives_the_recorded_answers_without_claude(standin: StandIn) -> None:
    standin.colony.workflow("daily", STEP + SCHEMA)
    standin.plan({"result": "three rows"}, {"result": "given", "structured": {"rows": 3}})
    standin.run()
    recorded = standin.status()["run_id"]
    (standin.folder / "claude").unlink()
    standin.run("--replay", recorded)
    assert standin.step()["output"] == {"rows": 3} and standin.status()["run_id"] != recorded
    assert standin.ended()["cost_usd"] == 0 and len(standin.calls()) == 2


# -- the real one


class Api:
    """A loopback Messages API for the real program: it streams the given replies, one after the other."""

    def __init__(self, replies: list[list[dict[str, Any]]]) -> None:
        self.asked: list[dict[str, Any]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not self.path.startswith("/v1/messages?") and self.path != "/v1/messages":
                    self.send_error(404)
                    return
                api.asked.append(body)
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for event in _events(replies[min(len(api.asked), len(replies)) - 1], body["model"]):
                    self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def _events(blocks: list[dict[str, Any]], model: str) -> Iterator[dict[str, Any]]:
    usage = {"input_tokens": 100, "output_tokens": 1, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [], "usage": usage}
    yield {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None}}
    for index, block in enumerate(blocks):
        calls = block["type"] == "tool_use"
        part = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])} if calls else {"type": "text_delta", "text": block["text"]}  # fmt: skip
        empty = {**block, "input": {}} if calls else {**block, "text": ""}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield {"type": "content_block_delta", "index": index, "delta": part}
        yield {"type": "content_block_stop", "index": index}
    reason = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": 20},
    }
    yield {"type": "message_stop"}


def test_the_real_program_does_a_step_where_it_is_installed(standin: StandIn) -> None:
    real = shutil.which("claude")
    if real is None:
        # Not here: then the runner must say so, as to anybody who has not installed it.
        test_without_claude_the_step_says_what_to_install(standin)
        return
    (standin.folder / "claude").unlink()
    (standin.folder / "claude").symlink_to(os.path.realpath(real))
    standin.colony.workflow("daily", STEP + SCHEMA)
    command = 'echo "key=[$ANTHROPIC_API_KEY]"; colony --version; echo 42 > staging/rows'
    (standin.colony.root / "staging").mkdir()
    api = Api(
        [
            [{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": command}}],
            [
                {
                    "type": "tool_use",
                    "id": "toolu_2",
                    "name": "Write",
                    "input": {"file_path": "/etc/colony", "content": "x"},
                }
            ],
            [{"type": "tool_use", "id": "toolu_3", "name": "StructuredOutput", "input": {"rows": 42}}],
            [{"type": "text", "text": "given"}],
        ]
    )
    standin.env["ANTHROPIC_BASE_URL"] = api.url
    standin.run()
    assert standin.step()["output"] == {"rows": 42}
    results = {block["tool_use_id"]: block for record in standin.transcript() if record["type"] == "event" for block in record["content"] if block["type"] == "tool_result"}  # fmt: skip
    assert "key=[]" in results["toolu_1"]["content"] and not results["toolu_1"]["is_error"], results
    assert results["toolu_2"]["is_error"] and (standin.colony.root / "staging/rows").read_text() == "42\n"
    assert standin.ended()["usage"]["reported"] and standin.ended()["cost_usd"] > 0
    assert not (standin.unit() / "claude").exists()
