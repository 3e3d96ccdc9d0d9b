"""A Messages API on the loopback, for the real client: scripted replies, every fault, strict about what it is sent.

A script maps a conversation to its replies: `{"a text of the first message": [reply, …]}`. Which reply a request gets is told by
the number of assistant messages in it, so that a request that is sent again gets the same one. A reply is
`{text | json, thinking, tools: [[name, input], …], stop, usage, delay, drip, faults: [fault, …]}`; a fault happens once, before the
reply: its name (FAULTS) or `{"fault": name, …}`. What the real API would refuse is refused, and kept in `problems`.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-ant-test-0123456789abcdefghijklmnopqrstuvwxyz"
Script = dict[str, list[dict[str, Any]]]
ALLOWED = {
    "model", "max_tokens", "messages", "system", "tools", "tool_choice", "output_config", "thinking", "cache_control",
    "stop_sequences", "metadata", "stream", "service_tier",
}  # fmt: skip
RETIRED = ("claude-2", "claude-3", "claude-sonnet-4-2", "claude-opus-4-2", "claude-sonnet-4-5")
LIMITS = {"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "exclusiveMinimum"}
# Fault: (status, type, message). The others are ways in which a connection or a stream ends.
ERRORS = {
    "429": (429, "rate_limit_error", "too many requests"),
    "429-spend": (429, "rate_limit_error", "the spend limit is reached"),
    "529": (529, "overloaded_error", "overloaded"),
    "500": (500, "api_error", "something broke"),
    "503": (503, "api_error", "unavailable"),
    "401": (401, "authentication_error", "invalid x-api-key"),
    "404": (404, "not_found_error", "model: no such model"),
    "400-too-long": (400, "invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"),
}
FAULTS = (*ERRORS, "cut", "clean-early-end", "broken-body", "html", "error-event", "reset", "hang", "null-content")


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:24]


def without_marks(value: Any) -> Any:
    """The value as it counts for thinking and cache: without `cache_control`."""
    if isinstance(value, dict):
        return {key: without_marks(each) for key, each in value.items() if key != "cache_control"}
    return [without_marks(each) for each in value] if isinstance(value, list) else value


class Refused(Exception):
    """The request is not one that the API takes."""


class Request:
    """One request as it came, and what became of it: `answered` is 'reply', a fault's name or 'refused'; `delivered` says whether
    all of it was written to the connection."""

    def __init__(self, body: dict[str, Any], headers: dict[str, str], conversation: str, turn: int) -> None:
        self.body = body
        self.headers = headers
        self.conversation = conversation
        self.turn = turn
        self.at = time.monotonic()
        self.answered = ""
        self.delivered = False


class FakeAPI:
    """The server, from `with` on; `requests` and `problems` are what has come so far."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.problems: list[str] = []
        self.lock = threading.Lock()
        self.used: Counter[tuple[str, int]] = Counter()
        self.sent: dict[str, set[str]] = {}  # conversation: digests of the contents that were its replies
        self.cached: set[str] = set()
        api = self

        class Handler(_Handler):
            server_api = api

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> FakeAPI:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def environment(self) -> dict[str, str]:
        return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": KEY}

    def paid(self) -> int:
        """Replies that were begun: what the real API would have charged for."""
        return sum(
            request.answered in ("reply", "cut", "clean-early-end", "broken-body", "error-event")
            for request in self.requests
        )

    def find(self, body: dict[str, Any]) -> tuple[str, int]:
        """(conversation, turn) of a request; ('', 0) when the script knows none."""
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        for place in (canonical(body["messages"][0]), canonical(body.get("system"))):
            for marker in self.script:
                if json.dumps(marker, ensure_ascii=False)[1:-1] in place:
                    return marker, turn
        return "", turn

    def next_fault(self, conversation: str, turn: int, reply: dict[str, Any]) -> dict[str, Any] | None:
        faults = reply.get("faults") or []
        with self.lock:
            number = self.used[conversation, turn]
            if number >= len(faults):
                return None
            self.used[conversation, turn] += 1
        fault = faults[number]
        return fault if isinstance(fault, dict) else {"fault": fault}

    def usage(self, body: dict[str, Any], out: int) -> dict[str, int]:
        """Tokens as they would be charged, with a prompt cache that remembers what was sent up to each mark."""
        parts: list[tuple[str, bool]] = [(canonical(without_marks(body.get("tools") or [])), False)]
        blocks = body.get("system") if isinstance(body.get("system"), list) else []
        blocks = [*(blocks or []), *(block for message in body["messages"] for block in _blocks(message))]
        parts += [(canonical(without_marks(block)), "cache_control" in block) for block in blocks]
        prefix, size, read, written = hashlib.sha256(body["model"].encode()), 0, 0, 0
        with self.lock:
            for text, marked in parts:
                prefix.update(text.encode())
                size += len(text.encode()) // 4
                name = prefix.copy().hexdigest()
                if name in self.cached and size >= 256:
                    read = size
                if marked and size >= 256:
                    self.cached.add(name)
                    written = size
        written = max(written - read, 0)
        return {
            "input_tokens": max(size - read - written, 0), "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written, "output_tokens": out,
        }  # fmt: skip


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


