"""Strict YAML: text to plain JSON values and the line of each, with every surprise of YAML named, not guessed.

Rules, where YAML's readers differ or users are caught out:

* `yes no on off y n`, dates (2024-01-15), times (12:30) and versions in three parts are the text as written;
  only `true` and `false` are truth values, only an empty value, `~` and `null` are null.
* `010`, `1_000` and `0b1` are numbers to some readers and other numbers or text to others: an error that asks
  for quotes. `.inf`, `.nan` and `1e999` are no JSON numbers: an error.
* Keys are text, as written: `on:`, `1:` and `true:` are the keys 'on', '1' and 'true'. Twice is an error.
* Anchors, aliases and `<<` merges work within bounds; tags, several documents and recursion are errors.
"""

from __future__ import annotations

import re

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

    Path = tuple[str | int, ...]
    Lines = dict[Path, int]

LIMIT = 1024 * 1024  # bytes of a file
NODES = 100_000  # values in a document, aliases expanded
TEXT = 8 * 1024 * 1024  # characters of all texts, aliases expanded
DEPTH = 64

_NULL = {"", "~", "null", "Null", "NULL"}
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_HEX = re.compile(r"0(?:x[0-9a-fA-F]+|o[0-7]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
# Numbers to YAML 1.1, something else (or another number) to YAML 1.2, or the other way round.
_AMBIGUOUS = re.compile(r"[-+]?0[0-9][0-9_.]*\Z|[-+]?[0-9][0-9]*_[0-9_]*(?:\.[0-9_]*)?\Z|[-+]?0[bx][0-9a-fA-F_]+\Z")

# What YAML itself does not allow in a file.
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Node:
    __slots__ = ("complete", "items", "kind", "line", "plain", "text")

    def __init__(self, kind: str, line: int, text: str = "", plain: bool = False) -> None:
        self.kind = kind  # 'text', 'list', 'mapping'
        self.line = line
        self.text = text
        self.plain = plain
        self.items: list[_Node] = []  # a mapping's are key, value, key, value …
        self.complete = kind == "text"


def read(path: str, *, file: str | None = None, as_text: Sequence[Sequence[str | None]] = ()) -> tuple[Any, Lines]:
    """The file's value and lines, as `load` gives them. FileNotFoundError when there is none; ColonyError
    (USAGE) when it is larger than 1 MiB, not UTF-8, not a regular file, or not YAML as above."""
    return load(read_source(path, file=file), file or path, as_text=as_text)


def read_source(path: str, *, file: str | None = None) -> str:
    """The file's text, bounded to 1 MiB and strictly UTF-8; errors as `read` has."""
    from colony_lib.base import files

    data = files.read_bytes(path, limit=LIMIT)
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ColonyError(
            "not UTF-8 text", where=f"{file or path}:{line}", fix="save the file as UTF-8", code=USAGE
        ) from None


def load(text: str, file: str, *, as_text: Sequence[Sequence[str | None]] = ()) -> tuple[Any, Lines]:
    """The one document's value, made of dict, list, str, int, float, bool and None, and its lines.

    `lines` maps the path of keys and indexes to a value (`('agents', 0, 'id')`) to the line, from 1, of its key
    or list item. `file` is the name that errors show. Under a path that matches one of `as_text` (None matches
    any key) plain values stay the text as written: `{PORT: 010}` is '010'; a null is still None.
    Raises ColonyError (USAGE) with file and line for all that the module refuses.
    """
    if len(text) > LIMIT:
        raise ColonyError(f"'{escape(file)}' is larger than {LIMIT:,} bytes", code=USAGE)
    bad = _CONTROL.search(text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        _refuse(f"the control character U+{ord(bad.group()):04X} is not allowed in YAML", file, line, "remove it")
    tree = _Reader(file, text).tree()
    if tree is None:
        return None, {(): 1}
    return _Builder(file, as_text).build(tree)


def where(lines: Mapping[Path, int], path: Sequence[str | int], file: str) -> str:
    """'file:line' of the value at the path, or of the nearest one above it that has a line."""
    for length in range(len(path), -1, -1):
        line = lines.get(tuple(path[:length]))
        if line:
            return f"{file}:{line}"
    return file


def _refuse(what: str, file: str, line: int, fix: str | None = None) -> NoReturn:
    raise ColonyError(what, where=f"{file}:{line}", fix=fix, code=USAGE)


class _Reader:
    """From text to a bounded tree of nodes in which an alias is the very node of its anchor."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.anchors: dict[str, _Node] = {}
        self.root: _Node | None = None
        self.open: list[_Node] = []
        self.count = 0

    def tree(self) -> _Node | None:
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            for event in yaml.parse(self.text, Loader=loader):
                self._take(type(event).__name__, event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._explain(error.problem or "not YAML", mark.line + 1 if mark else 1)
        return self.root

    def _take(self, name: str, event: Any) -> None:
        if name == "DocumentStartEvent" and self.root is not None:
            _refuse("a second document begins", self.file, event.start_mark.line + 1, "keep one document in a file")
        if name in ("SequenceEndEvent", "MappingEndEvent"):
            self.open.pop().complete = True
        elif name == "AliasEvent":
            self._alias(event)
        elif name in ("ScalarEvent", "SequenceStartEvent", "MappingStartEvent"):
            self._add(self._node(name, event))

    def _node(self, name: str, event: Any) -> _Node:
        line = event.start_mark.line + 1
        if event.tag is not None:
            shown = escape(str(event.tag).replace("tag:yaml.org,2002:", "!!"))
            _refuse(f"the tag '{shown}' is not used here", self.file, line, "write the value plainly, text in quotes")
        if name == "ScalarEvent":
            node = _Node("text", line, event.value, not event.style)
            if "\0" in event.value:
                _refuse("a NUL character in text", self.file, line, "remove it")
        else:
            node = _Node("list" if name == "SequenceStartEvent" else "mapping", line)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _alias(self, event: Any) -> None:
        line = event.start_mark.line + 1
        node = self.anchors.get(event.anchor)
        if node is None:
            _refuse(
                f"the alias '*{escape(event.anchor)}' has no anchor before it",
                self.file,
                line,
                f"define it with &{escape(event.anchor)}",
            )
        if not node.complete:
            _refuse(f"the alias '*{escape(event.anchor)}' stands inside its own anchor", self.file, line, "remove it")
        self._add(node, line)

    def _add(self, node: _Node, line: int | None = None) -> None:
        line = line or node.line
        self.count += 1
        if self.count > 2 * NODES:
            _refuse(f"more than {NODES:,} values", self.file, line, "split the file")
        if self.open:
            parent = self.open[-1]
            is_key = parent.kind == "mapping" and len(parent.items) % 2 == 0
            if is_key and node.kind != "text":
                self._complex_key(node, line)
            parent.items.append(node)
        else:
            self.root = node
        if not node.complete:
            self.open.append(node)
            if len(self.open) > DEPTH:
                _refuse(f"nested deeper than {DEPTH} levels", self.file, line, "flatten it")

    def _complex_key(self, node: _Node, line: int) -> NoReturn:
        source = self._line(line)
        if "{{" in source:
            _refuse("a value that begins with '{{' reads as a mapping", self.file, line, 'put it in quotes: "{{…}}"')
        _refuse(f"a {node.kind} cannot be a key", self.file, line, "use text as the key")

    def _line(self, number: int) -> str:
        lines = self.text.split("\n")
        return lines[number - 1] if number <= len(lines) else ""

    def _explain(self, problem: str, line: int) -> NoReturn:
        """What libyaml says, in words that name the usual slip."""
        if line > self.text.count("\n") + 1 or (line > 1 and not self._line(line)):
            line = max(1, len(self.text.rstrip().split("\n")))
        source = self._line(line)
        fix = None
        if "\t" in source[: len(source) - len(source.lstrip())]:
            problem, fix = "a tab in the indentation", "indent with spaces"
        elif "maximum nesting depth" in problem:  # libyaml's own limit, met before ours as it reads ahead
            _refuse(f"nested deeper than {DEPTH} levels", self.file, line, "flatten it")
        elif "{{" in source and not source.lstrip().startswith("#") and "flow" not in problem and ": {{" in source:
            fix = 'put a value that begins with {{ in quotes: "{{…}}"'
        elif "cannot start any token" in problem:
            problem, fix = "a value begins with a character that YAML keeps for itself", "put the value in quotes"
        elif "mapping values are not allowed" in problem:
            problem, fix = "a ': ' where YAML expects none", "check the indentation, or put the text in quotes"
        elif "did not find expected key" in problem or "'-' indicator" in problem:
            fix = "check the indentation"
        elif "end of stream" in problem:
            problem, fix = "a quotation mark is never closed", "close it"
        elif "could not find expected ':'" in problem:
            fix = "write 'key: value', with a space after the colon"
        _refuse(f"not YAML: {escape(problem)}", self.file, line, fix)


class _Builder:
    """From the tree to plain values; aliases are copied out, within bounds."""

    def __init__(self, file: str, as_text: Sequence[Sequence[str | None]]) -> None:
        self.file = file
        self.as_text = as_text
        self.lines: Lines = {}
        self.nodes = 0
        self.characters = 0

    def build(self, tree: _Node) -> tuple[Any, Lines]:
        self.lines[()] = tree.line
        return self._value(tree, ()), self.lines

    def _value(self, node: _Node, path: Path) -> Any:
        self.nodes += 1
        self.characters += len(node.text)
        if self.nodes > NODES:
            _refuse(f"more than {NODES:,} values, aliases expanded", self.file, node.line, "use fewer aliases")
        if self.characters > TEXT:
            _refuse(f"more than {TEXT:,} characters, aliases expanded", self.file, node.line, "use fewer aliases")
        if len(path) > DEPTH:
            _refuse(f"nested deeper than {DEPTH} levels, aliases expanded", self.file, node.line, "flatten it")
        if node.kind == "text":
            return self._scalar(node, path)
        if node.kind == "list":
            return [self._item(item, (*path, index)) for index, item in enumerate(node.items)]
        return self._mapping(node, path)

    def _item(self, node: _Node, path: Path) -> Any:
        self.lines[path] = node.line
        return self._value(node, path)

    def _mapping(self, node: _Node, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, tuple[_Node, _Node]] = {}
        own: dict[str, int] = {}
        for key, value in _pairs(node):
            name = self._key(key)
            if name in own:
                _refuse(
                    f"the key '{escape(name)}' is there twice (first in line {own[name]})",
                    self.file,
                    key.line,
                    "remove one",
                )
            own[name] = key.line
            if name == "<<" and key.plain:
                merged |= {k: v for k, v in self._merge(value, key.line, 0).items() if k not in merged}
                continue
            self.lines[(*path, name)] = key.line
            found[name] = self._value(value, (*path, name))
        for name, (key, value) in merged.items():
            if name not in own:
                self.lines[(*path, name)] = key.line
                found[name] = self._value(value, (*path, name))
        return found

    def _merge(self, node: _Node, line: int, depth: int) -> dict[str, tuple[_Node, _Node]]:
        """The pairs that `<<: node` brings: of one mapping, or of a list of them, of which the first wins."""
        sources = node.items if node.kind == "list" else [node]
        pairs: dict[str, tuple[_Node, _Node]] = {}
        if depth > DEPTH:
            _refuse(f"'<<' merges nested deeper than {DEPTH} levels", self.file, line, "flatten them")
        for source in sources:
            if source.kind != "mapping":
                _refuse("'<<' merges mappings only", self.file, line, "give it *ALIAS of a mapping, or a list of such")
            inner: dict[str, tuple[_Node, _Node]] = {}
            for key, value in _pairs(source):
                self.nodes += 1
                if self.nodes > NODES:
                    _refuse(f"more than {NODES:,} values, aliases expanded", self.file, line, "use fewer aliases")
                if key.plain and key.text == "<<":
                    inner |= {k: v for k, v in self._merge(value, line, depth + 1).items() if k not in inner}
                else:
                    inner[self._key(key)] = (key, value)
            pairs |= {k: v for k, v in inner.items() if k not in pairs}
        return pairs

    def _key(self, key: _Node) -> str:
        if key.plain and not key.text:
            _refuse("an empty key", self.file, key.line, "write 'key: value'")
        return self._sound(key)

    def _sound(self, node: _Node) -> str:
        if not node.text.isascii():
            try:
                node.text.encode("utf-8")
            except UnicodeEncodeError:
                _refuse("a lone surrogate is not text", self.file, node.line, "remove the \\u escape")
        return node.text

    def _scalar(self, node: _Node, path: Path) -> Any:
        text = self._sound(node)
        if not node.plain:
            return text
        if text in _NULL:
            return None
        if self._stays_text(path):
            return text
        if text in _TRUTH:
            return _TRUTH[text]
        if text[0] in "0123456789+-.":
            return self._number(text, node.line)
        return text

    def _stays_text(self, path: Path) -> bool:
        return any(
            len(pattern) == len(path)
            and all(want is None or want == have for want, have in zip(pattern, path, strict=True))
            for pattern in self.as_text
        )

    def _number(self, text: str, line: int) -> Any:
        if _INT.match(text) or _HEX.match(text):
            if len(text) > 300:
                _refuse(f"a number of {len(text)} digits", self.file, line, "put it in quotes, as text")
            return int(text, 10 if _INT.match(text) else 0)
        if _FLOAT.match(text):
            value = float(text)
            if value in (float("inf"), float("-inf")):
                _refuse(f"the number {escape(text[:40])} is too large", self.file, line, "put it in quotes, as text")
            return value
        if _NO_NUMBER.match(text):
            _refuse(f"'{escape(text)}' is no JSON number", self.file, line, "put it in quotes, as text")
        if _AMBIGUOUS.match(text):
            _refuse(
                f"'{escape(text[:40])}' is a different value to different YAML readers",
                self.file,
                line,
                "put it in quotes for text, or write a plain decimal number",
            )
        return text


def _pairs(mapping: _Node) -> list[tuple[_Node, _Node]]:
    return list(zip(mapping.items[::2], mapping.items[1::2], strict=True))
