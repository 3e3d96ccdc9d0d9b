"""The fold of a transcript: the same messages, byte for byte, in whatever process they are made."""

from __future__ import annotations

import itertools
from typing import Any

from colony_lib.base import jsontext
from colony_lib.work.agent.conversation import Conversation

_ids = itertools.count()


def record(kind: str, /, **fields: Any) -> dict[str, Any]:
    return {"v": 1, "id": f"id{next(_ids):06}", "ts": "2026-01-01T00:00:00.000Z", "type": kind, **fields}


def use(call_id: str, name: str = "bash", **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": given}


def begun() -> dict[str, Any]:
    return record("begun", attempt=1, continues=None, first="do it", system="s", tools=[], form=None, model="m")


def request() -> dict[str, Any]:
    return record("request", request=1, reservation=None)


def response(*content: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    return record("response", content=list(content), stop_reason=stop, usage={}, cost_usd=0.0)


def started(call_id: str, effect: str = "write") -> dict[str, Any]:
    return record("tool_started", tool_use_id=call_id, name="bash", effect=effect, key="k", input_digest="")


def ended(call_id: str, content: str, is_error: bool = False) -> dict[str, Any]:
    return record("tool_ended", tool_use_id=call_id, content=content, is_error=is_error, unknown=False)


def test_results_come_in_the_order_of_the_calls_and_words_after_them() -> None:
    talk = Conversation(
        [
            begun(),
            request(),
            response({"type": "text", "text": "first I look"}, use("a"), use("b"), stop="tool_use"),
            started("a"),
            started("b"),
            ended("b", "two"),
            ended("a", "one", is_error=True),
            record("messages", ids=["m1"], text="a message"),
        ]
    )
    assert talk.undone() == [] and not talk.is_answered() and talk.inbox == {"m1"}
    assert talk.outgoing() == [
        {"role": "user", "content": [{"type": "text", "text": "do it"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "first I look"}, use("a"), use("b")]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "one", "is_error": True},
                {"type": "tool_result", "tool_use_id": "b", "content": "two"},
                {"type": "text", "text": "a message"},
            ],
        },
    ]


def test_every_beginning_of_a_transcript_gives_a_beginning_of_the_same_messages() -> None:
    records = [
        begun(),
        request(),
        response(use("a"), stop="tool_use"),
        started("a"),
        ended("a", "one"),
        request(),
        record("request_failed", request=2, charged="no"),
        request(),
        response({"type": "text", "text": "no json"}),
        record("nudge", kind="repair", text="again"),
        request(),
        response({"type": "text", "text": "7"}),
    ]
    whole = jsontext.dumps(Conversation(records).messages)
    for count in range(1, len(records) + 1):
        part = jsontext.dumps(Conversation(records[:count]).messages)
        assert whole.startswith(part[:-1]), count
        twice = jsontext.dumps(Conversation([*records[:count], *records[:count]]).messages)
        assert twice == part
    assert Conversation(records).is_answered() and Conversation(records).answer() == "7"


def test_a_cut_or_refused_reply_is_no_part_of_the_conversation_and_none_of_its_calls_is_made() -> None:
    for stop in ("max_tokens", "refusal", "model_context_window_exceeded"):
        talk = Conversation([begun(), request(), response(use("a"), stop=stop)])
        assert talk.undone() == [] and not talk.is_answered()
        assert [message["role"] for message in talk.outgoing()] == ["user"]


def test_a_reply_that_pauses_is_sent_back_as_it_is() -> None:
    talk = Conversation([begun(), request(), response({"type": "text", "text": "…"}, stop="pause_turn")])
    assert not talk.is_answered() and not talk.open
    assert talk.outgoing()[-1] == {"role": "assistant", "content": [{"type": "text", "text": "…"}]}


def test_a_request_without_a_reply_is_sent_again_word_for_word() -> None:
    talk = Conversation([begun(), request()])
    assert talk.requested is not None and not talk.open
    before = talk.outgoing()
    talk.apply(record("request_failed", request=1, charged="unknown"))
    assert talk.outgoing() == before and talk.requested is None


def test_the_same_call_with_the_same_result_is_counted_while_it_goes_on() -> None:
    talk = Conversation([begun()])
    for number in range(4):
        talk.apply(request())
        talk.apply(response(use(f"c{number}", command="ls"), stop="tool_use"))
        talk.apply(started(f"c{number}"))
        talk.apply(ended(f"c{number}", "nothing"))
        assert talk.same_calls() == number + 1
    talk.apply(request())
    talk.apply(response(use("d", command="ls -a"), stop="tool_use"))
    talk.apply(ended("d", "nothing"))
    assert talk.same_calls() == 1
