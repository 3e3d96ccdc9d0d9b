"""The references of texts, `{{steps.load.output.rows}}`: found when a file is read, given their values in a run."""

from __future__ import annotations

from colony_lib.base.errors import FAILED, USAGE, ColonyError, nearest
from colony_lib.base.jsontext import dumps
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping
    from typing import Any

# Inside the braces no brace may stand, so that '{{{item}}}' is an object written around {{item}};
# the two exceptions, {{"{{"}} and {{"}}"}}, are how the braces themselves are written.
_PATTERN = r'\{\{\s*"(?:\{\{|\}\})"\s*\}\}|\{\{[^{}]*\}\}'
_pattern: re.Pattern[str] | None = None
ROOTS = (
    "steps",
    "input",
    "date",
    "yesterday",
    "run",
    "workflow",
    "batch_id",
    "batch_count",
    "item",
    "failure",
)
# What an output may not be called: a reference by that name would mean something else.
RESERVED = frozenset((*ROOTS, "and", "or", "not", "in", "true", "false", "null"))
ABSENT: Any = object()
_MEMBERS = {"run": ("id",), "workflow": ("name",), "failure": ("step", "error")}
_LITERAL = 'write {{"{{"}} for two braces that mean themselves'


def pattern() -> re.Pattern[str]:
    """What a reference looks like. Made when a text may hold one: a run without any never needs the package `re`."""
    global _pattern
    if _pattern is None:
        import re

        _pattern = re.compile(_PATTERN)
    return _pattern


def _is_name(text: str) -> bool:
    return text.isascii() and text.replace("-", "_").isidentifier() and text[0] != "-"


class Reference:
    """One `{{…}}` of a text: `text` as written, where it stands (`start`, `end`), and what it asks for.

    `root` is one of ROOTS, or 'name' (an output's name), or 'literal'. `name` is the step's or the output's name, the
    member ('id' of run.id), or the literal braces; `field` is 'output' or 'status' of a step; `path` what follows.
    """

    __slots__ = ("end", "field", "name", "path", "root", "start", "text")

    def __init__(self, text: str, start: int, root: str, name: str = "", field: str = "", path: Any = ()) -> None:
        self.text = text
        self.start = start
        self.end = start + len(text)
        self.root = root
        self.name = name
        self.field = field
        self.path: tuple[str, ...] = tuple(path)

    def __repr__(self) -> str:
        return f"Reference({self.text!r})"


class Scope:
    """What references are answered from. `run`: {id, workflow, date, yesterday}; `steps`: {name: {status, output}};
    `names`: {output name: step name}; `failure`: {step, error}; what is left out cannot be referred to."""

    __slots__ = ("batch_count", "batch_id", "failure", "input", "item", "names", "run", "steps")

    def __init__(
        self,
        run: Mapping[str, Any],
        input: Any = None,
        steps: Mapping[str, Mapping[str, Any]] | None = None,
        names: Mapping[str, str] | None = None,
        item: Any = ABSENT,
        batch_id: int | None = None,
        batch_count: int | None = None,
        failure: Mapping[str, Any] | None = None,
    ) -> None:
        self.run = run
        self.input = {} if input is None else input
        self.steps = steps or {}
        self.names = names or {}
        self.item = item
        self.batch_id = batch_id
        self.batch_count = batch_count
        self.failure = failure


def _bad(text: str, what: str, where: str | None, fix: str | None) -> ColonyError:
    return ColonyError(f"'{escape(text)[:120]}' {what}", where=where, fix=fix, code=USAGE)


def _step(text: str, start: int, parts: list[str], where: str | None) -> Reference:
    # A step's name may hold dots; it ends before the first part that is 'output' or 'status'.
    for i in range(2, len(parts)):
        if parts[i] in ("output", "status"):
            break
    else:
        name = ".".join(parts[1:])
        if len(parts) < 2 or not name:
            raise _bad(text, "does not name a step", where, "write {{steps.NAME.output}}")
        fix = f"write {{{{steps.{name}.output}}}}"
        if len(parts) > 2:
            near = nearest(parts[2], ["output", "status"])
            fix = near or f"did you mean '{{{{steps.{parts[1]}.output.{'.'.join(parts[2:])}}}}}'?"
        raise _bad(text, "asks for neither the step's output nor its status", where, fix)
    if parts[i] == "status" and len(parts) > i + 1:
        raise _bad(text, "goes on after the status, which is one word", where, None)
    return Reference(text, start, "steps", ".".join(parts[1:i]), parts[i], parts[i + 1 :])


def parse(text: str, start: int = 0, where: str | None = None) -> Reference:
    """The reference that `text`, braces and all, is. ColonyError (USAGE) when it can be none."""
    inner = text[2:-2].strip()
    if inner in ('"{{"', '"}}"'):
        return Reference(text, start, "literal", inner[1:-1])
    parts = [part.strip() for part in inner.split(".")]
    if not inner or "" in parts or not _is_name(parts[0]):
        raise _bad(text, "is not a reference", where, f"{_known()}; {_LITERAL}")
    root, path = parts[0], parts[1:]
    if root == "steps":
        return _step(text, start, parts, where)
    if root in _MEMBERS:
        members = _MEMBERS[root]
        if len(path) != 1 or path[0] not in members:
            known = [f"{root}.{member}" for member in members]
            raise _bad(text, "is not a reference", where, nearest(inner, known) or "there is " + ", ".join(known))
        return Reference(text, start, root, path[0])
    if root in ("input", "item"):
        return Reference(text, start, root, "", "", path)
    if root in ROOTS:
        if path:
            raise _bad(text, f"goes on after '{root}', which is one value", where, f"write {{{{{root}}}}}")
        return Reference(text, start, root)
    return Reference(text, start, "name", root, "", path)


