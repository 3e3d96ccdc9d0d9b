"""`colony logs`: read what the agents and steps have logged, and follow it."""

from __future__ import annotations

import sys
import time

from colony_lib.base import clock
from colony_lib.base.errors import OK, USAGE, ColonyError, unknown
from colony_lib.base.text import check_name, escape
from colony_lib.cli import args, show
from colony_lib.store import logread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Record = dict[str, Any]

SUMMARY = "read what the agents and steps have logged"
EXAMPLES = [
    "colony logs",
    "colony logs --level error",
    "colony logs data-fetcher -f",
    "colony logs --run latest --step load-data",
    "colony logs --since 2h --pattern 'retry|timeout' --json | jq -r .message",
]
DETAILS = """\
Plain lines are TIME LEVEL AGENT MESSAGE, in UTC; the time is whole in a pipe and for another day's lines. Without
an agent the lines of all are merged by time. What commands write to standard error is logged line by line: its
level is the word it begins with (ERROR, [warn], 'error: …'), or the 'level' of a JSON line, else info."""
DEFAULT_COUNT = 100
POLL = 0.1  # seconds between two looks at the files
PATTERN_LIMIT = 1000  # characters
PATTERN_SECONDS = 1.0  # of processor time that one line may take
_COLOURS = {"error": "red", "warn": "yellow", "debug": "grey"}


def main(argv: list[str]) -> int:
    given = _plain(argv) or _parser().parse_args(argv)
    names = _names(given.agents)
    wanted = logread.Wanted(
        given.level,
        args.moment(given.since) if given.since else None,
        _run(given.run) if given.run else None,
        given.step,
        _matcher(given.pattern, given.ignore_case) if given.pattern else None,
        None if given.ignore_case else _literal(given.pattern),
    )
    sources = logread.open_all(names or logread.agents())
    printer = _Printer(given.json)
    count = given.lines
    if count is None and not given.since and not given.run:
        count = DEFAULT_COUNT
    everything = count is None or count < 0
    found = logread.every(sources, wanted) if everything else logread.last(sources, wanted, count)
    printed = printer.print(found)
    _report(sources)
    if given.lines is None and printed == count and not given.follow:
        show.note(f"these are the last {count} lines; '-n all' shows all, '-n 500' more")
    if not printed and not given.follow and not given.json:
        show.nothing("no lines" + (" that fit" if logread.agents() else " yet: steps and agents write them"))
    if given.follow:
        _follow(logread.Follower(names or None, sources), wanted, printer)
    return OK


def _plain(argv: list[str]) -> Any:
    """What an ordinary line says, without a parser; None for any other."""
    values = ["-n", "--lines", "--level", "--pattern", "--since", "--run", "--step"]
    given = args.simple(argv, ["-f", "--follow", "-i", "--ignore-case", "--json"], values, ["agent"])
    if given is None:
        return None
    given.level = _level(given.level or "debug")
    if given.level not in logread.LEVELS:
        return None
    count = given.n or given.lines
    given.lines = _count(count) if count else None
    given.agents = [given.agent] if given.agent else []
    given.follow, given.ignore_case = given.f or given.follow, given.i or given.ignore_case
    return given


def _parser() -> args.Parser:
    parser = args.Parser(prog="colony logs", summary=SUMMARY, examples=EXAMPLES, details=DETAILS)
    add = parser.add_argument
    add("agents", metavar="AGENT", nargs="*", help="only these agents' lines (default all)")
    add(
        "--level",
        metavar="LEVEL",
        type=_level,
        choices=logread.LEVELS,
        default="debug",
        help="at least this severe: debug, info, warn, error",
    )
    add("--pattern", metavar="RE", help="only messages in which this regular expression is found")
    add("-i", "--ignore-case", action="store_true", help="capitals and small letters are the same to --pattern")
    add(
        "-n",
        "--lines",
        metavar="N",
        type=_count,
        help="the last N lines, or 'all' (default 100; all with --since or --run)",
    )
    add("-f", "--follow", action="store_true", help="go on with new lines as they come, until Ctrl-C")
    add("--since", metavar="T", help="only lines since then: 30m, 2h, 1d, or 2026-11-23T06:00:00Z")
    add("--run", metavar="RUN", help="only lines of this run: an id, a unique start of one, or 'latest'")
    add("--step", metavar="S", help="only lines of this step")
    args.add_json(parser)
    return parser


