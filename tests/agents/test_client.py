"""One request by the real client: the whole reply, or what kind of trouble it was; and the double refuses what the API would."""

from __future__ import annotations

import time
from typing import Any

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.work.agent import client
from colony_lib.work.agent.client import Client, Trouble
from tests.fake_api import KEY, FakeAPI


def body(text: str = "go", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    return {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": messages, **more}


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    """ask(reply, …): what the client makes of that reply of the API, and the API."""

    def asked(*replies: dict[str, Any], deadline: float | None = None, request: dict[str, Any] | None = None) -> Any:
        with FakeAPI({"go": list(replies)}) as api:
            monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
            monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
            heard: list[tuple[str, str]] = []
            try:
                reply = Client().ask(request or body(), lambda kind, text: heard.append((kind, text)), deadline)
            except Trouble as trouble:
                return trouble, api
            return reply, heard, api

    return asked


def test_a_reply_is_kept_as_it_came_and_heard_while_it_comes(ask: Any) -> None:
    given = {"thinking": "let me see", "text": "I look at the rows now", "tools": [["bash", {"command": "ls"}]]}
    reply, heard, api = ask(given)
    kinds = [block["type"] for block in reply.content]
    assert kinds == ["thinking", "text", "tool_use"] and reply.stop_reason == "tool_use"
    assert reply.content[1] == {"type": "text", "text": "I look at the rows now"}
    assert reply.content[2].keys() == {"type", "id", "name", "input"} and reply.content[2]["input"] == {"command": "ls"}
    assert reply.content[0]["signature"] and reply.request_id == "req_test" and reply.usage["output_tokens"] > 0
    assert "".join(text for kind, text in heard if kind == "text") == "I look at the rows now"
    assert len([kind for kind, _ in heard if kind == "text"]) > 1  # in pieces
    assert api.requests[0].body["stream"] is True and api.problems == []


@pytest.mark.parametrize(
    ("fault", "kind", "charged"),
    [
        ({"fault": "429", "retry_after": 7}, "wait", "no"),
        ({"fault": "529"}, "wait", "no"),
        ({"fault": "429-spend"}, "stop", "no"),
        ({"fault": "500"}, "again", "no"),
        ({"fault": "503"}, "again", "no"),
        ({"fault": "401"}, "stop", "no"),
        ({"fault": "404"}, "stop", "no"),
        ({"fault": "400-too-long"}, "stop", "no"),
        ({"fault": "cut"}, "again", "unknown"),
        ({"fault": "clean-early-end"}, "again", "unknown"),
        ({"fault": "broken-body"}, "again", "unknown"),
        ({"fault": "error-event"}, "wait", "unknown"),
        ({"fault": "reset"}, "again", "unknown"),
        ({"fault": "html"}, "again", "no"),
        ({"fault": "html", "status": 200}, "again", "unknown"),
    ],
)
def test_each_way_of_failing_is_known_for_what_it_is(ask: Any, fault: dict[str, Any], kind: str, charged: str) -> None:
    trouble, _ = ask({"text": "a longer text, of which some comes through", "faults": [fault]})
    assert isinstance(trouble, Trouble), trouble.content
    assert (trouble.kind, trouble.charged) == (kind, charged), trouble.record()
    assert trouble.wait == (7.0 if "retry_after" in fault else None)
    assert "\n" not in trouble.error.strip()
    if fault["fault"] == "400-too-long":
        assert "too long for the model" in trouble.error


def test_an_api_that_is_not_there_was_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(Trouble) as caught:
        Client().ask(body(), lambda kind, text: None, None)
    assert (caught.value.kind, caught.value.charged) == ("again", "no") and "cannot be reached" in caught.value.error


def test_a_reply_that_drips_past_the_deadline_is_given_up(ask: Any) -> None:
    trouble, _ = ask({"text": "x" * 2000, "drip": 0.05}, deadline=time.monotonic() + 0.3)
    assert trouble.kind == "stop" and "time was up" in trouble.error


def test_without_a_key_nothing_is_asked_anywhere() -> None:
    with pytest.raises(ColonyError, match="ANTHROPIC_API_KEY is not set"):
        Client()


def test_the_wait_is_read_in_every_form() -> None:
    assert client.retry_after({"retry-after-ms": "1500"}) == 1.5
    assert client.retry_after({"retry-after": "12"}) == 12.0
    assert client.retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert client.retry_after({"retry-after": "soon"}) is None and client.retry_after({}) is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tool_choice": {"type": "any"}}, "forced tool use"),
        ({"messages": [{"role": "assistant", "content": "go"}]}, "roles must alternate"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "non-empty"),
        (
            {"messages": [{"role": "user", "content": "go"}, {"role": "assistant", "content": "x"}]},
            "not what the assistant said",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "go"}]}]},
            "do not match",
        ),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {}}}}},
            "'additionalProperties' must be false",
        ),
        ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "names must be unique and match"),
    ],
)
def test_the_double_refuses_what_the_api_would(ask: Any, more: dict[str, Any], said: str) -> None:
    trouble, api = ask({"text": "x"}, request=body(**more))
    assert trouble.kind == "stop" and said in trouble.error, trouble.error
    assert len(api.problems) == 1
