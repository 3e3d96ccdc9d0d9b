"""What a run has used: told by its journal alone."""

from __future__ import annotations

import json
from typing import Any

from tests.conftest import Colony


def spend(colony: Colony, run: str, *records: dict[str, Any]) -> None:
    """Add records to a run's journal, as attempts that call a model write them."""
    with (colony.root / f".colony/runs/{run}/journal.jsonl").open("a") as journal:
        for number, record in enumerate(records):
            line = {"v": 1, "id": f"spent-{number}", "ts": "2026-01-01T00:00:00.000Z", "type": "attempt_ended"}
            journal.write(json.dumps({**line, "batch": None, "attempt": 1, "status": "failed", **record}) + "\n")


def test_tokens_and_dollars_are_summed_over_all_attempts_of_a_step_and_of_the_run(colony: Colony) -> None:
    colony.workflow("w", 'steps:\n  - {name: a, run: "true"}\n  - {name: b, parallel: 2, run: "true"}\n')
    run = colony("workflow", "run", "w").out.strip()
    spend(
        colony,
        run,
        {"step": "a", "tokens": 1200, "cost_usd": 0.1},
        {"step": "a", "tokens": 300, "cost_usd": 0.2, "attempt": 2},
        {"step": "b", "batch": 0, "tokens": 10, "cost_usd": 1},
        {"step": "b", "batch": 1, "tokens": 5, "cost_usd": 0.25},
    )
    record = colony.json("workflow", "status", run, "--json")
    assert [(step["tokens"], step["cost_usd"]) for step in record["steps"]] == [(1500, 0.3), (15, 1.25)]
    assert (record["tokens"], record["cost_usd"]) == (1515, 1.55)


def test_a_record_that_is_there_twice_and_a_number_that_is_none_count_nothing_more(colony: Colony) -> None:
    colony.workflow("w", 'steps:\n  - {name: a, run: "true"}\n')
    run = colony("workflow", "run", "w").out.strip()
    spend(colony, run, {"step": "a", "tokens": 7, "cost_usd": 0.5})
    spend(colony, run, {"step": "a", "tokens": 7, "cost_usd": 0.5})  # the same id: one record
    spend(colony, run, {"step": "a"}, {"step": "a", "tokens": "9", "cost_usd": True}, {"step": "a", "tokens": -4})
    record = colony.json("workflow", "status", run, "--json")
    assert (record["tokens"], record["cost_usd"]) == (7, 0.5)
    assert record["steps"][0]["status"] == "completed"