# ── what is refused ─────────────────────────────────────────────────────────────────────────────────────────────


def check(api: FakeAPI, body: dict[str, Any], conversation: str) -> None:
    """Refused for what the real API would answer with 400."""
    unknown = set(body) - ALLOWED
    if unknown:
        raise Refused(f"{sorted(unknown)[0]}: Extra inputs are not permitted")
    for key in ("model", "max_tokens", "messages"):
        if not body.get(key):
            raise Refused(f"{key}: Field required")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise Refused("tool_choice: forced tool use is not supported by this model")
    names = [tool["name"] for tool in body.get("tools") or []]
    if len(set(names)) != len(names) or not all(re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", name) for name in names):
        raise Refused("tools: names must be unique and match ^[a-zA-Z0-9_-]{1,128}$")
    if canonical(body).count('"cache_control"') > 4:
        raise Refused("a maximum of 4 blocks with cache_control may be provided")
    _check_form(((body.get("output_config") or {}).get("format") or {}).get("schema"))
    _check_messages(api, body, conversation)


def _check_form(schema: Any) -> None:
    if isinstance(schema, dict):
        if LIMITS & set(schema):
            raise Refused(f"output_config.format.schema: '{sorted(LIMITS & set(schema))[0]}' is not supported")
        if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
            raise Refused("output_config.format.schema: 'additionalProperties' must be false")
        for value in schema.values():
            _check_form(value)
    elif isinstance(schema, list):
        for value in schema:
            _check_form(value)


def _check_messages(api: FakeAPI, body: dict[str, Any], conversation: str) -> None:
    messages = body["messages"]
    seen: set[str] = set()
    open_: list[str] = []
    for index, message in enumerate(messages):
        if message["role"] != ("user" if index % 2 == 0 else "assistant"):
            raise Refused(f"messages.{index}: roles must alternate, beginning with user")
        blocks = _blocks(message)
        if not blocks or any(block.get("type") == "text" and not block["text"].strip() for block in blocks):
            raise Refused(f"messages.{index}: text content blocks must be non-empty")
        results = [block["tool_use_id"] for block in blocks if block.get("type") == "tool_result"]
        if sorted(results) != sorted(open_):
            raise Refused(f"messages.{index}: tool_use ids {open_} and tool_result ids {results} do not match")
        if results and [block.get("type") for block in blocks[: len(results)]] != ["tool_result"] * len(results):
            raise Refused(f"messages.{index}: tool_result blocks must come first")
        open_ = [block["id"] for block in blocks if block.get("type") == "tool_use"]
        if seen & set(open_) or len(set(open_)) != len(open_):
            raise Refused(f"messages.{index}: tool_use ids must be unique")
        seen |= set(open_)
        if message["role"] == "assistant":
            _check_own(api, body, conversation, index)
    if messages[-1]["role"] == "assistant" and not _pauses(api, conversation, len(messages)):
        raise Refused("this model does not support assistant message prefill")


def _pauses(api: FakeAPI, conversation: str, length: int) -> bool:
    replies = api.script.get(conversation) or []
    turn = length // 2 - 1
    return 0 <= turn < len(replies) and replies[turn].get("stop") == "pause_turn"


def _check_own(api: FakeAPI, body: dict[str, Any], conversation: str, index: int) -> None:
    """An assistant's message must be one that was sent, and its thinking bound to the very history before it."""
    content = without_marks(_blocks(body["messages"][index]))
    if digest(content) not in api.sent.get(conversation, set()):
        raise Refused(f"messages.{index}: this is not what the assistant said")
    for block in content:
        if block.get("type") == "thinking" and block.get("signature") != signature(body, index):
            raise Refused(f"messages.{index}: `thinking` blocks cannot be modified, nor the history before them")


def signature(body: dict[str, Any], length: int) -> str:
    """What binds a reply's thinking to the first `length` messages of its request."""
    history = [{**message, "content": _blocks(message)} for message in body["messages"][:length]]
    return digest(without_marks([body["model"], body.get("system"), body.get("tools"), history]))


# ── replies ─────────────────────────────────────────────────────────────────────────────────────────────────────


def content_of(reply: dict[str, Any], body: dict[str, Any], conversation: str, turn: int) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if reply.get("thinking"):
        bound = signature(body, len(body["messages"]))
        blocks.append({"type": "thinking", "thinking": reply["thinking"], "signature": bound})
    text = json.dumps(reply["json"]) if "json" in reply else reply.get("text")
    if text:
        blocks.append({"type": "text", "text": text})
    for number, (name, given) in enumerate(reply.get("tools") or []):
        call = f"toolu_{digest(conversation)[:8]}_{turn}_{number}"
        blocks.append({"type": "tool_use", "id": call, "name": name, "input": given})
    return blocks


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_api: FakeAPI

    def log_message(self, *_: Any) -> None:
        return

    def do_POST(self) -> None:
        api = self.server_api
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if headers.get("x-api-key") != KEY and headers.get("authorization") != f"Bearer {KEY}":
            return self._error("401")
        try:
            conversation, turn = api.find(body)
        except (KeyError, IndexError, TypeError):
            conversation, turn = "", 0
        request = Request(body, headers, conversation, turn)
        with api.lock:
            api.requests.append(request)
        try:
            self._answer(request)
        except Refused as refused:
            request.answered = "refused"
            api.problems.append(str(refused))
            self._json(400, {"type": "error", "error": {"type": "invalid_request_error", "message": str(refused)}})
        except OSError:
            return  # the client is gone
        return None

    def _answer(self, request: Request) -> None:
        api, body = self.server_api, request.body
        check(api, body, request.conversation)
        if body["model"].startswith(RETIRED):
            return self._error("404", request)
        replies = api.script.get(request.conversation) or []
        if request.turn >= len(replies):
            raise Refused(f"the script has no reply {request.turn} for '{request.conversation}'")
        reply = replies[request.turn]
        fault = api.next_fault(request.conversation, request.turn, reply)
        if fault is not None and (fault["fault"] in ERRORS or fault["fault"] in ("html", "reset", "hang")):
            return self._fails(request, fault)
        time.sleep(reply.get("delay", 0))
        content = content_of(reply, body, request.conversation, request.turn)
        ends = "tool_use" if reply.get("tools") else "end_turn"
        message: dict[str, Any] = {
            "id": f"msg_{digest(request.conversation)[:8]}_{request.turn}", "type": "message", "role": "assistant",
            "model": body["model"], "content": content, "stop_reason": reply.get("stop", ends), "stop_sequence": None,
            "usage": {**api.usage(body, len(canonical(content)) // 4 + 1), **(reply.get("usage") or {})},
        }  # fmt: skip
        with api.lock:
            api.sent.setdefault(request.conversation, set()).add(digest(content))
        request.answered = "reply" if fault is None else fault["fault"]
        if fault is not None and fault["fault"] == "null-content":
            message["content"] = None
        if not body.get("stream"):
            self._json(200, message)
        else:
            self._stream(message, fault["fault"] if fault else "", reply.get("drip", 0))
        request.delivered = fault is None
        return None

    # -- how it is sent

    def _json(self, status: int, value: Any, **headers: str) -> None:
        self._send(status, json.dumps(value).encode(), "application/json", **headers)

    def _send(self, status: int, data: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {
            "content-type": kind,
            "content-length": str(len(data)),
            "request-id": "req_test",
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _error(self, name: str, request: Request | None = None, **headers: str) -> None:
        if request is not None:
            request.answered = name
        status, kind, message = ERRORS[name]
        error: dict[str, Any] = {"type": kind, "message": message}
        if name == "429-spend":
            error["details"] = {"error_code": "enforced_spend_limit_reached"}
        self._json(status, {"type": "error", "error": error, "request_id": "req_test"}, **headers)

    def _fails(self, request: Request, fault: dict[str, Any]) -> None:
        name = request.answered = fault["fault"]
        if name == "html":
            self._send(fault.get("status", 502), b"<html><body>Bad gateway</body></html>", "text/html")
        elif name == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif name == "hang":
            time.sleep(fault.get("seconds", 60))
            self.close_connection = True
        elif "retry_after" in fault:
            self._error(name, **{"retry-after": str(fault["retry_after"])})
        else:
            self._error(name)

    def _stream(self, message: dict[str, Any], fault: str, drip: float) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("request-id", "req_test")
        self.send_header("connection", "close")
        self.close_connection = True
        if fault == "cut":  # a length that is never reached: the client sees a connection that was cut
            self.send_header("content-length", "1000000")
        self.end_headers()
        events = list(_events(message))
        stops = {"cut": 0.5, "clean-early-end": 0.7, "broken-body": 0.5, "error-event": 0.5}.get(fault, 1.0)
        for event in events[: max(1, int(len(events) * stops))]:
            self._event(event["type"], json.dumps(event))
            time.sleep(drip)
        if fault == "broken-body":
            self._event("content_block_delta", '{"type": "content_block_del')
        elif fault == "error-event":
            error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
            self._event("error", json.dumps(error))

    def _event(self, kind: str, data: str) -> None:
        self.wfile.write(f"event: {kind}\ndata: {data}\n\n".encode())
        self.wfile.flush()


def _events(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a streamed reply, in the order in which the API sends them."""
    usage = message["usage"]
    begun = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    found: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(message["content"] or []):
        found += [{**event, "index": index} for event in _block_events(block)]
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    found.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": usage["output_tokens"]}})
    return [*found, {"type": "message_stop"}]


def _block_events(block: dict[str, Any]) -> list[dict[str, Any]]:
    kind = block["type"]
    if kind == "text":
        start = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
    elif kind == "thinking":
        start = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    else:
        start = {**block, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(json.dumps(block["input"]))]
    found: list[dict[str, Any]] = [{"type": "content_block_start", "content_block": start}]
    found += [{"type": "content_block_delta", "delta": delta} for delta in deltas]
    return [*found, {"type": "content_block_stop"}]


def _pieces(text: str) -> list[str]:
    return [text[at : at + 20] for at in range(0, len(text), 20)] or [""]
