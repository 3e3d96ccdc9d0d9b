"""`colony init`: makes a colony of a folder, and never overwrites what is there unless told."""

from __future__ import annotations

import os
import sys

from colony_lib.base.errors import OK, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.cli import args, show

_OWN = "agents lineage locks logs messages metrics runs schemas state workflows worktrees"
FOLDERS = (
    *(f"staging/{stage}" for stage in ("raw", "transformed", "validated")),
    *("reports", "metrics", "logs"),
    *(f".colony/{name}" for name in _OWN.split()),
)
SCHEMAS = ("colony", "workflow", "models")  # copied, for editors

IGNORED = """\
# Made by 'colony init'. What runs leave behind stays out of the code's history; the definitions are part of it.
# state/ goes to a branch of its own: 'colony state sync'.
/*
!/.gitignore
!/models.json
!/schemas/
!/workflows/
"""

CONFIG = """\
# yaml-language-server: $schema=.colony/schemas/colony.schema.json
# The colony: who works here, and the settings they share. 'colony validate' checks this file.

name: {name}

# Where the state that agents share (.colony/state/) is kept besides this folder. With git-backed it also
# travels on a git branch of its own: 'colony state sync'.
shared_state:
  backend: files # or git-backed
  # location: in-repo # or the URL of a git remote

# NAME=value lines for what the environment does not hold, under cron for example. Keep it out of git. A PATH in it
# holds everywhere, so that steps find the same programs by cron and by hand.
# env_file: .env

# What every agent has unless it says otherwise.
# defaults:
#   model: claude-sonnet-5-5

# Who is told when a run fails, the quality gate warns, a limit is reached, a metric passes a threshold, once each.
# alerts:
#   - on: [failure, budget]
#     webhook: $SLACK_WEBHOOK # posts {{"text": ...}}; the URL stays in the environment, or the env_file
#   - metrics: {{data_quality_score: "< 0.95"}}
#     command: colony report --mail --run "$COLONY_RUN_ID" | mail -s "$COLONY_ALERT_TEXT" me@example.org

agents:
  - id: orchestrator
    role: Orchestrator
    model: claude-sonnet-5-5
    startup_prompt: |
      You coordinate the work of this colony: give out tasks, watch their progress, deal with failures.

  - id: worker
    role: Worker
    model: claude-sonnet-5-5
    # A value that begins with $ is taken from the environment when the agent is used. It is kept out of every
    # log, output and file.
    # env:
    #   API_KEY: $MY_API_KEY
    # A git worktree of its own, on this branch:
    # worktree_branch: colony/worker
    startup_prompt: |
      You do one task at a time, check your work, and say plainly what you did.
"""

WORKFLOW = """\
# yaml-language-server: $schema=../schemas/workflow.schema.json
# A first workflow: 'colony workflow run hello'. A step with `run:` is a shell command; no model is called.
workflow:
  name: hello
  description: Two commands, the second of which uses what the first one found

  steps:
    - name: look
      run: |
        printf '{"files": %s, "date": "%s"}\\n' "$(ls | wc -l)" "$COLONY_DATE"

    - name: greet
      depends_on: [look]
      run: echo "Hello from" {{workflow.name}} "on {{steps.look.output.date}}, {{steps.look.output.files}} files here"
"""


def main(argv: list[str]) -> int:
    parser = args.Parser(
        "colony init",
        "make a colony of this folder",
        ["colony init", "colony init --name flights", "colony -C ~/pipeline init"],
        details="What is there already stays as it is; it is safe to run again. Prints the folder's path.",
    )
    parser.add_argument(
        "--name", metavar="N", type=_name, help="what the colony is called (default: the folder's name)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite colony.yml and the other files made here")
    args.add_lock_timeout(parser)
    given = parser.parse_args(argv)
    root = _target()
    _refuse_obstacles(root)
    made = _make(root, given.name, given.force)
    _share()
    _tell(root, made, bool(given.name))
    show.value(root)
    return OK


def _name(text: str) -> str:
    if not text.strip() or len(text) > 100 or not text.isprintable() or escape(text) != text:
        raise ColonyError(
            f"'{escape(text)[:60]}' is not a colony's name", fix="give one line of 1 to 100 characters", code=USAGE
        )
    return text


def _target() -> str:
    """COLONY_ROOT, else the working directory; a colony's own folders are refused."""
    from colony_lib.store import env

    root = os.path.realpath(env.get("COLONY_ROOT") or os.getcwd())
    if not os.path.isdir(root):
        raise ColonyError(f"COLONY_ROOT is '{escape(root)}', which is no folder", fix="make it first", code=USAGE)
    if ".colony" in root.split(os.sep):
        raise ColonyError(
            f"'{escape(root)}' lies inside a .colony folder", fix="go to the project's own folder", code=USAGE
        )
    return root


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
    if not os.access(root, os.W_OK | os.X_OK):
        raise ColonyError(f"cannot write in '{escape(root)}'", fix="check the permissions", code=USAGE)


def _make(root: str, name: str | None, force: bool) -> list[str]:
    """Make what is missing; returns the names of the files written."""
    from colony_lib.base import files, locks
    from colony_lib.store import paths, schema

    text = {
        ".colony/.gitignore": IGNORED,
        "colony.yml": CONFIG.format(name=_as_yaml(name or os.path.basename(root) or "colony")),
    }
    for kind in SCHEMAS:
        text[f".colony/schemas/{kind}.schema.json"] = files.read_text(schema.file(kind))
    for folder in FOLDERS:
        files.make_dirs(os.path.join(root, folder))
    paths.use(root)
    made = []
    with locks.held(paths.lock("init"), what="colony init"):
        # Somebody who took the first workflow away does not want it back.
        if force or not any(file.endswith((".yaml", ".yml")) for file in os.listdir(paths.workflow_folder())):
            text[".colony/workflows/hello.yaml"] = WORKFLOW
        for file, content in text.items():
            path = os.path.join(root, file)
            if force or not os.path.lexists(path):
                files.write_text(path, content)
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


def _tell(root: str, made: list[str], renamed: bool) -> None:
    import shlex

    from colony_lib.store import paths

    outer = paths.find(os.path.dirname(root))
    if outer:
        show.note(f"note: this colony lies inside another one, {outer}")
    if made:
        show.note(f"made {', '.join(made)}; folders: staging reports metrics logs .colony")
    else:
        show.note("nothing to do: this is a colony already, and its files are as they were")
    if renamed and "colony.yml" not in made:
        show.note("colony.yml was there and keeps its name; write it there, or use --force")
    here = "" if root == os.path.realpath(os.getcwd()) else f"-C {shlex.quote(root)} "
    show.note(f"next:\n  colony {here}validate\n  colony {here}workflow run hello\n  colony {here}status")
    sys.stderr.flush()