def _level(text: str) -> str:
    return {"warning": "warn"}.get(text.lower(), text.lower())


def _count(text: str) -> int:
    return -1 if text == "all" else args.count(text)


def _names(given: list[str]) -> list[str]:
    """The agents asked for; one of colony.yml that has not logged anything yet is as good as one that has."""
    names = list(dict.fromkeys(check_name(name, "agent") for name in given))
    logged = logread.agents() if names else []
    missing = [name for name in names if name not in logged]
    if missing:
        from colony_lib.store import config

        try:
            configured = [agent["id"] for agent in config.load()["agents"]]
        except ColonyError:
            configured = []
        for name in missing:
            if name not in configured and name != "colony":
                raise unknown("agent", name, [*logged, *configured])
    return names


def _run(reference: str) -> str:
    from colony_lib.store import runs

    return runs.find(reference)


def _literal(pattern: str | None) -> str | None:
    """The pattern when it stands for itself alone."""
    return pattern if pattern and not set(pattern) & set("\\^$.|?*+()[]{}") else None


def _matcher(pattern: str, ignore_case: bool) -> Callable[[str], bool]:
    """A test of a message. Some patterns take longer on some lines than anyone lives (nested repeats): a timer of
    processor time sees that the search stands at the same line as at its last look, and ends it."""
    import re
    import signal
    import warnings

    if len(pattern) > PATTERN_LIMIT:
        raise ColonyError(f"the pattern is longer than {PATTERN_LIMIT} characters", code=USAGE)
    warnings.simplefilter("ignore")  # what a later Python may read otherwise is no concern of one search
    try:
        search = re.compile(pattern, re.IGNORECASE if ignore_case else 0).search
    except (re.error, OverflowError, RecursionError) as error:
        raise ColonyError(f"'{escape(pattern)[:60]}' is not a regular expression: {error}", code=USAGE) from None
    begun = ended = seen = 0

    def look(number: int, frame: object) -> None:
        nonlocal seen
        if begun != ended and seen == begun:
            fix = "write it without repeats of repeats such as (a+)+"
            raise ColonyError(f"the pattern '{escape(pattern)[:60]}' takes too long on a line", fix=fix, code=USAGE)
        seen = begun

    def matches(message: str) -> bool:
        nonlocal begun, ended
        begun += 1
        found = search(message) is not None
        ended += 1
        return found

    signal.signal(signal.SIGVTALRM, look)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATTERN_SECONDS, PATTERN_SECONDS)
    return matches


class _Printer:
    """Prints log lines as JSON or for people."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.terminal = show.is_terminal()
        self.wide = 0  # the longest name of an agent so far; only a terminal gets columns

    def print(self, records: Iterable[Record]) -> int:
        """Returns how many lines there were."""
        printed = 0
        today = clock.now()[:10]
        if self.terminal and isinstance(records, list):
            self.wide = max([self.wide, *(len(record["agent"]) for record in records)])
        for record in records:
            printed += 1
            sys.stdout.write(self.line(record, today) + "\n")
        sys.stdout.flush()
        return printed

    def line(self, record: Record, today: str) -> str:
        if self.as_json:
            from colony_lib.base.jsontext import dumps

            return dumps(record)
        ts, level = escape(record["ts"]), record["level"]
        if self.terminal and ts[:10] == today:
            ts = ts[11:19]
        name = escape(record["agent"])
        shown = show.colour(f"{level.upper():<5}", _COLOURS.get(level))
        text = f"{ts} {shown} {name:<{self.wide}} {escape(record['message'])}"
        fields = record.get("fields")
        if isinstance(fields, dict) and fields:
            text += " " + " ".join(f"{escape(key)}={show.cell(value)}" for key, value in fields.items())
        return text


def _report(sources: Iterable[logread.Source]) -> None:
    for source in sources:
        if source.bad:
            show.problems(source.problems(), "logs")


def _follow(follower: logread.Follower, wanted: logread.Wanted, printer: _Printer) -> None:
    """Print new lines until Ctrl-C or until nobody reads them any more."""
    import select

    reader = select.poll()
    reader.register(sys.stdout.fileno(), 0)  # only asks for errors: the other end of the pipe is closed
    while True:
        found = follower.new(wanted)
        if found:
            printer.print(found)
        _report(follower.sources.values())
        if any(event & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, event in reader.poll(0)):
            raise BrokenPipeError
        time.sleep(POLL)
