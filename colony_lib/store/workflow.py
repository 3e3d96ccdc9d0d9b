"""Workflow files: finds them, gives each as a checked plan, and answers what a plan asks of its input and its colony.

A plan is {v, name, description, file, trigger: {type, cron, timezone, missed, window_seconds} | None, input_schema,
concurrency, max_parallel, budget, steps, error_handling}; its steps stand in an order in which each comes after what
it depends on:
{name, agent, depends_on, ancestors, instructions, run, when, timeout_seconds, limits, output_name, output_schema,
expect, for_each, parallel, retry: {max_attempts, backoff, delay_seconds, max_delay_seconds}, idempotent, on_failure,
env, line, lines: {key: line}}, and `cache`, `approval` and `resources` where the file has them, `executor` where it is
not this machine; so `max_parallel_of_all`, where the file itself limits how many steps go on at once. All other keys
are always there, None where the file says nothing; `budget` {usd, tokens, turns, tool_calls, time_seconds} and
`limits` of a step hold what the file has.
"""

from __future__ import annotations

import os

from colony_lib import __version__
from colony_lib.base import files as documents
from colony_lib.base.errors import FAILED, USAGE, ColonyError, failed, nearest, unknown
from colony_lib.base.text import check_name, escape
from colony_lib.store import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Record = dict[str, Any]

SUFFIXES = (".yaml", ".yml")
LIMIT = 1024 * 1024  # bytes of a workflow file and of a schema file
# The modules whose text decides what a plan is: another version of one makes another plan.
_COMPILER = (
    "agent_rules",
    "condition",
    "dag",
    "reference_rules",
    "references",
    "schedule",
    "schema",
    "shellcode",
    "shelltext",
    "shellwords",
    "workflow_rules",
    "yamltext",
)


# ── files ──────────────────────────────────────────────────────────────────────────────────────────────────────


def files() -> list[str]:
    """The paths of all workflow files, by name; hidden files are none."""
    folder = paths.workflow_folder()
    try:
        found = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise failed("read", folder, error) from None
    return [os.path.join(folder, name) for name in sorted(found) if name.endswith(SUFFIXES) and name[0] != "."]


def stem(path: str) -> str:
    """The name that a workflow file gives its workflow."""
    return os.path.splitext(os.path.basename(path))[0]


def names() -> list[str]:
    """The names of all workflow files, sorted."""
    return sorted({stem(path) for path in files()})


def path(name: str) -> str:
    """The file of the workflow called `name`: NAME.yaml or NAME.yml, else the one that has this `name:` inside.

    ColonyError (FAILED) with the nearest names when there is none, (USAGE) when two files claim it.
    """
    check_name(name, "workflow")
    found = [file for file in files() if stem(file) == name]
    if not found:
        found = [file for file in files() if _named(file) == name]
    if len(found) > 1:
        both = " and ".join(f"'{paths.shown(file)}'" for file in found)
        raise ColonyError(f"two files define the workflow '{name}': {both}", fix="remove one", code=USAGE)
    if not found:
        raise unknown("workflow", name, names(), code=FAILED)
    return found[0]


def _named(file: str) -> str | None:
    try:
        return str(load(file)["name"])
    except ColonyError:
        return None


def relative(path: str) -> str:
    """The path from the colony's root, for what is kept; whole when it lies outside or there is no colony."""
    whole, root = os.path.abspath(path), paths.root_or_none()
    return os.path.relpath(whole, root) if root is not None and whole.startswith(root + os.sep) else whole


def _source(path: str) -> str:
    try:
        data = documents.read_bytes(path, limit=LIMIT)
    except FileNotFoundError:
        raise ColonyError(f"there is no file '{escape(paths.shown(path))}'", code=FAILED) from None
    except ColonyError as error:
        raise ColonyError(error.what, where=error.where, fix=error.fix, code=USAGE) from None
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        where = f"{paths.shown(path)}:{data.count(bytes([10]), 0, error.start) + 1}"
        raise ColonyError("not UTF-8 text", where=where, fix="save the file as UTF-8", code=USAGE) from None


# ── plans ──────────────────────────────────────────────────────────────────────────────────────────────────────


