"""JSON Schemas: values checked against schemas/KIND.schema.json or a user's own, each fault one line for people.

A subschema may carry `errorMessage` ("must be a duration such as 10m"), which editors show too; it replaces
the words for whatever its keywords refuse.
"""

from __future__ import annotations

import os

from colony_lib.base.errors import USAGE, ColonyError, nearest
from colony_lib.base.text import cut, escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    Path = tuple[str | int, ...]

BASE = "https://colony.example/schemas/"
SUFFIX = ".schema.json"
_validators: dict[str, Any] = {}
_TYPES = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "empty",
}


def folder() -> str:
    """The folder of the schema files: the checkout's schemas/, else the one installed with the package."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    checkout = os.path.join(os.path.dirname(package), "schemas")
    if os.path.isfile(os.path.join(checkout, "colony" + SUFFIX)):
        return checkout
    return os.path.join(package, "schemas")


def file(kind: str) -> str:
    return os.path.join(folder(), kind + SUFFIX)


def load(kind: str) -> dict[str, Any]:
    """The schema of that kind ('colony', 'workflow', 'task' …), as a dict."""
    from colony_lib.base import files

    schema: dict[str, Any] = files.read_json(file(kind))
    return schema


def check(value: Any, kind: str, lines: Mapping[Path, int] | None = None, file: str | None = None) -> None:
    """Raise the first problem that `problems` finds; nothing when the value is valid."""
    for problem in problems(value, kind, lines, file):
        raise problem


def problems(
    value: Any, kind: str, lines: Mapping[Path, int] | None = None, file: str | None = None
) -> list[ColonyError]:
    """Every way in which the value does not meet schemas/KIND.schema.json, in the order of the file.

    Each is a ColonyError (USAGE) with `file:line` (lines as store.yamltext gives them) and what to do.
    """
    if kind not in _validators:
        _validators[kind] = _validator(load(kind))
    faults = list(_faults(_validators[kind], value))
    found: dict[str, tuple[int, ColonyError]] = {}
    for path, what, fix in faults:
        line = _line(lines, path)
        where = f"{file}:{line}" if file and line else file
        error = ColonyError(what, where=where, fix=fix, code=USAGE)
        found.setdefault(str(error), (line, error))
    return [error for _, error in sorted(found.values(), key=lambda pair: pair[0])]


def mismatches(value: Any, schema: Mapping[str, Any] | bool, name: str = "value") -> list[str]:
    """What of a user's own schema (output_schema, input) the value does not meet, one line each; [] for nothing.

    `name` stands for the whole value: "'output.rows' must be a whole number, not 'many'".
    """
    validator = _validator(schema)
    found = []
    for _, what, fix in _faults(validator, value, name):
        # The other remedies are for people who write YAML.
        hint = fix if fix and fix.startswith(("did you mean", "known keys")) else None
        found.append(f"{what} ({hint})" if hint else what)
    return list(dict.fromkeys(found))


def check_schema(schema: Any, *, where: str | None = None) -> None:
    """ColonyError (USAGE) unless `schema` is a JSON Schema that needs nothing from elsewhere."""
    import jsonschema

    if not isinstance(schema, (dict, bool)):
        raise ColonyError("a JSON Schema must be a mapping", where=where, code=USAGE)
    chosen = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        chosen.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = _place(tuple(error.absolute_path), "the schema")
        raise ColonyError(
            f"not a JSON Schema: {place}: {escape(cut(error.message, 160))}", where=where, code=USAGE
        ) from None
    except RecursionError:
        raise ColonyError("not a JSON Schema: nested too deeply", where=where, code=USAGE) from None
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise ColonyError(
                f"the schema refers to '{escape(reference)}', outside itself",
                where=where,
                fix="copy that part in, under $defs",
                code=USAGE,
            )


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key in ("$ref", "$dynamicRef"):
            if isinstance(schema.get(key), str):
                yield schema[key]
        schema = list(schema.values())
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)


def _validator(schema: Any) -> Any:
    import jsonschema
    import referencing
    import referencing.exceptions

    def retrieve(uri: str) -> Any:
        # Only our own schemas, from the disk: a schema must never make Colony fetch something.
        if uri.startswith(BASE) and uri.endswith(SUFFIX) and "/" not in uri[len(BASE) :]:
            return referencing.Resource.from_contents(load(uri[len(BASE) : -len(SUFFIX)]))
        raise referencing.exceptions.NoSuchResource(uri)

    registry: Any = referencing.Registry(retrieve=retrieve)  # type: ignore[call-arg]
    chosen = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    return chosen(schema, registry=registry)


def _faults(validator: Any, value: Any, name: str = "") -> Iterator[tuple[Path, str, str | None]]:
    import referencing.exceptions

    try:
        for error in validator.iter_errors(value):
            yield from _explain(error, name)
    except referencing.exceptions.Unresolvable as error:
        raise ColonyError(f"the schema refers to '{escape(error.ref)}', which is not there", code=USAGE) from None
    except RecursionError:
        raise ColonyError("the schema or the value is nested too deeply to be checked", code=USAGE) from None


def _line(lines: Mapping[Path, int] | None, path: Path) -> int:
    for length in range(len(path), -1, -1):
        if lines and path[:length] in lines:
            return lines[path[:length]]
    return 0


def _place(path: Sequence[str | int], name: str) -> str:
    """How a path reads: agents[0].env.API_KEY."""
    text = name
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return escape(cut(text, 120))


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"'{escape(cut(value, 60))}'"
    if isinstance(value, (dict, list)):
        return _TYPES["object" if isinstance(value, dict) else "array"]
    if isinstance(value, bool):
        return "true" if value else "false"
    return "nothing" if value is None else str(value)[:40]


def _explain(error: Any, name: str) -> Iterator[tuple[Path, str, str | None]]:
    """(path, what is wrong, what to do) for one error of jsonschema, or several where it sums them up."""
    path: Path = tuple(error.absolute_path)
    place = _place(path, name)
    subject = f"'{place}'" if place else name or "the file"
    if "propertyNames" in list(error.absolute_schema_path)[-2:]:
        rule = error.schema.get("errorMessage") or "is not an allowed name"
        yield (*path, error.instance), f"the key {_shown(error.instance)} in {subject} {rule}", None
    elif error.validator == "additionalProperties":
        yield from _unknown_keys(error, path, subject)
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                yield path, f"{subject} has no '{key}'", f"add '{key}:'"
    elif isinstance(error.schema, dict) and "errorMessage" in error.schema:
        yield path, f"{subject} {error.schema['errorMessage']}, not {_shown(error.instance)}", None
    elif error.validator in ("anyOf", "oneOf") and error.context:
        yield from _alternatives(error, path, subject, name)
    else:
        yield path, *_plain(error, subject)


def _unknown_keys(error: Any, path: Path, subject: str) -> Iterator[tuple[Path, str, str | None]]:
    import re

    known = error.schema.get("properties", {})
    patterns = error.schema.get("patternProperties", {})
    for key in error.instance:
        if key in known or any(re.search(pattern, key) for pattern in patterns):
            continue
        there = ", ".join(sorted(known)[:16]) + (", …" if len(known) > 16 else "")
        hint = nearest(key, known) or (f"known keys: {there}" if known else None)
        inside = f" in {subject}" if path else ""
        yield (*path, key), f"unknown key '{escape(cut(key, 60))}'{inside}", hint


def _alternatives(error: Any, path: Path, subject: str, name: str) -> Iterator[tuple[Path, str, str | None]]:
    """The faults of the one alternative that the value seems to mean; else which types there may be."""
    branches: dict[int, list[Any]] = {}
    for inner in error.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    meant = [
        group
        for group in branches.values()
        if not any(e.validator in ("type", "const", "enum") and not e.path for e in group)
    ]
    if meant:
        for inner in min(meant, key=len):
            yield from _explain(inner, name)
        return
    wanted: list[str] = []
    for group in branches.values():
        for inner in group:
            if inner.validator == "type" and not inner.path:
                wanted += _names(inner.validator_value)
            elif inner.validator in ("const", "enum") and not inner.path:
                values = inner.validator_value if inner.validator == "enum" else [inner.validator_value]
                wanted += [_shown(value) for value in values]
    yield path, f"{subject} must be {' or '.join(dict.fromkeys(wanted))}, not {_shown(error.instance)}", None


def _names(types: Any) -> list[str]:
    return [_TYPES.get(t, str(t)) for t in ([types] if isinstance(types, str) else types)]


def _of_words(items: Any) -> bool:
    """Whether the items of such a list are texts."""
    if not isinstance(items, dict):
        return False
    return items.get("type") == "string" or all(isinstance(value, str) for value in items.get("enum", [None]))


def _plain(error: Any, subject: str) -> tuple[str, str | None]:
    """What is wrong and what to do, for a keyword that says all by itself."""
    rule, limit, value = error.validator, error.validator_value, error.instance
    if rule == "type":
        wanted = _names(limit)
        fix = None
        if isinstance(value, (int, float)) and "text" in wanted:
            fix = "put it in quotes"
        elif (
            wanted == ["true or false"]
            and isinstance(value, str)
            and value.lower() in ("yes", "no", "on", "off", "y", "n")
        ):
            fix = f"write {'true' if value.lower() in ('yes', 'on', 'y') else 'false'}"
        elif wanted == ["a list"] and isinstance(value, str) and _of_words(error.schema.get("items")):
            fix = f"write [{value}]" if value.replace("-", "").isidentifier() else "write each item after '- '"
        if value is None:
            return f"{subject} is empty and must be {' or '.join(wanted)}", fix
        return f"{subject} must be {' or '.join(wanted)}, not {_shown(value)}", fix
    if rule in ("enum", "const"):
        values = list(limit) if rule == "enum" else [limit]
        hint = nearest(value, [v for v in values if isinstance(v, str)]) if isinstance(value, str) else None
        return f"{subject} must be {' or '.join(map(_shown, values))}, not {_shown(value)}", hint
    many = f"has {len(value)}" if isinstance(value, (str, list, dict)) else ""
    words = {
        "minimum": f"must be at least {limit}, not {_shown(value)}",
        "maximum": f"must be at most {limit}, not {_shown(value)}",
        "exclusiveMinimum": f"must be more than {limit}, not {_shown(value)}",
        "exclusiveMaximum": f"must be less than {limit}, not {_shown(value)}",
        "multipleOf": f"must be a multiple of {limit}, not {_shown(value)}",
        "minLength": "must not be empty" if limit == 1 else f"must have at least {limit} characters; it {many}",
        "maxLength": f"must have at most {limit} characters; it {many}",
        "minItems": "must not be empty" if limit == 1 else f"must have at least {limit} items; it {many}",
        "maxItems": f"must have at most {limit} items; it {many}",
        "minProperties": "must not be empty" if limit == 1 else f"must have at least {limit} keys; it {many}",
        "maxProperties": f"must have at most {limit} keys; it {many}",
        "uniqueItems": "has an item twice",
        "pattern": f"does not match {escape(cut(str(limit), 80))}: {_shown(value)}",
        "oneOf": "fits more than one of the forms it may have",
        "not": "is not allowed like this",
        "false schema": "is not allowed here",
    }
    text = words.get(rule or "false schema") or escape(cut(error.message, 200))
    return f"{subject} {text}", None
