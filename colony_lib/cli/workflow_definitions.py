"""`colony workflow list | show | validate | graph`: what the workflow files define, without running any of it."""

from __future__ import annotations

import sys

from colony_lib.base.errors import OK, USAGE, ColonyError
from colony_lib.base.text import escape, plural, show_duration, width
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    Record = dict[str, Any]


def plain(words: list[str]) -> Any:
    """What an ordinary line of `list` says, read without a parser; None for any other."""
    given = args.simple(words, ["--json"])
    if given is not None:
        given.handler = _list
    return given


def add(verbs: Any) -> None:
    """Add the four verbs to `colony workflow`; each parsed command has a `handler(given) -> exit status`."""
    lines = verbs.add_parser(
        "list",
        prog="colony workflow list",
        summary="list the workflows of this colony",
        help="list the workflows",
        examples=["colony workflow list", "colony workflow list --json | jq -r 'select(.cron) | .name'"],
    )
    args.add_json(lines)
    lines.set_defaults(handler=_list)
    one = verbs.add_parser(
        "show",
        prog="colony workflow show",
        summary="show one workflow: what starts it, what it takes, its steps in order",
        help="show one workflow",
        examples=["colony workflow show daily-etl", "colony workflow show daily-etl --json | jq '.steps[0]'"],
        details="--json prints the checked plan, with all defaults filled in.",
    )
    one.add_argument("name", metavar="NAME", help="the workflow, or a file's path")
    args.add_json(one)
    one.set_defaults(handler=_show)
    check = verbs.add_parser(
        "validate",
        prog="colony workflow validate",
        summary="check one workflow, or all; prints each problem and exits 2 if there is any",
        help="check workflows",
        examples=[
            "colony workflow validate",
            "colony workflow validate daily-etl",
            "colony workflow validate ./new.yaml",
        ],
    )
    check.add_argument("name", metavar="NAME", nargs="?", help="the workflow, or a file's path (default: all)")
    args.add_json(check)
    check.set_defaults(handler=_validate)
    _add_graph(verbs)


def _add_graph(verbs: Any) -> None:
    graph = verbs.add_parser(
        "graph",
        prog="colony workflow graph",
        summary="draw which step waits for which",
        help="draw the steps",
        examples=[
            "colony workflow graph daily-etl",
            "colony workflow graph daily-etl --dot | dot -Tsvg -o daily-etl.svg",
            "colony workflow graph daily-etl --mermaid",
        ],
        details="Time runs downwards: a line leads from a step to the steps that wait for it.",
    )
    graph.add_argument("name", metavar="NAME", help="the workflow, or a file's path")
    kinds = graph.add_mutually_exclusive_group()
    kinds.add_argument("--json", action="store_true", help="print levels and edges as one JSON object")
    kinds.add_argument("--dot", action="store_true", help="print Graphviz's language")
    kinds.add_argument("--mermaid", action="store_true", help="print a Mermaid flowchart")
    kinds.add_argument("--ascii", action="store_true", help="draw with plain ASCII characters")
    graph.set_defaults(handler=_graph)


# ── list ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _list(given: argparse.Namespace) -> int:
    from colony_lib.store import workflow

    rows = [_row(path) for path in workflow.files()]
    if given.json:
        show.records(rows)
        return OK
    for row in rows:
        row["starts"] = "invalid" if row["problem"] else _starts(row)
    show.table(rows, ["name", "steps", "starts", "description"])
    if not rows:
        show.note("no workflows yet; 'colony init' makes a first one in .colony/workflows/")
    for row in rows:
        if row["problem"]:
            show.warn(row["problem"])
    return OK


def _row(path: str) -> Record:
    """A workflow as `list --json` prints it (schemas/workflow-list.schema.json), good or not."""
    from colony_lib.store import workflow

    row: Record = {"name": workflow.stem(path), "file": workflow.relative(path), "description": ""}
    row |= {"trigger": None, "cron": None, "timezone": None, "steps": None, "valid": False, "problem": None}
    try:
        plan = workflow.load(path)
    except ColonyError as error:
        return {**row, "problem": str(error)}
    trigger = plan["trigger"] or {"type": "manual", "cron": None, "timezone": None}
    row |= {"name": plan["name"], "file": plan["file"], "description": plan["description"], "valid": True}
    row |= {"trigger": trigger["type"], "cron": trigger["cron"], "timezone": trigger["timezone"]}
    return {**row, "steps": len(plan["steps"])}


def _starts(trigger: Record) -> str:
    if not trigger["cron"]:
        return "by hand"
    return " ".join(str(part) for part in (trigger["cron"], trigger["timezone"]) if part)


def _missed(trigger: Record) -> str:
    """What becomes of times at which nobody looked; '' where they are left."""
    which = {"latest": "the newest", "all": "each"}.get(trigger.get("missed") or "") if trigger["cron"] else None
    return f"{which} of the last {show_duration(trigger['window_seconds'])} is run later" if which else ""


# ── show ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _show(given: argparse.Namespace) -> int:
    from colony_lib.store import workflow

    plan = workflow.load(given.name)
    if given.json:
        show.record(plan)
        return OK
    for heading, text in _facts(plan):
        print(f"{heading + ':':<12} {escape(text)}")
    print()
    show.table([_step_row(step) for step in plan["steps"]], ["step", "agent", "after", "timeout", "attempts", "does"])
    if plan["error_handling"]:
        print("\nwhen a run fails:")
        show.table([_step_row(step) for step in plan["error_handling"]], ["step", "agent", "timeout", "does"])
    return OK