def load(name_or_path: str) -> Record:
    """The checked plan of a workflow by name, or of a file by its path (with a '/' or a YAML suffix).

    ColonyError (USAGE) with file and line for the first thing that is wrong, (FAILED) when there is no such
    workflow. A compiled copy under .colony/cache/ is used when it was made from this very text by this very code,
    so that a second start needs neither a YAML reader nor a schema validator.
    """
    file = _resolve(name_or_path)
    source = _source(file)
    cache = _cache_file(file)
    stamp = _compiler()
    plan = _cached(cache, source, stamp) if cache else None
    if plan is None:
        plan, wrong, read = _compile(file, source)
        if wrong:
            raise _first(wrong, stem(file))
        if cache:
            _keep(cache, {"v": 1, "source": source, "compiler": stamp, "files": read, "plan": plan})
    return plan


def problems(name_or_path: str) -> list[ColonyError]:
    """Everything that is wrong with a workflow file, in the order of its lines; [] for a good one."""
    try:
        file = _resolve(name_or_path)
        ours = paths.root_or_none() is not None and _folder(file) == paths.workflow_folder()
        same = [other for other in files() if stem(other) == stem(file)] if ours else []
        found = _compile(file, _source(file))[1]
    except ColonyError as error:
        return [error]
    if len(same) > 1:
        both = " and ".join(f"'{os.path.basename(other)}'" for other in same)
        what = f"two files define the workflow '{stem(file)}': {both}"
        found.insert(0, ColonyError(what, where=paths.shown(file), fix="remove one", code=USAGE))
    return found


def warnings(plan: Mapping[str, Any]) -> list[str]:
    """What is allowed in a plan and may not be meant, one line each."""
    from colony_lib.base import clock

    found = []
    if plan["name"] != stem(plan["file"]):
        found.append(f"the workflow in {plan['file']} is called '{plan['name']}': give the file its name")
    for step in plan["steps"]:
        if step.get("cache") is not None and "{{run.id}}" in (step["run"] or "").replace(" ", ""):
            what = f"step '{step['name']}' has 'cache' and takes {{{{run.id}}}}, so it is never reused"
            found.append(f"{plan['name']}: {what}")
    trigger = plan["trigger"]
    if trigger and trigger["type"] == "schedule":
        import datetime

        from colony_lib.store import schedule

        zone = schedule.zone(trigger["timezone"])
        now = datetime.datetime.fromtimestamp(clock.epoch(), datetime.UTC)
        for skipped, instead in schedule.gaps(schedule.expand(trigger["cron"]), zone, now)[:1]:
            when = f"{instead[11:]} that day" if instead[:10] == skipped[:10] else instead
            found.append(
                f"{plan['name']}: the clock of {schedule.zone_name(zone)} skips {skipped}; the run begins at {when}"
            )
    return found


def _folder(file: str) -> str:
    return os.path.dirname(os.path.abspath(file))


def _resolve(name_or_path: str) -> str:
    if "/" in name_or_path or name_or_path.endswith(SUFFIXES):
        return name_or_path
    return path(name_or_path)


def _first(wrong: list[ColonyError], name: str) -> ColonyError:
    """The first problem, saying how to see the others."""
    first = wrong[0]
    if len(wrong) == 1:
        return first
    more = f"'colony workflow validate {name}' shows {len(wrong) - 1} more"
    fix = f"{first.fix}; {more}" if first.fix else more
    return ColonyError(first.what, where=first.where, fix=fix, code=first.code)


def _compile(file: str, source: str) -> tuple[Record, list[ColonyError], dict[str, str]]:
    """(plan, problems, {path: text} of the schema files that were read)."""
    from colony_lib.store import workflow_rules

    read: dict[str, str] = {}

    def read_file(name: str) -> str | None:
        for folder in (paths.root_or_none(), _folder(file)):
            found = os.path.join(folder, os.path.expanduser(name)) if folder else ""
            if found and os.path.isfile(found):
                read[found] = _source(found)
                return read[found]
        return None

    plan, wrong = workflow_rules.checked(source, paths.shown(file), stem(file), read_file)
    if plan:
        plan["file"] = relative(file)
    return plan, wrong, read


# ── the compiled copy ──────────────────────────────────────────────────────────────────────────────────────────


def _cache_file(file: str) -> str | None:
    """Where the plan of a file of the colony's own folder is kept; nothing is kept of other files."""
    if paths.root_or_none() is None or _folder(file) != paths.workflow_folder():
        return None
    return paths.cache(f"workflow-{os.path.basename(file)}")


