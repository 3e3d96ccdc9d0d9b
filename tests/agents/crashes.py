"""An agent's step that meets a fault at one of its points, is gone on with until it is completed, and is then held to account:
what its tools did, what was asked of the model and paid for, and what the transcript says of both."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conftest import Result
from tests.fake_api import FakeAPI
from tests.faults.harness import Fault, Place

RESUMES = 6
CONFIG = """\
name: crashes
agents:
  - id: worker
    role: does the work
    model: claude-sonnet-5-5
    tools: [bash, files, colony, put]
    scripts:
      - name: put
        description: puts a row into the table
        command: [sh, -c, 'echo "put $COLONY_TOOL_KEY" >> staging/ledger']
        input: {type: object, properties: {row: {type: integer}}, required: [row]}
        effect: idempotent
"""
WORKFLOW = """\
name: w
steps:
  - name: work
    agent: worker
    instructions: Do the work of {{date}}.
    output_schema: {type: object, required: [rows], properties: {rows: {type: integer, minimum: 1}}}
    retry: {max_attempts: 2, delay: 10ms}
"""
WRITE = 'echo "write $COLONY_TOOL_KEY" >> staging/ledger'
SCRIPT: dict[str, list[dict[str, Any]]] = {
    "Do the work": [
        {"text": "I begin.", "tools": [["bash", {"command": WRITE}], ["read_file", {"path": "staging/seed.txt"}]]},
        {"thinking": "now the rows", "tools": [["put", {"row": 1}], ["put", {"row": 2}]], "faults": [{"fault": "529"}]},
        {"tools": [["bash", {"command": WRITE}]], "faults": ["cut"]},
        {"text": "five rows"},
        {"json": {"rows": 0}},
        {"json": {"rows": 5}},
    ]
}
TURNS = len(SCRIPT["Do the work"])


def make(root: Path) -> None:
    for folder in ("workflows", "state", "runs", "logs", "metrics", "messages", "agents", "lineage", "locks"):
        (root / ".colony" / folder).mkdir(parents=True)
    (root / "staging").mkdir()
    (root / "staging/seed.txt").write_text("a seed\n")
    (root / "colony.yml").write_text(CONFIG)
    (root / ".colony/workflows/w.yaml").write_text(WORKFLOW)


class Trial:
    """One run with one fault; `wrong` collects every promise that it broke, in words."""

    def __init__(self, place: Place, *faults: Fault) -> None:
        self.place = place
        self.faults = faults
        self.wrong: list[str] = []
        self.happened = False
        self.lost = 0  # requests whose reply nobody kept

    def go(self) -> Trial:
        with FakeAPI(SCRIPT) as api:
            self.place.arm(*self.faults)
            last = self._run(api)
            self.happened = self.place.faults is None or bool(self.place.fired())
            self.wrong += self.place.wait_for_quiet() + self.place.held_locks()
            self.place.disarm()
            self._account(api, last)
        return self

    def _run(self, api: FakeAPI) -> Result:
        """Run, and resume until there is nothing left to do."""
        done = self.place("workflow", "run", "w", "-q", **api.environment())
        for _ in range(RESUMES):
            if done.code == 0:
                return done
            if any(fault.kind.endswith("+") for fault in self.faults) and self.place.fired():
                self.place.disarm()  # somebody has freed the disk
            there = list(self.place.root.glob(".colony/runs/*/plan.json"))
            words = ["resume", "latest"] if there else ["run", "w"]
            done = self.place("workflow", *words, "-q", **api.environment())
        self.wrong.append(f"not completed after {RESUMES} resumes: {done!r}")
        return done

    # -- the account

    def _account(self, api: FakeAPI, last: Result) -> None:
        status = json.loads(self.place("workflow", "status", "--json").out)
        if status["steps"][0]["output"] != {"rows": 5}:
            self.wrong.append(f"the output is {status['steps'][0]}")
        self.wrong += [f"an invalid request: {problem}" for problem in api.problems]
        records = self._records()
        self._effects(records)
        self._requests(api, records)
        self._money(records)

    def _records(self) -> list[dict[str, Any]]:
        paths = sorted(
            self.place.root.glob(".colony/runs/*/steps/work/*/transcript.jsonl"), key=lambda p: int(p.parent.name)
        )
        records = []
        for path in paths:
            text = path.read_bytes()
            for line in text.split(b"\n")[:-1] if text else []:
                try:
                    records.append(json.loads(line))
                except ValueError:
                    self.wrong.append(f"{path} holds a line that is none")
        return records

    def _effects(self, records: list[dict[str, Any]]) -> None:
        """A call that writes took effect once, or not at all and the model was told that nobody knows; one that may be
        repeated always had the same key."""
        ledger = self.place.root / "staging/ledger"
        lines = ledger.read_text().split("\n")[:-1] if ledger.exists() else []
        done = Counter(line for line in lines)
        keys = {r["key"]: r for r in records if r["type"] == "tool_started"}
        unknown = {r["tool_use_id"] for r in records if r["type"] == "tool_ended" and r["unknown"]}
        for line, count in done.items():
            kind, _, key = line.partition(" ")
            if key not in keys:
                self.wrong.append(f"something was done that no transcript knows: {line}")
            elif kind == "write" and count > 1:
                self.wrong.append(f"a call that writes was done {count} times")
        for key, started in keys.items():
            kind = {"write": "write", "idempotent": "put"}.get(started["effect"])
            if kind and f"{kind} {key}" not in done and started["tool_use_id"] not in unknown:
                self.wrong.append(f"the call {started['tool_use_id']} is said to be done and was not")
        if len({started["tool_use_id"] for started in keys.values()}) != 5:
            self.wrong.append(f"there were {len(keys)} calls")

    def _requests(self, api: FakeAPI, records: list[dict[str, Any]]) -> None:
        """Each turn has one reply in the transcript; a reply was paid twice only when its process died before keeping it."""
        kept = Counter(r["message_id"] for r in records if r["type"] == "response")
        if sum(kept.values()) != TURNS or len(kept) != TURNS:
            self.wrong.append(f"{sum(kept.values())} replies are kept, of {len(kept)} messages")
        replies = [request for request in api.requests if request.answered == "reply"]
        self.lost = len(replies) - TURNS
        if self.lost > len(self.faults):
            self.wrong.append(f"{len(replies)} replies were given for {TURNS} turns")
        by_turn: dict[int, set[str]] = {}
        for request in api.requests:
            by_turn.setdefault(request.turn, set()).add(json.dumps(request.body["messages"], sort_keys=True))
        self.wrong += [f"turn {turn} was asked in {len(said)} ways" for turn, said in by_turn.items() if len(said) > 1]

    def _money(self, records: list[dict[str, Any]]) -> None:
        """The ledger has each request once, settled by its reply, or in full where nobody had one."""
        text = "".join(path.read_text() for path in self.place.root.glob(".colony/spending/*.jsonl"))
        lines = [json.loads(line) for line in text.split("\n") if line]
        reserved = {line["id"] for line in lines if line["type"] == "reserved"}
        settled = {line["reservation"]: line["outcome"] for line in lines if line["type"] == "settled"}
        paid = sum(outcome == "settled" for outcome in settled.values())
        if paid != TURNS:
            self.wrong.append(f"{paid} requests are settled as paid, of {TURNS}")
        open_ = reserved - set(settled)
        if len(open_) > len(self.faults):
            self.wrong.append(f"{len(open_)} reservations are open")
