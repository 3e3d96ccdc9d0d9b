"""A model's last words as a step's output."""

from __future__ import annotations

from typing import Any

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.work.agent import answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("staging/raw/a.json\n", "staging/raw/a.json"),
        ('{"rows": 3}', {"rows": 3}),
        ('Here it is:\n```json\n{"rows": 3}\n```\n', {"rows": 3}),
        ("```\n[1, 2]\n```", [1, 2]),
        ("7", 7),
        ("a ``` b", "a ``` b"),
    ],
)
def test_words_that_are_json_are_taken_as_json_and_others_as_text(text: str, expected: Any) -> None:
    assert answer.value(text, wants_json=False) == expected


@pytest.mark.parametrize("text", ["", "  \n", "no rows", "```json\n{\n```", '{"a": 1}\n{"a": 2}', '{"a": NaN}'])
def test_where_json_is_asked_for_nothing_else_will_do(text: str) -> None:
    with pytest.raises(ColonyError, match="answer is"):
        answer.value(text, wants_json=True)


def test_the_form_that_the_api_takes_has_no_limits_and_closed_objects() -> None:
    schema = {
        "type": "object",
        "required": ["status", "score"],
        "properties": {
            "status": {"enum": ["PASS", "WARN", "FAIL"]},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "files": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^staging/"}},
            "more": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"n": {"type": "integer"}}}]},
        },
    }
    assert answer.form(schema) == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "required": ["status", "score"],
            "additionalProperties": False,
            "properties": {
                "status": {"enum": ["PASS", "WARN", "FAIL"]},
                "score": {"type": "number"},
                "files": {"type": "array", "items": {"type": "string"}},
                "more": {
                    "anyOf": [
                        {"type": "null"},
                        {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False},
                    ]
                },
            },
        },
    }


@pytest.mark.parametrize(
    "schema",
    [
        None,
        True,
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "required": ["a"]},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "patternProperties": {"^x": {"type": "string"}}},
    ],
)
def test_a_schema_that_the_api_could_not_hold_a_model_to_is_told_in_words_alone(schema: Any) -> None:
    assert answer.form(schema) is None


def test_limits_that_the_api_does_not_know_are_checked_all_the_same() -> None:
    schema = {"type": "object", "properties": {"score": {"type": "number", "maximum": 1}}}
    assert answer.problem({"score": 1}, schema) is None
    assert "output.score: 2 is greater than the maximum of 1" in (answer.problem({"score": 2}, schema) or "")
    assert answer.problem("anything", None) is None
