"""The double of the Messages API, as the real client sees it: its replies, each fault, each rule, and its account."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from tests.conftest import REPOSITORY, clean_environment
from tests.fake_api import FAULTS, KEY, FakeAPI, Request, Served
from tests.fake_api.record import read

MODEL = "claude-sonnet-5-5"
TOOL = {"name": "bash", "description": "runs", "input_schema": {"type": "object"}}
LONG = "a longer text, of which some comes through before it ends"
CALLS = {"thinking": "let me see", "text": "I look", "tools": [["bash", {"command": "ls — ∑"}], ["bash", {}]]}
Object = dict[str, Any]
Open = Callable[..., FakeAPI]


@pytest.fixture
def opened() -> Iterator[Open]:
    """opened(reply, …): the API of a conversation 'go' with these replies."""
    apis: list[FakeAPI] = []

    def make(*replies: Object, **more: Any) -> FakeAPI:
        apis.append(FakeAPI({"go": list(replies)}, **more).__enter__())
        return apis[-1]

    yield make
    for api in apis:
        api.__exit__()


def client(api: Any, key: str = KEY) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=key, base_url=api.url, max_retries=0, timeout=20)


def body(*messages: Any, **more: Any) -> Object:
    """A request; the messages are said by turns, the user's first."""
    said = [{"role": ("user", "assistant")[n % 2], "content": each} for n, each in enumerate(messages or ("go",))]
    return {"model": MODEL, "max_tokens": 100, "messages": said, **more}


def ask(api: Any, request: Object | None = None, *, stream: bool = True) -> Any:
    """The message as the client has it in the end."""
    with client(api) as asking:
        if not stream:
            return asking.messages.create(**(request or body()))
        with asking.messages.stream(**(request or body())) as events:
            return events.get_final_message()


def raw(message: Any) -> list[Object]:
    """A content as it came, to be sent back."""
    return [block.model_dump(mode="json", exclude_unset=True) for block in message.content]


def results(message: Any, text: str = "done") -> list[Object]:
    return [
        {"type": "tool_result", "tool_use_id": b.id, "content": text} for b in message.content if b.type == "tool_use"
    ]


def refused(api: Any, **more: Any) -> str:
    """What the API says to a request that it does not take; it is the one problem that it remembers."""
    with client(api) as asking, pytest.raises(anthropic.BadRequestError) as caught:
        asking.messages.create(**{**body(), "extra_body": more})
    assert api.problems[-1] == caught.value.api_message and api.requests[-1].answered == "refused"
    assert caught.value.type == "invalid_request_error"
    return str(caught.value.api_message)


# ── replies ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stream", [True, False])
def test_a_reply_arrives_as_it_was_scripted(opened: Open, stream: bool) -> None:
    message = ask(opened(CALLS), stream=stream)
    thought, text, first, second = raw(message)
    assert (thought["type"], thought["thinking"]) == ("thinking", "let me see") and len(thought["signature"]) == 24
    assert text == {"type": "text", "text": "I look"}
    assert (first["name"], first["input"], second["input"]) == ("bash", {"command": "ls — ∑"}, {})
    assert first["id"].startswith("toolu_") and first["id"] != second["id"]
    assert (message.stop_reason, message.model) == ("tool_use", MODEL)
    assert stream or message._request_id == "req_test"
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 1


def test_streamed_and_whole_replies_are_the_same(opened: Open) -> None:
    api = opened(CALLS)
    assert ask(api).model_dump() == ask(api, stream=False).model_dump()


def test_a_stream_has_the_events_of_the_api(opened: Open) -> None:
    with client(opened({**CALLS, "text": LONG})) as asking:
        found = [event.to_dict() for event in asking.messages.create(**body(), stream=True)]
    kinds = [str(event.get("delta", {}).get("type", event["type"])) for event in found]
    assert kinds[:5] == [
        "message_start",
        "content_block_start",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
    ]
    assert kinds.count("text_delta") == 3 and kinds.count("input_json_delta") == 4
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert found[0]["message"]["content"] == [] and found[0]["message"]["stop_reason"] is None
    assert found[0]["message"]["usage"]["output_tokens"] == 1 < found[-2]["usage"]["output_tokens"]


def test_text_with_other_line_ends_arrives_whole(opened: Open) -> None:
    text = "one\u2028two\u0085three\r\nfour\x0b𝒳"
    assert ask(opened({"text": text})).content[0].text == text


