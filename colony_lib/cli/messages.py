"""`colony messages`: reads messages, and sends one to an agent."""

from __future__ import annotations

from colony_lib.cli import args, show
from colony_lib.store import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COLUMNS = ["ts", "from", "to", "text"]


def main(argv: list[str]) -> int:
    if argv[:1] == ["list"] and (plain := args.simple(argv[1:], ["--json"], arguments=["agent"])):
        plain.n = None
        return _list(plain)
    parser = args.Parser(
        "colony messages",
        "messages between agents and the user",
        ["colony messages list data-loader", "colony messages send data-loader 'the schema has changed'"],
    )
    verbs = parser.commands()
    summary = "print the messages, the newest last"
    listing = verbs.add_parser(
        "list",
        prog="colony messages list",
        summary=summary,
        help=summary,
        examples=["colony messages list", "colony messages list data-loader -n 5", "colony messages list --json"],
    )
    listing.add_argument("agent", metavar="AGENT", nargs="?", help="only those to this agent and those to all")
    listing.add_argument("-n", metavar="N", type=args.count, help="only the last N")
    args.add_json(listing)
    listing.set_defaults(act=_list)

    summary = "send a message to one agent, to 'user', or to 'all'"
    sending = verbs.add_parser(
        "send",
        prog="colony messages send",
        summary=summary,
        help=summary,
        examples=["colony messages send data-loader 'the schema has changed'", "colony messages send user - < note.md"],
    )
    sending.add_argument("agent", metavar="AGENT", help="an agent of colony.yml, 'user' or 'all'")
    sending.add_argument("text", metavar="TEXT", nargs="+", help="the message; - reads standard input")
    args.add_lock_timeout(sending)
    sending.set_defaults(act=_send)
    given = parser.parse_args(argv)
    code: int = given.act(given)
    return code


def _list(given: Any) -> int:
    problems: list[tuple[str, int, str]] = []
    found = messages.everything(given.agent, problems)
    if given.agent is not None:
        messages.check_recipient(given.agent, found)
    if given.n is not None:
        found = found[len(found) - min(given.n, len(found)) :]
    if given.json:
        show.records(found)
    else:
        show.table(found, COLUMNS)
        if not found:
            show.nothing("no messages: 'colony broadcast TEXT' sends one to all")
    show.problems(problems, "messages")
    return 0


def _send(given: Any) -> int:
    messages.send(given.agent, args.text_or_input(given.text))
    return 0
