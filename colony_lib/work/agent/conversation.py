"""What a transcript adds up to: the messages to send next, and what is still to be done before that.

The fold is a pure function of the records: it makes the same messages, byte for byte, in every process that goes on
with the conversation. Replies that bind their thinking to the exact history stay valid, and the prompt cache holds.
"""

from __future__ import annotations

from colony_lib.base import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Record = dict[str, Any]

# Replies with these reasons are not part of what is sent on: they are cut, or no answer.
_DROPPED = ("max_tokens", "refusal", "model_context_window_exceeded")


def digest(value: Any) -> str:
    """A short name for a value, for comparing what was sent and what was asked for."""
    import hashlib

    return hashlib.sha256(jsontext.dumps(value).encode()).hexdigest()[:32]


class Conversation:
    """One conversation with a model, as far as it has come."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.begun: Record | None = None  # the first record: model, system, tools, first, schema, form
        self.messages: list[Record] = []
        self.open = True  # whether the last user message can still be added to
        self.requested: Record | None = None  # a request whose reply is not known
        self.last: Record | None = None  # the last reply, dropped ones included
        self.calls: list[Record] = []  # the last reply's tool calls
        self.started: dict[str, Record] = {}
        self.results: dict[str, Record] = {}
        self.texts: list[str] = []  # what is said to the model besides the results
        self.nudges: dict[str, int] = {}
        self.inbox: set[str] = set()  # ids of the messages that it has been given
        self.session: str | None = None  # of a runner that keeps its conversations itself
        self.final: Record | None = None
        self.requests = 0
        self.replies = 0
        self.cut = 0  # replies that reached max_tokens
        self.empty = 0
        self.tool_calls = 0
        self.context = 0  # tokens that the last request and its reply took of the model's window
        self.handing_over = False  # whether the model has been asked to sum up, so that it can go on with less
        self.told: list[str] = []  # the messages that it has been given
        self.repeats: list[str] = []  # digests of the calls with their results, in order
        self._seen: set[str] = set()
        for record in records:
            self.apply(record)

    def apply(self, record: Record) -> None:
        """Take one more record in; one that was taken in before changes nothing."""
        if record["id"] in self._seen:
            return
        self._seen.add(record["id"])
        act = getattr(self, "_" + record["type"], None)
        if act is not None:
            act(record)

    # -- the records

    def _begun(self, record: Record) -> None:
        if self.begun is None:
            self.begun = record
            self.texts.append(record["first"])

    def _request(self, record: Record) -> None:
        self._close()
        self.requested = record
        self.requests += 1

    def _request_failed(self, record: Record) -> None:
        self.requested = None

    def _response(self, record: Record) -> None:
        self.requested, self.last = None, record
        self.replies += 1
        self.context = record.get("context") or 0
        reason, content = record["stop_reason"], record["content"]
        if reason in _DROPPED:
            self.cut += reason == "max_tokens"
            return
        if not content:
            self.empty += 1  # an empty message cannot be sent back
            return
        self.cut = self.empty = 0
        self.messages.append({"role": "assistant", "content": content})
        self.calls = [block for block in content if block.get("type") == "tool_use"]
        self.started, self.results, self.texts = {}, {}, []
        self.open = reason != "pause_turn"

    def _tool_started(self, record: Record) -> None:
        self.started[record["tool_use_id"]] = record
        self.tool_calls += 1

    def _tool_ended(self, record: Record) -> None:
        self.results[record["tool_use_id"]] = record
        call = next((call for call in self.calls if call["id"] == record["tool_use_id"]), None)
        if call is not None:
            self.repeats.append(digest([call["name"], call["input"], record["content"]]))

    def _messages(self, record: Record) -> None:
        self.inbox.update(record["ids"])
        self.told.append(record["text"])
        self.texts.append(record["text"])

    def _nudge(self, record: Record) -> None:
        self.nudges[record["kind"]] = self.nudges.get(record["kind"], 0) + 1
        self.handing_over = self.handing_over or record["kind"] == "hand over"
        self.texts.append(record["text"])

    def _compact(self, record: Record) -> None:
        """Begin again with the step, what the model has written down of what came since, and what it was told."""
        assert self.begun is not None
        self.messages, self.calls, self.last = [], [], None
        self.started, self.results = {}, {}
        self.texts = [self.begun["first"], *self.told, record["text"]]
        self.open, self.handing_over, self.context = True, False, 0

    def _session(self, record: Record) -> None:
        self.session = record["session_id"]

    def _final(self, record: Record) -> None:
        self.final = record

    # -- what follows

    def _close(self) -> None:
        """End the user's turn: the results in the order of the calls, then what else there is to say."""
        if self.open:
            self.messages.append({"role": "user", "content": self._turn()})
            self.open = False

    def _turn(self) -> list[Record]:
        results: list[Record] = []
        for call in self.calls:
            ended = self.results[call["id"]]
            block: Record = {"type": "tool_result", "tool_use_id": call["id"], "content": ended["content"]}
            results.append({**block, "is_error": True} if ended["is_error"] else block)
        return results + [{"type": "text", "text": text} for text in self.texts]

    def outgoing(self) -> list[Record]:
        """The messages of the next request, the user's turn ended."""
        if self.open:
            return [*self.messages, {"role": "user", "content": self._turn()}]
        return self.messages

    def undone(self) -> list[Record]:
        """The tool calls of the last reply that have no result yet, in order."""
        return [call for call in self.calls if call["id"] not in self.results]

    def is_answered(self) -> bool:
        """Whether the last reply is an answer that nothing has been said to yet."""
        last = self.last
        if last is None or not self.open or self.calls or self.texts:
            return False
        return bool(last["content"]) and last["stop_reason"] not in (*_DROPPED, "pause_turn")

    def answer(self) -> str:
        """The text of the last reply."""
        content = self.last["content"] if self.last else []
        return "".join(block["text"] for block in content if block.get("type") == "text")

    def same_calls(self) -> int:
        """How often, up to now, the last tool call came with the same input to the same result in a row."""
        count = 0
        for each in reversed(self.repeats):
            if each != self.repeats[-1]:
                break
            count += 1
        return count