@pytest.mark.parametrize(
    "stop", ["end_turn", "max_tokens", "stop_sequence", "pause_turn", "refusal", "model_context_window_exceeded"]
)
def test_a_reply_stops_for_the_reason_that_is_scripted(opened: Open, stop: str) -> None:
    message = ask(opened({"text": "x", "stop": stop, "usage": {"output_tokens": 77}}))
    assert message.stop_reason == stop and message.usage.output_tokens == 77
    assert (message.stop_details is not None) == (stop == "refusal")


def test_a_value_is_said_as_json_and_a_refusal_may_be_empty(opened: Open) -> None:
    assert json.loads(ask(opened({"json": {"rows": [1, "é"]}})).content[0].text) == {"rows": [1, "é"]}
    assert ask(opened({"stop": "refusal"})).content == []


def test_the_turn_decides_and_a_request_that_is_sent_again_gets_the_same_reply(opened: Open) -> None:
    api = opened(CALLS, {"text": "done"})
    first = ask(api)
    assert ask(api).model_dump() == {**first.model_dump(), "usage": ask(api).usage.model_dump()}
    assert ask(api, body("go", raw(first), results(first))).content[0].text == "done"
    assert [(r.conversation, r.turn, r.answered, r.delivered) for r in api.requests] == [
        ("go", 0, "reply", True)
    ] * 3 + [("go", 1, "reply", True)]
    assert api.counts() == {"reply": 4, "requests": 4, "paid": 4, "delivered": 4, "again": 2}
    assert api.requests[0].key == api.requests[1].key != api.requests[3].key and api.problems == []


def test_a_conversation_is_known_by_its_first_message_then_by_its_system() -> None:
    with FakeAPI({"alpha": [{"text": "A"}], "beta": [{"text": "B"}], "": [{"text": "any"}]}) as api:
        assert ask(api, body("do beta", system="alpha")).content[0].text == "B"
        assert (
            ask(api, body([{"type": "text", "text": "x"}, {"type": "text", "text": 'alpha\n"q"'}])).content[0].text
            == "A"
        )
    with FakeAPI({"alpha": [{"text": "A"}]}) as api:
        assert ask(api, body("do", system=[{"type": "text", "text": "you are alpha"}])).content[0].text == "A"
        assert "the script has no reply 0 for 'None'" in refused(api)


def test_a_script_can_be_a_function() -> None:
    def answer(request: Request) -> Object | None:
        return {"text": f"turn {request.turn}"} if request.turn == 0 else None

    for script in (answer, {"go": answer}):
        with FakeAPI(script) as api:  # type: ignore[arg-type]
            first = ask(api)
            assert first.content[0].text == "turn 0"
            assert "no reply 1" in refused(api, **body("go", raw(first), "and"))


def test_a_script_can_change_while_it_is_served(opened: Open) -> None:
    api = opened({"text": "before"})
    assert ask(api).content[0].text == "before"
    api.script["go"] = [{"text": "after"}]
    assert ask(api).content[0].text == "after"
    api.script["go"] = [{"txet": "x"}]
    assert "a reply has no 'txet'" in refused(api)
    api.script = {"": [{"text": "another"}]}
    assert ask(api).content[0].text == "another"


def test_a_script_that_nobody_can_have_meant_is_no_script() -> None:
    for reply in ({"txet": "x"}, {"faults": ["430"]}, {"faults": [{"fault": "429", "retry": 1}]}):
        with pytest.raises(ValueError):
            FakeAPI({"go": [reply]})


def test_a_reply_among_the_faults_is_given_once(opened: Open) -> None:
    api = opened({"text": "whole", "faults": [{"text": "who", "stop": "max_tokens"}, "529"]})
    cut = ask(api)
    assert (cut.content[0].text, cut.stop_reason) == ("who", "max_tokens")
    with pytest.raises(anthropic.OverloadedError):
        ask(api)
    whole = ask(api)
    assert whole.content[0].text == "whole" and whole.id != cut.id
    assert api.counts() == {"reply": 2, "529": 1, "requests": 3, "paid": 2, "delivered": 2, "again": 2}


