"""`colony state get` and `set`: the command line of the documents that steps share."""

from __future__ import annotations

import sys

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import cut
from colony_lib.cli import args, show
from colony_lib.store import documents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DETAILS = """\
DOC is the file .colony/state/DOC.json. PATH is keys and list places with dots between (a.b.0), or a JSON Pointer
(/a/b.c/0) for keys that hold dots. A value is JSON where it is JSON (5, true, null, '{"a": 1}'), else text
(PASS, 2013-02-08); write '"5"' for the text 5."""


def main(verb: str, argv: list[str]) -> int:
    return _get(argv) if verb == "get" else _set(argv)


def _get(argv: list[str]) -> int:
    given = args.simple(argv, ["--json"], arguments=["document", "path"], least=1) or _getter().parse_args(argv)
    found = documents.get(given.document, given.path)
    if given.json:
        show.record(found)
    else:
        show.value(found)
    return 0


def _getter() -> args.Parser:
    parser = args.Parser(
        "colony state get",
        "print a document, or one value of it: text bare, anything else as JSON; exit 1 when it is not there",
        [
            "rows=$(colony state get load_metadata rows)",
            "colony state get fetch_results | jq .",
        ],
        DETAILS,
    )
    parser.add_argument("document", metavar="DOC", help="the document's name")
    parser.add_argument("path", metavar="PATH", nargs="?", help="where in it")
    parser.add_argument("--json", action="store_true", help="text too as JSON, in quotes")
    return parser


def _set(argv: list[str]) -> int:
    parser = args.Parser(
        "colony state set",
        "change a document under its lock: all of the changes, or none and exit 1 when an --if does not hold",
        [
            "colony state set load_metadata last_load_time=2013-02-08 rows=842",
            "colony state set counters fetched+=1 failed+=0",
            "colony state set gate open=true by=ann --if open=false",
            "colony state set settings - < settings.json",
        ],
        DETAILS,
    )
    parser.add_argument("document", metavar="DOC", help="the document's name; it is made when it is not there")
    parser.add_argument(
        "changes",
        metavar="PATH=JSON",
        nargs="+",
        help="set a value; PATH+=N adds to a number; - alone: the whole document from standard input",
    )
    parser.add_argument(
        "--if",
        dest="conditions",
        metavar="PATH=JSON",
        action="append",
        default=[],
        help="only when the value is this (null: or is absent); may be given again",
    )
    parser.add_argument("--json", action="store_true", help="print the whole document as it is now")
    args.add_lock_timeout(parser)
    given = parser.parse_args(argv)
    if given.changes == ["-"]:
        if given.conditions:
            raise ColonyError("--if does not go with '-'", code=USAGE)
        from colony_lib.base import jsontext

        now = documents.replace(given.document, jsontext.loads(sys.stdin.buffer.read(), where="standard input"))
    else:
        changes = [_assignment(text) for text in given.changes]
        now = documents.change(given.document, changes, [_condition(text) for text in given.conditions])
    if given.json:
        show.record(now)
    return 0


def _assignment(text: str) -> tuple[str, str, Any]:
    path, equals, value = text.partition("=")
    if not equals:
        raise ColonyError(f"'{cut(text, 60)}' is not a change", fix="write PATH=JSON or PATH+=N", code=USAGE)
    operator = "+=" if path.endswith("+") else "="
    return path.removesuffix("+"), operator, documents.value(value)


def _condition(text: str) -> tuple[str, Any]:
    path, operator, wanted = _assignment(text)
    if operator != "=":
        raise ColonyError(f"'{cut(text, 60)}' is not a condition", fix="write PATH=JSON", code=USAGE)
    return path, wanted
