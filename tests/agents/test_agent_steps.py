"""Steps that a model does, as a user runs them: `colony workflow run` against a Messages API on the loopback."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Colony, Result, clean_environment
from tests.fake_api import KEY, FakeAPI, Script

CONFIG = """\
name: agents
agents:
  - id: worker
    role: Worker
    model: claude-sonnet-5-5
    startup_prompt: |
      You do the work.
    {more}
  - id: orchestrator
    role: coordinates
    model: claude-sonnet-5-5
"""
STEP = 'steps:\n  - {{name: a, agent: worker, instructions: "Do it for {{{{date}}}}."{more}}}\n'
Run = Callable[..., Result]


class Scene:
    """A colony and the API that its agents ask."""

    def __init__(self, colony: Colony, api: FakeAPI) -> None:
        self.colony = colony
        self.api = api
        self.environment = api.environment()

    def workflow(self, text: str = "", more: str = "", agent: str = "") -> None:
        self.colony.write("colony.yml", CONFIG.replace("{more}", agent or "description: works"))
        self.colony.workflow("w", text or STEP.format(more=more))

    def run(self, *words: str, check: bool = True, **more: Any) -> Result:
        return self.colony("workflow", "run", "w", "-q", *words, env=self.environment, check=check, **more)

    def step(self, name: str = "a") -> dict[str, Any]:
        found = [step for step in self.status()["steps"] if step["name"] == name]
        return found[0]

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.colony.json("workflow", "status", "--json")
        return status

    def transcript(self, step: str = "a", attempt: int = 1) -> list[dict[str, Any]]:
        run = self.status()["run_id"]
        return self.colony.journal(f"runs/{run}/steps/{step}/{attempt}/transcript.jsonl")


@pytest.fixture
def scene(colony: Colony) -> Any:
    """scene(script): the colony with an API that knows the script."""
    opened: list[FakeAPI] = []

    def made(script: Script | list[dict[str, Any]]) -> Scene:
        api = FakeAPI(script if isinstance(script, dict) else {"Do it": script})
        api.__enter__()
        opened.append(api)
        (colony.root / "staging").mkdir(exist_ok=True)
        found = Scene(colony, api)
        found.workflow()
        return found

    yield made
    for api in opened:
        api.__exit__()
        assert api.problems == []


def bash(command: str) -> dict[str, Any]:
    return {"tools": [["bash", {"command": command}]]}


# ── the loop ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_works_with_tools_and_its_last_words_are_the_output(scene: Any, colony: Colony) -> None:
    here = scene([bash("echo 42 > staging/rows; cat staging/rows"), {"text": "staging/rows"}])
    here.run()
    step = here.step()
    assert (step["status"], step["output"], step["attempts"]) == ("completed", "staging/rows", 1)
    assert step["tokens"] > 0 and step["cost_usd"] > 0
    second = here.api.requests[1].body["messages"]
    assert second[2]["content"][0] | {"cache_control": 0} == {
        "type": "tool_result", "tool_use_id": second[1]["content"][0]["id"], "content": "42\n", "cache_control": 0,
    }  # fmt: skip
    assert (colony.root / "staging/rows").read_text() == "42\n"
    kinds = [record["type"] for record in here.transcript()]
    assert kinds == ["begun", "request", "response", "tool_started", "tool_ended", "request", "response", "final"]


def test_the_first_message_is_the_step_and_the_system_text_the_agent(scene: Any) -> None:
    here = scene([{"text": "done"}])
    here.run("--date", "2013-02-08")
    body = here.api.requests[0].body
    first = body["messages"][0]["content"][0]["text"]
    assert "The step 'a' of the workflow 'w'." in first and "Do it for 2013-02-08." in first
    assert "2013-02-07" in first  # yesterday
    system = body["system"][0]["text"]
    assert "You do the work." in system and "staging/" in system and "2013" not in system
    assert body["stream"] is True and not {"temperature", "top_p", "tool_choice"} & set(body)


def test_what_later_steps_take_from_an_output_is_asked_for_and_checked(scene: Any) -> None:
    here = scene(
        {
            "The step 'check'": [{"text": "all good"}, {"json": {"score": 1}}, {"json": {"quality_score": 0.9}}],
            "The step 'tell'": [{"text": "told"}],
        }
    )
    here.workflow(
        "steps:\n"
        "  - {name: check, agent: worker, instructions: Check it.}\n"
        "  - {name: tell, agent: worker, depends_on: [check], instructions: 'Quality is {{steps.check.output.quality_score}}.'}\n"
    )
    here.run()
    assert here.step("check")["output"] == {"quality_score": 0.9} and here.step("tell")["output"] == "told"
    assert '"required":["quality_score"]' in here.api.requests[0].body["messages"][0]["content"][0]["text"].replace(
        " ", ""
    )
    tell = here.api.requests[-1].body["messages"][0]["content"][0]["text"]
    assert "Quality is 0.9." in tell and '- check: {"quality_score":0.9}' in tell


def test_an_answer_is_corrected_twice_and_no_more(scene: Any) -> None:
    schema = ", output_schema: {type: object, required: [n], properties: {n: {type: integer, minimum: 1}}}"
    here = scene([{"json": {"n": 0}}, {"text": "no"}, {"json": {"n": -1}}])
    here.workflow(more=schema)
    assert here.run(check=False).code == 1
    error = here.step()["error"]
    assert "after 2 corrections" in error and "-1 is less than the minimum of 1" in error
    assert len(here.api.requests) == 3
    form = here.api.requests[0].body["output_config"]["format"]["schema"]
    assert form["additionalProperties"] is False and "minimum" not in json.dumps(form)
    assert "0 is less than the minimum of 1" in here.api.requests[1].body["messages"][2]["content"][0]["text"]


def test_a_reply_that_is_cut_off_is_asked_for_again_with_more_room(scene: Any) -> None:
    here = scene([{"text": "a very long", "stop": "max_tokens", "faults": []}])
    here.api.script["Do it"] = [{"text": "a very long", "stop": "max_tokens"}]
    assert here.run(check=False).code == 1
    assert "cut off at max_output_tokens 2 times" in here.step()["error"]
    sizes = [request.body["max_tokens"] for request in here.api.requests]
    assert len(sizes) == 2 and sizes[0] == 16000 < sizes[1]


def test_a_refusal_fails_the_step_and_is_not_tried_again(scene: Any) -> None:
    here = scene([{"text": "I can't", "stop": "refusal"}])
    here.workflow(more=", retry: {max_attempts: 3, delay: 10ms}")
    assert here.run(check=False).code == 1
    assert here.step()["error"] == "the model refused the step" and here.step()["attempts"] == 1


def test_a_paused_turn_goes_on(scene: Any) -> None:
    here = scene([{"text": "I search", "stop": "pause_turn"}, {"text": "found"}])
    here.run()
    assert here.step()["output"] == "found"
    assert here.api.requests[1].body["messages"][-1]["role"] == "assistant"


def test_overload_limits_and_broken_replies_cost_no_attempt(scene: Any) -> None:
    faults = [
        "529",
        {"fault": "429", "retry_after": 0.1},
        "500",
        "cut",
        "clean-early-end",
        "broken-body",
        "error-event",
        "reset",
        "html",
    ]
    for number, fault in enumerate(faults):
        here = scene([{"text": "done", "faults": [fault]}])
        here.run()
        assert (here.step()["output"], here.step()["attempts"]) == ("done", 1), fault
        assert len(here.api.requests) == 2, (number, fault)
        failed = [record for record in here.transcript() if record["type"] == "request_failed"]
        assert len(failed) == 1


def test_a_wait_past_the_steps_time_leaves_a_run_that_can_be_gone_on_with(scene: Any, colony: Colony) -> None:
    here = scene(
        [bash("echo once >> staging/ledger"), {"text": "done", "faults": [{"fault": "429", "retry_after": 600}]}]
    )
    here.workflow(more=", timeout: 20s")
    done = here.run(check=False)
    assert done.code == 75, done
    assert here.status()["status"] == "waiting" and "limits the rate until" in here.step()["waiting_on"][0]
    again = colony("workflow", "resume", "latest", "-q", env=here.environment)
    assert again.code == 0 and here.step()["output"] == "done"
    assert (colony.root / "staging/ledger").read_text() == "once\n"
    assert len(here.api.requests) == 3  # the first turn was not paid for again


def test_files_that_were_written_before_the_step_was_cut_off_count_when_it_goes_on(scene: Any, colony: Colony) -> None:
    here = scene([bash("echo 1 > staging/f"), {"text": "done", "faults": [{"fault": "429", "retry_after": 5000}]}])
    here.workflow(more=", timeout: 30s, expect: {files: [staging/f]}")
    assert here.run(check=False).code == 75
    time.sleep(0.05)
    colony("workflow", "resume", "latest", "-q", env=here.environment)
    assert here.step()["status"] == "completed"


def test_errors_that_no_retry_mends_end_the_step_at_once(scene: Any, colony: Colony) -> None:
    for fault, said in (
        ("401", "authentication_error"),
        ("429-spend", "spend limit"),
        ("400-too-long", "too long for the model"),
    ):
        here = scene([{"text": "x", "faults": [fault]}])
        here.workflow(more=", retry: {max_attempts: 3, delay: 10ms}")
        assert here.run(check=False).code == 1
        assert said in here.step()["error"] and len(here.api.requests) == 1, fault


def test_going_round_in_circles_is_noticed_said_and_ended(scene: Any) -> None:
    here = scene([bash("ls staging")] * 6)
    assert here.run(check=False).code == 1
    assert "no progress: the same call has given the same result 5 times in a row" in here.step()["error"]
    assert len(here.api.requests) == 5
    assert "three times in a row" in json.dumps(here.api.requests[3].body["messages"][-1])


def test_the_prefix_is_stable_and_read_from_the_cache(scene: Any) -> None:
    here = scene([bash("seq 200"), bash("seq 201"), {"text": "done"}])
    here.run()
    used = [record["usage"] for record in here.transcript() if record["type"] == "response"]
    assert used[0]["cache_creation_input_tokens"] > 0 and used[0]["cache_read_input_tokens"] == 0
    assert used[1]["cache_read_input_tokens"] >= used[0]["cache_creation_input_tokens"]
    assert used[2]["cache_read_input_tokens"] > used[1]["cache_read_input_tokens"]
    assert "cached)" in here.colony("logs", "worker").out


def test_what_the_model_says_is_in_the_log_while_it_works(scene: Any, colony: Colony) -> None:
    here = scene([{"text": "I look at\nthe rows", **bash("sleep 30")}, {"text": "done"}])
    process = colony.start("workflow", "run", "w", "-q", env=here.environment)
    try:
        deadline = time.monotonic() + 20
        while "→ bash: sleep 30" not in (said := colony("logs", "worker").out):
            assert time.monotonic() < deadline and process.poll() is None, said
            time.sleep(0.1)
        assert "worker I look at" in said and "worker the rows" in said and "reply 1 in" in said
    finally:
        colony("workflow", "cancel", "latest", check=False)
        process.communicate(timeout=30)
    assert here.status()["status"] == "cancelled"


# ── limits and money ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_last_turn_is_announced_and_the_limit_of_turns_holds(scene: Any) -> None:
    here = scene([bash("echo 1"), bash("echo 2"), bash("echo 3"), {"text": "x"}])
    here.workflow(more=", limits: {turns: 3}")
    assert here.run(check=False).code == 1
    assert "3" in here.step()["error"] and "turns" in here.step()["error"]
    assert len(here.api.requests) == 3
    assert "This is your last turn" in json.dumps(here.api.requests[2].body["messages"][-1])
    assert here.transcript()[-1]["type"] == "final"


def test_a_limit_holds_over_retries_and_restarts(scene: Any, colony: Colony) -> None:
    here = scene([{"text": "no"}, {"text": "no"}, {"text": "no"}])
    schema = ", output_schema: {type: object, required: [n]}"
    here.workflow(more=schema + ", limits: {turns: 4}, retry: {max_attempts: 5, delay: 10ms}")
    assert here.run(check=False).code == 1
    assert len(here.api.requests) == 4 and here.step()["attempts"] == 2
    assert colony("workflow", "resume", "latest", "-q", env=here.environment, check=False).code == 1
    assert len(here.api.requests) == 4


def test_tool_calls_over_the_limit_are_not_made(scene: Any, colony: Colony) -> None:
    here = scene([{"tools": [["bash", {"command": f"echo {n} >> staging/l"}] for n in range(3)]}, {"text": "done"}])
    here.workflow(more=", limits: {tool_calls: 2}")
    here.run()
    assert (colony.root / "staging/l").read_text() == "0\n1\n"
    assert "limit of 2 tool calls" in json.dumps(here.api.requests[1].body["messages"][-1])


def test_a_runs_budget_of_tool_calls_is_shared_by_steps_at_the_same_time(scene: Any, colony: Colony) -> None:
    calls = {"tools": [["bash", {"command": f"echo {n} >> staging/l"}] for n in range(3)]}
    here = scene({f"Part {name}": [calls, {"text": "done"}] for name in "pq"})
    steps = [f'  - {{name: {name}, agent: worker, instructions: "Part {name}."}}\n' for name in "pq"]
    here.workflow("budget: {tool_calls: 4}\nsteps:\n" + "".join(steps))
    here.run()
    assert len((colony.root / "staging/l").read_text().split()) == 4
    results = [block for request in here.api.requests for block in request.body["messages"][-1]["content"]]
    refused = [block["content"] for block in results if block["type"] == "tool_result" and block.get("is_error")]
    run = here.status()["run_id"]
    assert refused == [f"not done: run {run} has used 4 of 4 tool_calls; give the step's output now"] * 2
    spent = next((colony.root / ".colony/spending").glob("*.jsonl"))
    assert sum(json.loads(line)["type"] == "called" for line in spent.read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("step", "usd"), ("run", "usd"), ("agent-day", "today"), ("colony-day", "today"), ("tokens", "tokens"), ("time", "time"),
    ],
)  # fmt: skip
def test_each_limit_is_reached_before_the_request_that_would_pass_it(
    scene: Any, colony: Colony, where: str, said: str
) -> None:
    here = scene([{"text": "x"}])
    here.workflow()
    if where == "step":
        here.workflow(more=", limits: {usd: 0.001}")
    elif where == "tokens":
        here.workflow(more=", limits: {tokens: 3000}")
    elif where == "run":
        here.workflow("budget: {usd: 0.001}\n" + STEP.format(more=""))
    elif where == "time":
        here.workflow("budget: {time: 1ms}\n" + STEP.format(more=""))
    elif where == "agent-day":
        here.workflow(agent="limits: {usd_per_day: 0.001}")
    else:
        text = CONFIG.replace("{more}", "description: x") + "limits: {usd_per_day: 0.001}\n"
        colony.write("colony.yml", text)
    assert here.run(check=False).code == 1
    assert here.api.requests == [], where
    error = here.step()["error"]
    assert here.step()["status"] == "failed" and (said in error or "$" in error), error
    assert colony("workflow", "status").code == 0


@pytest.mark.parametrize(("limits", "told"), [("{turns: 1}", 1), ("{turns: 9}", 0)])
def test_an_alert_on_budget_is_set_off_by_a_limit_and_by_no_other_failure(
    scene: Any, colony: Colony, limits: str, told: int
) -> None:
    here = scene([bash("echo 1"), {"text": "no"}, {"text": "no"}, {"text": "no"}])
    here.workflow(more=f", output_schema: {{type: object}}, limits: {limits}")
    config = (colony.root / "colony.yml").read_text()
    colony.write("colony.yml", config + 'alerts:\n  - on: [budget]\n    command: echo "$COLONY_ALERT_TEXT" >> told\n')
    assert here.run(check=False).code == 1
    assert colony("workflow", "resume", "latest", "-q", env=here.environment, check=False).code == 1
    lines = (colony.root / "told").read_text().splitlines() if (colony.root / "told").exists() else []
    assert len(lines) == told and all("a was stopped: " in line and "of 1 turns" in line for line in lines)


def test_a_model_without_a_price_is_not_asked_under_a_limit_in_dollars(scene: Any, colony: Colony) -> None:
    here = scene([{"text": "x"}])
    here.workflow(agent="limits: {usd: 5}")
    done = here.colony(
        "workflow", "run", "w", "-q", env={**here.environment, "COLONY_MODEL": "claude-mystery-1"}, check=False
    )
    assert done.code == 1 and "price of 'claude-mystery-1' is not known" in here.step()["error"]
    assert here.api.requests == []


def test_tokens_and_dollars_are_shown_everywhere(scene: Any, colony: Colony) -> None:
    here = scene([bash("echo 1"), {"text": "done"}])
    here.run()
    step = here.step()
    replies = [record for record in here.transcript() if record["type"] == "response"]
    assert step["cost_usd"] == pytest.approx(sum(record["cost_usd"] for record in replies))
    agents = {agent["id"]: agent for agent in colony.lines("status", "--json")}
    assert agents["worker"]["tokens"] == step["tokens"] and agents["worker"]["cost_usd"] == pytest.approx(
        step["cost_usd"]
    )
    rows = colony.lines("agents", "cost", "--json")
    assert rows[0]["agent"] == "worker" and rows[0]["usd"] == pytest.approx(step["cost_usd"])
    cost = colony.json("metrics", "show", "agent.cost_usd", "--json")
    assert cost["sum"] == pytest.approx(step["cost_usd"]) and cost["points"][0]["labels"]["agent"] == "worker"
    assert colony.json("metrics", "show", "agent.tokens.output", "--json")["count"] == 1
    assert "$" in colony("workflow", "status").out and "$" in colony("status").out


# ── messages, secrets, replay ───────────────────────────────────────────────────────────────────────────────────


def test_a_conversation_that_fills_the_models_window_is_summed_up_and_gone_on_with(scene: Any, colony: Colony) -> None:
    long = bash("echo row >> staging/log; seq 1 6000")
    here = scene(
        {
            "These are the notes": [bash("cat staging/log"), {"json": {"quality_score": 1}}],
            "The step 'a'": [
                long,
                bash("ls"),
                {**long, "text": "I would rather go on."},
                {"text": "One row is there."},
            ],
        }
    )
    colony.write(".colony/models.json", '{"v": 1, "models": [{"id": "claude-sonnet-5-5", "context": 16000}]}')
    colony("messages", "send", "worker", "count twice")
    here.workflow(
        more=", output_schema: {type: object, required: [quality_score], properties: {quality_score: {type: integer}}}"
    )
    here.run()
    assert here.step()["output"] == {"quality_score": 1} and here.step()["attempts"] == 1
    assert (
        colony.root / "staging/log"
    ).read_text() == "row\n"  # what was called for in place of the notes was not done
    kinds = [record["type"] for record in here.transcript()]
    assert kinds.count("compact") == 1
    first, second, asked, refused, again, _ = here.api.requests
    assert "Write down" in json.dumps(asked.body) and "Write down" not in json.dumps(second.body)
    assert "write down, without a tool" in json.dumps(refused.body["messages"][-1])
    assert [("output_config" in each.body) for each in (first, second, asked, refused, again)] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert [message["role"] for message in again.body["messages"]] == ["user"]
    text = "\n".join(block["text"] for block in again.body["messages"][0]["content"])
    assert "The step 'a'" in text and "One row is there." in text and "count twice" in text
    before = here.step()
    here.run("--replay", "latest")
    assert here.step()["output"] == before["output"] and len(here.api.requests) == 6


def test_messages_reach_an_agent_at_its_next_turn_once(scene: Any, colony: Colony) -> None:
    here = scene([bash("colony messages send worker 'from the tool' >/dev/null; echo sent"), {"text": "done"}])
    colony("broadcast", "the API is slow today")
    colony("messages", "send", "worker", "skip the weather")
    here.run()
    first = here.api.requests[0].body["messages"][0]["content"]
    assert "the API is slow today" in first[1]["text"] and "skip the weather" in first[1]["text"]
    assert "slow today" not in json.dumps(here.api.requests[1].body["messages"][-1])  # not again, and not its own words
    here.run()
    assert "slow today" not in json.dumps(here.api.requests[2].body)


def test_a_new_attempt_is_told_the_messages_that_the_one_before_was_told(scene: Any, colony: Colony) -> None:
    here = scene([{"text": "done"}])
    colony("messages", "send", "worker", "skip the weather")
    here.workflow(more=", retry: {max_attempts: 2}, expect: {files: [staging/none]}")
    assert here.run(check=False).code == 1
    assert len(here.api.requests) == 2
    assert all("skip the weather" in json.dumps(request.body) for request in here.api.requests)


def test_a_secret_is_known_to_tools_and_to_nobody_else(scene: Any, colony: Colony) -> None:
    here = scene(
        [bash('echo key=$API_KEY; echo $API_KEY | base64; test -n "$API_KEY" && echo there'), {"text": "the key"}]
    )
    here.workflow(agent="env: {API_KEY: $DATA_API_KEY}")
    here.environment["DATA_API_KEY"] = "a-very-secret-value"
    here.run()
    result = json.dumps(here.api.requests[1].body)
    assert "key=[API_KEY]" in result and "there" in result
    everything = b"".join(path.read_bytes() for path in (colony.root / ".colony").rglob("*") if path.is_file())
    sent = json.dumps([request.body for request in here.api.requests]).encode()
    for secret in (b"a-very-secret-value", b"YS12ZXJ5LXNlY3JldC12YWx1", KEY.encode()):
        assert secret not in everything and secret not in sent


def test_a_tool_cannot_read_the_key_from_our_own_process(scene: Any, colony: Colony) -> None:
    command = (
        "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c sk-ant; env | grep -c ^ANTHROPIC; echo end"
    )
    here = scene([bash(command), {"text": "done"}])
    here.run()
    assert here.api.requests[1].body["messages"][-1]["content"][0]["content"] == "0\n0\nend\n"


def test_a_replay_does_the_same_run_again_without_a_model(scene: Any, colony: Colony) -> None:
    here = scene([bash("echo once >> staging/ledger"), {"text": "no"}, {"json": {"n": 1}}])
    here.workflow(more=", output_schema: {type: object, required: [n]}")
    here.run("--date", "2013-02-08")
    first = here.status()
    asked = len(here.api.requests)
    again = colony("workflow", "run", "w", "-q", "--replay", first["run_id"])  # no key, no address
    second = here.status()
    assert again.code == 0 and second["run_id"] != first["run_id"] and len(here.api.requests) == asked
    assert second["date"] == "2013-02-08" and second["steps"][0]["output"] == {"n": 1}
    assert (second["tokens"], second["cost_usd"]) == (0, 0) and first["tokens"] > 0
    assert (colony.root / "staging/ledger").read_text() == "once\nonce\n"  # its tools do work
    wrong = colony("workflow", "run", "x", "--replay", first["run_id"], check=False)
    assert wrong.code != 0 and "Traceback" not in wrong.err
    assert wrong.err == (
        f"colony workflow: {first['run_id']} is a run of 'w', not of 'x'; there is no run of 'x' yet\n"
    )


def test_without_a_key_the_run_is_not_begun(scene: Any, colony: Colony) -> None:
    scene([{"text": "x"}])
    done = colony("workflow", "run", "w", check=False)
    assert (done.code, done.out, done.err) == (
        2,
        "",
        "colony workflow: ANTHROPIC_API_KEY is not set, which a model needs, for step 'a' at .colony/workflows/w.yaml:3; "
        "export it, or write it into the env_file of colony.yml\n",
    )
    assert not list(Path(colony.root / ".colony/runs").iterdir())


def test_a_colony_below_its_repositorys_top_looks_for_files_where_the_agent_writes_them(
    scene: Any, colony: Colony
) -> None:
    here = scene({"Do it": [bash("mkdir -p sql; echo 'select 1' > sql/a.sql"), {"text": "done"}]})
    here.workflow(
        "steps:\n"
        '  - {name: a, agent: worker, instructions: "Do it.", expect: {files: [sql/a.sql]}}\n'
        "  - {name: b, agent: worker, depends_on: [a], run: cat sql/a.sql}\n",
        agent="worktree_branch: pipeline/worker",
    )
    for words in (["init", "-q"], ["add", "colony/colony.yml"], ["commit", "-qm", "first"]):
        identity = {f"GIT_{role}_{key}": "ada" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        subprocess.run(["git", *words], cwd=colony.root.parent, env=clean_environment(**identity), check=True)
    here.run()
    assert here.step("b")["output"] == "select 1"
    assert (colony.root / ".colony/worktrees/worker/colony/sql/a.sql").exists()
    assert not (colony.root / "sql").exists()


def test_batches_and_handlers_are_done_by_agents_too(scene: Any) -> None:
    here = scene(
        {
            "The step 'split'": [{"json": {"files": ["x", "y"]}}],
            "This is batch 0": [{"text": "zero"}],
            "This is batch 1": [{"text": "one"}],
            "The step 'fail'": [{"text": "no", "stop": "refusal"}],
            "The step 'tell'": [{"text": "told"}],
        }
    )
    here.workflow(
        "steps:\n"
        "  - {name: split, agent: worker, instructions: Split it.}\n"
        "  - {name: each, agent: worker, depends_on: [split], for_each: '{{steps.split.output.files}}', instructions: 'Take {{item}}.'}\n"
        "  - {name: fail, agent: worker, depends_on: [each], instructions: Fail.}\n"
        "error_handling:\n"
        "  - {step: tell, agent: orchestrator, instructions: '{{failure.step}} failed: {{failure.error}}'}\n"
    )
    assert here.run(check=False).code == 1
    assert here.step("each")["output"] == ["zero", "one"]
    assert here.step("tell")["output"] == "told"
    assert "fail failed: the model refused the step" in json.dumps(here.api.requests[-1].body["messages"])
