"""The run that has everything, and what each of its steps promises: a diamond, retries, batches, a large output, a skipped
step, a failure that is passed over, a time limit, a step that must not be repeated, an expected file, and a failure that
an error_handling step mends, so that a resume completes it. Its commands take milliseconds and keep a ledger."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.faults.accounting import Promise, Unit

# One write a line: what two commands write at once stays two lines.
LEDGER = """\
begin() { printf 'begin %s %s %s %s\\n' "$COLONY_STEP" "${COLONY_BATCH_ID:--}" "$COLONY_ATTEMPT" $$ >>ledger; }
end() { printf 'end %s %s %s %s %s\\n' "$COLONY_STEP" "${COLONY_BATCH_ID:--}" "$COLONY_ATTEMPT" $$ "${1:-0}" >>ledger; }
"""

WORKFLOW = """\
name: w
max_parallel: 3
steps:
  - name: list
    run: '. ./ledger.sh; begin; printf "[10,20,30,40]"; end'
  - name: left
    agent: worker
    depends_on: [list]
    run: '. ./ledger.sh; begin; echo "WARN left speaks" >&2; sleep 0.12; printf "{\\"n\\": 1}" >"$COLONY_OUTPUT"; echo not this; end'
  - name: right
    depends_on: [list]
    retry: {max_attempts: 4, backoff: fixed, delay: 5ms}
    run: '. ./ledger.sh; begin; if [ ! -e right.failed ]; then echo "ERROR not yet" >&2; : >right.failed; end 1; exit 1; fi; echo 2; end'
  - name: join
    depends_on: [left, right]
    run: '. ./ledger.sh; begin; printf "%40000d" {{steps.left.output.n}} | tr " " x; end'
  - name: each
    depends_on: [list]
    for_each: "{{steps.list.output}}"
    parallel: 2
    run: '. ./ledger.sh; begin; echo {{item}}; end'
  - name: many
    parallel: 3
    run: '. ./ledger.sh; begin; trap : USR1; echo "$COLONY_BATCH_ID"; end'
  - name: never
    depends_on: [left]
    when: "{{steps.left.output.n}} == 2"
    run: '. ./ledger.sh; begin; end'
  - name: nor
    depends_on: [never]
    run: '. ./ledger.sh; begin; end'
  - name: sour
    on_failure: continue
    run: '. ./ledger.sh; begin; echo "error: sour" >&2; end 3; exit 3'
  - name: sweet
    depends_on: [sour]
    run: '. ./ledger.sh; begin; echo {{steps.sour.status}}; end'
  - name: busy
    retry: {max_attempts: 1, backoff: fixed, delay: 5ms}
    run: '. ./ledger.sh; begin; if [ ! -e busy.once ]; then : >busy.once; end 75; exit 75; fi; echo 3; end'
  - name: late
    on_failure: continue
    timeout: 150ms
    run: '. ./ledger.sh; begin; read -r line <endless; end 1; exit 1'
  - name: single
    depends_on: [busy]
    idempotent: false
    run: '. ./ledger.sh; begin; echo 4; end'
  - name: made
    depends_on: [busy]
    expect: {files: [made.json]}
    run: '. ./ledger.sh; begin; echo "{}" >made.json; end; exit 0'
  - name: gate
    depends_on: [join, each, many, sweet, late, single, made]
    run: '. ./ledger.sh; begin; if [ ! -e mended ]; then end 1; exit 1; fi; echo 5; end'
  - name: last
    depends_on: [gate]
    run: '. ./ledger.sh; begin; echo {{steps.each.output}}{{steps.join.output}}; end'
error_handling:
  - step: mend
    run: '. ./ledger.sh; begin; : >mended; end'
"""

JOINED = "x" * 39_999 + "1"
HANDLERS = ("mend",)
PROMISES: dict[Unit, Promise] = {
    ("list", None): Promise(output=[10, 20, 30, 40]),
    ("left", None): Promise(output={"n": 1}, after=("list",)),
    ("right", None): Promise(output=2, after=("list",)),
    ("join", None): Promise(output=JOINED, after=("left", "right")),
    **{("each", n): Promise(output=10 * (n + 1), after=("list",)) for n in range(4)},
    **{("many", n): Promise(output=n) for n in range(3)},
    ("never", None): Promise("skipped", after=("left",)),
    ("nor", None): Promise("skipped", after=("never",)),
    ("sour", None): Promise("failed"),
    ("sweet", None): Promise(output="failed", after=("sour",)),
    ("busy", None): Promise(output=3),
    ("late", None): Promise("failed", ends=False),
    ("single", None): Promise(output=4, after=("busy",), repeatable=False),
    ("made", None): Promise(output="", after=("busy",)),
    ("gate", None): Promise(output=5, after=("join", "each", "many", "sweet", "late", "single", "made")),
    ("last", None): Promise(output="[10,20,30,40]" + JOINED, after=("gate",)),
}
# What `workflow status` says of the run once it is completed.
STATUSES = {name: promise.status for (name, _), promise in PROMISES.items()}
OUTPUTS = {
    **{name: promise.output for (name, batch), promise in PROMISES.items() if batch is None},
    "each": [10, 20, 30, 40],
    "many": [0, 1, 2],
}

CONFIG = "name: faults\nagents:\n  - {id: worker, role: does the work}\n"


def empty(root: Path) -> None:
    """A colony with the agent `worker` and nothing in it."""
    for folder in ("workflows", "state", "runs", "logs", "metrics", "messages", "agents", "lineage", "locks"):
        (root / ".colony" / folder).mkdir(parents=True)
    (root / "colony.yml").write_text(CONFIG)


def make(root: Path, warm: Path | None = None) -> None:
    """A colony with the workflow `w` in it; with the caches of the colony `warm`, so that it starts faster."""
    empty(root)
    (root / "ledger.sh").write_text(LEDGER)
    (root / "ledger").write_text("")
    (root / ".colony/workflows/w.yaml").write_text(WORKFLOW)
    os.mkfifo(root / "endless")  # who reads it waits for ever, and by itself: no second process to be reaped
    if warm is not None:
        shutil.copytree(warm / ".colony/cache", root / ".colony/cache")
