"""`colony agents`, and where else tokens and dollars are shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from colony_lib.base import clock
from colony_lib.base.text import width
from colony_lib.store import paths, runs, schema, spending
from colony_lib.work import news
from tests.conftest import Colony

NOW = {"COLONY_NOW": "2026-11-23T12:00:00Z"}


@pytest.fixture
def spent(colony: Colony) -> Colony:
    """A colony whose agents have spent something today and yesterday."""
    paths.use(str(colony.root))
    ledger = spending.Ledger()

    def spend(step: str, agent: str, model: str, outcome: str, usd: float, tokens: int) -> None:
        run = "r20261122-230000-000aa"
        who = {"run": run, "workflow": "w", "step": step, "batch": None, "attempt": 1, "agent": agent, "model": model}
        usage = {"input_tokens": tokens // 10, "cache_read_input_tokens": tokens // 2, "output_tokens": 100}
        ledger.settle(ledger.reserve(who, 50_000, 0.5, []), usage, usd, outcome)

    clock.freeze("2026-11-22T23:00:00Z")
    spend("look", "worker", "claude-opus-5-5", "settled", 0.25, 10_000)
    clock.freeze("2026-11-23T09:00:00Z")
    spend("load", "worker", "claude-sonnet-5-5", "settled", 0.012, 200_000)
    spend("load", "worker", "claude-sonnet-5-5", "lost", 0.0, 0)
    spend("load", "worker", "claude-sonnet-5-5", "released", 0.0, 0)
    who = {"run": "r20261123-080000-000bb", "workflow": "v", "step": "plan", "agent": "orchestrator", "model": "m"}
    ledger.record(who, {"input_tokens": 10, "output_tokens": 5}, 1.5, requests=3)
    return colony


def test_a_colony_that_spent_nothing_says_so(colony: Colony) -> None:
    result = colony("agents", "cost", env=NOW)
    assert (result.out, result.err) == ("", "no agent has asked a model for anything since 2026-10-24 12:00\n")
    assert colony.lines("agents", "cost", "--json") == []


def test_costs_are_told_by_agent_with_what_is_reported_and_what_is_not_sure(spent: Colony) -> None:
    assert spent("agents", "cost", env=NOW).out == (
        "AGENT         REQUESTS  TOKENS IN  OUT  CACHED   COST\n"
        "orchestrator         3         10    5      0%  $1.50  reported\n"
        "worker               3    126,000  200     83%  $0.26  and up to $0.50\n"
        "total                6    126,010  205     83%  $1.76  and up to $0.50\n"
    )


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("agent", [("orchestrator",), ("worker",)]),
        ("model", [("m",), ("claude-opus-5-5",), ("claude-sonnet-5-5",)]),
        ("day", [("2026-11-22",), ("2026-11-23",)]),
        ("run", [("r20261122-230000-000aa", "w"), ("r20261123-080000-000bb", "v")]),
        ("step", [("v", "plan"), ("w", "look"), ("w", "load")]),
    ],
)
def test_costs_are_told_by_other_things(spent: Colony, by: str, keys: list[tuple[str, ...]]) -> None:
    found = spent.lines("agents", "cost", "--by", by, "--json", env=NOW)
    names = {"run": ("run", "workflow"), "step": ("workflow", "step")}.get(by, (by,))
    assert [tuple(record[name] for name in names) for record in found] == keys
    for record in found:
        schema.check(record, "agents-cost")
    assert sum(record["usd"] for record in found) == pytest.approx(1.762)
    assert sum(record["unsure_usd"] for record in found) == 0.5
    assert sum(record["requests"] for record in found) == 6
    assert max(map(width, spent("agents", "cost", "--by", by, env=NOW).out.split("\n"))) <= 100


@pytest.mark.parametrize(("since", "usd"), [("2h", 0), ("4h", 1.512), ("2026-11-23", 1.512), ("7d", 1.762)])
def test_costs_are_told_since_a_time(spent: Colony, since: str, usd: float) -> None:
    found = spent.lines("agents", "cost", "--since", since, "--json", env=NOW)
    assert sum(record["usd"] for record in found) == pytest.approx(usd)


def test_a_bad_time_or_group_is_wrong_usage(colony: Colony) -> None:
    result = colony("agents", "cost", "--since", "lunch", check=False)
    assert (result.code, result.err) == (
        2,
        "colony agents: 'lunch' is neither a duration nor a time; write it like 7d, 2h, 30m or 2026-11-23T06:00:00Z\n",
    )
    assert colony("agents", "cost", "--by", "moon", check=False).code == 2


def test_the_limits_of_the_day_stand_below(spent: Colony) -> None:
    spent.write(
        "colony.yml",
        "limits: {usd_per_day: 20, tokens_per_day: 5000000}\n"
        "agents: [{id: worker, limits: {usd_per_day: 5}}, {id: orchestrator}]\n",
    )
    assert spent("agents", "cost", env=NOW).out.split("\n")[-4:] == [
        "today, the colony: $2.01 of $20.00",
        "today, the colony: 170,115 of 5,000,000 tokens",
        "today, agent worker: $0.51 of $5.00",
        "",
    ]


def test_the_agents_are_listed_with_what_they_used_today(spent: Colony) -> None:
    found = spent.lines("agents", "list", "--json", env=NOW)
    assert found == spent.lines("status", "--json", env=NOW)
    assert [(agent["id"], agent["tokens"], agent["cost_usd"]) for agent in found] == [
        ("orchestrator", 15, 1.5),
        ("worker", 120_100, 0.012),
    ]
    for agent in found:
        schema.check(agent, "agent")
    assert spent("agents", "list", env=NOW).out == (
        "AGENT         STATUS   STEP  SINCE  USED            ROLE\n"
        "orchestrator  stopped  -     -      15 $1.50        coordinates\n"
        "worker        stopped  -     -      120.1k $0.0120  does the work\n"
    )


def test_status_shows_what_was_used_on_a_small_screen(spent: Colony) -> None:
    config = (spent.root / "colony.yml").read_text().replace("does the work", "does " + "very " * 20 + "much")
    spent.write("colony.yml", config.replace("id: orchestrator", "id: orchestrator-of-all-the-work"))
    out = spent("status", env=NOW).out
    assert out.startswith("test-colony: 2 agents, no live run, $1.51 today\n")
    assert "120.1k $0.0120" in out
    assert max(map(width, out.split("\n"))) <= 80


# -- a run's agents: metrics and workflow status


def run_with_usage(colony: Colony) -> str:
    """A finished run whose journal says that its agents' attempts have used something."""
    colony.workflow(
        "w", "steps: [{name: each part, agent: worker, parallel: 2, run: 'true'}, {name: b, run: 'true'}]\n"
    )
    run_id = colony("workflow", "run", "w").out.split("\n")[0]
    journal = colony.root / ".colony" / "runs" / run_id / "journal.jsonl"
    lines = []
    for line in journal.read_text().split("\n")[:-1]:
        record: dict[str, Any] = json.loads(line)
        if record["type"] == "attempt_ended" and record["step"] == "each part":
            usage = {"model": "claude-opus-5-5", "input": 40_000, "output": 1_000, "requests": 4, "cost_usd": 0.05}
            record |= {"usage": usage, "tokens": 41_000, "cost_usd": 0.05}
        lines.append(json.dumps(record))
    journal.write_text("\n".join(lines) + "\n")
    return run_id


