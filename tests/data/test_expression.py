"""The expression language: what it computes, how nulls travel, and how it refuses what it does not understand."""

from __future__ import annotations

from typing import Any

import pytest

from colony_lib.base.errors import ColonyError
from colony_lib.data import expression, table, tableschema

ROWS: list[dict[str, Any]] = [
    {"n": 1, "x": 1.5, "s": "Ab", "b": True, "d": "2013-01-15", "t": "2013-01-15T05:30:00Z", "odd name": 1, "mixed": 1},
    {
        "n": 2,
        "x": -2.5,
        "s": "c",
        "b": False,
        "d": "2013-02-28",
        "t": "2013-01-15T06:00:00Z",
        "odd name": 2,
        "mixed": "1",
    },
    {"n": None, "x": None, "s": None, "b": None, "d": None, "t": None, "odd name": None, "mixed": None},
]
SCHEMA = tableschema.read({"fields": [{"name": "d", "type": "date"}, {"name": "t", "type": "datetime"}]})


def frame() -> Any:
    made = table.from_rows(ROWS)
    for field in SCHEMA.fields.values():
        made[field.name], problem = tableschema.cast(made[field.name], field)
        assert problem is None
    return made


def evaluated(text: str) -> list[Any]:
    return table.values(expression.parse(text).evaluate(frame()))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("n", [1, 2, None]),
        ("n + 1", [2, 3, None]),
        ("n * 2 - x", [0.5, 6.5, None]),
        ("-n + 2 * 3", [5, 4, None]),
        ("(n + 1) * 2", [4, 6, None]),
        ("n / 2", [0.5, 1.0, None]),
        ("n / 0", [None, None, None]),
        ("n % 2", [1, 0, None]),
        ("n % 0", [None, None, None]),
        ("`odd name` + 1", [2, 3, None]),
        ("s + '-' + s", ["Ab-Ab", "c-c", None]),
        ("t - '2013-01-15T05:00:00Z'", [1800.0, 3600.0, None]),
        ("d - '2013-01-14'", [1, 45, None]),
        ("len(s)", [2, 1, None]),
        ("upper(s)", ["AB", "C", None]),
        ("lower(trim(' X '))", ["x", "x", "x"]),
        ("abs(x)", [1.5, 2.5, None]),
        ("round(x)", [2.0, -2.0, None]),
        ("round(n / 3, 2)", [0.33, 0.67, None]),
        ("floor(x)", [1.0, -3.0, None]),
        ("ceil(x)", [2.0, -2.0, None]),
        ("year(d) * 100 + month(d)", [201301, 201302, None]),
        ("day(t)", [15, 15, None]),
        ("hour(t) * 60 + minute(t)", [330, 360, None]),
        ("weekday(d)", [2, 4, None]),
        ("date(t)", ["2013-01-15", "2013-01-15", None]),
        ("coalesce(x, n, 0)", [1.5, -2.5, 0.0]),
        ("if(b, s, 'none')", ["Ab", "none", "none"]),
        ("if(n > 1, null, n)", [1, None, None]),
        ("least(n, x)", [1.0, -2.5, None]),
        ("greatest(n, 2)", [2, 2, None]),
        ("text(n) + '!'", ["1!", "2!", None]),
        ("text(d)", ["2013-01-15", "2013-02-28", None]),
        ("number('1.5') + n", [2.5, 3.5, None]),
        ("number(s)", [None, None, None]),
        ("true", [True, True, True]),
        ("null", [None, None, None]),
        ("9007199254740993 + n", [9007199254740994, 9007199254740995, None]),
    ],
)  # fmt: skip
def test_an_expression_gives_a_value_for_each_row(text: str, values: list[Any]) -> None:
    assert evaluated(text) == values
    assert [type(v) for v in evaluated(text)] == [type(v) for v in values]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("n = 1", [True, False, None]),
        ("n == 1.0", [True, False, None]),
        ("n != 1", [False, True, None]),
        ("n <> 1", [False, True, None]),
        ("n < x", [True, False, None]),
        ("s >= 'b'", [False, True, None]),
        ("d > '2013-01-31'", [False, True, None]),
        ("t <= '2013-01-15T05:30:00Z'", [True, False, None]),
        ("t < '2013-01-15T01:00:00-05:00'", [True, False, None]),
        ("t >= d", [True, False, None]),
        ("n is null", [False, False, True]),
        ("n is not null", [True, True, False]),
        ("N IS NULL or n > 1", None),
        ("n in [1, 3]", [True, False, None]),
        ("n not in [1, 3]", [False, True, None]),
        ("s in ['c']", [False, True, None]),
        ("d in ['2013-01-15']", [True, False, None]),
        ("mixed in [1]", [True, False, None]),
        ("mixed == '1'", [False, True, None]),
        ('s matches "[A-Z].*"', [True, False, None]),
        ('s matches "A"', [False, False, None]),
        (r's matches "\w+"', [True, True, None]),
        ("b", [True, False, None]),
        ("not b", [False, True, None]),
        ("not not b", [True, False, None]),
        ("b or n is null", [True, False, True]),
        ("b or true", [True, True, True]),
        ("b and false", [False, False, False]),
        ("b and n is null", [False, False, None]),
        ("not b and n > 1 or s = 'Ab'", [True, True, None]),
        ("contains(s, 'b') or starts_with(s, 'c') or ends_with(s, 'z')", [True, True, None]),
    ],
)  # fmt: skip
def test_conditions_follow_three_valued_logic(text: str, values: list[Any] | None) -> None:
    if values is None:
        with pytest.raises(ColonyError, match="unknown column 'N'"):
            evaluated(text)
        return
    assert evaluated(text) == values
    true, false = expression.parse(text).truth(frame())
    assert true.tolist() == [v is True for v in values]
    assert false.tolist() == [v is False for v in values]