def _compiler() -> list[Any]:
    here = os.path.dirname(os.path.abspath(__file__))
    found: list[Any] = [__version__]
    for module in _COMPILER:
        state = os.stat(os.path.join(here, module + ".py"))
        found += [state.st_size, state.st_mtime_ns]
    return found


def _cached(cache: str, source: str, stamp: list[Any]) -> Record | None:
    try:
        kept = documents.read_json(cache, None, follow=False)
    except ColonyError:
        return None  # damaged: made anew
    if not isinstance(kept, dict) or kept.get("source") != source or kept.get("compiler") != stamp:
        return None
    for file, text in kept["files"].items():
        try:
            if _source(file) != text:
                return None
        except ColonyError:
            return None
    plan: Record = kept["plan"]
    return plan


def _keep(cache: str, record: Record) -> None:
    try:
        documents.write_json(cache, record, indent=None, durable=False)
    except ColonyError:
        return  # a full disk or a read-only colony makes the next start slower, not this one wrong


# ── what a plan asks for ───────────────────────────────────────────────────────────────────────────────────────


def check_input(plan: Mapping[str, Any], value: Any) -> Any:
    """The run's input, with the defaults of the plan's schema filled in; None (nothing given) counts as {}.

    ColonyError (USAGE) that names what is missing or wrong.
    """
    wanted = plan["input_schema"]
    given = {} if value is None else value
    if wanted is None:
        if not isinstance(given, dict):
            raise ColonyError("the input must be a JSON object", fix="""write --input '{"key": "value"}'""", code=USAGE)
        return given
    from colony_lib.store import schema

    filled = _with_defaults(given, wanted)
    wrong = schema.mismatches(filled, wanted, "input")
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        fix = f"see 'input' in {plan['file']}, and give --input as JSON"
        raise ColonyError(f"the input does not fit: {wrong[0]}{more}", fix=fix, code=USAGE)
    return filled


def _with_defaults(value: Any, schema: Any) -> Any:
    """The value with `default`s of `properties` filled in where keys are missing, at every depth."""
    if not isinstance(schema, dict) or not isinstance(value, dict):
        return value
    filled = dict(value)
    for key, inner in (schema.get("properties") or {}).items():
        if not isinstance(inner, dict):
            continue
        if key not in filled and "default" in inner:
            filled[key] = inner["default"]
        if key in filled:
            filled[key] = _with_defaults(filled[key], inner)
    return filled


def config_problems(plan: Mapping[str, Any], config: Mapping[str, Any]) -> list[ColonyError]:
    """Where the plan asks for what colony.yml does not have: unknown agents and executors."""
    known = [agent["id"] for agent in config["agents"]]
    found = []
    for step in [*plan["steps"], *plan["error_handling"]]:
        agent = step["agent"]
        if agent is not None and agent not in known:
            where = f"{paths.shown(os.path.join(paths.root(), plan['file']))}:{step['lines']['agent']}"
            fix = nearest(agent, known) or "there is " + ", ".join(f"'{name}'" for name in known)
            fix = fix if known else "colony.yml has no agents yet"
            found.append(ColonyError(f"unknown agent '{escape(agent)}'", where=where, fix=fix, code=USAGE))
    return found + _executor_problems(plan, config)


def _executor_problems(plan: Mapping[str, Any], config: Mapping[str, Any]) -> list[ColonyError]:
    from colony_lib.store import config as configuration

    found: dict[str, ColonyError] = {}
    for step in plan["steps"]:
        name = step.get("executor")
        if name is None or name in found:
            continue
        try:
            configuration.executor(config, name)
        except ColonyError as error:
            file = paths.shown(os.path.join(paths.root(), plan["file"]))
            where = f"{file}:{step['lines']['executor']}" if "executor" in step["lines"] else file
            found[name] = ColonyError(error.what, where=where, fix=error.fix, code=USAGE)
    return list(found.values())


def check_against_config(plan: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raise the first problem that `config_problems` finds."""
    for problem in config_problems(plan, config):
        raise problem


def graph(plan: Mapping[str, Any]) -> Record:
    """{"levels": [[step names that may run at the same time]], "edges": [[from, to]]}"""
    from colony_lib.store import dag

    depends = {step["name"]: step["depends_on"] for step in plan["steps"]}
    edges = [[other, name] for name, others in depends.items() for other in others]
    return {"levels": dag.levels(depends), "edges": edges}