def test_a_run_tells_what_it_used_in_its_status(colony: Colony) -> None:
    run_id = run_with_usage(colony)
    out = colony("workflow", "status", run_id).out
    assert "82.0k $0.10; 2 of 2 batches" in out
    assert "used: 82,000 tokens, $0.10\n" in out
    assert max(map(width, out.split("\n"))) <= 80


def test_agents_attempts_become_metrics_once_however_often_the_run_ends(colony: Colony) -> None:
    run_id = run_with_usage(colony)
    paths.use(str(colony.root))
    for _ in range(3):
        news.News(runs.load(run_id), lambda *_: None).run_ended("completed", None)
    for name, total in (("agent.tokens.input", 80_000), ("agent.tokens.output", 2_000), ("agent.cost_usd", 0.1)):
        found = colony.json("metrics", "show", name, "--json")
        assert (found["count"], found["sum"]) == (2, pytest.approx(total))
        assert found["points"][0]["labels"] == {"agent": "worker", "model": "claude-opus-5-5"}


def test_agents_attempts_become_metrics_also_of_a_run_that_waits(colony: Colony) -> None:
    run_id = run_with_usage(colony)
    paths.use(str(colony.root))
    news.News(runs.load(run_id), lambda *_: None).run_ended("waiting", None)
    assert colony.json("metrics", "show", "agent.cost_usd", "--json")["count"] == 2
