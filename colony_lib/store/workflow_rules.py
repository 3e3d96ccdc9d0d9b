"""What a workflow file must be: from its text to the checked plan, or to everything that is wrong with it."""

from __future__ import annotations

import re

from colony_lib.base import jsontext, text
from colony_lib.base.errors import USAGE, ColonyError, nearest
from colony_lib.base.text import escape
from colony_lib.store import agent_rules, dag, references, schema, yamltext
from colony_lib.store.reference_rules import ReferenceRules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Path = tuple[str | int, ...]
    Record = dict[str, Any]

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 ._-]{0,126}[A-Za-z0-9_-])?\Z")
_LONGEST_WINDOW = 366 * 86400  # seconds
_LISTS = (("steps",), ("workflow", "steps"), ("error_handling",), ("workflow", "error_handling"))
# `run: true`, `when: false` and `PORT: 010` are what was written.
_AS_TEXT = [(*place, None, *key) for place in _LISTS for key in (("run",), ("when",), ("instructions",), ("env", None))]


def checked(
    source: str, file: str, default_name: str, read_file: Callable[[str], str | None]
) -> tuple[Record, list[ColonyError]]:
    """(plan, problems): the plan, as store.workflow describes it, counts only when there are no problems.

    `file` is the name that problems show, `default_name` the workflow's where the file gives none; `read_file` gives
    the text of a file that an output_schema names, or None.
    """
    try:
        value, lines = yamltext.load(source, file, as_text=_AS_TEXT)
    except ColonyError as error:
        return {}, [error]
    if value is None:
        return {}, [ColonyError("the file is empty", where=file, fix="write its steps", code=USAGE)]
    rules = Rules(value, lines, source, file, default_name, read_file)
    found = schema.problems(value, "workflow", lines, file)
    if isinstance(value, dict):
        said = {error.where for error in found}
        found += [error for error in rules.problems() if error.where not in said]
    if found:
        unique = {str(error): error for error in found}
        return {}, sorted(unique.values(), key=_line_of)
    return rules.plan(), []


def _line_of(error: ColonyError) -> int:
    number = (error.where or "").rpartition(":")[2]
    return int(number) if number.isdigit() else 0


def part(value: Any, key: str, kind: type) -> Any:
    """The part of that kind, or an empty one: what has the wrong type has been said by the schema."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, kind) else kind()


class Step:
    """A step as the file has it: `given`, its `name`, its `path` in the document, whether it handles errors."""

    __slots__ = ("given", "handles", "name", "path")

    def __init__(self, given: Record, name: str, path: Path, handles: bool) -> None:
        self.given = given
        self.name = name
        self.path = path
        self.handles = handles

    def batched(self) -> bool:
        return self.given.get("for_each") is not None or isinstance(self.given.get("parallel"), int)

    def texts(self) -> list[tuple[Path, str]]:
        """The step's texts that may hold references, by path, but for `run`, `when` and `for_each`."""
        found: list[tuple[Path, Any]] = [((*self.path, "instructions"), self.given.get("instructions"))]
        found += [((*self.path, "env", name), value) for name, value in part(self.given, "env", dict).items()]
        for key, names in (("expect", "files"), ("cache", "inputs")):
            listed = part(part(self.given, key, dict), names, list)
            found += [((*self.path, key, names, i), value) for i, value in enumerate(listed)]
        return [(path, value) for path, value in found if isinstance(value, str)]


