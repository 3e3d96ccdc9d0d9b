"""`colony tui`: the colony on one screen (colony_lib.tui); here whether there is a screen, and how it is to look."""

from __future__ import annotations

import sys

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.cli import args

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

DETAILS = """\
Tabs by number: 1 Agents, 2 Tasks, 3 Messages, 4 Workflow, 5 Metrics, 6 Logs. ? lists the keys of each, : all
commands by name. It reads files and follows them; what it changes it changes by the commands that it shows first.
Colours: none with NO_COLOR. Exit status: 0, 143 when it was ended by TERM."""


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony tui",
        "the colony on one screen: agents, tasks, messages, workflows, metrics, logs",
        ["colony tui", "colony tui --run latest", "colony tui --read-only --ascii"],
        details=DETAILS,
    )
    parser.add_argument("--run", metavar="RUN", help="open this run: an id, a unique start of one, or 'latest'")
    parser.add_argument("--read-only", action="store_true", help="switch off all keys that change something")
    parser.add_argument("--light", action="store_true", help="for a terminal with a light background")
    parser.add_argument(
        "--ascii", action="store_true", help="only characters of ASCII (default where others cannot be)"
    )
    given = parser.parse_args(argv)
    from colony_lib.store import chart, config, env, runs

    _check_terminal(env.get("TERM"))
    run = runs.find(given.run) if given.run else None
    config.load()  # what is wrong with it is said before the screen is taken
    app = _app_module()
    env.forget("COLUMNS", "LINES")  # the terminal's size when a shell began; Textual would believe them for ever
    palette = "plain" if env.get("NO_COLOR") else "light" if given.light else "dark"
    ascii_only = given.ascii or not chart.fits(sys.stdout.encoding)
    code: int = app.run(app.ColonyApp(run=run, read_only=given.read_only, palette=palette, ascii_only=ascii_only))
    return code


def _check_terminal(term: str | None) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or term in (None, "dumb"):
        raise ColonyError(
            "there is no terminal to draw on",
            fix="use 'colony status', or 'colony workflow status --watch' to follow a run",
            code=USAGE,
        )


def _app_module() -> ModuleType:
    """The screen's code; ColonyError where the extra is not installed."""
    try:
        from colony_lib.tui import app
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("textual", "rich"):
            raise
        fix = "type: pip install 'colony[tui]'"
        raise ColonyError("the screen needs the package 'textual'", fix=fix, code=USAGE) from None
    return app
