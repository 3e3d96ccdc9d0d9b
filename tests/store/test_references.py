"""References in texts: what they are, what they become, and what is said of those that are none."""

from __future__ import annotations

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.store import references
from colony_lib.store.references import Scope

SCOPE = Scope(
    run={"id": "r1", "workflow": "daily", "date": "2013-02-08", "yesterday": "2013-02-07"},
    input={"limit": 10, "who": {"name": "Ann"}},
    steps={
        "fetch-data": {"status": "completed", "output": {"files": ["a.json", "b.json"], "rows": 3, "ok": True}},
        "two words": {"status": "completed", "output": "x"},
        "v1.2": {"status": "failed", "output": None},
        "text": {"status": "completed", "output": "it's {{date}} $(touch pwned)"},
    },
    names={"raw": "fetch-data", "load-stats": "text"},
    item={"key": "k", "tags": ["t0", "t1"]},
    batch_id=0,
    batch_count=4,
    failure={"step": "load", "error": "no space"},
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain { } }} text", "plain { } }} text"),
        ("{{date}} {{ yesterday }} {{run.id}} {{workflow.name}}", "2013-02-08 2013-02-07 r1 daily"),
        ("{{steps.fetch-data.output.rows}}", "3"),
        ("{{ steps . fetch-data . output . files . 1 }}", "b.json"),
        ("{{steps.two words.output}}", "x"),
        ("{{steps.v1.2.status}}/{{steps.v1.2.output}}", "failed/null"),
        ("{{steps.fetch-data.output.ok}}", "true"),
        ("{{raw.files}}", '["a.json","b.json"]'),
        ("{{raw}}", '{"files":["a.json","b.json"],"rows":3,"ok":true}'),
        ("{{input.limit}} {{input.who.name}} {{input}}", '10 Ann {"limit":10,"who":{"name":"Ann"}}'),
        ("{{item.key}} {{item.tags.1}} {{batch_id}} of {{batch_count}}", "k t1 0 of 4"),
        ("{{failure.step}}: {{failure.error}}", "load: no space"),
        ("{{{raw.rows}}}", "{3}"),
        ('{"n":{{raw.rows}},"o":{"p":{{raw.ok}}}}', '{"n":3,"o":{"p":true}}'),
        ('{{"{{"}}.Names{{ "}}" }}', "{{.Names}}"),
    ],
)
def test_references_become_their_values_as_text(template: str, expected: str) -> None:
    assert references.text(template, SCOPE) == expected


def test_what_a_value_holds_is_never_expanded_again() -> None:
    assert references.text("<{{load-stats}}>", SCOPE) == "<it's {{date}} $(touch pwned)>"


def test_a_template_that_is_one_reference_keeps_its_type() -> None:
    assert references.value("{{raw.files}}", SCOPE) == ["a.json", "b.json"]
    assert references.value(" {{raw.rows}}\n", SCOPE) == 3
    assert references.value("{{raw.rows}} rows", SCOPE) == "3 rows"
    assert references.value(["{{raw.rows}}", {"{{date}}": "{{raw.ok}}"}, 7], SCOPE) == [3, {"{{date}}": True}, 7]


def test_text_between_references_can_be_treated_and_values_are_left_alone() -> None:
    assert references.text("a {{steps.two words.output}} a", SCOPE, lambda t: t.replace("a", "b")) == "b x b"
    assert references.text("aa", SCOPE, str.upper) == "AA"


@pytest.mark.parametrize(
    ("template", "what", "fix"),
    [
        (
            "{{raw.row}}",
            "'raw' has no 'row'",
            "its keys are 'files', 'rows', 'ok'",
        ),
        ("{{raw.files.2}}", "'raw.files' is a list and has no '2'", "its items are '0' to '1'"),
        ("{{raw.files.first}}", "'raw.files' is a list and has no 'first'", "its items are '0' to '1'"),
        ("{{steps.v1.2.output.rows}}", "'steps.v1.2.output' is null and has no 'rows'", None),
        ("{{raw.rows.unit}}", "'raw.rows' is a number and has no 'unit'", None),
        ("{{input.who.age}}", "'input.who' has no 'age'", "its keys are 'name'"),
    ],
)
def test_a_missing_field_says_which_keys_there_were(template: str, what: str, fix: str | None) -> None:
    with pytest.raises(ColonyError) as caught:
        references.text(template, SCOPE)
    assert (caught.value.what, caught.value.fix, caught.value.code) == (what, fix, 1)


@pytest.mark.parametrize("template", ["{{item}}", "{{batch_id}}", "{{failure.step}}", "{{steps.fetch-data.output}}"])
def test_what_the_scope_does_not_hold_is_an_error(template: str) -> None:
    with pytest.raises(ColonyError, match="has no value"):
        references.text(template, Scope({}))


@pytest.mark.parametrize(
    ("template", "what", "fix"),
    [
        ("{{}}", "is not a reference", "references are"),
        ("{{ .Names }}", "is not a reference", 'write {{"{{"}}'),
        ("{{a | upper}}", "is not a reference", "references are"),
        ("{{date.year}}", "goes on after 'date'", "write {{date}}"),
        ("{{run.date}}", "is not a reference", "run.id"),
        ("{{run}}", "is not a reference", "run.id"),
        ("{{failure.err}}", "is not a reference", "failure.error"),
        ("{{steps.a}}", "asks for neither", "write {{steps.a.output}}"),
        ("{{steps.a.outputs.x}}", "asks for neither", "did you mean 'output'?"),
        ("{{steps.a.rows}}", "asks for neither", "did you mean '{{steps.a.output.rows}}'?"),
        ("{{steps}}", "does not name a step", "{{steps.NAME.output}}"),
        ("{{steps.a.status.x}}", "goes on after the status", ""),
        ("see {{steps.a.output", "opens a reference that is not closed", "close it with '}}'"),
    ],
)
def test_what_can_be_no_reference_is_refused_with_what_to_write(template: str, what: str, fix: str) -> None:
    with pytest.raises(ColonyError) as caught:
        references.find(template, "w.yaml:7")
    assert what in caught.value.what
    assert fix in (caught.value.fix or "")
    assert (caught.value.where, caught.value.code) == ("w.yaml:7", 2)


def test_all_faults_of_a_text_can_be_collected_and_the_good_references_found() -> None:
    wrong: list[ColonyError] = []
    found = references.find("{{}} {{date}} {{steps.a}} {{raw.x}} {{", None, wrong)
    assert [reference.text for reference in found] == ["{{date}}", "{{raw.x}}"]
    assert len(wrong) == 3
    assert (found[1].root, found[1].name, found[1].path) == ("name", "raw", ("x",))


def test_control_characters_in_a_reference_are_shown_and_not_printed() -> None:
    with pytest.raises(ColonyError) as caught:
        references.find("{{\x1b[31mred}}")
    assert "\x1b" not in str(caught.value)
    assert "\\x1b[31mred" in str(caught.value)