class Rules:
    """What a schema cannot say, asked of all parts that have the right type."""

    def __init__(
        self,
        value: Any,
        lines: dict[Path, int],
        source: str,
        file: str,
        default_name: str,
        read_file: Callable[[str], str | None],
    ) -> None:
        wrapped = isinstance(value, dict) and "workflow" in value
        self.prefix: Path = ("workflow",) if wrapped else ()
        self.body: Record = part(value, "workflow", dict) if wrapped else value if isinstance(value, dict) else {}
        self.lines = lines
        self.source = source.split("\n")
        self.file = file
        self.default_name = default_name
        self.read_file = read_file
        self.found: list[ColonyError] = []
        self.schemas: dict[str, Any] = {}
        self.steps = self._steps("steps", ("name",), False)
        self.handlers = self._steps("error_handling", ("step", "name"), True)
        self.by_name: dict[str, Step] = {}
        for step in self.steps:
            self.by_name.setdefault(step.name, step)
        self.depends = {name: self._known(step.given.get("depends_on")) for name, step in self.by_name.items()}

    def _steps(self, key: str, names: tuple[str, ...], handles: bool) -> list[Step]:
        found = []
        for index, given in enumerate(part(self.body, key, list)):
            if not isinstance(given, dict):
                continue
            name = next((given[each] for each in names if isinstance(given.get(each), str)), None)
            path = (*self.prefix, key, index)
            if name is not None:
                found.append(Step(given, name, path, handles))
            elif handles and not any(each in given for each in names):
                self.add("a step of error_handling has no 'step'", path, "add 'step: NAME'")
        return found

    def _known(self, names: Any) -> list[str]:
        """Of a depends_on, the names of steps that there are, each once."""
        found = names if isinstance(names, list) else []
        return list(dict.fromkeys(name for name in found if isinstance(name, str) and name in self.by_name))

    # ── places ──────────────────────────────────────────────────────────────────────────────────────────────────

    def line(self, path: Path, needle: str = "") -> int:
        """The line of the value at the path; with a needle, the line of its text in which that stands."""
        start = next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), 1)
        if needle:
            first = needle.split("\n")[0]
            for number in range(start, len(self.source) + 1):
                if first in self.source[number - 1]:
                    return number
        return start

    def where(self, path: Path, needle: str = "") -> str:
        return f"{self.file}:{self.line(path, needle)}"

    def add(self, what: str, path: Path, fix: str | None = None, needle: str = "") -> None:
        self.found.append(ColonyError(what, where=self.where(path, needle), fix=fix, code=USAGE))

    def keep(self, error: ColonyError, path: Path) -> None:
        """Take a problem that another module raised, with the place at which it is."""
        where = error.where or self.where(path)
        self.found.append(ColonyError(error.what, where=where, fix=error.fix, code=USAGE))

    # ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────

    def problems(self) -> list[ColonyError]:
        self._own_name()
        self._trigger()
        self._names()
        self._order()
        self._outputs()
        for step in [*self.steps, *self.handlers]:
            self._work(step)
            self._durations(step)
            self._environment(step)
            self._schema(step)
        budget = part(self.body, "budget", dict)
        self._duration(budget.get("time"), "the budget's time", (*self.prefix, "budget", "time"))
        self._input()
        ReferenceRules(self).check()
        return self.found

    def _own_name(self) -> None:
        given = self.body.get("name")
        if given is not None and not isinstance(given, str):
            return
        try:
            text.check_name(self.default_name if given is None else given, "workflow")
        except ColonyError as error:
            fix = error.fix if given is not None else "rename the file, or add 'name:'"
            self.add(error.what, (*self.prefix, "name"), fix)

    def _trigger(self) -> None:
        from colony_lib.store import schedule

        trigger = part(self.body, "trigger", dict)
        path = (*self.prefix, "trigger")
        cron, zone, window = trigger.get("cron"), trigger.get("timezone"), trigger.get("window")
        if trigger.get("type") == "schedule" and "cron" not in trigger:
            self.add("the trigger is a schedule without 'cron'", path, 'add cron: "0 2 * * *"')
        if trigger.get("type") == "manual" and "cron" in trigger:
            self.add("the trigger has 'cron', but its type is manual", (*path, "cron"), "write 'type: schedule'")
        try:
            if isinstance(cron, str):
                schedule.expand(cron, self.where((*path, "cron")))
        except ColonyError as error:
            self.keep(error, path)
        try:
            if isinstance(zone, str):
                schedule.zone(zone, self.where((*path, "timezone")))
        except ColonyError as error:
            self.keep(error, path)
        if isinstance(window, (int, float, str)) and not isinstance(window, bool):
            try:
                if text.duration(window) > _LONGEST_WINDOW:
                    self.add("the window of the trigger is longer than a year", (*path, "window"), "write 366d or less")
            except ColonyError as error:
                self.add(f"the window of the trigger: {error.what}", (*path, "window"), error.fix)

    def _names(self) -> None:
        seen: dict[str, int] = {}
        for step in [*self.steps, *self.handlers]:
            path = (*step.path, "name" if step.given.get("name") == step.name else "step")
            parts = step.name.split(".")
            if ".." in step.name or not _NAME.match(step.name):
                self.add(f"'{escape(step.name)[:80]}' is not a name for a step", path, "use letters, digits and '-'")
            elif "output" in parts[1:] or "status" in parts[1:]:
                self.add(f"'{escape(step.name)}' reads like a reference", path, "call the step something else")
            if step.name in seen:
                what = f"the step name '{escape(step.name)}' is there twice (first in line {seen[step.name]})"
                self.add(what, path, "rename one")
            seen.setdefault(step.name, self.line(path))
            if step.handles and "step" in step.given and "name" in step.given:
                self.add(f"the step '{escape(step.name)}' has both 'step' and 'name'", path, "keep one")

    def _order(self) -> None:
        for step in self.steps:
            for index, name in enumerate(part(step.given, "depends_on", list)):
                path = (*step.path, "depends_on", index)
                if name == step.name:
                    self.add(f"step '{escape(name)}' depends on itself", path, "take it out of depends_on")
                elif isinstance(name, str) and name not in self.by_name:
                    others = [other for other in self.by_name if other != step.name]
                    fix = nearest(name, others) or "there is " + ", ".join(f"'{other}'" for other in others[:6])
                    if any(handler.name == name for handler in self.handlers):
                        fix = "it is a step of error_handling, which runs after all others"
                    what = f"step '{escape(step.name)}' depends on the unknown step '{escape(name)}'"
                    self.add(what, path, fix if others else None, needle=name)
        for circle in dag.circles(self.depends):
            if len(circle) > 1:
                shown = " → ".join(f"'{escape(name)}'" for name in [*circle, circle[0]])
                path = (*self.by_name[circle[0]].path, "depends_on")
                self.add(f"steps that wait for each other in a circle: {shown}", path, "take one depends_on out")

    def _outputs(self) -> None:
        seen: dict[str, Step] = {}
        for step in self.steps:
            name = step.given.get("output")
            path = (*step.path, "output")
            if not isinstance(name, str):
                continue
            if name in references.RESERVED:
                self.add(f"'{name}' cannot be the name of an output: it means something else", path, "rename it")
            elif name in seen:
                what = f"the output name '{escape(name)}' is also that of step '{escape(seen[name].name)}'"
                self.add(what, path, "rename one")
            seen.setdefault(name, step)

    def _work(self, step: Step) -> None:
        named = f"step '{escape(step.name)}'"
        run, instructions = step.given.get("run"), step.given.get("instructions")
        if run is None and instructions is None and any(nearest(key, ("run", "instructions")) for key in step.given):
            pass  # a slip of the pen, which the schema names: what follows from it would stand before it
        elif run is None and instructions is None:
            fix = "add 'run:' with a command, or 'instructions:' for an agent"
            self.add(f"{named} has neither 'run' nor 'instructions'", step.path, fix)
        elif run is None and step.given.get("agent") is None:
            fix = "add 'agent:', or 'run:' with a command"
            self.add(f"{named} has instructions and no agent to follow them", (*step.path, "instructions"), fix)
        for key, value in (("run", run), ("instructions", instructions)):
            if isinstance(value, str) and value and not value.strip():
                self.add(f"the '{key}' of {named} is empty", (*step.path, key))
        for index, value in enumerate(part(part(step.given, "expect", dict), "files", list)):
            if isinstance(value, str) and value and not value.strip():
                self.add(f"{named} expects a file without a name", (*step.path, "expect", "files", index))

    def _durations(self, step: Step) -> None:
        retry = part(step.given, "retry", dict)
        limits = part(step.given, "limits", dict)
        named = f"of step '{escape(step.name)}'"
        self._duration(step.given.get("timeout"), f"the timeout {named}", (*step.path, "timeout"))
        self._duration(limits.get("time"), f"the limit on the time {named}", (*step.path, "limits", "time"))
        for key in ("delay", "max_delay"):
            self._duration(retry.get(key), f"the {key} {named}", (*step.path, "retry", key))

    def _duration(self, value: Any, what: str, path: Path) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return
        try:
            text.duration(value)
        except ColonyError as error:
            self.add(f"{what}: {error.what}", path, error.fix)

    def _environment(self, step: Step) -> None:
        from colony_lib.store import variables

        for name, value in part(step.given, "env", dict).items():
            path = (*step.path, "env", name)
            if name.startswith("COLONY_"):
                self.add(f"the variable '{escape(name)}' is Colony's own", path, "choose another name")
            if name.endswith("\n"):
                self.add(f"'{escape(name)}' is not the name of an environment variable", path)
            wrong = variables.fault(value) if isinstance(value, str) else None
            if wrong:
                self.add(f"{escape(name)}: {wrong}", path, "write $$ for a dollar sign")

    def _schema(self, step: Step) -> None:
        given = step.given.get("output_schema")
        path = (*step.path, "output_schema")
        if isinstance(given, (dict, bool)):
            self._check_schema(given, path, f"the output_schema of step '{escape(step.name)}'")
            self.schemas[step.name] = given
        elif isinstance(given, str):
            source = self.read_file(given)
            if source is None:
                self.add(f"there is no schema file '{escape(given)}'", path, "give its path from the colony's root")
                return
            try:
                found = jsontext.loads(source)
            except ColonyError as error:
                self.add(f"the schema file '{escape(given)}' is {error.what}", path, error.fix)
                return
            self._check_schema(found, path, f"the schema file '{escape(given)}'")
            self.schemas[step.name] = found

    def _check_schema(self, value: Any, path: Path, name: str) -> None:
        try:
            schema.check_schema(value)
            schema.mismatches({}, value)
        except ColonyError as error:
            self.add(f"{name}: {error.what}", path, error.fix)
        except RecursionError:
            self.add(f"{name} is nested too deeply", path, "flatten it")

    def _input(self) -> None:
        given = self.body.get("input")
        if isinstance(given, (dict, bool)):
            self._check_schema(given, (*self.prefix, "input"), "the input")

    # ── the plan ────────────────────────────────────────────────────────────────────────────────────────────────

    def plan(self) -> Record:
        """The plan of a file in which nothing is wrong."""
        body = self.body
        names = dag.order(self.depends)
        before = dag.ancestors(self.depends)
        trigger = body.get("trigger")
        return {
            "v": 1,
            "name": body.get("name", self.default_name),
            "description": body.get("description", ""),
            "trigger": None
            if trigger is None
            else {
                "type": trigger.get("type") or ("schedule" if "cron" in trigger else "manual"),
                "cron": trigger.get("cron"),
                "timezone": trigger.get("timezone"),
                "missed": trigger.get("missed", "skip"),
                "window_seconds": text.duration(trigger.get("window", "7d")),
            },
            "input_schema": body.get("input"),
            "concurrency": body.get("concurrency", 1),
            "max_parallel": body.get("max_parallel", 16),
            "budget": self._limits(body.get("budget")),
            **self._limit_of_all(),
            "steps": [self._planned(self.by_name[name], before[name]) for name in names],
            "error_handling": [self._planned(step, names) for step in self.handlers],
        }

    def _planned(self, step: Step, before: list[str]) -> Record:
        given = step.given
        retry = given.get("retry") or {}
        planned: Record = {
            "name": step.name,
            "agent": given.get("agent"),
            "depends_on": list(self.depends[step.name]) if not step.handles else [],
            "ancestors": before,
            "instructions": given.get("instructions"),
            "run": given.get("run"),
            "when": given.get("when"),
            "timeout_seconds": text.duration(given["timeout"]) if given.get("timeout") is not None else None,
            "limits": self._limits(given.get("limits")),
            "output_name": given.get("output"),
            "output_schema": self.schemas.get(step.name),
            "expect": given.get("expect"),
            "for_each": given.get("for_each"),
            "parallel": given.get("parallel"),
            "retry": {
                "max_attempts": retry.get("max_attempts", 1),
                "backoff": retry.get("backoff", "exponential"),
                "delay_seconds": text.duration(retry.get("delay", 1.0)),
                "max_delay_seconds": text.duration(retry.get("max_delay", 60.0)),
            },
            "idempotent": given.get("idempotent", True),
            "on_failure": given.get("on_failure", "fail"),
            "env": {name: self._env_text(value) for name, value in (given.get("env") or {}).items()},
            "line": self.line(step.path),
            "lines": {key: self.line((*step.path, key)) for key in given},
        }
        planned |= {key: given[key] for key in ("cache", "approval", "resources") if given.get(key) is not None}
        # What is done when a run has failed is done here: the cluster may be what has failed.
        executor = "local" if step.handles else given.get("executor", self.body.get("executor", "local"))
        return planned if executor == "local" else {**planned, "executor": executor}

    def _limit_of_all(self) -> Record:
        """A number of steps that the file itself gives holds for all executors together."""
        given = self.body.get("max_parallel")
        return {} if given is None else {"max_parallel_of_all": given}

    @staticmethod
    def _limits(given: Record | None) -> Record | None:
        """Limits as given, `time` as `time_seconds`."""
        return None if given is None else agent_rules.seconds(given)

    @staticmethod
    def _env_text(value: Any) -> str:
        return value if isinstance(value, str) else jsontext.dumps(value)
