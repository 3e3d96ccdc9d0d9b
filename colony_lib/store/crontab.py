"""The user's crontab: one marked block per colony, written and taken out with every other byte left as it was."""

from __future__ import annotations

import os
import re

from colony_lib.base import locks
from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.store import env, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LONGEST = 998  # bytes of a command that Debian's cron takes
_NOTHING = re.compile(rb"no crontab (?:for|file)", re.IGNORECASE)
# Settings that change what the lines below them mean, where a cron heeds them.
_SETTINGS = re.compile(rb"^[ \t]*(CRON_TZ|TZ|SHELL)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)


def _crontab(arguments: list[str], data: bytes | None = None) -> tuple[int, bytes, bytes]:
    import subprocess

    environment = {**env.environ(), "LC_ALL": "C"}  # the words of an empty crontab are looked for in English
    try:
        done = subprocess.run(
            ["crontab", *arguments],
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            env=environment,
            timeout=30,
        )
    except FileNotFoundError:
        raise ColonyError(
            "there is no 'crontab' command on PATH",
            fix="install cron, or put the lines of 'colony cron list' where your scheduler reads them",
            code=FAILED,
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ColonyError(f"the 'crontab' command failed: {error}", code=FAILED) from None
    return done.returncode, done.stdout, done.stderr


def _said(stderr: bytes) -> str:
    return escape(" ".join(stderr.decode("utf-8", "replace").split()))[:300] or "it said nothing"


def read() -> bytes:
    """The user's crontab as it is; b'' when there is none."""
    code, out, err = _crontab(["-l"])
    if code and _NOTHING.search(err):
        return b""
    if code:
        raise ColonyError(f"'crontab -l' failed: {_said(err)}", code=FAILED)
    return out


def write(data: bytes) -> None:
    """Install the whole text as the user's crontab; ColonyError (FAILED), with the old one still there, when
    `crontab` refuses it."""
    code, _, err = _crontab(["-"], data)
    if code:
        raise ColonyError(f"'crontab' refused the new table, the old one stays: {_said(err)}", code=FAILED)


def lock() -> locks.held:
    """The lock to hold from reading to writing: one for the user, as there is one crontab for all colonies."""
    state = env.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    folder = os.path.join(state, "colony")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:  # no home to write to: better the colony's own lock than none
        return locks.held(paths.lock("crontab"), what="the crontab")
    return locks.held(os.path.join(folder, "crontab.lock"), what="the crontab")


# ── the block ──────────────────────────────────────────────────────────────────────────────────────────────────


def mark(root: str) -> str:
    """What tells the blocks of two colonies apart."""
    import hashlib

    return hashlib.sha256(os.fsencode(root)).hexdigest()[:12]


def _ends(root: str) -> tuple[bytes, bytes]:
    name = mark(root).encode()
    return b"# >>> colony " + name, b"# <<< colony " + name


def _is(line: bytes, end: bytes) -> bool:
    return line == end or line.startswith(end + b" ")


def _blocks(data: bytes, root: str) -> list[tuple[int, int]]:
    """(first line, line after the last) of each block of the colony; there should be one or none."""
    begin, end = _ends(root)
    found: list[tuple[int, int]] = []
    start: int | None = None
    for number, line in enumerate(data.split(b"\n")):
        if start is None and _is(line, begin):
            start = number
        elif start is not None and _is(line, end):
            found.append((start, number + 1))
            start = None
        elif _is(line, begin) or _is(line, end):
            start = number
            break
    if start is not None:
        raise ColonyError(
            f"line {start + 1} of the crontab begins or ends this colony's block, and its other end is missing",
            fix="repair or remove the block with 'crontab -e'",
            code=FAILED,
        )
    return found


def entries(data: bytes, root: str) -> dict[str, bytes]:
    """{workflow: crontab line} of the colony's block."""
    lines = data.split(b"\n")
    found: dict[str, bytes] = {}
    for start, end in _blocks(data, root):
        name = None
        for line in lines[start + 1 : end - 1]:
            if line.startswith(b"# workflow "):
                name = line.removeprefix(b"# workflow ").decode("utf-8", "replace")
            elif name is not None:
                found[name] = line
                name = None
    return found


def changed(data: bytes, root: str, wanted: Mapping[str, bytes]) -> bytes:
    """The crontab with these entries as the colony's block, in its old place or at the end; without a block
    for no entries."""
    begin, end = _ends(root)
    block: list[bytes] = []
    if wanted:
        shown = re.sub("[^ -~]", "?", root).encode()
        block = [begin + b" " + shown + b" (by 'colony cron install') >>>"]
        for name in sorted(wanted):
            block += [b"# workflow " + name.encode(), wanted[name]]
        block.append(end + b" <<<")
    lines = data.split(b"\n")
    places = _blocks(data, root)
    if not places and block:
        head = data if not data or data.endswith(b"\n") else data + b"\n"
        return head + b"\n".join(block) + b"\n"
    for number, (first, after) in reversed(list(enumerate(places))):
        lines[first:after] = block if number == 0 else []
    return b"\n".join(lines)


def warnings(data: bytes, root: str) -> list[str]:
    """Settings above the colony's block that change what its lines mean."""
    places = _blocks(data, root)
    before = b"\n".join(data.split(b"\n")[: places[0][0]]) if places else data
    settings = {
        name.decode(): value.strip(b"\"'").decode("utf-8", "replace") for name, value in _SETTINGS.findall(before)
    }
    found = []
    for name in ("CRON_TZ", "TZ"):
        if settings.get(name):
            found.append(
                f"the crontab sets {name}={escape(settings[name])}, which some crons apply to the lines below it"
            )
    shell = os.path.basename(settings.get("SHELL", "sh"))
    if shell not in ("sh", "bash", "dash", "ash", "ksh", "zsh"):
        found.append(
            f"the crontab sets SHELL={escape(settings['SHELL'])}, which may not read Colony's lines as sh does"
        )
    return found


# ── a line ─────────────────────────────────────────────────────────────────────────────────────────────────────


def line(plan: Mapping[str, Any], root: str, python: str, folder: str) -> bytes:
    """The crontab line that runs the workflow at its times: `cd`, absolute paths, output into a log, since cron
    gives its jobs hardly any environment.

    `folder` holds Colony's executables. Where the workflow's zone is not the machine's, the line asks once or
    more an hour whether the time has come there. ColonyError (USAGE) for paths that no line can hold.
    """
    import datetime
    from shlex import quote

    from colony_lib.base import clock
    from colony_lib.store import schedule

    trigger = plan["trigger"]
    fields = schedule.expand(trigger["cron"])
    run = f"{quote(python)} {quote(os.path.join(folder, 'colony-workflow'))} run {quote(plan['name'])}"
    machine = schedule.machine_zone()
    zone = schedule.zone(trigger["timezone"])
    now = datetime.datetime.fromtimestamp(clock.epoch(), datetime.UTC)
    if not schedule.same_clock(zone, machine, now):
        minutes = schedule.candidate_minutes(fields, zone, machine, now)
        fields = ",".join(map(str, minutes)) + " * * * *" if len(minutes) < 60 else "* * * * *"
        due = f"{quote(python)} {quote(os.path.join(folder, 'colony-cron'))} due {quote(plan['name'])}"
        run = f"{{ {due} && {run}; }}"
    command = f"cd {quote(root)} && {run} >> .colony/logs/cron.log 2>&1"
    if re.search(r"[\x00-\x1f\x7f]", command):
        raise ColonyError("a path with control characters cannot stand in a crontab", fix="rename it", code=USAGE)
    data = os.fsencode(command.replace("%", "\\%"))  # cron takes a bare '%' for the end of the command
    if len(data) > LONGEST:
        what = f"the crontab line of '{plan['name']}' has {len(data):,} bytes, and cron takes {LONGEST}"
        raise ColonyError(what, fix="use shorter paths", code=USAGE)
    return fields.encode() + b" " + data
