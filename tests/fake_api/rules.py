"""What the API refuses of a request's parameters, tools and output schema; its messages are looked at in history.py."""

from __future__ import annotations

import re
from typing import Any

from tests.fake_api.forms import Object, Refused, blocks, marks

PARAMETERS = {
    "model", "max_tokens", "messages", "system", "tools", "tool_choice", "output_config", "thinking", "cache_control", "stop_sequences",
    "metadata", "stream", "service_tier", "container", "diagnostics", "inference_geo", "speed",
}  # fmt: skip
COUNTED = {
    "model", "messages", "system", "tools", "tool_choice", "output_config", "thinking", "cache_control", "speed",
}  # fmt: skip
RETIRED = ("claude-2", "claude-3", "claude-sonnet-4-2", "claude-opus-4-2", "claude-sonnet-4-5")
_TOOL = {
    "name", "type", "description", "input_schema", "cache_control", "strict", "defer_loading", "allowed_callers", "input_examples",
    "eager_input_streaming",
}  # fmt: skip
_LIMITS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip


def check(body: Object, *, counting: bool = False) -> None:
    """Refused for parameters that the API does not take; with `counting`, those of count_tokens."""
    _check_parameters(body, counting)
    tools = body.get("tools") or []
    choice = (body.get("tool_choice") or {}).get("type")
    if choice in ("any", "tool"):
        raise Refused("tool_choice: forced tool use is not supported by this model")
    if choice and not tools:
        raise Refused("tool_choice: may only be specified while providing tools")
    _check_tools(tools)
    for index, block in enumerate(blocks(body.get("system")) if not isinstance(body.get("system"), str) else []):
        if block.get("type") != "text" or not str(block.get("text") or "").strip():
            raise Refused(f"system.{index}: text content blocks must be non-empty")
    form = (body.get("output_config") or {}).get("format")
    if form is not None:
        if form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict):
            raise Refused("output_config.format: must be a json_schema with a schema")
        _check_schema(form["schema"], "output_config.format.schema")


def _check_parameters(body: Object, counting: bool) -> None:
    unknown = sorted(set(body) - (COUNTED if counting else PARAMETERS))
    if unknown:
        raise Refused(f"{unknown[0]}: Extra inputs are not permitted")
    for key in ("model", "messages") if counting else ("model", "max_tokens", "messages"):
        if not body.get(key):
            raise Refused(f"{key}: Field required")
    if not counting and (isinstance(body["max_tokens"], bool) or not isinstance(body["max_tokens"], int)):
        raise Refused("max_tokens: Input should be a valid integer")
    if not isinstance(body["model"], str) or not isinstance(body["messages"], list):
        raise Refused("model, messages: Input should be a valid string, a valid list")


def check_marks(body: Object) -> None:
    """Refused for too many marks for the prompt cache, or other ones than there are. The messages are known to be in order."""
    found = marks(body)
    if len(found) > 4:
        raise Refused(f"a maximum of 4 blocks with cache_control may be provided. Found {len(found)}.")
    for mark in found:
        if mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in ("5m", "1h") or set(mark) - {"type", "ttl"}:
            raise Refused("cache_control: must be of type 'ephemeral', with a ttl of '5m' or '1h'")


def _check_tools(tools: list[Object]) -> None:
    names = [str(tool.get("name")) for tool in tools]
    if len(set(names)) != len(names) or not all(re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", name) for name in names):
        raise Refused("tools: names must be unique and match ^[a-zA-Z0-9_-]{1,128}$")
    for index, tool in enumerate(tools):
        if tool.get("type", "custom") != "custom":
            continue
        if set(tool) - _TOOL:
            raise Refused(f"tools.{index}.{sorted(set(tool) - _TOOL)[0]}: Extra inputs are not permitted")
        if not isinstance(tool.get("input_schema"), dict) or tool["input_schema"].get("type") != "object":
            raise Refused(f"tools.{index}.input_schema.type: must be 'object'")


def _check_schema(schema: Any, where: str) -> None:
    """Looks at keywords only: a property may well be named 'pattern'."""
    if not isinstance(schema, dict):
        return
    for key in _LIMITS:
        if key in schema:
            raise Refused(f"{where}: '{key}' is not supported")
    if (schema.get("type") == "object" or "properties" in schema) and schema.get("additionalProperties") is not False:
        raise Refused(f"{where}: 'additionalProperties' must be false")
    for key in ("properties", "$defs", "definitions"):
        for name, inner in (schema.get(key) or {}).items():
            _check_schema(inner, f"{where}.{key}.{name}")
    for key in ("items", "anyOf", "allOf", "oneOf", "prefixItems"):
        inner = schema.get(key)
        for each in inner if isinstance(inner, list) else [inner]:
            _check_schema(each, f"{where}.{key}")