def test_a_reply_that_paused_is_gone_on_with(opened: Open) -> None:
    api = opened({"text": "wait", "stop": "pause_turn"}, {"text": "here", "tools": [["bash", {}]]}, {"text": "end"})
    first = ask(api)
    paused = body("go", raw(first))
    second = ask(api, paused)
    assert second.content[0].text == "here"
    paused["messages"] += [{"role": "assistant", "content": raw(second)}, {"role": "user", "content": results(second)}]
    assert ask(api, paused).content[0].text == "end" and api.problems == []


# ── faults ──────────────────────────────────────────────────────────────────────────────────────────────────────

STATUS = {
    "400": (anthropic.BadRequestError, "invalid_request_error"),
    "400-too-long": (anthropic.BadRequestError, "invalid_request_error"),
    "401": (anthropic.AuthenticationError, "authentication_error"),
    "402": (anthropic.PaymentRequiredError, "billing_error"),
    "403": (anthropic.PermissionDeniedError, "permission_error"),
    "404": (anthropic.NotFoundError, "not_found_error"),
    "408": (anthropic.RequestTimeoutError, "timeout_error"),
    "413": (anthropic.ContentTooLargeError, "request_too_large"),
    "429": (anthropic.RateLimitError, "rate_limit_error"),
    "429-spend": (anthropic.RateLimitError, "rate_limit_error"),
    "500": (anthropic.InternalServerError, "api_error"),
    "503": (anthropic.ServiceUnavailableError, "api_error"),
    "529": (anthropic.OverloadedError, "overloaded_error"),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", STATUS)
def test_an_error_is_the_clients_error_once_and_then_the_reply_comes(opened: Open, name: str, stream: bool) -> None:
    api = opened({"text": "x", "faults": [name]})
    kind, words = STATUS[name]
    with pytest.raises(kind) as caught:
        ask(api, stream=stream)
    assert caught.value.type == words and caught.value.request_id == "req_test"
    assert api.paid() == 0 and api.requests[0].answered == name
    assert ask(api, stream=stream).content[0].text == "x" and api.paid() == 1 and api.problems == []


def test_an_error_says_how_long_to_wait_and_why(opened: Open) -> None:
    later = {"fault": "429", "retry_after": 7, "headers": {"x-should-retry": "false"}, "message": "not now"}
    api = opened({"text": "x", "faults": ["429", later, "429-spend", "529", "400-too-long"]})
    errors = []
    for _ in range(5):
        with pytest.raises(anthropic.APIStatusError) as caught:
            ask(api)
        errors.append(caught.value)
    assert [error.response.headers.get("retry-after") for error in errors] == ["1", "7", None, None, None]
    assert errors[1].api_message == "not now" and errors[1].response.headers["x-should-retry"] == "false"
    assert errors[2].error_code == "enforced_spend_limit_reached" and errors[0].error_code is None
    assert "prompt is too long" in str(errors[4].api_message)


def cut_stream(error: BaseException) -> None:
    assert isinstance(error, httpx2.TransportError) and not isinstance(error, anthropic.APIError)


def error_event(error: BaseException) -> None:
    assert isinstance(error, anthropic.APIStatusError) and (error.status_code, error.type) == (200, "overloaded_error")


def unreachable(error: BaseException) -> None:
    assert type(error) is anthropic.APIConnectionError


@pytest.mark.parametrize(
    ("fault", "stream", "seen"),
    [
        ({"fault": "cut"}, True, cut_stream),
        ({"fault": "cut", "after": 4}, True, cut_stream),
        ({"fault": "cut", "reset": True}, True, cut_stream),
        ({"fault": "broken-body"}, True, lambda error: isinstance(error, json.JSONDecodeError) or pytest.fail()),
        ({"fault": "broken-body"}, False, lambda error: isinstance(error, json.JSONDecodeError) or pytest.fail()),
        ({"fault": "error-event"}, True, error_event),
        ({"fault": "error-event", "after": 2}, True, error_event),
        ({"fault": "reset"}, True, unreachable),
        ({"fault": "reset"}, False, unreachable),
        ({"fault": "html"}, True, lambda error: isinstance(error, anthropic.InternalServerError) or pytest.fail()),
    ],
)
def test_a_reply_that_is_none_is_seen_as_the_client_shows_it(
    opened: Open, fault: Object, stream: bool, seen: Callable[[BaseException], object]
) -> None:
    api = opened({"text": LONG, "faults": [fault]})
    with pytest.raises(Exception) as caught:
        ask(api, stream=stream)
    seen(caught.value)
    assert api.requests[0].answered == fault["fault"] and api.requests[0].delivered is False
    assert api.paid() == (fault["fault"] not in ("reset", "html"))
    assert ask(api, stream=stream).content[0].text == LONG


def test_a_cut_body_is_a_connection_error(opened: Open) -> None:
    with pytest.raises((anthropic.APIConnectionError, httpx2.TransportError)):
        ask(opened({"text": LONG, "faults": ["cut"]}), stream=False)


def test_a_stream_that_ends_early_but_cleanly_has_no_error_and_no_reason(opened: Open) -> None:
    api = opened(
        {"text": LONG, "faults": ["clean-early-end", {"fault": "clean-early-end", "after": 5}]}, {"text": "no"}
    )
    first, second = ask(api), ask(api)
    assert first.stop_reason is None and first.content[0].text == LONG
    assert second.stop_reason is None and len(second.content[0].text) < len(LONG)
    assert api.counts() == {"clean-early-end": 2, "requests": 2, "paid": 2, "delivered": 0, "again": 1}
    # Who takes it for a reply is found out.
    assert "not what the assistant said" in refused(api, **body("go", raw(first), "and"))


@pytest.mark.parametrize("stream", [True, False])
def test_a_content_can_be_null(opened: Open, stream: bool) -> None:
    message = ask(opened({"text": LONG, "faults": ["null-content"]}), stream=stream)
    assert message.content is None and message.stop_reason == "end_turn"


def test_a_page_of_html_can_come_as_if_all_were_well(opened: Open) -> None:
    with pytest.raises(Exception) as caught:
        ask(opened({"text": "x", "faults": [{"fault": "html", "status": 200}]}))
    assert not isinstance(caught.value, anthropic.APIError)


def test_a_request_can_be_left_without_an_answer(opened: Open) -> None:
    api = opened({"text": "x", "faults": [{"fault": "hang", "seconds": 60}]})
    with client(api) as asking, pytest.raises(anthropic.APITimeoutError):
        asking.with_options(timeout=0.2).messages.create(**body())
    assert api.requests[0].answered == "hang" and ask(api).content[0].text == "x"


def test_a_stream_can_drip_and_who_left_has_not_got_all_of_it(opened: Open) -> None:
    api = opened({"text": "x" * 2000, "drip": 0.01, "delay": 0.01})
    with client(api) as asking, asking.messages.stream(**body()) as events:
        for event in events:
            if event.type == "text":
                break
    assert api.requests[0].answered == "reply" and api.paid() == 1
    assert ask(opened({"text": "x" * 200, "drip": 0.001})).content[0].text == "x" * 200
    assert api.requests[0].delivered is False


def test_every_fault_is_tried_here() -> None:
    tried = {*STATUS, "cut", "broken-body", "error-event", "reset", "html", "clean-early-end", "null-content", "hang"}
    assert set(FAULTS) == tried


def test_nobody_is_answered_after_the_end() -> None:
    api = FakeAPI({"go": [{"text": "x"}]}).__enter__()
    with client(api) as asking:
        assert asking.messages.create(**body()).content[0].text == "x"
        api.__exit__()
        with pytest.raises(anthropic.APIConnectionError):
            asking.messages.create(**body())


# ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_its_key_opens_it(opened: Open) -> None:
    api = opened({"text": "x"})
    with client(api, "sk-ant-another") as asking, pytest.raises(anthropic.AuthenticationError):
        asking.messages.create(**body())
    assert ask(api).content[0].text == "x" and post(api, body(), {"x-api-key": KEY})[0] == 200
    assert post(api, body(), {"authorization": f"Bearer {KEY}"})[0] == 200 and post(api, body(), {})[0] == 401
    assert api.counts()["401"] == 2 and api.paid() == 3


def post(api: FakeAPI, value: Any, headers: dict[str, str], path: str = "/v1/messages") -> tuple[int, Any]:
    """(status, body) without the client, which would not send it like this."""
    asking = http.client.HTTPConnection("127.0.0.1", api.port)
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    asking.request("POST", path, data, {"content-type": "application/json", **headers})
    answer = asking.getresponse()
    found = answer.status, json.loads(answer.read())
    asking.close()
    return found


@pytest.mark.parametrize(
    ("model", "there"),
    [
        ("claude-3-opus-20240229", False),
        ("claude-2.1", False),
        ("claude-sonnet-4-20250514", False),
        ("claude-opus-4-20250514", False),
        ("claude-sonnet-4-5", False),
        ("claude-sonnet-4-6", True),
        ("claude-opus-5-5", True),
    ],
)
def test_a_retired_model_is_not_found(opened: Open, model: str, there: bool) -> None:
    status, said = post(opened({"text": "x"}), {**body(), "model": model}, {"x-api-key": KEY})
    assert (status == 200) == there
    assert there or (status, said["error"]["message"]) == (404, f"model: {model}")


def test_another_path_is_not_found_and_a_body_that_is_no_json_is_refused(opened: Open) -> None:
    api = opened({"text": "x"})
    assert post(api, {}, {"x-api-key": KEY}, "/v1/models")[0] == 404
    for data in (b"{", b"[]", b'{"model": "\\ud800"}', b"\xff", b'{"model": "m", "max_tokens": 1, "messages": ["x"]}'):
        assert post(api, data, {"x-api-key": KEY})[0] == 400
    assert len(api.problems) == 5


def a_form(schema: Object) -> Object:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def an_object(**properties: Any) -> Object:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def marked(text: str, mark: Any = None) -> Object:
    return {"type": "text", "text": text, "cache_control": mark or {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"temperature": 0.5}, "temperature: Extra inputs are not permitted"),
        ({"top_p": 0.5}, "top_p: Extra inputs"),
        ({"top_k": 5}, "top_k: Extra inputs"),
        ({"fallbacks": []}, "fallbacks: Extra inputs"),
        ({"model": ""}, "model: Field required"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"messages": []}, "messages: Field required"),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}}, "forced tool use"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "bash"}}, "forced tool use"),
        ({"tool_choice": {"type": "auto"}}, "while providing tools"),
        ({"tools": [TOOL, TOOL]}, "names must be unique"),
        ({"tools": [{**TOOL, "name": "a b"}]}, "names must be unique and match"),
        ({"tools": [{**TOOL, "name": "a" * 129}]}, "names must be unique and match"),
        ({"tools": [{**TOOL, "effect": "write"}]}, "tools.0.effect: Extra inputs"),
        ({"tools": [{**TOOL, "input_schema": {}}]}, "tools.0.input_schema.type: must be 'object'"),
        ({"system": [{"type": "text", "text": ""}]}, "system.0: text content blocks must be non-empty"),
        (a_form({"type": "object", "properties": {}}), "'additionalProperties' must be false"),
        (a_form(an_object(a=an_object(b={"type": "object"}))), "properties.a.properties.b: 'additionalProperties'"),
        (
            a_form(an_object(a={"type": "array", "items": {"type": "integer", "minimum": 1}})),
            "'minimum' is not supported",
        ),
        *[
            (a_form(an_object(a={"anyOf": [{key: 1}]})), f"'{key}' is not supported")
            for key in ("maximum", "minLength", "maxLength")
        ],
        *[(a_form(an_object(a={key: 1})), f"'{key}' is not supported") for key in ("minItems", "maxItems", "pattern")],
        ({"output_config": {"format": {"type": "json"}}}, "must be a json_schema"),
        (
            {
                "system": [marked(c) for c in "abc"],
                "messages": [{"role": "user", "content": [marked("go"), marked("x")]}],
            },
            "a maximum of 4 blocks with cache_control may be provided. Found 5.",
        ),
        ({"system": [marked(c) for c in "abcd"], "cache_control": {"type": "ephemeral"}}, "Found 5."),
        ({"system": [marked("a", {"type": "ephemeral", "ttl": "2h"})]}, "with a ttl of '5m' or '1h'"),
        ({"messages": [{"role": "assistant", "content": "go"}]}, "messages.0: roles must alternate"),
        ({"messages": [{"role": "user", "content": "go"}] * 2}, "messages.1: roles must alternate"),
        ({"messages": [{"role": "system", "content": "go"}]}, "must have a role"),
        ({"messages": [{"role": "user", "content": "go", "id": 1}]}, "and nothing else"),
        ({"messages": [{"role": "user", "content": ""}]}, "must have non-empty content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "non-empty"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": " \n"}]}]}, "non-empty"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "id": 1}]}]},
            "text.id: Extra inputs",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "note"}]}]}, "Input tag 'note'"),
        (body("go", "x"), "messages.1: this is not what the assistant said"),
        (body([{"type": "tool_result", "tool_use_id": "t", "content": "go"}]), "tool_result` ids ['t'] do not match"),
    ],
)
def test_what_the_api_would_refuse_is_refused(opened: Open, more: Object, said: str) -> None:
    assert said in refused(opened({"text": "x"}), **more)


