"""What the API refuses of a request's messages: their order, their blocks, and a history that is not what was said."""

from __future__ import annotations

from typing import Any

from tests.fake_api.forms import Object, Refused, blocks, content_digest, signature

_BLOCKS = {
    "text": {"text", "citations"},
    "tool_use": {"id", "name", "input", "caller", "toolset_name"},
    "tool_result": {"tool_use_id", "content", "is_error", "toolset_name"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
    "image": {"source"},
    "document": {"source", "title", "context", "citations"},
}
_UNMARKED = ("thinking", "redacted_thinking")  # cannot carry a mark for the cache


def check_form(messages: list[Any]) -> None:
    """Refused for messages or blocks that have not the form that they must have."""
    for index, message in enumerate(messages):
        if (
            not isinstance(message, dict)
            or set(message) != {"role", "content"}
            or message["role"] not in ("user", "assistant")
        ):
            raise Refused(f"messages.{index}: must have a role, 'user' or 'assistant', and a content, and nothing else")
        if not isinstance(message["content"], (str, list)) or not message["content"]:
            raise Refused(f"messages.{index}: must have non-empty content")
        for number, block in enumerate(blocks(message["content"])):
            _check_block(block, f"messages.{index}.content.{number}")


def _check_block(block: Any, where: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in _BLOCKS:
        raise Refused(f"{where}: Input tag '{kind}' does not match any of the expected tags")
    extra = sorted(set(block) - _BLOCKS[kind] - {"type"} - ({"cache_control"} if kind not in _UNMARKED else set()))
    if extra:
        raise Refused(f"{where}.{kind}.{extra[0]}: Extra inputs are not permitted")
    if kind == "text" and not (isinstance(block.get("text"), str) and block["text"].strip()):
        raise Refused(f"{where}: text content blocks must be non-empty")
    if kind == "tool_use" and not isinstance(block.get("input"), dict):
        raise Refused(f"{where}.tool_use.input: Input should be a valid dictionary")
    if kind == "tool_result":
        if not isinstance(block.get("content", ""), (str, list)) or not isinstance(block.get("is_error", False), bool):
            raise Refused(f"{where}.tool_result: content must be a text or blocks, is_error a boolean")
        for number, inner in enumerate(block["content"] if isinstance(block.get("content"), list) else []):
            _check_block(inner, f"{where}.content.{number}")


def check_order(messages: list[Object], sent: dict[str, str]) -> None:
    """Refused for a wrong order of roles, calls and results. `sent`: the digest of each reply to its stop_reason."""
    seen: set[str] = set()
    calls: list[str] = []
    expected = "user"
    for index, message in enumerate(messages):
        # A reply that paused is gone on with by what comes next from the assistant.
        paused = index > 0 and _paused(messages[index - 1], sent)
        if message["role"] != expected and not paused:
            raise Refused(f"messages.{index}: roles must alternate, beginning with user")
        found = blocks(message["content"])
        if not (paused and message["role"] == "assistant"):
            _check_results(found, calls, f"messages.{index}")
        calls = [block["id"] for block in found if block["type"] == "tool_use"]
        if seen & set(calls) or len(set(calls)) != len(calls):
            raise Refused(f"messages.{index}: `tool_use` ids must be unique")
        seen |= set(calls)
        expected = "user" if message["role"] == "assistant" else "assistant"


def check_end(messages: list[Object], sent: dict[str, str]) -> None:
    """Refused for an assistant message at the end, unless it paused there."""
    if messages[-1]["role"] == "assistant" and not _paused(messages[-1], sent):
        raise Refused(
            "this model does not support assistant message prefill. The conversation must end with a user message."
        )


def _paused(message: Object, sent: dict[str, str]) -> bool:
    return message["role"] == "assistant" and sent.get(content_digest(message["content"])) == "pause_turn"


def _check_results(found: list[Object], calls: list[str], where: str) -> None:
    results = [block["tool_use_id"] for block in found if block["type"] == "tool_result"]
    if sorted(results) != sorted(calls):
        raise Refused(
            f"{where}: `tool_use` ids {calls} and `tool_result` ids {results} do not match. Each `tool_use` block must have a"
            " corresponding `tool_result` block in the next message."
        )
    if any(block["type"] != "tool_result" for block in found[: len(results)]):
        raise Refused(f"{where}: `tool_result` blocks must come first")


def check_said(body: Object, sent: dict[str, str]) -> None:
    """Refused for an assistant message that was never sent in this conversation, or thinking whose history is another."""
    for index, message in enumerate(body["messages"]):
        if message["role"] != "assistant":
            continue
        if content_digest(message["content"]) not in sent:
            raise Refused(f"messages.{index}: this is not what the assistant said")
        for block in blocks(message["content"]):
            if block["type"] == "thinking" and block.get("signature") != signature(body, index):
                raise Refused(f"messages.{index}: `thinking` blocks cannot be modified, nor the history before them")
