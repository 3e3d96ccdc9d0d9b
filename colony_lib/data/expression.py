"""Reads the small expression language of pipeline.yml (derive, filter, checks) into a tree; vectors.py evaluates it.

Never Python: an expression can only read columns. In order of binding, loosest first:

    or    and    not    = == != <> < <= > >=    [not] in [1, 2]    is [not] null    matches "regex" (the whole text)
    + -    * / %    - (sign)    literals: 12, 1.5, "text", 'text', true, false    column, `odd column`    function(…)

Nulls are as in SQL: a comparison with null is null; `and`, `or`, `not` follow three-valued logic; what divides by zero
is null. A text beside a date or datetime column is read as ISO 8601. Functions are listed in functions.FUNCTIONS.
"""

from __future__ import annotations

import re

from colony_lib.base.errors import USAGE, ColonyError, unknown
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    import numpy
    import pandas

LONGEST = 10_000  # characters
DEEPEST = 60  # nested parentheses, functions and signs

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<quoted>`[^`]+`)
      | (?P<name>[^\W\d]\w*)
      | (?P<sign><=|>=|!=|<>|==|[-+*/%<>=(),\[\]])""",
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS = {"and", "or", "not", "in", "is", "null", "true", "false", "matches"}
_COMPARISONS = {"=": "==", "==": "==", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class Node:
    """A step of an expression: `op` ('column', 'literal', 'call', 'and', '+', …), operands, 1-based position."""

    __slots__ = ("args", "at", "op", "value")

    def __init__(self, op: str, at: int, args: tuple[Node, ...] = (), value: Any = None) -> None:
        self.op = op
        self.at = at
        self.args = args
        self.value = value


class Expression:
    """A parsed expression: `text` as written, `where` for messages ('pipeline.yml:12'), `columns` that it reads."""

    __slots__ = ("columns", "root", "text", "where")

    def __init__(self, text: str, root: Node, where: str | None) -> None:
        self.text = text
        self.root = root
        self.where = where
        self.columns = tuple(sorted({node.value for node in walk(root) if node.op == "column"}))

    def evaluate(self, frame: pandas.DataFrame) -> pandas.Series:
        """One value a row, on the frame's index: Int64, Float64, boolean, object (text), datetime64[s] (a date)
        or datetime64[us] (a UTC time). ColonyError (USAGE) for an unknown column or kinds that do not go together."""
        from colony_lib.data import vectors

        return vectors.series(vectors.evaluate(self, frame), frame.index)

    def truth(self, frame: pandas.DataFrame) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Two masks, (true, false); a row in neither is null. ColonyError (USAGE) when it is not a condition."""
        from colony_lib.data import vectors

        return vectors.truth(self, frame)

    def error(self, what: str, at: int, fix: str | None = None) -> ColonyError:
        return ColonyError(f"{what} (position {at} of '{_shown(self.text)}')", where=self.where, fix=fix, code=USAGE)


def parse(text: object, *, where: str | None = None) -> Expression:
    """The expression in a text; ColonyError (USAGE) that names the position for what is not one."""
    if isinstance(text, bool):
        text = "true" if text else "false"  # YAML reads a bare `true` for us
    if not isinstance(text, str) or not text.strip():
        raise ColonyError(
            f"'{escape(text)}' is not an expression", where=where, fix='write one like "dep_time is null"', code=USAGE
        )
    if len(text) > LONGEST:
        raise ColonyError(
            f"an expression of {len(text):,} characters is too long",
            where=where,
            fix=f"at most {LONGEST:,}",
            code=USAGE,
        )
    return Expression(text, _Parser(text, where).whole(), where)


def walk(node: Node) -> list[Node]:
    """All nodes, each before its operands."""
    found, todo = [], [node]
    while todo:
        node = todo.pop()
        found.append(node)
        todo.extend(node.args)
    return found


def _shown(text: str) -> str:
    text = escape(" ".join(text.split()))
    return text if len(text) <= 80 else text[:79] + "…"


class _Parser:
    """Recursive descent, one method a level of binding."""

    def __init__(self, text: str, where: str | None) -> None:
        self.text = text
        self.where = where
        self.tokens = self._tokens()
        self.next = 0
        self.depth = 0

    def fail(self, what: str, at: int, fix: str | None = None) -> NoReturn:
        raise ColonyError(f"{what} (position {at} of '{_shown(self.text)}')", where=self.where, fix=fix, code=USAGE)

    def _tokens(self) -> list[tuple[str, str, int]]:
        found: list[tuple[str, str, int]] = []
        position = 0
        while position < len(self.text):
            match = _TOKEN.match(self.text, position)
            if match is None:
                rest = self.text[position]
                fix = "close the quotes" if rest in "\"'`" else "use 'and', 'or', 'not'" if rest in "&|!~" else None
                self.fail(f"unexpected '{escape(rest)}' in the expression", position + 1, fix)
            kind = str(match.lastgroup)
            text = match.group()
            if kind == "name" and text.lower() in _KEYWORDS:
                kind, text = "keyword", text.lower()
            if kind != "space":
                found.append((kind, text, position + 1))
            position = match.end()
        found.append(("end", "the end", len(self.text) + 1))
        return found

    def take(self, *texts: str) -> tuple[str, int] | None:
        """The next token's text and position if it is one of those signs or keywords, passing over it."""
        kind, text, at = self.tokens[self.next]
        if kind in ("sign", "keyword") and text in texts:
            self.next += 1
            return text, at
        return None

    def need(self, text: str) -> None:
        if not self.take(text):
            _, found, at = self.tokens[self.next]
            self.fail(f"expected '{text}', found '{escape(found)}' in the expression", at)

    def whole(self) -> Node:
        node = self.either()
        kind, found, at = self.tokens[self.next]
        if kind != "end":
            self.fail(f"unexpected '{escape(found)}' in the expression", at)
        return node

    def either(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail("the expression is nested too deeply", self.tokens[self.next][2], f"at most {DEEPEST} levels")
        node = self.both()
        while took := self.take("or"):
            node = Node("or", took[1], (node, self.both()))
        self.depth -= 1
        return node

    def both(self) -> Node:
        node = self.negation()
        while took := self.take("and"):
            node = Node("and", took[1], (node, self.negation()))
        return node

    def negation(self) -> Node:
        negations = []
        while took := self.take("not"):
            negations.append(took[1])
        node = self.comparison()
        for at in reversed(negations[-2:] if len(negations) % 2 == 0 else negations[-1:]):
            node = Node("not", at, (node,))
        return node

    def comparison(self) -> Node:
        node = self.sum()
        if took := self.take(*_COMPARISONS):
            node = Node(_COMPARISONS[took[0]], took[1], (node, self.sum()))
        elif took := self.take("is"):
            negated = self.take("not")
            self.need("null")
            node = Node("is null", took[1], (node,))
            node = Node("not", took[1], (node,)) if negated else node
        elif took := self.take("matches"):
            node = Node("matches", took[1], (node,), self.pattern())
        elif took := self.take("in"):
            node = Node("in", took[1], (node, *self.listed()))
        elif took := self.take("not"):
            self.need("in")
            node = Node("not", took[1], (Node("in", took[1], (node, *self.listed())),))
        else:
            return node
        if again := self.take(*_COMPARISONS, "is", "in", "matches"):
            self.fail(f"a second comparison '{again[0]}' in the expression", again[1], "join comparisons with 'and'")
        return node

    def pattern(self) -> re.Pattern[str]:
        kind, text, at = self.tokens[self.next]
        if kind != "string":
            self.fail(f"expected a regular expression in quotes, found '{escape(text)}'", at)
        self.next += 1
        try:
            return re.compile(_unquoted(text))
        except re.error as error:
            self.fail(f"'{escape(_unquoted(text))}' is not a regular expression: {error}", at)

    def listed(self) -> list[Node]:
        self.need("[")
        items = [self.sum()]
        while self.take(","):
            items.append(self.sum())
        self.need("]")
        for item in items:
            if item.op != "literal":
                self.fail("only literals can stand in the list of 'in'", item.at)
        return items

    def sum(self) -> Node:
        node = self.product()
        while took := self.take("+", "-"):
            node = Node(took[0], took[1], (node, self.product()))
        return node

    def product(self) -> Node:
        node = self.signed()
        while took := self.take("*", "/", "%"):
            node = Node(took[0], took[1], (node, self.signed()))
        return node

    def signed(self) -> Node:
        at = self.tokens[self.next][2]
        negative = False
        while took := self.take("-", "+"):
            negative ^= took[0] == "-"
        node = self.primary()
        if not negative:
            return node
        if node.op == "literal" and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            return Node("literal", at, value=-node.value)
        return Node("negative", at, (node,))

    def primary(self) -> Node:
        kind, text, at = self.tokens[self.next]
        if self.take("("):
            node = self.either()
            self.need(")")
            return node
        if kind == "keyword" and text in ("true", "false", "null"):
            self.next += 1
            return Node("literal", at, value={"true": True, "false": False, "null": None}[text])
        if kind not in ("number", "string", "quoted", "name"):
            self.fail(f"expected a value, found '{escape(text)}' in the expression", at)
        self.next += 1
        if kind == "number":
            return Node("literal", at, value=self.number(text, at))
        if kind == "string":
            return Node("literal", at, value=_unquoted(text))
        if kind == "name" and self.take("("):
            return self.call(text, at)
        return Node("column", at, value=text.strip("`"))

    def number(self, text: str, at: int) -> int | float:
        value = int(text) if text.isdigit() and len(text) < 20 else float(text)
        if (abs(value) >= 2**63 and isinstance(value, int)) or value == float("inf"):
            self.fail(f"the number {text[:40]} is too large", at)
        return value

    def call(self, name: str, at: int) -> Node:
        from colony_lib.data.functions import FUNCTIONS

        function = FUNCTIONS.get(name.lower())
        if function is None:
            error = unknown("function", name, FUNCTIONS)
            self.fail(error.what, at, error.fix)
        args: list[Node] = []
        if not self.take(")"):
            args.append(self.either())
            while self.take(","):
                args.append(self.either())
            self.need(")")
        if not function.least <= len(args) <= function.most:
            self.fail(f"{name}() takes {function.takes()}, not {len(args)}", at)
        return Node("call", at, tuple(args), function)


def _unquoted(text: str) -> str:
    # Only the quote and the backslash are escaped, so that regular expressions stay as people write them.
    return re.sub(r"\\([\\\"'])", r"\1", text[1:-1])
