"""`colony help`: the list of commands from their second lines, help on one, and hints for unknown names."""

from __future__ import annotations

import os
import sys

from colony_lib import __version__
from colony_lib.base.errors import OK, USAGE, ColonyError, unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# The order of the list follows the order of work; what is not named here comes after, by name.
GROUPS = {
    "a colony": ["init", "validate", "status", "health"],
    "workflows": ["workflow", "run-step", "cron"],
    "agents and the screen": ["start", "stop", "agents", "attach", "tui"],
    "what steps and agents share": ["state", "messages", "broadcast", "logs", "metrics", "lineage"],
    "data": ["fetch", "transform", "validate-data", "load", "report"],
    "your shell": ["completions"],
}
TOPICS = {
    "exit-codes": """\
0    done
1    the thing itself failed (a run, a validation, a check), or was not found
2    wrong usage, wrong configuration, bad input: nothing was changed
70   a bug in Colony
75   busy or rate-limited: try again later
130  interrupted (Ctrl-C); children ended, state recorded, resumable
143  terminated; the same
""",
    "environment": """\
read by every command
  COLONY_ROOT     the colony's folder, instead of the nearest one above (also: colony -C DIR)
  COLONY_DEBUG=1  a traceback instead of one line
  NO_COLOR        no colour on a terminal
  COLONY_MODEL    the model for every agent
set for a step's command
  COLONY_ROOT COLONY_RUN_ID COLONY_WORKFLOW COLONY_STEP COLONY_AGENT COLONY_ATTEMPT
  COLONY_BATCH_ID COLONY_DATE
  COLONY_OUTPUT   a file: what is written there is the step's output, else standard output is
  COLONY_SECRETS  names of the variables whose values Colony keeps out of every file
""",
    "files": """\
colony.yml                   agents and settings
.colony/workflows/NAME.yaml  workflow definitions, versioned with the code
.colony/state/               tasks, memory, documents; 'colony state sync' shares them with other machines
.colony/runs/RUN/            one run: its plan, its journal, and each attempt's streams and output
                             ('colony workflow prune' removes old ones)
.colony/logs/AGENT.jsonl     log lines      .colony/metrics/NAME.jsonl   points
.colony/messages/            messages       .colony/lineage/             OpenLineage events
.colony/locks/               lock files: empty or a note; being held is what counts, not being there
.colony/cache/               may be deleted at any time
""",
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
    raise unknown("command", name, {**_found(), **dict.fromkeys(TOPICS, "")}, code=USAGE)
