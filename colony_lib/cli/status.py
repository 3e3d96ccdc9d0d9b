"""`colony status`: the agents, the live runs and the last failure, on one small screen."""

from __future__ import annotations

from colony_lib.base import clock
from colony_lib.base.errors import OK
from colony_lib.base.text import cut, escape, plural, show_duration
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.store.agents import Survey

    Record = dict[str, Any]

SCREEN = 80  # columns that lines keep to also where nobody says how wide the screen is (`watch`)
RUNS = 3  # live runs that are shown one by one


def main(argv: list[str]) -> int:
    every = None
    if any(word.startswith("--watch") for word in argv):
        from colony_lib.cli import watching

        argv, every = watching.option(argv)
    given = args.simple(argv, switches=["--json", "--watch"]) or _parser().parse_args(argv)
    if every is None:
        _look(given)
    else:
        watching.follow(every, lambda: (_look(given), False), between="" if given.json else "\n")
    return OK


def _look(given: Any) -> Any:
    """Print the view; returns what of it changes only when something happens."""
    from colony_lib.store import agents, config

    settings = config.load()
    survey = agents.Survey()
    found = agents.states(settings, survey)
    state = [[agent[key] for key in ("id", "status", "pid", "task", "run_id", "step")] for agent in found]
    if given.json:
        show.records(found)
        return state
    _line(_summary(settings["name"], found, survey))
    if found:
        _agents(found)
    for run in survey.live[:RUNS]:
        _line(_live(survey.record(run.run_id)))
    if len(survey.live) > RUNS:
        _line(f"and {plural(len(survey.live) - RUNS, 'live run')} more: colony workflow history")
    if survey.bad:
        _failure(survey)
    live = [[step["status"] for step in survey.record(run.run_id)["steps"]] for run in survey.live[:RUNS]]
    return [state, [run.run_id for run in survey.live], live, survey.bad[0]["run_id"] if survey.bad else None]


def _parser() -> args.Parser:
    parser = args.Parser(
        "colony status",
        "what the agents and the live runs are doing",
        [
            "colony status",
            "watch -n 5 'colony status && echo \"\" && colony state task list'",
            "colony status --json | jq -r 'select(.status == \"failed\") | .id'",
        ],
        details="--json prints the agents, one a line. An agent is working while a live run has a running step of it.",
    )
    from colony_lib.cli import watching

    parser.add_argument("--watch", action="store_true", help=watching.HELP)
    args.add_json(parser)
    return parser


def _agents(found: list[Record]) -> None:
    wanted: list[str | tuple[str, str]] = [("id", "AGENT"), "status", ("doing", "STEP"), ("for", "SINCE"), "role"]
    rows = list(map(_row, found))
    if any(row["used"] for row in rows):
        wanted.insert(4, "used")
        before = {"id": "AGENT", "status": "STATUS", "doing": "STEP", "for": "SINCE", "used": "USED"}
        texts = ([heading, *(str(row[key] or "-") for row in rows)] for key, heading in before.items())
        widest = sum(max(map(len, column)) + 2 for column in texts)
        rows = [{**row, "role": cut(row["role"], max(SCREEN - widest, 8))} for row in rows]
    show.table(rows, wanted)


def _row(agent: Record) -> Record:
    from colony_lib.store import prices

    used = prices.amount(agent["tokens"], agent["cost_usd"])
    doing = agent["task"] or agent["step"]
    return {**agent, "doing": doing, "for": _since(agent["since"]), "used": used, "role": cut(agent["role"], 30)}


def _line(text: str) -> None:
    print(cut(escape(text), show.columns() or SCREEN))


def _since(moment: str | None) -> str | None:
    return show_duration(clock.epoch() - clock.seconds(moment)) if moment else None


def _summary(name: str, agents: list[Record], survey: Survey) -> str:
    from colony_lib.store import prices, spending

    counts = [
        f"{sum(agent['status'] == status for agent in agents)} {status}"
        for status in ("working", "idle", "failed")
        if any(agent["status"] == status for agent in agents)
    ]
    live = plural(len(survey.live), "live run") if survey.live else "no live run"
    usd = sum(usd for _, usd in spending.today().values())
    spent = [f"{prices.shown(usd)} today"] if usd else []
    return ", ".join([f"{name}: {plural(len(agents), 'agent')}", *counts, live, *spent])


def _live(record: Record) -> str:
    steps = record["steps"]
    done = sum(step["status"] in ("completed", "skipped", "cached") for step in steps)
    now = ", ".join(step["name"] for step in steps if step["status"] in ("running", "retrying", "waiting"))
    took = show_duration(record["duration_seconds"])
    text = f"{record['run_id']}  {record['workflow']} {record['status']} {took}"
    text += f", {done} of {plural(len(steps), 'step')} done"
    return f"{text}: {now}" if now else text


def _failure(survey: Survey) -> None:
    summary = survey.bad[0]
    record = survey.record(summary["run_id"])
    ago = _since(summary["ended"] or summary["started"])
    steps = [step for step in record["steps"] if step["status"] == "failed"]
    at = f" at {steps[0]['name']}" if steps else ""
    why = (steps[0]["error"] if steps else record["error"]) or ""
    text = f"last failure: {summary['workflow']} {summary['status']}{at} {ago} ago"
    _line(f"{text}: {' '.join(str(why).split())}" if why else text)
    _line(f"  colony workflow resume {summary['run_id']}")