def _known() -> str:
    return "references are steps.NAME.output, input.x, date, yesterday, run.id, the 'output' name of an earlier step"


def find(template: str, where: str | None = None, problems: list[ColonyError] | None = None) -> list[Reference]:
    """The references of a text, in order, the literal braces among them.

    What cannot be a reference, and '{{' that is never closed, raises ColonyError (USAGE), or is added to
    `problems` when such a list is given. Whether a step or an output of that name exists is the plan's to check.
    """
    found: list[Reference] = []
    if "{{" not in template:
        return found
    end = 0
    for match in pattern().finditer(template):
        try:
            _check_closed(template, end, match.start(), where)
            end = match.end()
            found.append(parse(match.group(), match.start(), where))
        except ColonyError as error:
            end = match.end()
            if problems is None:
                raise
            problems.append(error)
    try:
        _check_closed(template, end, len(template), where)
    except ColonyError as error:
        if problems is None:
            raise
        problems.append(error)
    return found


def _check_closed(template: str, start: int, end: int, where: str | None) -> None:
    at = template.find("{{", start, end)
    if at >= 0:
        some = template[at : at + 40].split("\n")[0]
        raise _bad(some, "opens a reference that is not closed", where, f"close it with '}}}}', or {_LITERAL}")


def kind(value: Any) -> str:
    """What sort of JSON value it is, in words for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    return {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}[type(value)]


def follow(value: Any, path: tuple[str, ...], name: str) -> Any:
    """What lies at `path` in the value that is called `name` in messages; ColonyError (FAILED) naming the
    keys there are when something on the way is missing."""
    for i, part in enumerate(path):
        here = ".".join((name, *path[:i]))
        if isinstance(value, dict):
            if part not in value:
                keys = [str(key) for key in value]
                some = ", ".join(f"'{escape(key)[:60]}'" for key in keys[:20]) + (", …" if len(keys) > 20 else "")
                raise ColonyError(
                    f"'{escape(here)}' has no '{escape(part)}'",
                    fix=f"its keys are {some}" if keys else "it is an empty object",
                    code=FAILED,
                )
            value = value[part]
        elif isinstance(value, list):
            if not (part.isascii() and part.isdigit() and len(part) < 12 and int(part) < len(value)):
                count = len(value)
                fix = f"its items are '0' to '{count - 1}'" if count else "it is an empty list"
                raise ColonyError(f"'{escape(here)}' is a list and has no '{escape(part)}'", fix=fix, code=FAILED)
            value = value[int(part)]
        else:
            raise ColonyError(f"'{escape(here)}' is {kind(value)} and has no '{escape(part)}'", code=FAILED)
    return value


def resolve(reference: Reference, scope: Scope) -> Any:
    """The reference's value; ColonyError (FAILED) when the scope does not hold it."""
    root = reference.root
    if root == "steps" or root == "name":
        step = reference.name if root == "steps" else scope.names.get(reference.name)
        record = scope.steps.get(step) if step is not None else None
        if record is None:
            raise ColonyError(f"'{reference.text}' has no value: that step has not run", code=FAILED)
        if reference.field == "status":
            return record.get("status")
        shown = f"steps.{step}.output" if root == "steps" else reference.name
        return follow(record.get("output"), reference.path, shown)
    if root == "input":
        return follow(scope.input, reference.path, "input")
    if root == "literal":
        return reference.name
    if root in ("date", "yesterday"):
        return scope.run[root]
    if root == "run":
        return scope.run["id"]
    if root == "workflow":
        return scope.run["workflow"]
    if root == "item" and scope.item is not ABSENT:
        return follow(scope.item, reference.path, "item")
    if root == "batch_id" and scope.batch_id is not None:
        return scope.batch_id
    if root == "batch_count" and scope.batch_count is not None:
        return scope.batch_count
    if root == "failure" and scope.failure is not None:
        return scope.failure[reference.name]
    raise ColonyError(f"'{reference.text}' has no value here", code=FAILED)


def show(value: Any) -> str:
    """A value as it stands in a text: text bare, everything else as compact JSON (null, true, 12, {"a":1})."""
    return value if isinstance(value, str) else dumps(value)


def text(
    template: str,
    scope: Scope,
    plain: Callable[[str], str] | None = None,
    taken: Callable[[str], str] | None = None,
) -> str:
    """The text with each reference replaced by its value; what a value holds is never expanded again. What
    stands between references goes through `plain`, and each value through `taken`, if given."""
    if "{{" not in template:
        return plain(template) if plain else template
    parts = []
    end = 0
    for match in pattern().finditer(template):
        between = template[end : match.start()]
        parts.append(plain(between) if plain else between)
        shown = show(resolve(parse(match.group(), match.start()), scope))
        parts.append(taken(shown) if taken else shown)
        end = match.end()
    parts.append(plain(template[end:]) if plain else template[end:])
    return "".join(parts)


def value(template: Any, scope: Scope) -> Any:
    """Like `text`, but a template that is one reference and nothing else keeps its value's type; lists and
    objects are gone through, their keys left alone."""
    if isinstance(template, str):
        if "{{" not in template:
            return template
        whole = pattern().fullmatch(template.strip())
        return resolve(parse(whole.group()), scope) if whole else text(template, scope)
    if isinstance(template, list):
        return [value(item, scope) for item in template]
    if isinstance(template, dict):
        return {key: value(item, scope) for key, item in template.items()}
    return template
