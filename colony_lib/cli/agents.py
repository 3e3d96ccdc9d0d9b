"""`colony agents`: what the agents are doing, and what they have cost."""

from __future__ import annotations

from colony_lib.base import clock
from colony_lib.base.errors import OK
from colony_lib.base.text import cut, escape, show_duration
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]

GROUPS = {
    "agent": ("agent",),
    "model": ("model",),
    "day": ("day",),
    "run": ("run", "workflow"),
    "step": ("workflow", "step"),
}
_COUNTED = ("requests", "input", "output", "cache_read", "cache_write")
_MONEY = ("usd", "unsure_usd", "reported_usd")
_SINCE = "30d"


def main(argv: list[str]) -> int:
    if argv[:1] == ["list"] and (plain := args.simple(argv[1:], ["--json"])):
        return _list(plain)
    parser = args.Parser(
        "colony agents",
        "what the agents are doing, and what they cost",
        ["colony agents list", "colony agents cost --by model --since 7d"],
    )
    verbs = parser.commands()
    summary = "what each agent is doing now"
    listing = verbs.add_parser(
        "list",
        prog="colony agents list",
        summary=summary,
        help=summary,
        examples=["colony agents list", "colony agents list --json | jq -r 'select(.status == \"working\") | .id'"],
    )
    args.add_json(listing)
    listing.set_defaults(act=_list)
    _add_cost(verbs)
    given = parser.parse_args(argv)
    code: int = given.act(given)
    return code


def _add_cost(verbs: Any) -> None:
    summary = "the requests, tokens and dollars that agents have used"
    cost = verbs.add_parser(
        "cost",
        prog="colony agents cost",
        summary=summary,
        help=summary,
        examples=[
            "colony agents cost",
            "colony agents cost --by step --since 7d",
            "colony agents cost --by day --json | jq -s 'map(.usd) | add'",
        ],
        details="Dollars are by the prices that come with Colony and those of .colony/models.json, but for what a "
        "runner reports itself. 'and up to' is for requests whose reply was never had: they may have been charged.",
    )
    cost.add_argument("--by", choices=list(GROUPS), default="agent", help="a line for each (default agent)")
    cost.add_argument(
        "--since",
        metavar="T",
        type=args.typed(args.moment),
        default=_SINCE,
        help=f"only what was used since then: 2h, 7d, 2026-11-23, or 2026-11-23T06:00:00Z (default {_SINCE})",
    )
    args.add_json(cost)
    cost.set_defaults(act=_cost)


# -- list


def _list(given: Any) -> int:
    from colony_lib.store import agents, config, prices

    found = agents.states(config.load(), agents.Survey())
    if given.json:
        show.records(found)
        return OK
    rows = [
        {
            **agent,
            "doing": agent["task"] or agent["step"],
            "for": show_duration(clock.epoch() - clock.seconds(agent["since"])) if agent["since"] else None,
            "used": prices.amount(agent["tokens"], agent["cost_usd"]),
            "role": cut(agent["role"], 30),
        }
        for agent in found
    ]
    show.table(rows, [("id", "AGENT"), "status", ("doing", "STEP"), ("for", "SINCE"), "used", "role"])
    return OK


# -- cost


def _cost(given: Any) -> int:
    found = grouped(given.by, given.since)
    if given.json:
        show.records(found)
        return OK
    if not found:
        show.note(f"no agent has asked a model for anything since {given.since[:16].replace('T', ' ')}")
    else:
        _draw(given.by, found)
    _limits()
    return OK


def grouped(by: str, since: str) -> list[Record]:
    """What was used since then, a record for each agent, model, day, run or step (schemas/agents-cost.schema.json):
    days and runs in their order, all else the dearest first."""
    from colony_lib.store import spending

    groups: dict[tuple[Any, ...], Record] = {}
    for row in spending.rows(since):
        key = tuple(row[name] for name in GROUPS[by])
        if key not in groups:
            groups[key] = {**dict(zip(GROUPS[by], key)), **dict.fromkeys(_COUNTED, 0), **dict.fromkeys(_MONEY, 0.0)}
        _add(groups[key], {**row, "reported_usd": row["usd"] if row["reported"] else 0.0})
    found = list(groups.values())
    for record in found:
        record["cached_share"] = _share(record)
        record |= {name: round(record[name], 9) for name in _MONEY}
    if by in ("day", "run"):
        return sorted(found, key=lambda record: str(record[by]))
    return sorted(found, key=lambda record: (-record["usd"], -record["input"], str(record[GROUPS[by][-1]])))


def _add(record: Record, row: Record) -> None:
    for name in (*_COUNTED, *_MONEY):
        record[name] += row[name]


def _share(record: Record) -> float | None:
    """The part of the prompts that was read from the cache."""
    return round(record["cache_read"] / record["input"], 4) if record["input"] else None


def _draw(by: str, found: list[Record]) -> None:
    total: Record = {**dict.fromkeys(_COUNTED, 0), **dict.fromkeys(_MONEY, 0.0)}
    for record in found:
        _add(total, record)
    lines = [{**record, **_figures(record)} for record in found]
    lines.append({GROUPS[by][0]: "total", **_figures(total), "note": _unsure(total) or " "})
    columns: list[str | tuple[str, str]] = [*GROUPS[by]]
    for name in ("requests", "tokens in", "out", "cached", "cost"):  # texts that stand right, as numbers do
        size = max(len(name), *(len(line[name]) for line in lines))
        columns.append((name, name.upper().rjust(size)))
        for line in lines:
            line[name] = line[name].rjust(size)
    show.table(lines, [*columns, ("note", "")])


def _figures(record: Record) -> Record:
    from colony_lib.store import prices

    share = _share(record)
    counts = {"requests": record["requests"], "tokens in": record["input"], "out": record["output"]}
    return {
        **{name: f"{count:,}" for name, count in counts.items()},
        "cached": "-" if share is None else f"{share:.0%}",
        "cost": prices.shown(record["usd"]),
        "note": ", ".join(filter(None, (_reported(record), _unsure(record)))) or " ",
    }


def _reported(record: Record) -> str:
    from colony_lib.store import prices

    if not record["reported_usd"]:
        return ""
    return "reported" if record["reported_usd"] >= record["usd"] else f"{prices.shown(record['reported_usd'])} reported"


def _unsure(record: Record) -> str:
    from colony_lib.store import prices

    return f"and up to {prices.shown(record['unsure_usd'])}" if record["unsure_usd"] else ""


def _limits() -> None:
    """What of the day's limits is used, where there are any."""
    from colony_lib.store import config, prices, spending

    settings = config.load()
    holders = [("the colony", settings["limits"], None)]
    holders += [(f"agent {agent['id']}", agent["limits"], agent["id"]) for agent in settings["agents"]]
    counts = spending.day_counts()
    for whose, limits, agent in holders:
        tokens, usd = counts.get(agent, (0, 0.0))
        if limits["usd_per_day"] is not None:
            print(escape(f"today, {whose}: {prices.shown(usd)} of {prices.shown(limits['usd_per_day'])}"))
        if limits["tokens_per_day"] is not None:
            print(escape(f"today, {whose}: {tokens:,} of {limits['tokens_per_day']:,} tokens"))
