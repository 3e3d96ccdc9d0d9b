"""The forms in which values of the API are compared, and the key that it takes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

Object = dict[str, Any]
KEY = "sk-ant-test-0123456789abcdefghijklmnopqrstuvwxyz"


class Refused(Exception):
    """The request is not one that the API takes (400), in the API's words."""


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:24]


def blocks(content: Any) -> list[Object]:
    """A content as blocks: a text is one block, nothing is none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content or []


def plain(block: Object) -> Object:
    """A block as it counts: without its mark for the cache, and without keys that say nothing."""
    kept = {key: value for key, value in block.items() if key != "cache_control" and value is not None}
    if block.get("type") == "tool_result" and isinstance(block.get("content"), list):
        kept["content"] = [plain(each) for each in block["content"]]
    return kept


def content_digest(content: Any) -> str:
    return digest([plain(block) for block in blocks(content)])


def marks(body: Object) -> list[Object]:
    """The `cache_control` of everything in the request that has one."""
    inner = [block for message in body["messages"] for block in blocks(message["content"])]
    nested = [each for block in inner if block.get("type") == "tool_result" for each in blocks(block.get("content"))]
    places = [body, *(body.get("tools") or []), *blocks(body.get("system")), *inner, *nested]
    return [place["cache_control"] for place in places if place.get("cache_control")]


def signature(body: Object, length: int) -> str:
    """What binds a reply's thinking to its model, system, tools, and the first `length` messages of the request."""
    history = [
        [message["role"], [plain(block) for block in blocks(message["content"])]]
        for message in body["messages"][:length]
    ]
    before = [[plain(each) for each in blocks(body.get(key))] for key in ("system", "tools")]
    return digest([body["model"], *before, history])