def test_what_only_looks_like_it_is_not_refused(opened: Open) -> None:
    schema = an_object(pattern={"type": "string", "enum": ["minimum"]}, minimum={"type": ["integer", "null"]})
    mark = {"type": "ephemeral", "ttl": "1h"}
    request = body(
        [marked('go "cache_control"')],
        system=[marked("a", mark)],
        tools=[{**TOOL, "cache_control": mark}],
        tool_choice={"type": "auto"},
        output_config={"format": {"type": "json_schema", "schema": schema}, "effort": "low"},
        thinking={"type": "adaptive"},
        metadata={"user_id": "x"},
    )
    api = opened({"text": "x"})
    assert ask(api, request).content[0].text == "x" and api.problems == []


def after_calls(api: FakeAPI, *, thinking: bool = False) -> tuple[Any, list[Object], list[Object]]:
    """(message, its content, the results) of a reply with two calls."""
    message = ask(api, body(tools=[TOOL]))
    return message, raw(message), results(message)


def test_calls_and_results_belong_together_and_to_the_history_that_was(opened: Open) -> None:
    api = opened(CALLS, {"text": "end"})
    _, said, done = after_calls(api)
    text = {"type": "text", "text": "and"}

    def try_(content: Any, answer: Any, **more: Any) -> str:
        return refused(api, **{**body("go", content, answer, tools=[TOOL]), **more})

    assert "do not match" in try_(said, "go on")
    assert "do not match" in try_(said, done[:1])
    assert "do not match" in try_(said, [*done, done[0]])
    assert "assistant message prefill" in refused(api, **body("go", said, tools=[TOOL]))
    assert "must come first" in try_(said, [done[0], text, done[1]])
    assert "is_error a boolean" in try_(said, [{**done[0], "is_error": 1}, done[1]])
    assert "`tool_use` ids must be unique" in try_([*said, said[-1]], [*done, done[1]])
    assert "not what the assistant said" in try_(said[1:], done)
    assert "not what the assistant said" in try_([{**said[0], "signature": "0" * 24}, *said[1:]], done)
    assert "not what the assistant said" in try_([*said[:2], {**said[2], "input": {}}, said[3]], done)
    assert "tool_use.parsed" in try_([*said[:2], {**said[2], "parsed": 1}, said[3]], done)
    history = "`thinking` blocks cannot be modified, nor the history before them"
    assert history in try_(said, done, system="another one")
    assert history in try_(said, done, tools=[{**TOOL, "description": "runs it"}])
    assert history in try_(said, done, model="claude-opus-5-5")
    assert history in refused(api, **body("go!", said, done, tools=[TOOL]))
    # What may differ: marks for the cache, a text or a block, the order of the results.
    marked_results = [done[1], {**done[0], "cache_control": {"type": "ephemeral"}}, text]
    request = body([marked("go")], said, marked_results, tools=[TOOL])
    assert ask(api, request).content[0].text == "end"


