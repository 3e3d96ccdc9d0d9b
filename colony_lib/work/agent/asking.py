"""A request from its reservation to its reply: reserved in the ledger, journalled, sent, waited for, settled.

The order is the promise: what a request may cost is reserved and the request journalled before it is sent, and its
reply journalled before anything follows from it. Killed in between, a request is sent again, and the lost one counts as
paid.
"""

from __future__ import annotations

import os
import time

from colony_lib.base import clock, jsontext
from colony_lib.base.text import show_duration
from colony_lib.store import prices, spending
from colony_lib.work.agent import limits
from colony_lib.work.agent.client import Trouble
from colony_lib.work.agent.conversation import Conversation, digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.work.agent.client import Client
    from colony_lib.work.agent.place import Place
    from colony_lib.work.agent.replay import Recording

    Record = dict[str, Any]

_TRIES = 8  # failures in a row of the kind that may be over the next time
_LONGEST = 3600.0  # seconds that a busy API is waited for when the step has no timeout
_SMALLER = 4096  # tokens to which a reply is limited when the budget has no room for a long one


class Paused(Exception):
    """The API lets nobody through until a time (ISO 8601, or None when it does not say) that is past the step's."""

    def __init__(self, error: str, until: str | None) -> None:
        super().__init__(error)
        self.error = error
        self.until = until


