"""`colony state memory`: the command line of what the colony remembers."""

from __future__ import annotations

from colony_lib.cli import args, show
from colony_lib.store import memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COLUMNS = ["ts", "type", "from", "text"]


def main(argv: list[str]) -> int:
    given = _plain(argv) or _parser().parse_args(argv)
    code: int = given.act(given)
    return code


def _plain(argv: list[str]) -> Any:
    """What an ordinary search says, without a parser; None for any other line."""
    words = [f"word {number}" for number in range(1, len(argv))]
    given = args.simple(argv[1:], ["--json"], ["--type", "-n"], words, least=1) if argv[:1] == ["search"] else None
    if given is not None:
        given.text = [word for word in (getattr(given, name) for name in words) if word is not None]
        given.n = args.count(given.n) if given.n else None
        given.act = _search
    return given


def _parser() -> args.Parser:
    parser = args.Parser(
        "colony state memory",
        "what the colony remembers: texts of a type, added and searched, never changed",
        ["colony state memory add decision 'load by upsert'", "colony state memory search upsert load"],
    )
    verbs = parser.commands()
    summary = "remember a text, and print its id"
    adding = verbs.add_parser(
        "add",
        prog="colony state memory add",
        summary=summary,
        help=summary,
        examples=["colony state memory add decision 'load by upsert'", "git log -1 | colony state memory add note -"],
    )
    adding.add_argument("type", metavar="TYPE", help="a name, such as decision, context or learned")
    adding.add_argument("text", metavar="TEXT", nargs="+", help="what to remember; - reads standard input")
    args.add_lock_timeout(adding)
    adding.set_defaults(act=_add)

    summary = "print what holds all of the words, the newest first; exit 1 when nothing does"
    searching = verbs.add_parser(
        "search",
        prog="colony state memory search",
        summary=summary,
        help=summary,
        examples=["colony state memory search upsert", "colony state memory search --type decision load --json"],
    )
    searching.add_argument("text", metavar="TEXT", nargs="+", help="words; case does not matter; '' finds everything")
    searching.add_argument("--type", metavar="TYPE", help="only of this type")
    searching.add_argument("-n", metavar="N", type=args.count, help="at most so many")
    args.add_json(searching)
    searching.set_defaults(act=_search)
    return parser


def _add(given: Any) -> int:
    show.value(memory.add(given.type, args.text_or_input(given.text))["id"])
    return 0


def _search(given: Any) -> int:
    problems: list[tuple[str, int, str]] = []
    found = memory.search(" ".join(given.text), kind=given.type, problems=problems)[: given.n]
    if given.json:
        show.records(found)
    elif found:
        show.table(found, COLUMNS)
    show.problems(problems, "state")
    return 0 if found else 1
