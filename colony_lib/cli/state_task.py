"""`colony state task`: the command line of the task list."""

from __future__ import annotations

import sys

from colony_lib.base.errors import USAGE, ColonyError, unknown
from colony_lib.cli import args, show
from colony_lib.store import taskfold, tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Relative = tuple[str, str, str]

REF = "id, unique start of one, or title (its newest task not finished, else its newest)"
INPUT_LIMIT = 64 << 20  # bytes of tasks on standard input
COLUMNS: list[str | tuple[str, str]] = ["id", "status", ("priority", "P"), "agent", "title", "blocked_by"]


def main(argv: list[str]) -> int:
    plain = _plain(argv)
    if plain is not None:
        return plain
    parser = args.Parser(
        "colony state task",
        "the task list: who may do what next",
        [
            "colony state task add fetch-daily-data --description 'Fetch data from all sources'",
            "colony state task add load-daily-data --blockers fetch-daily-data",
            "colony state task list --status blocked,ready",
            "task=$(colony state task claim --agent data-loader) && colony state task complete $task",
        ],
        details=f"REF: {REF}.\nA task is blocked while a blocker is not completed, then ready; then in_progress, "
        "completed, failed or cancelled.",
    )
    argv, command = _parted(argv)
    verbs = parser.commands()
    for name in [argv[0]] if argv and argv[0] in VERBS else VERBS:  # only what is needed: help is not, mostly
        prepare, summary, examples, act = VERBS[name]
        verb = verbs.add_parser(
            name, prog=f"colony state task {name}", summary=summary, help=summary, examples=examples
        )
        prepare(verb)
        verb.set_defaults(act=act)
    given = parser.parse_args(argv)
    given.command = command
    code: int = given.act(given)
    _compact_if_due()
    return code


def _compact_if_due() -> None:
    """After a change of a list that has become very long; whatever comes of it, the change is made."""
    if not tasks.is_very_long():
        return
    from colony_lib.store import compaction

    try:
        told = compaction.tasks_if_due()
    except (ColonyError, OSError) as error:
        show.warn(f"the task list was not compacted: {error}")
        return
    if told and told["bytes"] < told["bytes_before"]:
        show.note(f"compacted the task list: {told['bytes_before'] >> 20} MiB to {told['bytes'] >> 20} MiB")


def _parted(argv: list[str]) -> tuple[list[str], list[str] | None]:
    """(the words of ours, the words of the command behind 'claim … --')."""
    if argv[:1] != ["claim"] or "--" not in argv:
        return argv, None
    place = argv.index("--")
    return argv[:place], argv[place + 1 :]


def _plain(argv: list[str]) -> int | None:
    """The reading verbs, which `watch` and scripts call again and again, without a parser; None for other lines."""
    verb, words = argv[:1], argv[1:]
    if verb == ["list"] and (given := args.simple(words, ["--json"], ["--status", "--agent", "-n", "--limit"])):
        given.status = given.status and _statuses(given.status)
        return _list(_with_limit(given))
    if verb == ["ready"] and (given := args.simple(words, ["--json"], ["--agent", "-n", "--limit"])):
        return _ready(_with_limit(given))
    if verb == ["show"] and (given := args.simple(words, ["--json"], arguments=["ref"], least=1)):
        return _show(given)
    return None


def _with_limit(given: Any) -> Any:
    number = given.limit or given.n
    given.limit = None if number is None else args.count(number)
    return given


def _with_filters(parser: args.Parser) -> None:
    parser.add_argument("--agent", metavar="ID", help="only tasks of this agent")
    parser.add_argument("-n", "--limit", metavar="N", type=args.count, help="at most so many")
    args.add_json(parser)


def _with_list(parser: args.Parser) -> None:
    parser.add_argument("--status", metavar="S", type=_statuses, help=f"only these: {', '.join(taskfold.SHOWN)}")
    _with_filters(parser)


def _with_add(parser: args.Parser) -> None:
    parser.add_argument("title", metavar="TITLE", help="what is to be done; - reads JSON Lines of tasks, all or none")
    parser.add_argument("--description", metavar="D", help="more about it")
    parser.add_argument(
        "--blockers", metavar="A,B", action="append", help="what must be completed before: REFs; may be given again"
    )
    parser.add_argument("--agent", metavar="ID", help="who is to do it (default: whoever claims it)")
    parser.add_argument("--priority", metavar="N", help="0 (the most urgent) to 9, or p0 to p9 (default 2)")
    parser.add_argument("--id", metavar="ID", help="an id of your own; adding it again changes nothing")
    args.add_lock_timeout(parser)


