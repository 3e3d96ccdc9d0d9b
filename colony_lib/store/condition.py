"""The conditions of `when:`: read into a tree by a small grammar, then asked of a run's values; never code.

Loosest first: `or`, `and`, `not`, one comparison (`== != < <= > >= in`, `not in`), then a value: a JSON literal
('single quotes' are read too), a list of values, parentheses, a reference with or without its braces.

Values of different types are never equal and cannot be ordered; true is not 1. By itself a value counts as false
when it is false, null, 0, or empty.
"""

from __future__ import annotations

import re

from colony_lib.base import jsontext
from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.store import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Tree = tuple[Any, ...]

LONGEST = 10_000  # characters
DEEPEST = 50  # nested parentheses, lists and `not`
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<reference>\{\{[^{}]*\}\})
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<word>[A-Za-z_][\w-]*(?:\.[\w-]+)*)
      | (?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "in", "not in")
_CONSTANTS = {"true": True, "false": False, "null": None}
# Words of other languages, and what they are called here.
_FOREIGN = {
    "&&": "and",
    "||": "or",
    "!": "not",
    "===": "==",
    "=": "==",
    "<>": "!=",
    "AND": "and",
    "OR": "or",
    "NOT": "not",
    "True": "true",
    "False": "false",
    "None": "null",
    "nil": "null",
    "is": "==",
}


class _Reader:
    """Reads one condition from left to right. Trees are tuples: ('or', a, b, …), ('and', a, b, …), ('not', a),
    (comparison, a, b), ('list', …), ('literal', value), ('reference', Reference), ('text', template)."""

    def __init__(self, text: str, where: str | None) -> None:
        self.text = text
        self.where = where
        self.tokens = list(self._tokens())
        self.at = 0
        self.depth = 0

    def fail(self, what: str, column: int, fix: str | None = None) -> NoReturn:
        raise ColonyError(f"bad condition: {what} (column {column + 1})", where=self.where, fix=fix, code=USAGE)

    def _tokens(self) -> Any:
        at = 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                self._unreadable(at)
            if match.lastgroup != "space":
                foreign = re.match(r"&&|\|\||!(?!=)|===?|<>", self.text[at:])
                if foreign and foreign.group() in _FOREIGN:
                    self._unreadable(at)
                yield match.lastgroup, match.group(), at
            at = match.end()
        yield "end", "", len(self.text)

    def _unreadable(self, at: int) -> NoReturn:
        found = re.match(r"&&|\|\||===?|<>|!", self.text[at:])
        sign = found.group() if found else self.text[at]
        if sign in "\"'":
            self.fail("a text that is not closed", at, f"close it with {sign}")
        if self.text.startswith("{{", at):
            self.fail("a reference that is not closed", at, "close it with '}}'")
        fix = f"write '{_FOREIGN[sign]}'" if sign in _FOREIGN else None
        self.fail(f"'{escape(sign)}' means nothing here", at, fix)

    def peek(self) -> str:
        kind, text, _ = self.tokens[self.at]
        return str(text if kind in ("sign", "word") else kind)

    def take(self) -> tuple[str, str, int]:
        token: tuple[str, str, int] = self.tokens[self.at]
        self.at += 1
        return token

    def deeper(self, column: int) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"nested more than {DEEPEST} deep", column)

    def whole(self) -> Tree:
        tree = self.disjunction()
        kind, text, column = self.tokens[self.at]
        if kind != "end":
            fix = None
            if text in _COMPARISONS:
                fix = "compare two values at a time, joined by 'and'"
            elif text in _FOREIGN:
                fix = f"write '{_FOREIGN[text]}'"
            self.fail(f"'{escape(text)[:40]}' does not belong here", column, fix)
        return tree

    def disjunction(self) -> Tree:
        parts = [self.conjunction()]
        while self.peek() == "or":
            self.take()
            parts.append(self.conjunction())
        return ("or", *parts) if len(parts) > 1 else parts[0]

    def conjunction(self) -> Tree:
        parts = [self.negation()]
        while self.peek() == "and":
            self.take()
            parts.append(self.negation())
        return ("and", *parts) if len(parts) > 1 else parts[0]

    def negation(self) -> Tree:
        if self.peek() != "not":
            return self.comparison()
        self.deeper(self.take()[2])
        tree = self.negation()
        self.depth -= 1
        return ("not", tree)

    def comparison(self) -> Tree:
        left = self.operand()
        sign = self.peek()
        if sign == "not" and self.tokens[self.at + 1][1] == "in":
            self.take()
            sign = "not in"
        if sign not in _COMPARISONS:
            return left
        self.take()
        return (sign, left, self.operand())

    def operand(self) -> Tree:
        kind, text, column = self.take()
        if kind == "reference":
            return ("reference", references.parse(text, column, self.where))
        if kind == "number":
            return ("literal", jsontext.loads(text, where=self.where))
        if kind == "string":
            return self._string(text, column)
        if kind == "word":
            return self._word(text, column)
        if text == "(":
            return self._group(column)
        if text == "[":
            return self._list(column)
        self.fail(f"a value is missing before '{escape(text)}'" if text else "a value is missing at the end", column)

    def _string(self, text: str, column: int) -> Tree:
        if text[0] == "'":
            inner = re.sub(r"\\(.)|(\")", lambda m: '\\"' if m.group(2) else _unquote(m.group(1)), text[1:-1])
            text = f'"{inner}"'
        try:
            value = jsontext.loads(text)
        except ColonyError:
            self.fail(f"{escape(text)[:40]} is not a JSON text", column)
        if references.find(value, self.where):
            return ("text", value)
        return ("literal", value)

    def _word(self, text: str, column: int) -> Tree:
        if text in _CONSTANTS:
            return ("literal", _CONSTANTS[text])
        if text in _COMPARISONS or text in ("and", "or", "not"):
            self.fail(f"a value is missing before '{text}'", column)
        if text in _FOREIGN:
            self.fail(f"'{text}' means nothing here", column, f"write '{_FOREIGN[text]}'")
        return ("reference", references.parse("{{" + text + "}}", column, self.where))

    def _group(self, column: int) -> Tree:
        self.deeper(column)
        tree = self.disjunction()
        if self.take()[1] != ")":
            self.fail("this '(' is not closed", column, "close it with ')'")
        self.depth -= 1
        return tree

    def _list(self, column: int) -> Tree:
        self.deeper(column)
        items: list[Tree] = []
        while self.peek() != "]":
            items.append(self.operand())
            if self.peek() != ",":
                break
            self.take()
        if self.take()[1] != "]":
            self.fail("this '[' is not closed", column, "close it with ']'")
        self.depth -= 1
        return ("list", *items)


