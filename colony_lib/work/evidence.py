"""What success is: the exit status is checked elsewhere; here the output's schema and the files that must be there."""

from __future__ import annotations

import os

from colony_lib.base import files, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The kernel stamps files with its coarse clock, which runs up to one tick behind the fine one.
_TICK_NS = 10_000_000


def missing(output: Any, schema: Any, expected: list[str], folder: str, since_ns: int) -> str | None:
    """What of a step's declared success is not there, in words; None when all of it is.

    `expected`: paths or globs relative to `folder` of files that must exist, have been written since `since_ns`
    (nanoseconds since 1970), and parse by what their names say they are.
    """
    if schema is not None:
        problem = schema_problem(output, schema)
        if problem:
            return problem
    for pattern in expected:
        problem = _file_problem(pattern, folder, since_ns)
        if problem:
            return problem
    return None


def schema_problem(value: Any, schema: Any) -> str | None:
    """Where the value does not meet the JSON Schema, in words; None when it does."""
    import jsonschema

    validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    error = jsonschema.exceptions.best_match(validator(schema).iter_errors(value))
    if error is None:
        return None
    where = "output" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return f"the output does not meet output_schema: {escape(where)}: {escape(error.message)[:300]}"


def named(pattern: str, folder: str) -> list[str]:
    """The paths of the files that an expected path or glob means; of a path itself, whether it is there or not."""
    path = os.path.join(folder, pattern)
    if not any(mark in pattern for mark in "*?["):
        return [path]
    import glob

    return sorted(glob.glob(path))


def _file_problem(pattern: str, folder: str, since_ns: int) -> str | None:
    shown = f"'{escape(pattern)}'"
    found = named(pattern, folder)
    if not found:
        return f"no file matches {shown}, which the step expects"
    for each in found:
        name = f"'{escape(os.path.relpath(each, folder))}'"
        try:
            status = os.stat(each)
        except OSError:
            return f"the file {name}, which the step expects, is not there"
        if status.st_mtime_ns < since_ns - _TICK_NS:
            return f"the file {name} was not written by this attempt"
        problem = _unreadable(each)
        if problem:
            return f"the file {name} {problem}"
    return None


def _unreadable(path: str) -> str | None:
    """Why the file is not what its name says it is; None when it is, or its name says nothing."""
    kind = os.path.splitext(path)[1].lower()
    try:
        if kind == ".json":
            files.read_json(path)
        elif kind in (".jsonl", ".ndjson"):
            for number, line in enumerate(files.read_bytes(path).split(b"\n"), 1):
                if line.strip():
                    jsontext.loads(line, where=f"line {number}")
        elif kind in (".yaml", ".yml"):
            import yaml

            try:
                yaml.safe_load(files.read_text(path))
            except yaml.YAMLError as error:
                return f"is not YAML: {escape(str(error).splitlines()[0])}"
        elif kind in (".csv", ".md", ".txt", ".html"):
            files.read_text(path)
        elif not os.path.isdir(path) and os.path.getsize(path) == 0:
            return "is empty"
    except ColonyError as error:
        return f"cannot be used: {error}"
    return None