def _with_ref(parser: args.Parser, optional: bool = False) -> None:
    parser.add_argument("ref", metavar="REF", nargs="?" if optional else None, help=REF)


def _with_show(parser: args.Parser) -> None:
    _with_ref(parser)
    args.add_json(parser)


def _with_claim(parser: args.Parser) -> None:
    parser.usage = f"{parser.prog} [-h] [--agent ID] [--json] [--lock-timeout T] [REF] [-- COMMAND ...]"
    parser.epilog = (
        "With a COMMAND the task is held while it runs, with the task's id in $COLONY_TASK: exit status 0 completes\n"
        "the task, 75 puts it back, any other fails it. Killed together with its command, it leaves the task ready\n"
        "for others; so does a step or a worker that claimed it and is gone. A task that was claimed by hand stays\n"
        "claimed until it is completed, failed, cancelled or put back ('task update REF ready')."
    )
    _with_ref(parser, optional=True)
    parser.add_argument("--agent", metavar="ID", help="who claims (default: the agent of the step we are in)")
    args.add_json(parser)
    args.add_lock_timeout(parser)


def _with_finish(parser: args.Parser) -> None:
    _with_ref(parser)
    parser.add_argument("--result", metavar="JSON", help="what came of it: JSON, or text; - reads standard input")
    args.add_lock_timeout(parser)


def _with_update(parser: args.Parser) -> None:
    _with_ref(parser)
    parser.add_argument("status", metavar="STATUS", help="ready (put back), in_progress, completed, failed, cancelled")
    args.add_lock_timeout(parser)


def _with_assign(parser: args.Parser) -> None:
    _with_ref(parser)
    parser.add_argument("agent", metavar="AGENT", help="the agent's id")
    args.add_lock_timeout(parser)


def _with_blocker(parser: args.Parser) -> None:
    _with_ref(parser)
    parser.add_argument("blocker", metavar="BLOCKER", help="the other task, a REF")
    args.add_lock_timeout(parser)


def _statuses(text: str) -> list[str]:
    for name in text.split(","):
        if name not in taskfold.SHOWN:
            raise unknown("status", name, taskfold.SHOWN, code=USAGE)
    return text.split(",")


def _list(given: Any) -> int:
    return _print(given, taskfold.Chosen(given.status or None, given.agent, count=given.limit))


def _ready(given: Any) -> int:
    return _print(given, taskfold.Chosen(["ready"], given.agent, urgent=True, count=given.limit))


def _print(given: Any, chosen: taskfold.Chosen) -> int:
    problems: list[tuple[str, int, str]] = []
    if given.json:
        show.lines(tasks.texts(chosen, problems))
    else:
        rows = [_row(task) for task in _fitted(tasks.rows(chosen, problems))]
        show.table(rows, COLUMNS)
        if not rows:
            show.nothing("no such tasks: 'colony state task add TITLE' makes one")
    show.problems(problems, "state")
    return 0


def _row(task: dict[str, Any]) -> dict[str, Any]:
    """What the table shows: of a task whose claimant is gone, who that was."""
    return {**task, "agent": f"{task['owner']} (gone)"} if task.get("abandoned") else task


