"""`colony broadcast`: sends a message to every agent."""

from __future__ import annotations

from colony_lib.cli import args
from colony_lib.store import messages


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony broadcast",
        "send a message to every agent (see 'colony messages list')",
        ['colony broadcast "pipeline errors exceeded threshold: $ERROR_COUNT errors"', "df -h | colony broadcast -"],
    )
    parser.add_argument("text", metavar="TEXT", nargs="+", help="the message; - reads standard input")
    args.add_lock_timeout(parser)
    messages.send(messages.ALL, args.text_or_input(parser.parse_args(argv).text))
    return 0