class Asking:
    """Asks for one conversation."""

    def __init__(
        self, place: Place, talk: Conversation, source: Client | Recording, model: str, max_tokens: int, longest: int
    ) -> None:
        """`max_tokens` of a reply; `longest`: what is asked for after a reply was cut off there."""
        self.place = place
        self.talk = talk
        self.source = source
        self.model = model
        self.max_tokens = max_tokens
        self.longest = longest
        self.ledger = spending.Ledger()
        self._limits = limits.of(place.task)
        self._free = bool(place.task.get("replay"))  # what is replayed costs nothing

    def note(self, kind: str, /, **fields: Any) -> Record:
        """Journal a record, and take it into the conversation."""
        record = self.place.transcript.add(kind, **fields)
        self.talk.apply(record)
        return record

    # -- what earlier processes left

    def settle_left(self, records: list[Record]) -> None:
        """Settle the requests that processes before this one sent and did not settle: paid by their reply where there
        is one, and in full where nobody knows. A request that is settled already stays as it is."""
        open_: Record | None = None
        for record in records:
            if record["type"] == "request":
                open_ = record
            elif record["type"] == "response" and open_ is not None:
                self._settle(open_, record["usage"], record["cost_usd"], "settled")
                open_ = None
            elif record["type"] == "request_failed" and open_ is not None:
                self._settle(open_, None, None, "released" if record["charged"] == "no" else "lost")
                open_ = None
        if open_ is not None:
            self._settle(open_, None, None, "lost")
            self.place.say("the process ended before the model's reply was recorded: the request is sent again", "warn")
            self.note(
                "request_failed", request=open_["request"], kind="again", status=None, error_type="interrupted",
                error="the process ended before the reply was recorded", wait_seconds=None, charged="unknown",
            )  # fmt: skip

    def _settle(self, request: Record, usage: Record | None, usd: float | None, outcome: str) -> None:
        if request.get("reservation"):
            self.ledger.settle(request["reservation"], usage, usd, outcome)

    # -- one reply

    def reply(self, system: str, tools: list[Record], form: Record | None) -> Record:
        """The record of the next reply. Trouble that is past helping, Paused, or spending.LimitReached."""
        failures = 0
        waited = 0.0
        while True:
            body = self._body(system, tools, form)
            request = self._request(body)
            try:
                return self._ask(request, body)
            except Trouble as trouble:
                self._settle(request, None, None, "released" if trouble.charged == "no" else "lost")
                self.note("request_failed", request=request["request"], **trouble.record())
                failures += 1
                if trouble.kind == "stop" or (trouble.kind == "again" and failures >= _TRIES):
                    raise
                waited += self._wait(trouble, failures, waited)

    def _body(self, system: str, tools: list[Record], form: Record | None) -> Record:
        body: Record = {
            "model": self.model,
            "max_tokens": self.max_tokens,
            "system": [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}],
            "messages": marked(self.talk.outgoing()),
        }
        if tools:
            body["tools"] = tools
        if form is not None:
            body["output_config"] = {"format": form}
        return body

    def _request(self, body: Record) -> Record:
        """Reserve and journal it."""
        reservation = None
        if not self._free:
            reservation = self._reserve(body)
        return self.note(
            "request",
            request=self.talk.requests + 1,
            messages=len(body["messages"]),
            digest=digest(self.talk.outgoing()),
            max_tokens=body["max_tokens"],
            reservation=reservation,
        )

    def _reserve(self, body: Record) -> str:
        prompt = estimate(body)
        try:
            return self._reserved(prompt, body["max_tokens"])
        except spending.LimitReached:
            if body["max_tokens"] <= _SMALLER:
                raise
            body["max_tokens"] = _SMALLER
            return self._reserved(prompt, _SMALLER)

    def _reserved(self, prompt: int, longest: int) -> str:
        usd = prices.worst(self.model, prompt, longest, clock.now()[:10])
        if usd is None and limits.dollars_limited(self.place.task):
            raise limits.refuse_unpriced(self.model)
        return self.ledger.reserve(limits.who(self.place.task, self.model), prompt + longest, usd or 0.0, self._limits)

    def _ask(self, request: Record, body: Record) -> Record:
        began = time.monotonic()
        live = _Live(self.place)
        reply = self.source.ask(body, live.heard, self.place.deadline)
        usd, price = (0.0, None) if self._free else prices.cost(self.model, reply.usage, clock.now()[:10])
        record = self.note(
            "response",
            request=request["request"],
            message_id=reply.message_id,
            request_id=reply.request_id,
            model=reply.model,
            content=reply.content,
            stop_reason=reply.stop_reason,
            context=reply.context,
            usage={} if self._free else reply.usage,
            cost_usd=usd,
            price=price,
        )
        self._settle(request, reply.usage, usd, "settled")
        if not self._free:
            self._say(reply.usage, usd, time.monotonic() - began)
        return record

    def _say(self, used: Record, usd: float | None, took: float) -> None:
        read = used.get("cache_read_input_tokens") or 0
        sent = (used.get("input_tokens") or 0) + read + (used.get("cache_creation_input_tokens") or 0)
        cost = "" if usd is None else f", ${usd:.4f}"
        kept = f" ({read:,} cached)" if read else ""
        out = used.get("output_tokens") or 0
        head = f"reply {self.talk.replies} in {show_duration(took)}"
        self.place.say(f"{head}: {sent:,} tokens in{kept}, {out:,} out{cost}")

    # -- waiting

    def _wait(self, trouble: Trouble, failures: int, waited: float) -> float:
        """Wait as long as the API says, else with growing pauses; returns the seconds. Paused when the step's time
        would be up."""
        pause = min(2.0 ** min(failures - 1, 6), 60.0) * (0.5 + int.from_bytes(os.urandom(4), "big") / (1 << 33))
        if trouble.wait is not None:
            pause = trouble.wait + pause / 10
        left = self.place.left()
        room = _LONGEST - waited if left is None else left
        if pause >= room:
            until = clock.stamp(clock.epoch() + pause)
            said = f"the API asks to wait {show_duration(pause)}, past this step's time: {trouble.error}"
            raise Paused(said, until)
        self.place.say(f"{trouble.error}; trying again in {show_duration(pause)}", "warn")
        time.sleep(pause)
        return pause


class _Live:
    """Tells the agent's log what the model says while it says it, by whole lines."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._text = ""

    def heard(self, kind: str, text: str) -> None:
        if kind == "thinking":
            return
        self._text += text
        *lines, self._text = self._text.split("\n")
        if kind == "end":
            lines, self._text = [*lines, self._text], ""
        for line in lines:
            if line.strip():
                self._place.say(line)


def marked(messages: list[Record]) -> list[Record]:
    """The messages with a mark for the prompt cache on the last block: what is sent up to there can be read from it
    the next time."""
    *before, last = messages
    *blocks, block = last["content"]
    if block.get("type") not in ("text", "tool_result", "tool_use"):
        return messages
    return [*before, {**last, "content": [*blocks, {**block, "cache_control": {"type": "ephemeral"}}]}]


def estimate(body: Record) -> int:
    """Tokens that the request has at most, as its length in characters tells: for what is reserved, not for what is
    paid."""
    return len(jsontext.dumps({key: value for key, value in body.items() if key != "max_tokens"})) // 3 + 1