def _unquote(character: str) -> str:
    return character if character == "'" else "\\" + character


def parse(text: str | bool, where: str | None = None) -> Tree:
    """The condition's tree; ColonyError (USAGE) naming the column of what is wrong. Whether the steps and
    names it refers to exist is the plan's to check, by `refs`."""
    if isinstance(text, bool):
        return ("literal", text)
    if len(text) > LONGEST:
        raise ColonyError(f"bad condition: longer than {LONGEST:,} characters", where=where, code=USAGE)
    if not text.strip():
        raise ColonyError("bad condition: it is empty", where=where, fix="leave 'when' out", code=USAGE)
    return _Reader(text, where).whole()


def refs(tree: Tree) -> list[references.Reference]:
    """The references of a tree, in order."""
    if tree[0] == "reference":
        return [tree[1]]
    if tree[0] == "text":
        return references.find(tree[1])
    if tree[0] == "literal":
        return []
    return [found for part in tree[1:] for found in refs(part)]


def equal(a: Any, b: Any) -> bool:
    """Equal as JSON: 1 equals 1.0, true does not equal 1, lists and objects member by member."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return bool(a == b)


def _named(tree: Tree, value: Any) -> str:
    """The operand for a message: as the condition has it, and what type it turned out to be."""
    kind = references.kind(value)
    shown = tree[1].text if tree[0] == "reference" else jsontext.dumps(value)
    return f"{escape(shown)[:60]} ({kind})"


def _ordered(sign: str, a: Any, b: Any, tree: Tree) -> bool:
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (a, b))
    if not numbers and not (isinstance(a, str) and isinstance(b, str)):
        raise ColonyError(
            f"cannot tell whether {_named(tree[1], a)} {sign} {_named(tree[2], b)}",
            fix="only two numbers or two texts have an order",
            code=FAILED,
        )
    return bool({"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[sign])


def _contains(a: Any, b: Any, tree: Tree) -> bool:
    if isinstance(b, list):
        return any(equal(a, item) for item in b)
    if isinstance(b, (str, dict)) and isinstance(a, str):
        return a in b
    raise ColonyError(
        f"cannot tell whether {_named(tree[1], a)} is in {_named(tree[2], b)}",
        fix="'in' asks a list for a value, a text for a part of it, an object for a key",
        code=FAILED,
    )


def evaluate(tree: Tree, scope: references.Scope) -> Any:
    """The tree's value; ColonyError (FAILED) for a missing field and for values that have no order. `and` and
    `or` look no further than they must, so that the left side may guard the right."""
    kind = tree[0]
    if kind == "literal":
        return tree[1]
    if kind == "reference":
        return references.resolve(tree[1], scope)
    if kind == "text":
        return references.text(tree[1], scope)
    if kind == "list":
        return [evaluate(part, scope) for part in tree[1:]]
    if kind == "not":
        return not evaluate(tree[1], scope)
    if kind == "and":
        return all(evaluate(part, scope) for part in tree[1:])
    if kind == "or":
        return any(evaluate(part, scope) for part in tree[1:])
    a, b = evaluate(tree[1], scope), evaluate(tree[2], scope)
    if kind == "==":
        return equal(a, b)
    if kind == "!=":
        return not equal(a, b)
    if kind == "in":
        return _contains(a, b, tree)
    if kind == "not in":
        return not _contains(a, b, tree)
    return _ordered(kind, a, b, tree)


def holds(condition: str | bool | Tree, scope: references.Scope) -> bool:
    """Whether the condition (its text or its tree) is true of the scope's values."""
    tree = condition if isinstance(condition, tuple) else parse(condition)
    try:
        return bool(evaluate(tree, scope))
    except RecursionError:
        raise ColonyError("a condition compares values that are nested too deeply", code=FAILED) from None
