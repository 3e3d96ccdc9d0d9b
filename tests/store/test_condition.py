"""Conditions of `when:`: a small grammar over JSON values, never code."""

from __future__ import annotations

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.store import condition
from colony_lib.store.references import Scope

SCOPE = Scope(
    run={"id": "r1", "workflow": "daily", "date": "2013-02-08", "yesterday": "2013-02-07"},
    input={"limit": 10},
    steps={
        "check-data": {
            "status": "completed",
            "output": {
                "status": "WARN",
                "score": 0.98,
                "files": ["a"],
                "none": None,
                "ok": True,
                "one": 1,
                "five": "5",
            },
        },
        "skipped": {"status": "skipped", "output": None},
    },
    names={"check": "check-data"},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{{steps.check-data.output.status}} in ["PASS", "WARN"]', True),
        ("steps.check-data.output.status not in ['PASS', 'WARN']", False),
        ("check.score >= 0.95 and check.score < 1", True),
        ("check.score > input.limit or not check.ok", False),
        ("not (check.ok and check.one == 1)", False),
        ("not check.ok or check.ok", True),
        ("check.none == null", True),
        ("check.none != null", False),
        ("check.ok", True),
        ("check.files", True),
        ("steps.skipped.output", False),
        ('"" or [] or 0 or null or false', False),
        ("check.files == ['a']", True),
        ("'a' in check.files", True),
        ("'files' in check", True),
        ("'AR' in check.status", True),
        ("steps.skipped.status == 'skipped'", True),
        ("date >= '2013-02-01' and date < '2013-03-01'", True),
        ("workflow.name == 'daily' and run.id != 'r2'", True),
        ("-1.5e1 < 0", True),
        ("1 == 1.0", True),
        ("true", True),
        ("false", False),
        # Values of different types are not equal: a text is not its number, 1 is not true.
        ("check.five == 5", False),
        ("check.five != 5", True),
        ("'{{check.one}}' == '1'", True),
        ("check.one == true", False),
        ("[1, true] == [true, 1]", False),
        ("1 in [true]", False),
        ("'it\\'s' == \"it's\"", True),
        ('"\\u00e9" == "é"', True),
        ("\n  check.ok\n  and check.one == 1\n", True),
    ],
)
def test_a_condition_holds_or_not(text: str, expected: bool) -> None:
    assert condition.holds(text, SCOPE) is expected


def test_a_truth_value_of_yaml_is_a_condition_too() -> None:
    assert condition.holds(True, SCOPE) and not condition.holds(False, SCOPE)


def test_the_left_side_guards_the_right() -> None:
    assert not condition.holds("steps.skipped.status == 'completed' and steps.skipped.output.rows > 5", SCOPE)
    assert condition.holds("steps.skipped.status == 'skipped' or steps.skipped.output.rows > 5", SCOPE)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("check.rows > 1", "'check' has no 'rows'"),
        ("check.five < 6", "cannot tell whether {{check.five}} (text) < 6 (a number)"),
        ("check.none > 0", "cannot tell whether {{check.none}} (null) > 0 (a number)"),
        ("check.ok >= 1", "cannot tell whether {{check.ok}} (true or false) >= 1 (a number)"),
        ("1 in check.status", "cannot tell whether 1 (a number) is in {{check.status}} (text)"),
        ("check in 5", "is in 5 (a number)"),
    ],
)
def test_values_that_have_no_order_are_an_error_naming_both(text: str, what: str) -> None:
    with pytest.raises(ColonyError) as caught:
        condition.holds(text, SCOPE)
    assert what in caught.value.what
    assert caught.value.code == 1


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("", "it is empty", "leave 'when' out"),
        ("check.ok && true", "'&&' means nothing here (column 10)", "write 'and'"),
        ("a || b", "'||' means nothing here (column 3)", "write 'or'"),
        ("!check.ok", "'!' means nothing here (column 1)", "write 'not'"),
        ("a = 1", "'=' means nothing here (column 3)", "write '=='"),
        ("a === 1", "'===' means nothing here (column 3)", "write '=='"),
        ("a <> 1", "'<>' means nothing here (column 3)", "write '!='"),
        ("True", "'True' means nothing here (column 1)", "write 'true'"),
        ("a AND b", "'AND' does not belong here (column 3)", "write 'and'"),
        ("a is null", "'is' does not belong here (column 3)", "write '=='"),
        ("a == b == c", "'==' does not belong here (column 8)", "joined by 'and'"),
        ("(a", "this '(' is not closed (column 1)", ")"),
        ("a in [1, 2", "this '[' is not closed (column 6)", "]"),
        ("a == 'x", "a text that is not closed (column 6)", "close it with '"),
        ("{{date == 1", "a reference that is not closed", "}}"),
        ("a ==", "a value is missing at the end", ""),
        ("and a", "a value is missing before 'and'", ""),
        ("a b", "'b' does not belong here", ""),
        ("a; b", "';' means nothing here", ""),
        ("__import__('os').system('id')", "means nothing here (column 17)", ""),
        ("1.", "means nothing here", ""),
        ("01", "means nothing here", ""),
        ("NaN < 1e999", "too large", ""),
        ("steps.a.rows > 1", "asks for neither", "{{steps.a.output.rows}}"),
        ("(" * 60 + "1" + ")" * 60, "nested more than 50 deep", ""),
        ("not " * 60 + "1", "nested more than 50 deep", ""),
        ("1 or " * 5000 + "1", "longer than 10,000 characters", ""),
    ],
)
def test_what_cannot_be_read_says_where_and_what_to_write(text: str, what: str, fix: str) -> None:
    with pytest.raises(ColonyError) as caught:
        condition.parse(text, "w.yaml:3")
    assert what in caught.value.what
    assert fix in (caught.value.fix or "")
    assert caught.value.code == 2


def test_a_long_chain_is_no_deep_recursion() -> None:
    assert condition.holds(" or ".join(["false"] * 900 + ["true"]), SCOPE)


def test_the_references_of_a_condition_are_found_wherever_they_stand() -> None:
    tree = condition.parse("a.x in [b, {{ c }}] or '{{d}} days' == \"x\" and not (steps.e.status == 'f')")
    assert [reference.name for reference in condition.refs(tree)] == ["a", "b", "c", "d", "e"]
