"""`colony help`: the list of commands from their second lines, help on one, and hints for unknown names."""

from __future__ import annotations

import os
import sys

from colony_lib import __version__
from colony_lib.base.errors import OK, USAGE, ColonyError, nearest
from colony_lib.cli import help_topics, help_writing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TOPICS = {**help_writing.TOPICS, **help_topics.TOPICS}
# The order of the list follows the order of work; what is not named here comes after, by name.
GROUPS = {
    "a colony": ["init", "validate", "status", "health"],
    "workflows": ["workflow", "run-step", "cron"],
    "agents and the screen": ["start", "stop", "agents", "attach", "tui"],
    "what steps and agents share": ["state", "messages", "broadcast", "logs", "metrics", "lineage"],
    "data": ["fetch", "transform", "validate-data", "load", "report"],
    "your shell": ["completions"],
}


def _commands(folder: str) -> Iterator[tuple[str, str]]:
    """(name, summary) of the executables in the folder; a summary is the line `# Summary: …`."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for file in names:
        path = os.path.join(folder, file)
        if file.startswith("colony-") and os.access(path, os.X_OK) and os.path.isfile(path):
            summary = ""
            with open(path, "rb") as opened:
                for line in opened.read(400).split(b"\n")[:3]:
                    if line.startswith(b"# Summary: "):
                        summary = line[11:].decode("utf-8", "replace").strip()
            yield file.removeprefix("colony-"), summary


def _found() -> dict[str, str]:
    """Every command there is: those beside this one, then those on PATH; the first of a name wins."""
    here = os.path.dirname(os.path.realpath(sys.argv[0]))
    found: dict[str, str] = {}
    for folder in [here, *os.environ.get("PATH", "").split(os.pathsep)]:
        if folder:
            for name, summary in _commands(folder):
                found.setdefault(name, summary)
    return found


def _overview() -> None:
    found = _found()
    found.pop("help", None)
    print("Colony: data pipelines done by agents and commands that meet in plain files\n")
    print("examples:\n  colony init --example hello my-hello && cd my-hello")
    print("  colony workflow run hello\n  colony report\n")
    print("usage: colony [-C DIR] COMMAND [ARGUMENTS…]\n")
    named = {name for names in GROUPS.values() for name in names}
    groups = {**GROUPS, "also on your PATH": sorted(set(found) - named)}
    for title, names in groups.items():
        there = [name for name in names if name in found]
        if there:
            print(f"{title}:")
            for name in there:
                print(f"  {name:<14} {found[name]}".rstrip())
            print()
    print("'colony help COMMAND' says more; topics: " + ", ".join(TOPICS))
    print("'colony help --man DIR' writes manual pages, for a DIR such as ~/.local/share/man/man1")


def main(argv: list[str]) -> int:
    if argv[:1] == ["--unknown"]:
        raise_unknown(argv[1] if len(argv) > 1 else "")
    if argv[:1] in (["--version"], ["-V"], ["version"]):
        print(f"colony {__version__}")
        return OK
    words = [word for word in argv if word not in ("help", "-h", "--help")]
    if not words:
        _overview()
        return OK if argv else USAGE
    name = words[0]
    if name == "--man":
        return _write_pages(words[1:])
    if name in TOPICS:
        print(TOPICS[name], end="")
        return OK
    if "/" in name or name not in _found():
        raise_unknown(name)
    command = os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), f"colony-{name}")
    if len(words) == 1 and os.path.exists(command) and sys.stdout.isatty():
        _show_page(name)
    rest = [*words[1:], "--help"]
    if os.path.exists(command):
        os.execv(command, [command, *rest])
    os.execvp(f"colony-{name}", [f"colony-{name}", *rest])


def _show_page(name: str) -> None:
    """Become `man` with the page of that command; returns where there is no `man`."""
    import shutil

    from colony_lib.base import files
    from colony_lib.cli import grammar, help_man

    program, own = shutil.which("man"), grammar.executables()
    if program is None or name not in own or os.environ.get("TERM") in (None, "", "dumb"):
        return
    page = help_man.page(name, own[name], TOPICS["exit-codes"]).encode()
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        try:
            files.write_all(writing, page)
        finally:
            os._exit(OK)  # also when man was left before its end
    os.close(writing)
    os.dup2(reading, 0)
    os.execv(program, [program, "-l", "-"])


def _write_pages(words: list[str]) -> int:
    """`colony help --man DIR`: every page as DIR/colony-NAME.1."""
    if len(words) != 1 or not os.path.isdir(words[0]):
        raise ColonyError(
            f"--man needs a folder that is there, not '{' '.join(words)}'",
            fix="mkdir -p ~/.local/share/man/man1; colony help --man ~/.local/share/man/man1",
            code=USAGE,
        )
    from colony_lib.base import files
    from colony_lib.cli import grammar, help_man

    own = grammar.executables()
    pages = {f"colony-{name}": help_man.page(name, own[name], TOPICS["exit-codes"]) for name in own}
    pages["colony-help"] = help_man.help_page("list the commands, and say more about one", list(TOPICS))
    pages["colony"] = help_man.overview(own, TOPICS)
    for name, text in pages.items():
        files.write_text(os.path.join(words[0], f"{name}.1"), text)
    return OK


def raise_unknown(name: str) -> None:
    near = nearest(name, _found()) or nearest(name, TOPICS)
    raise ColonyError(f"unknown command '{name}'", fix=near or "'colony help' lists them", code=USAGE)
