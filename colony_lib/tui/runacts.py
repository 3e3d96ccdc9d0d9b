"""What a person may do to a run: each a question with commands as answers, or the reason why there is nothing to do."""

from __future__ import annotations

from typing import Any

from colony_lib.tui.dialogs import Choose
from colony_lib.tui.runview import RunView


def again(view: RunView, step: str | None) -> Choose | str:
    """Go on with the run, or do it anew, whole or from the step on."""
    if view.status == "running":
        return "it is running: X cancels it first"
    choices = []
    if view.status != "completed":
        words = ["workflow", "resume", view.run_id, "--detach"]
        choices.append(("Go on with it: what is done is not done again", words))
    if step in view.run.steps:
        words = ["workflow", "rerun", view.run_id, f"--from={step}", "--detach"]
        choices.append((f"A new run, from {step} on", words))
    choices.append(("A new run, all of it", ["workflow", "rerun", view.run_id, "--detach"]))
    return Choose(f"Run {view.workflow} again? ({view.run_id}, {view.status})", choices)


def cancel(view: RunView, step: str | None) -> Choose | str:
    """End the run and all that it started."""
    if view.status not in ("running", "waiting", "interrupted"):
        return "it has ended: there is nothing to cancel"
    words = ["workflow", "cancel", view.run_id]
    choices = [("Cancel it: what runs is ended, what is done is kept", words)]
    return Choose(f"Cancel {view.workflow} {view.run_id}?", choices)


def approve(view: RunView, step: str | None) -> Choose | str:
    """Let a step that waits for a person go on, or refuse it: the one under the cursor, else the first."""
    found = _waiting(view, step)
    if found is None:
        return "no step waits for a person"
    words = [view.run_id, found["name"]]
    why = ", ".join(found["waiting_on"] or ["approval"])
    choices = [
        ("Approve it; then R goes on with the run", ["workflow", "approve", *words]),
        ("Reject it: the step fails", ["workflow", "reject", *words]),
    ]
    if found["attempts"]:
        choices.append(("Its last attempt did take effect: it is done", ["workflow", "approve", *words, "--done"]))
    return Choose(f"{found['name']} of {view.run_id} waits for {why}", choices)


def _waiting(view: RunView, name: str | None) -> dict[str, Any] | None:
    waiting = [step for step in view.steps if view.waits_for_person(step)]
    return next((step for step in waiting if step["name"] == name), waiting[0] if waiting else None)