def refusal(text: Any) -> str:
    with pytest.raises(ColonyError) as caught:
        expression.parse(text, where="pipeline.yml:7").evaluate(frame())
    assert caught.value.code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dd > 1", "unknown column 'dd' (position 1 of 'dd > 1') at pipeline.yml:7; did you mean 'd'?"),
        ("quux > 1", "unknown column 'quux' (position 1 of 'quux > 1') at pipeline.yml:7; there is b, d, mixed, n, odd name"),
        ("n + mixd", "unknown column 'mixd' (position 5 of 'n + mixd') at pipeline.yml:7; did you mean 'mixed'?"),
        ("n >", "expected a value, found 'the end' in the expression (position 4 of 'n >') at pipeline.yml:7"),
        ("n 5", "unexpected '5' in the expression (position 3 of 'n 5') at pipeline.yml:7"),
        ("(n", "expected ')', found 'the end' in the expression (position 3 of '(n') at pipeline.yml:7"),
        ("n & b", "unexpected '&' in the expression (position 3 of 'n & b') at pipeline.yml:7; use 'and', 'or', 'not'"),
        ("s == 'x", "unexpected ''' in the expression (position 6 of 's == 'x') at pipeline.yml:7; close the quotes"),
        ("1 < n < 3", "a second comparison '<' in the expression (position 7 of '1 < n < 3') at pipeline.yml:7; join comparisons with 'and'"),
        ("n = null", "a comparison with null is never true (position 5 of 'n = null') at pipeline.yml:7; use 'is null' or 'is not null'"),
        ("s > 1", "an integer does not go together with a string (position 5 of 's > 1') at pipeline.yml:7"),
        ("s + 1", "a string cannot be calculated with (position 1 of 's + 1') at pipeline.yml:7"),
        ("mixed > 1", "mixed values have no order (position 1 of 'mixed > 1') at pipeline.yml:7; declare the column's type"),
        ("d > 'soon'", "'soon' is not an ISO 8601 date or time (position 5"),
        ("n and b", "an integer is not true or false (position 1 of 'n and b') at pipeline.yml:7; compare it with something"),
        ("n in [x]", "only literals can stand in the list of 'in' (position 7"),
        ("n in [null]", "null in a list is never equal to anything (position 7"),
        ('s matches "("', "'(' is not a regular expression: missing ), unterminated subpattern"),
        ("s matches n", "expected a regular expression in quotes, found 'n' (position 11"),
        ("lne(s)", "unknown function 'lne' (position 1 of 'lne(s)') at pipeline.yml:7; did you mean 'len'?"),
        ("len(s, s)", "len() takes 1 argument, not 2 (position 1"),
        ("year(s)", "a string has no year (position 6"),
        ("hour(d)", "a date has no hour (position 6"),
        ("n * 9223372036854775807", "the result is too large for an integer (position 3"),
        ("1" + "0" * 30 + " > n and " + "9" * 400 + " > n", "the number 999999999999999999999999999999999999999"),
        ("", "'' is not an expression at pipeline.yml:7"),
        (None, "'None' is not an expression"),
        (12, "'12' is not an expression"),
        ("(" * 80 + "n" + ")" * 80, "the expression is nested too deeply (position"),
        ("n + " * 5000 + "n", "an expression of 20,001 characters is too long"),
        ("__import__('os').system('touch pwned')", "unexpected '.' in the expression (position 17"),
        ("eval('1')", "unknown function 'eval' (position 1"),
        ("n.__class__", "unexpected '.' in the expression (position 2"),
        ("lambda: 1", "unexpected ':' in the expression"),
        ("n\x1b[31m", "unexpected '\\x1b' in the expression"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_one_line_with_its_position(text: Any, said: str) -> None:
    assert said in refusal(text)


def test_a_condition_must_be_true_or_false() -> None:
    with pytest.raises(ColonyError, match="the expression gives an integer, not true or false"):
        expression.parse("n + 1").truth(frame())


def test_a_long_chain_needs_no_deep_stack() -> None:
    text = " + ".join(["n"] * 2400)
    assert evaluated(text) == [2400, 4800, None]


def test_an_expression_works_on_no_rows_and_on_a_column_that_is_all_null() -> None:
    empty = frame().iloc[:0]
    assert table.values(expression.parse("n > 1 and s matches 'a' or upper(s) = 'X'").evaluate(empty)) == []
    nulls = table.from_rows([{"a": None}, {"a": None}])
    for text in ("a > 1", "a + 1", "upper(a)", "year(a)", "a in [1]", "not a", "a matches 'x'", "date(a)"):
        assert table.values(expression.parse(text).evaluate(nulls)) == [None, None], text
    assert table.values(expression.parse("a is null").evaluate(nulls)) == [True, True]


def test_an_expression_names_the_columns_it_reads() -> None:
    assert expression.parse("n > 1 and `odd name` in [1] or len(s) = n").columns == ("n", "odd name", "s")


def test_the_index_of_the_rows_is_kept() -> None:
    part = frame().iloc[[1, 0]]
    assert list(expression.parse("n").evaluate(part).index) == [1, 0]
