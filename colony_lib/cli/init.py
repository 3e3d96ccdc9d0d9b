"""`colony init`: makes a colony of a folder, and never overwrites what is there unless told."""

from __future__ import annotations

import os
import sys

from colony_lib.base.errors import OK, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.cli import args, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OWN = "agents lineage locks logs messages metrics runs schemas state workflows worktrees"
FOLDERS = (
    *(f"staging/{stage}" for stage in ("raw", "transformed", "validated")),
    *("reports", "metrics", "logs"),
    *(f".colony/{name}" for name in _OWN.split()),
)
SCHEMAS = ("colony", "workflow", "models")  # copied, for editors


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony init",
        "make a colony of this folder",
        [
            "colony init",
            "colony init --name flights",
            "colony init --example hello my-hello",
            "colony -C ~/pipeline init",
        ],
        details="What is there already stays as it is; it is safe to run again. Prints the folder's path. On a\n"
        "terminal and without any option it asks for the name, an example and the time zone; Enter takes what\n"
        "is in brackets. An unknown name after --example lists the examples.",
    )
    parser.add_argument(
        "directory", metavar="DIR", nargs="?", help="the folder, made when it is not there (default: this one)"
    )
    parser.add_argument(
        "--name", metavar="N", type=_name, help="what the colony is called (default: the folder's name)"
    )
    parser.add_argument(
        "--example",
        metavar="E",
        nargs="?",
        const="",
        help="lay down a working example; never over a file of yours",
    )
    parser.add_argument(
        "--timezone", metavar="Z", type=_zone, help="the time zone of its schedules, such as Europe/Berlin"
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing")
    parser.add_argument("--force", action="store_true", help="overwrite colony.yml and the other files made here")
    args.add_lock_timeout(parser)
    given = parser.parse_args(argv)
    if given.force and given.example is not None:
        raise ColonyError(
            "--force and --example together", fix="an example never overwrites: give an empty folder", code=USAGE
        )
    root = _target(given.directory)
    if not argv:
        _ask(root, given)
    wanted = _wanted(given)
    _refuse_obstacles(root)
    if given.example is not None:
        from colony_lib.cli import init_example

        init_example.refuse_other_files(root, wanted)
    made = _make(root, given, wanted)
    _share()
    _tell(root, made, given)
    show.value(root)
    return OK


def _ask(root: str, given: Any) -> None:
    """On a terminal: the options that nobody has given, one question each."""
    from colony_lib.cli import init_questions

    if not init_questions.may_ask(root):
        return
    from colony_lib.store import examples, schedule

    given.name = init_questions.ask("Name of the colony", os.path.basename(root) or "colony", _name)
    known = [init_questions.EMPTY, *examples.names()]

    def one_of(answer: str) -> None:
        if answer not in known:
            raise ColonyError(f"'{escape(answer)}' is none of {', '.join(known)}", code=USAGE)

    begin = init_questions.ask(f"Begin with ({', '.join(known)})", init_questions.EMPTY, one_of)
    given.example = None if begin == init_questions.EMPTY else begin
    if given.example is None or _has_schedule(given.example):
        here = schedule.zone_name(schedule.machine_zone())
        given.timezone = init_questions.ask("Time zone of its schedules", here, _zone)


def _has_schedule(example: str) -> bool:
    from colony_lib.cli import init_example

    return init_example.has_schedule(example)


def _zone(text: str) -> str:
    from colony_lib.store import schedule

    return schedule.zone_name(schedule.zone(text))


def _name(text: str) -> str:
    if not text.strip() or len(text) > 100 or not text.isprintable() or escape(text) != text:
        raise ColonyError(
            f"'{escape(text)[:60]}' is not a colony's name", fix="give one line of 1 to 100 characters", code=USAGE
        )
    return text


def _target(directory: str | None) -> str:
    """DIR, else COLONY_ROOT, else the working directory; a colony's own folders are refused."""
    from colony_lib.store import env

    place = directory or env.get("COLONY_ROOT")
    root = os.path.realpath(place or os.getcwd())
    if directory:
        if os.path.lexists(root) and not os.path.isdir(root):
            raise ColonyError(f"'{escape(root)}' is no folder", fix="give another one", code=USAGE)
    elif not os.path.isdir(root):
        raise ColonyError(f"COLONY_ROOT is '{escape(root)}', which is no folder", fix="make it first", code=USAGE)
    if ".colony" in root.split(os.sep):
        raise ColonyError(
            f"'{escape(root)}' lies inside a .colony folder", fix="go to the project's own folder", code=USAGE
        )
    return root


def _wanted(given: Any) -> dict[str, str]:
    """{path: text} of an example's files; {} without one. ColonyError (USAGE) for an example that is not there."""
    if given.example is None:
        return {}
    from colony_lib.cli import init_example

    return init_example.files_of(given.example, _as_yaml(given.name) if given.name else None, given.timezone)


def _refuse_obstacles(root: str) -> None:
    """Before anything is written: what is in the way, or could not be written."""
    for folder in FOLDERS:
        path = root
        for part in folder.split("/"):
            path = os.path.join(path, part)
            if os.path.lexists(path) and not os.path.isdir(path):
                raise ColonyError(f"'{escape(path)}' is in the way: it is no folder", fix="move it away", code=USAGE)
    for name in ("colony.yml", ".colony/.gitignore", ".colony/workflows/hello.yaml"):
        if os.path.isdir(os.path.join(root, name)):
            raise ColonyError(f"'{escape(name)}' is in the way: it is a folder", fix="move it away", code=USAGE)
    place = root
    while not os.path.lexists(place):  # DIR is made, with what it lies in
        place = os.path.dirname(place)
    if not os.path.isdir(place) or not os.access(place, os.W_OK | os.X_OK):
        raise ColonyError(f"cannot write in '{escape(place)}'", fix="check the permissions", code=USAGE)


def _make(root: str, given: Any, wanted: dict[str, str]) -> list[str]:
    """Make what is missing, of an example the files in `wanted`; returns the names of the files written."""
    from colony_lib.base import files, locks
    from colony_lib.cli import init_example, init_files
    from colony_lib.store import paths, schema

    text = {".colony/.gitignore": init_files.IGNORED, **wanted}
    if given.example is None:
        text["colony.yml"] = init_files.CONFIG.format(name=_as_yaml(given.name or os.path.basename(root) or "colony"))
    pipeline = "pipeline.yml" in wanted or os.path.exists(os.path.join(root, "pipeline.yml"))
    for kind in (*SCHEMAS, *(("pipeline",) if pipeline else ())):
        text[f".colony/schemas/{kind}.schema.json"] = files.read_text(schema.file(kind))
    for folder in FOLDERS:
        files.make_dirs(os.path.join(root, folder))
    paths.use(root)
    made = []
    with locks.held(paths.lock("init"), what="colony init"):
        if given.example is not None:
            init_example.refuse_other_files(root, wanted)
        # Somebody who took the first workflow away does not want it back.
        elif given.force or not any(file.endswith((".yaml", ".yml")) for file in os.listdir(paths.workflow_folder())):
            trigger = init_files.TRIGGER.format(zone=given.timezone) if given.timezone else ""
            text[".colony/workflows/hello.yaml"] = init_files.WORKFLOW.replace("{trigger}\n", trigger or "\n")
        for file, content in text.items():
            path = os.path.join(root, file)
            if given.force or not os.path.lexists(path):
                files.make_dirs(os.path.dirname(path))
                files.write_text(path, content, mode=init_example.mode(content))
                made.append(file)
    return made


def _share() -> None:
    """Where colony.yml says git-backed, the state folder becomes a working tree of its branch at once."""
    from colony_lib.store import config

    if not config.may_share():
        return
    from colony_lib.store import statesync

    try:
        statesync.attach()
    except ColonyError as error:
        show.note(f"the state is not shared by git yet: {error}")


def _as_yaml(name: str) -> str:
    """The name as YAML text: bare where any reader takes it as text, else in quotes."""
    from colony_lib.base import jsontext

    plain = name.replace("-", "").replace("_", "").isalnum() and name.isascii() and name[0].isalpha()
    if plain and name.lower() not in ("yes", "no", "on", "off", "y", "n", "true", "false", "null"):
        return name
    return jsontext.dumps("".join(c if c.isprintable() else "_" for c in name)[:100])


def _tell(root: str, made: list[str], given: Any) -> None:
    import shlex

    from colony_lib.store import paths

    outer = paths.find(os.path.dirname(root))
    if outer:
        show.note(f"note: this colony lies inside another one, {outer}")
    if made:
        show.note(f"made {', '.join(made)}; folders: staging reports metrics logs .colony")
    else:
        show.note("nothing to do: this is a colony already, and its files are as they were")
    if given.name and "colony.yml" not in made:
        show.note("colony.yml was there and keeps its name; write it there, or use --force")
    if given.timezone and given.example and not _has_schedule(given.example):
        show.note(f"no workflow of '{given.example}' has a schedule yet; the time zone is written nowhere")
    elsewhere = root != os.path.realpath(os.getcwd())
    if given.example is not None:
        from colony_lib.base import files
        from colony_lib.store import examples

        page = files.read_text(os.path.join(root, "README.md"))
        begin = f"cd {shlex.quote(root)} && " if elsewhere else ""
        first, second = examples.first_commands(page)
        show.note(f"next (README.md there says more):\n  {begin}{first}\n  {second}")
    else:
        here = f"-C {shlex.quote(root)} " if elsewhere else ""
        show.note(f"next:\n  colony {here}validate\n  colony {here}workflow run hello")
        show.note(f"  colony {here}run-step latest greet    # what it said\n  colony help workflows")
    sys.stderr.flush()