def _fitted(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tasks with titles cut so that on a terminal there is room for what blocks them."""
    room = show.columns()
    if not room or not found:
        return found
    from colony_lib.base.text import cut, escape, width

    used = sum(max(6, *(width(show.cell(task[key])) for task in found)) + 2 for key in ("id", "status", "agent")) + 3
    blocked = min(max(10, *(width(show.cell(task["blocked_by"])) for task in found)), 20)
    title = max(room - used - blocked - 2, 16)
    return [{**task, "title": cut(escape(task["title"]), title)} for task in found]


def _add(given: Any) -> int:
    options = {name: getattr(given, name) for name in tasks.FIELDS[1:] if getattr(given, name) is not None}
    if given.title == "-":
        if options:
            raise ColonyError("with '-' each line says all about its task", fix="leave the options out", code=USAGE)
        specs, wheres = _specs()
    else:
        specs, wheres = [tasks.wanted({"title": given.title, **options})], []
    for task, new in tasks.add(specs, wheres):
        show.value(task["id"])
        if not new:
            show.note(f"'{task['id']}' is there already; nothing changed")
    _warn_of_unknown_agents([spec["agent"] for spec in specs])
    return 0


def _specs() -> tuple[list[dict[str, Any]], list[str | None]]:
    """The tasks of standard input, one JSON object a line, and where each stands."""
    from colony_lib.base import jsontext

    data = sys.stdin.buffer.read(INPUT_LIMIT + 1)
    if len(data) > INPUT_LIMIT:
        raise ColonyError(f"more than {INPUT_LIMIT >> 20} MiB of tasks", where="standard input", code=USAGE)
    specs, wheres = [], []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            where = f"standard input:{number}"
            record = jsontext.loads(line, where=where)
            if not isinstance(record, dict):
                raise ColonyError("not a JSON object", where=where, code=USAGE)
            specs.append(tasks.wanted(record, where))
            wheres.append(where)
    return specs, list(wheres)


def _warn_of_unknown_agents(agents: list[str | None]) -> None:
    """A task that waits for a misspelled agent waits for ever: say so (the colony may yet get that agent)."""
    named = sorted({agent for agent in agents if agent})
    if not named:
        return
    from colony_lib.base.errors import nearest
    from colony_lib.store import config

    try:
        known = [agent["id"] for agent in config.load()["agents"]]
    except ColonyError:
        return  # no colony.yml yet, or one with faults, which are 'colony validate's to tell
    for agent in named:
        if agent not in known:
            show.warn(f"no agent '{agent}' in colony.yml; " + (nearest(agent, known) or "nobody will do its tasks"))


def _show(given: Any) -> int:
    problems: list[tuple[str, int, str]] = []
    seen, blockers, blocked = tasks.asked(lambda everyone: _relations(everyone, given.ref), problems)
    show.problems(problems, "state")
    if given.json:
        show.record(seen)
        return 0
    print(show.colour(show.cell(seen["title"]), "bold"))
    for key in ("id", "status", "agent", "priority", "created", "updated", "claimed", "completed", "result"):
        if seen[key] is not None:
            print(f"{key:12} {show.cell(_row(seen)[key])}")
    for heading, relatives in (("blockers", blockers), ("blocks", blocked)):
        for name, title, stands in relatives:
            print(f"{heading:12} {show.cell(title)} ({show.cell(name)}): {stands}")
            heading = ""
    if seen["description"]:
        from colony_lib.base.text import escape

        print("\n" + escape(seen["description"], keep="\n"))
    return 0


def _relations(everyone: taskfold.Tasks, ref: str) -> tuple[dict[str, Any], list[Relative], list[Relative]]:
    """The task, and (id, title, status) of what it waits for and of what waits for it."""
    task = tasks.find(everyone, ref)

    def relative(name: str) -> Relative:
        if name not in everyone:
            return name, "unknown here", "-"
        return name, everyone[name]["title"], taskfold.status(everyone, everyone[name])

    blocked = [relative(other["id"]) for other in everyone.dependants(task)]
    return taskfold.shown(everyone, task), [relative(name) for name in task["blockers"]], blocked


def _claim(given: Any) -> int:
    from colony_lib.store import env

    agent = given.agent or env.get("COLONY_AGENT")
    if agent is None:
        raise ColonyError("who claims?", fix="say --agent ID", code=USAGE)
    if given.command is not None:
        return _claim_and_do(agent, given)
    task = tasks.claim(agent, given.ref)
    if given.json:
        show.record(task)
    else:
        show.value(task["id"])
    return 0


def _claim_and_do(agent: str, given: Any) -> int:
    if not given.command or given.json:
        what = "--json is for a claim alone" if given.command else "there is no command behind '--'"
        raise ColonyError(what, fix="see 'colony state task claim --help'", code=USAGE)
    from colony_lib.work import claimed

    task, code = claimed.do(agent, given.ref, given.command)
    show.note(f"{task['id']} {task['status']}" + (f": the command exited with {code}" if code else ""))
    return claimed.exit_status(code)


def _finish(ending: str) -> Callable[[Any], int]:
    def act(given: Any) -> int:
        result = None
        if given.result is not None:
            from colony_lib.store import documents

            result = documents.value(args.text_or_input([given.result]))
        task, new = tasks.finish(given.ref, ending, result)
        if not new:
            show.note(f"'{task['title']}' is {ending} already; nothing changed")
        elif ending != "completed":
            _tell_of_the_stuck(task)
        return 0

    return act


def _tell_of_the_stuck(task: dict[str, Any]) -> None:
    waiting = tasks.asked(lambda everyone: everyone.dependants(everyone[task["id"]]))
    stuck = [other["title"] for other in waiting if other["status"] == taskfold.OPEN]
    if stuck:
        names = ", ".join(f"'{name}'" for name in stuck[:3]) + (", …" if len(stuck) > 3 else "")
        show.note(f"{names} stays blocked: complete '{task['title']}' after all, or 'task unblock'")


def _update(given: Any) -> int:
    task, new = tasks.update(given.ref, given.status)
    if not new:
        show.note(f"'{task['title']}' is {task['status']} already; nothing changed")
    elif task["status"] == "blocked":
        show.note(f"'{task['title']}' is blocked by {', '.join(task['blocked_by'])}")
    return 0


def _assign(given: Any) -> int:
    tasks.assign(given.ref, given.agent)
    _warn_of_unknown_agents([given.agent])
    return 0


def _block(given: Any) -> int:
    tasks.block(given.ref, given.blocker)
    return 0


def _unblock(given: Any) -> int:
    task, new = tasks.unblock(given.ref, given.blocker)
    if not new:
        show.note(f"'{given.blocker}' does not block '{task['title']}'; nothing changed")
    return 0


VERBS: dict[str, tuple[Callable[[args.Parser], None], str, list[str], Callable[[Any], int]]] = {
    "add": (
        _with_add,
        "add a task and print its id",
        [
            "colony state task add fetch-daily-data --description 'Fetch data from all sources'",
            "colony state task add load-daily-data --blockers fetch-daily-data,check-space --agent data-loader",
            "colony state task add load --id load-2013-02-08      # safe to repeat",
            """printf '%s\\n' '{"title":"a"}' '{"title":"b","blockers":["a"]}' | colony state task add -""",
        ],
        _add,
    ),
    "list": (
        _with_list,
        "print the tasks, the oldest first",
        ["colony state task list", "colony state task list --status blocked,ready --json"],
        _list,
    ),
    "ready": (
        _with_filters,
        "print the tasks that can be started, the most urgent first",
        ["colony state task ready", "colony state task ready --agent data-loader --json"],
        _ready,
    ),
    "show": (
        _with_show,
        "print all about one task",
        ["colony state task show load-daily-data", "colony state task show t-7f3k9q2m --json"],
        _show,
    ),
    "claim": (
        _with_claim,
        "take one ready task, the most urgent and oldest, and print its id; exit 1 when there is none",
        [
            "task=$(colony state task claim --agent data-loader)",
            "colony state task claim load --agent data-loader -- ./load.sh",
        ],
        _claim,
    ),
    "complete": (
        _with_finish,
        "mark a task as done, so that what it blocks can start",
        ["colony state task complete load-daily-data", """colony state task complete load --result '{"rows": 842}'"""],
        _finish("completed"),
    ),
    "fail": (
        _with_finish,
        "mark a task as failed; what it blocks stays blocked",
        ["colony state task fail load-daily-data --result 'the disk is full'"],
        _finish("failed"),
    ),
    "cancel": (
        _with_finish,
        "mark a task as not to be done; what it blocks stays blocked",
        ["colony state task cancel load-daily-data"],
        _finish("cancelled"),
    ),
    "update": (
        _with_update,
        "set a task's status by hand, whatever it was",
        ["colony state task update load-daily-data in_progress", "colony state task update load-daily-data ready"],
        _update,
    ),
    "assign": (
        _with_assign,
        "make a task an agent's to do",
        ["colony state task assign load-daily-data data-loader"],
        _assign,
    ),
    "block": (
        _with_blocker,
        "make a task wait for another",
        ["colony state task block load-daily-data validate-daily-data"],
        _block,
    ),
    "unblock": (
        _with_blocker,
        "let a task no longer wait for another",
        ["colony state task unblock load-daily-data validate-daily-data"],
        _unblock,
    ),
}