# ── tokens and cache ────────────────────────────────────────────────────────────────────────────────────────────


def test_tokens_are_counted_and_the_count_is_what_is_charged(opened: Open) -> None:
    api = opened({"text": "x"})
    request = body("go " + "word " * 400, system="be good", tools=[TOOL])
    with client(api) as asking:
        counted = asking.messages.count_tokens(**{k: v for k, v in request.items() if k != "max_tokens"}).input_tokens
    assert 500 < counted < 700 and ask(api, request).usage.input_tokens == counted
    assert api.paid() == 1 and api.counts()["requests"] == 1 and api.requests[0].answered == "count"
    status, said = post(api, request, {"x-api-key": KEY}, "/v1/messages/count_tokens")
    assert status == 400 and said["error"]["message"] == "max_tokens: Extra inputs are not permitted"


def usage(message: Any) -> tuple[int, int, int]:
    """Tokens (read, written, neither)."""
    used = message.usage
    return used.cache_read_input_tokens, used.cache_creation_input_tokens, used.input_tokens


def test_a_prefix_that_stays_the_same_is_read_from_the_cache(opened: Open) -> None:
    api = opened(CALLS, {"text": "end"})
    system = [marked("be good " * 300)]
    first = ask(api, body([marked("go")], system=system))
    read, written, rest = usage(first)
    assert (read, rest) == (0, 0) and written > 600
    assert usage(ask(api, body([marked("go")], system=system))) == (written, 0, 0)
    later = [*results(first)[:1], {**results(first)[1], "cache_control": {"type": "ephemeral"}}]
    second = usage(ask(api, body("go", raw(first), later, system=system)))
    assert second[0] == written and second[1] > 0 and second[2] == 0
    # Another beginning, another model, no mark, or too little: nothing is read.
    assert usage(ask(api, body("go", system=[marked("be better " * 300)])))[0] == 0
    assert usage(ask(api, {**body("go", system=system), "model": "claude-opus-5-5"}))[0] == 0
    assert usage(ask(api, body("go", system=[{"type": "text", "text": "be good " * 300}])))[:2] == (0, 0)
    assert [usage(ask(api, body([marked("go")])))[:2] for _ in range(2)] == [(0, 0)] * 2


