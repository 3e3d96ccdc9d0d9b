"""What is said of a value that does not meet a schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.store import schema, yamltext

SCHEMAS = sorted(Path(__file__).resolve().parents[2].joinpath("schemas").glob("*.json"))


def told(text: str, kind: str = "colony") -> list[str]:
    value, lines = yamltext.load(text, "f.yml")
    return [str(problem) for problem in schema.problems(value, kind, lines, "f.yml")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("agnts: []\n", "unknown key 'agnts' at f.yml:1; did you mean 'agents'?"),
        ("agents:\n  - id: a\n    rol: x\n", "unknown key 'rol' in 'agents[0]' at f.yml:3; did you mean 'role'?"),
        (
            "agents:\n  - id: a\n    zzz: x\n",
            "unknown key 'zzz' in 'agents[0]' at f.yml:3; known keys: "
            "command, description, env, id, limits, max_output_tokens, model, network, permissions, role, runner, scripts, "
            "startup_prompt, tools, worktree_branch",
        ),
        ("agents:\n  - role: x\n", "'agents[0]' has no 'id' at f.yml:2; add 'id:'"),
        ("agents:\n  - id: 5\n", "'agents[0].id' must be a name of letters, digits, '.', '_' and '-'"),
        ("agents: x\n", "'agents' must be a list, not 'x' at f.yml:1"),
        ("agents:\n", "'agents' is empty and must be a list at f.yml:1"),
        ("- a\n", "the file must be a mapping, not a list at f.yml:1"),
        ("env_file: 3\n", "'env_file' must be text, not 3 at f.yml:1; put it in quotes"),
        (
            "durability: powr\n",
            "'durability' must be 'power' or 'process', not 'powr' at f.yml:1; did you mean 'power'?",
        ),
        ("shared_paths: [a, a]\n", "'shared_paths' has an item twice at f.yml:1"),
        ("env_file: ''\n", "'env_file' must not be empty at f.yml:1"),
        ("agents:\n  - {id: a, command: 3}\n", "'agents[0].command' must be text or a list, not 3 at f.yml:2"),
        ("agents:\n  - {id: a, command: []}\n", "'agents[0].command' must not be empty at f.yml:2"),
        ("agents:\n  - {id: a, env: {A-B: x}}\n", "the key 'A-B' in 'agents[0].env' must be a variable's name"),
        ("agents:\n  - {id: a, env: {COLONY_X: x}}\n", "must not begin with COLONY_ at f.yml:2"),
        ("agents:\n  - {id: 'a\\x1b[2J'}\n", "not 'a\\x1b[2J' at f.yml:2"),
    ],
)
def test_a_fault_is_one_line_with_its_place_and_remedy(text: str, expected: str) -> None:
    found = told(text.replace("'a\\x1b[2J'", '"a\\x1b[2J"'))
    assert len(found) == 1
    assert expected in found[0]
    assert found[0].isprintable()


def test_all_faults_are_told_in_the_order_of_the_file() -> None:
    found = told("name: 1\nx: 2\nagents:\n  - id: a\n    y: 3\n  - role: r\ndurability: z\n")
    assert [line.split(" at f.yml:")[1][0] for line in found] == ["1", "2", "5", "6", "7"]


def test_check_raises_the_first_fault() -> None:
    with pytest.raises(ColonyError) as caught:
        schema.check({"agents": 3}, "colony", {(): 1, ("agents",): 7}, "colony.yml")
    assert str(caught.value) == "'agents' must be a list, not 3 at colony.yml:7"
    assert caught.value.code == USAGE
    schema.check({"agents": []}, "colony")


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_every_schema_file_is_a_schema_and_named_as_it_says(file: Path) -> None:
    import jsonschema

    content = json.loads(file.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(content)
    assert content["$id"] == schema.BASE + file.name
    assert schema.load(file.name.removesuffix(schema.SUFFIX)) == content


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ({"type": "integer"}, "many", "'output' must be a whole number, not 'many'"),
        ({"type": "integer"}, True, "'output' must be a whole number, not true"),
        ({"type": "boolean"}, "yes", "'output' must be true or false, not 'yes'"),
        ({"minimum": 3}, 2, "'output' must be at least 3, not 2"),
        ({"exclusiveMaximum": 3}, 3, "'output' must be less than 3, not 3"),
        ({"minItems": 2}, [1], "'output' must have at least 2 items; it has 1"),
        ({"maxLength": 2}, "abc", "'output' must have at most 2 characters; it has 3"),
        ({"pattern": "^a+$"}, "b", "'output' does not match ^a+$: 'b'"),
        ({"const": 4}, 5, "'output' must be 4, not 5"),
        ({"items": {"type": "string"}}, ["a", 2], "'output[1]' must be text, not 2"),
        (
            {"properties": {"a": {"type": ["null", "string"]}}},
            {"a": []},
            "'output.a' must be empty or text, not a list",
        ),
        ({"required": ["rows"]}, {}, "'output' has no 'rows'"),
        (
            {"properties": {"rows": {}}, "additionalProperties": False},
            {"row": 1},
            "unknown key 'row' (did you mean 'rows'?)",
        ),
        (False, 1, "'output' is not allowed here"),
        ({"oneOf": [{"type": "string"}, {"const": 7}]}, 8, "'output' must be text or 7, not 8"),
        ({"anyOf": [{"type": "array", "minItems": 1}, {"type": "null"}]}, [], "'output' must not be empty"),
    ],
)
def test_a_users_own_schema_is_answered_in_the_same_words(rule: Any, value: Any, expected: str) -> None:
    assert schema.mismatches(value, rule, "output") == [expected]


def test_a_value_that_meets_the_schema_has_no_mismatches() -> None:
    assert schema.mismatches({"rows": 3}, {"type": "object", "required": ["rows"]}) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "a JSON Schema must be a mapping"),
        ({"type": "strin"}, "not a JSON Schema: the schema.type: 'strin'"),
        ({"properties": {"a": {"minimum": "x"}}}, "not a JSON Schema: the schema.properties.a.minimum"),
        ({"pattern": "("}, "not a JSON Schema: the schema.pattern"),
        ({"$ref": "http://127.0.0.1:1/x.json"}, "the schema refers to 'http://127.0.0.1:1/x.json', outside itself"),
        ({"items": {"$ref": "file:///etc/passwd"}}, "the schema refers to 'file:///etc/passwd', outside itself"),
    ],
)
def test_what_is_no_schema_by_itself_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ColonyError) as caught:
        schema.check_schema(given, where="w.yaml:3")
    assert str(caught.value).startswith(message)
    assert " at w.yaml:3" in str(caught.value)


def test_a_schema_never_makes_colony_fetch_anything() -> None:
    with pytest.raises(ColonyError, match="which is not there"):
        schema.mismatches(1, {"$ref": "http://127.0.0.1:9/x.json"})


def test_a_schema_that_is_its_own_end_is_an_error_and_no_crash() -> None:
    with pytest.raises(ColonyError, match="nested too deeply"):
        schema.mismatches(1, {"$ref": "#"})


def test_a_sound_schema_with_references_into_itself_is_fine() -> None:
    tree = {"$defs": {"node": {"items": {"$ref": "#/$defs/node"}, "type": "array"}}, "$ref": "#/$defs/node"}
    schema.check_schema(tree)
    assert schema.mismatches([[[]], [3]], tree, "tree") == ["'tree[1][0]' must be a list, not 3"]


def test_a_word_where_a_list_of_words_belongs_is_shown_as_one() -> None:
    words = {"properties": {"on": {"type": "array", "items": {"type": "string"}}}}
    faults = [(what, fix) for _, what, fix in schema._faults(schema._validator(words), {"on": "fetch-data"})]
    assert faults == [("'on' must be a list, not 'fetch-data'", "write [fetch-data]")]
    faults = [(what, fix) for _, what, fix in schema._faults(schema._validator(words), {"on": "a, b"})]
    assert faults == [("'on' must be a list, not 'a, b'", "write each item after '- '")]
