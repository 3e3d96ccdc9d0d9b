"""A message as the events of a stream, in the API's order, whole or ended by a fault."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.fake_api.faults import OVERLOADED
from tests.fake_api.forms import Object

_PIECE = 20  # characters of a delta
# How much of the events comes before the fault, unless it says `after`.
_SHARES = {"cut": 0.5, "broken-body": 0.5, "error-event": 0.5}


def stream(message: Object, fault: Object) -> Iterator[bytes]:
    """The events as they are sent."""
    name = fault.get("fault", "")
    found = events(message)
    if name == "clean-early-end":
        found = found[: fault.get("after", len(found) - 2)]  # all but message_delta and message_stop
    elif name in _SHARES:
        found = found[: fault.get("after", max(2, int(len(found) * _SHARES[name])))]
    for event in found:
        yield encode(event["type"], json.dumps(event, ensure_ascii=False))
    if name == "broken-body":
        yield encode("content_block_delta", '{"type": "content_block_del')
    elif name == "error-event":
        yield encode("error", json.dumps(OVERLOADED))


def encode(kind: str, data: str) -> bytes:
    return f"event: {kind}\ndata: {data}\n\n".encode()


def events(message: Object) -> list[Object]:
    """All events of the message."""
    usage = message["usage"]
    empty: list[Object] | None = None if message["content"] is None else []
    begun = {**message, "content": empty, "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    found: list[Object] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(message["content"] or []):
        found += [{**event, "index": index} for event in _block(block)]
    ends = {key: message[key] for key in ("stop_reason", "stop_sequence", "stop_details")}
    return [*found, {"type": "message_delta", "delta": ends, "usage": usage}, {"type": "message_stop"}]


def _block(block: Object) -> list[Object]:
    kind = block["type"]
    start: Object
    if kind == "text":
        start = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
    elif kind == "thinking":
        start = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    else:
        start = {**block, "input": {}}
        text = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *_pieces(text)]]
    found: list[Object] = [{"type": "content_block_start", "content_block": start}]
    found += [{"type": "content_block_delta", "delta": delta} for delta in deltas]
    return [*found, {"type": "content_block_stop"}]


def _pieces(text: str) -> list[str]:
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