def test_one_mark_for_the_whole_request_stands_at_its_end(opened: Open) -> None:
    api = opened({"text": "x"})
    request = body("go " * 600, cache_control={"type": "ephemeral", "ttl": "1h"})
    first = ask(api, request)
    assert usage(first)[1] > 400 and first.usage.cache_creation.ephemeral_1h_input_tokens == usage(first)[1]
    assert usage(ask(api, request)) == (usage(first)[1], 0, 0)


# ── the account in another process ──────────────────────────────────────────────────────────────────────────────


def test_a_process_of_its_own_answers_and_its_log_is_the_account(tmp_path: Path) -> None:
    with Served({"go": [{**CALLS, "faults": ["529", "cut"]}, {"text": "end"}]}, tmp_path) as api:
        with pytest.raises(anthropic.OverloadedError):
            ask(api)
        with pytest.raises(httpx2.TransportError):
            ask(api)
        message = ask(api)
        refused(api, temperature=1)
        assert api.environment() == {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": KEY}
    assert api.counts() == {
        "529": 1, "cut": 1, "reply": 1, "refused": 1, "requests": 4, "paid": 2, "delivered": 1, "again": 2,
    }  # fmt: skip
    assert [(r.number, r.turn, r.delivered) for r in api.requests] == [
        (1, 0, False),
        (2, 0, False),
        (3, 0, True),
        (4, 0, False),
    ]
    assert (
        api.requests[0].body["messages"] == body()["messages"]
        and api.requests[0].headers["content-type"] == "application/json"
    )
    assert api.problems == ["temperature: Extra inputs are not permitted"] and KEY not in api.log.read_text()
    # Another process goes on where that one was: with its faults used, and what it said known.
    with Served({"go": [{**CALLS, "faults": ["529", "cut"]}, {"text": "end"}]}, tmp_path) as api:
        assert raw(ask(api)) == raw(message)
        assert ask(api, body("go", raw(message), results(message))).content[0].text == "end"
        assert api.counts()["requests"] == 6 and api.requests[-1].number == 6


def test_it_is_started_by_hand_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text('{"go": [{"text": "x"}]}')
    words = [
        sys.executable,
        "-m",
        "tests.fake_api",
        "--script",
        str(tmp_path / "script.json"),
        "--log",
        str(tmp_path / "log"),
    ]
    with subprocess.Popen(words, cwd=REPOSITORY, env=clean_environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0) as asking:
            assert asking.messages.create(**body()).content[0].text == "x"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    assert [(request.answered, request.delivered) for request in read(tmp_path / "log")] == [("reply", True)]


def test_many_ask_at_once_and_each_is_counted(opened: Open, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    api = opened({"text": "x", "faults": ["529"] * 10}, log=tmp_path / "log")
    with client(api) as asking, ThreadPoolExecutor(20) as pool:

        def once(_: int) -> str:
            try:
                return str(asking.messages.create(**body()).content[0].text)
            except anthropic.OverloadedError:
                return "529"

        found = list(pool.map(once, range(40)))
    assert (found.count("529"), found.count("x")) == (10, 30)
    assert api.counts()["delivered"] == 30 and [r.number for r in read(tmp_path / "log")] == list(range(1, 41))