def _facts(plan: Record) -> list[tuple[str, str]]:
    trigger = plan["trigger"] or {"cron": None, "timezone": None}
    properties = plan["input_schema"].get("properties", {}) if isinstance(plan["input_schema"], dict) else {}
    required = plan["input_schema"].get("required", []) if isinstance(plan["input_schema"], dict) else []
    takes = ", ".join(name if name in required else f"[{name}]" for name in properties)
    facts = [
        ("workflow", plan["name"]),
        ("file", plan["file"]),
        ("description", plan["description"]),
        ("starts", _starts(trigger)),
        ("missed", _missed(trigger)),
        ("input", takes or ("as its schema says" if plan["input_schema"] is not None else "")),
        ("at once", f"{plural(plan['concurrency'], 'run')}, {plan['max_parallel']} steps of one"),
    ]
    return [(heading, text) for heading, text in facts if text]


def _step_row(step: Record) -> Record:
    marks = [f"on {step['executor']}"] if "executor" in step else []
    if step["for_each"] is not None:
        marks.append(f"for each of {step['for_each'] if isinstance(step['for_each'], str) else 'a list'}")
    elif step["parallel"] is not None:
        marks.append(f"{step['parallel']} times at once")
    if step["when"] is not None:
        marks.append(f"when {step['when']}")
    work = (step["run"] or step["instructions"]).strip().split("\n")
    first = next((line for line in work if line.strip() and not line.startswith("#!")), work[0])
    marks.append(first.strip() + (" …" if len(work) > 1 else ""))
    return {
        "step": step["name"],
        "agent": step["agent"],
        "after": step["depends_on"],
        "timeout": show_duration(step["timeout_seconds"]),
        "attempts": step["retry"]["max_attempts"],
        "does": ": ".join(marks),
    }


# ── validate ───────────────────────────────────────────────────────────────────────────────────────────────────


def _validate(given: argparse.Namespace) -> int:
    from colony_lib.store import workflow

    if given.name is None:
        files = workflow.files()
    else:
        named = "/" in given.name or given.name.endswith(workflow.SUFFIXES)
        files = [given.name if named else workflow.path(given.name)]
    found, warned = [], []
    for file in files:
        wrong, warnings = _problems(file)
        found += wrong
        warned += warnings
    for problem in found:
        show.fault(problem, given.json)
    for warning in warned:
        show.warn(warning)
    if found:
        show.note(f"{plural(len(found), 'problem')} in {plural(len(files), 'file')} checked")
        return USAGE
    if not given.json:
        show.value(f"ok: {plural(len(files), 'workflow')}")
    return OK


def _problems(file: str) -> tuple[list[ColonyError], list[str]]:
    """(problems, warnings) of a file, agents that colony.yml does not have included."""
    from colony_lib.store import config, paths, workflow

    found = workflow.problems(file)
    if found:
        return found, []
    plan = workflow.load(file)
    if paths.root_or_none() is not None:
        found = workflow.config_problems(plan, config.load())
    return found, workflow.warnings(plan)


# ── graph ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _graph(given: argparse.Namespace) -> int:
    from colony_lib.store import workflow

    plan = workflow.load(given.name)
    if given.json:
        show.record({"workflow": plan["name"], **workflow.graph(plan)})
    elif given.dot:
        _dot(plan)
    elif given.mermaid:
        _mermaid(plan)
    else:
        _draw(plan, given.ascii or not _has_lines())
    return OK


def _has_lines() -> bool:
    """Whether standard output can show the characters that boxes are drawn with."""
    try:
        "●├".encode(sys.stdout.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def _draw(plan: Record, ascii_only: bool) -> None:
    from colony_lib.store import dag

    steps = {step["name"]: step for step in plan["steps"]}
    rows = dag.drawing(plan, ascii_only=ascii_only)
    lines = max(width(line) for line, _ in rows)
    names = max(width(name) for name in steps)
    for line, name in rows:
        step = steps.get(name)
        note = _note(step) if step else ""
        text = f"{line:<{lines}}  {name:<{names}}  {note}" if step else line
        print(escape(text.rstrip()))


def _note(step: Record) -> str:
    parts = [step["agent"] or ""]
    if step["for_each"] is not None:
        parts.append("for each item")
    elif step["parallel"] is not None:
        parts.append(f"×{step['parallel']}")
    if step["when"] is not None:
        parts.append(f"when {step['when']}")
    if step["on_failure"] == "continue":
        parts.append("may fail")
    return "  ".join(part for part in parts if part)


def _dot(plan: Record) -> None:
    def quoted(text: str) -> str:
        return '"' + escape(text).replace("\\", "\\\\").replace('"', '\\"') + '"'

    print(f"digraph {quoted(plan['name'])} {{")
    print("  rankdir=LR; node [shape=box];")
    for step in plan["steps"]:
        print(f"  {quoted(step['name'])};")
    for step in plan["steps"]:
        for other in step["depends_on"]:
            print(f"  {quoted(other)} -> {quoted(step['name'])};")
    print("}")


def _mermaid(plan: Record) -> None:
    number = {step["name"]: f"s{i}" for i, step in enumerate(plan["steps"], 1)}
    print("flowchart LR")
    for name, node in number.items():
        print(f'  {node}["{escape(name)}"]')
    for step in plan["steps"]:
        for other in step["depends_on"]:
            print(f"  {number[other]} --> {number[step['name']]}")
