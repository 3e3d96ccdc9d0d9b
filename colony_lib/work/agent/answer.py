"""The model's last words as the step's output: the form that is asked of the API, and the check against the whole
schema."""

from __future__ import annotations

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

# What the API's structured output understands; other limits are checked here, after the reply.
_KEPT = ("type", "enum", "const", "description", "title", "default", "format")
_PARTS = ("properties", "$defs", "definitions")
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
_IGNORED = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "minItems", "maxItems", "uniqueItems", "$schema", "$id", "$comment", "examples", "additionalProperties",
)  # fmt: skip


def form(schema: Any) -> Record | None:
    """The schema as `output_config.format` takes it, or None where the API could not hold a model to it; then the model
    is told the schema in words alone. What the API does not know (limits) is left out here and checked by `problem`."""
    found = _form(schema) if isinstance(schema, dict) else None
    return {"type": "json_schema", "schema": found} if found and found.get("type") == "object" else None


def _form(schema: Any) -> Record | None:
    if not isinstance(schema, dict):
        return None
    kind = schema.get("type")
    if kind is None and not any(key in schema for key in ("enum", "const", "anyOf", "$ref")):
        return None  # anything goes: no grammar can be made of that
    made: Record = {}
    for key, value in schema.items():
        if key == "format" and value not in _FORMATS:
            continue
        if key in _KEPT:
            made[key] = value
        elif key in _PARTS:
            parts = {name: _form(each) for name, each in value.items()}
            if None in parts.values():
                return None
            made[key] = parts
        elif key == "items" or key == "anyOf":
            inner = [_form(each) for each in value] if key == "anyOf" else [_form(value)]
            if None in inner:
                return None
            made[key] = inner if key == "anyOf" else inner[0]
        elif key in ("required", "$ref"):
            made[key] = value
        elif key not in _IGNORED:
            return None
    if kind == "object" or (isinstance(kind, list) and "object" in kind):
        if not schema.get("properties"):
            return None
        made["additionalProperties"] = False
    if kind == "array" and "items" not in schema:
        return None
    return made


def value(text: str, *, wants_json: bool) -> Any:
    """The output that the model's words are: JSON where they are JSON (alone, or as the one fenced block), else the
    text. ColonyError when JSON is wanted and this is none, or there are no words."""
    stripped = text.strip()
    if not stripped:
        raise ColonyError("the answer is empty")
    for candidate in (stripped, _fenced(stripped)):
        if candidate is None:
            continue
        try:
            return jsontext.loads(candidate)
        except ColonyError as error:
            wrong = error
    if wants_json:
        raise ColonyError(f"the answer is not JSON: {wrong.what}")
    return text.strip("\n")


def _fenced(text: str) -> str | None:
    """What stands in the text's one fenced block; None when there is none, or more than one."""
    parts = text.split("```")
    if len(parts) != 3:
        return None
    head, _, body = parts[1].partition("\n")
    return body if head.strip().lower() in ("json", "") else None


def problem(found: Any, schema: Any) -> str | None:
    """What of the schema the output does not meet, in words for the model; None when it meets all of it."""
    from colony_lib.work import evidence

    return None if schema is None else evidence.schema_problem(found, schema)
