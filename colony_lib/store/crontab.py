"""The user's crontab: one marked block per colony, written and taken out with every other byte left as it was."""

from __future__ import annotations

import os
import re

from colony_lib.base import locks
from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.store import env, paths, schedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

LONGEST = 998  # bytes of a command that Debian's cron takes
_NOTHING = re.compile(rb"no crontab (?:for|file)", re.IGNORECASE)
# NAME=value lines: the environment of the jobs below them.
_SETTING = re.compile(rb"[ \t]*([A-Za-z_][A-Za-z0-9_]*|\"[^\"]*\"|'[^']*')[ \t]*=[ \t]*(.*?)[ \t]*\Z", re.DOTALL)
_TICK = re.compile(rb"(.* && .*colony-cron'? tick )([A-Za-z0-9._ -]+)( >> \.colony/logs/cron\.log 2>&1)\Z", re.DOTALL)


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
    """{workflow: crontab line} of the colony's block; workflows that a line serves together all have that line."""
    lines = data.split(b"\n")
    found: dict[str, bytes] = {}
    for start, end in _blocks(data, root):
        names: list[str] = []
        for line in lines[start + 1 : end - 1]:
            if line.startswith(b"# workflow "):
                names.append(line.removeprefix(b"# workflow ").decode("utf-8", "replace"))
            else:
                found |= dict.fromkeys(names, line)
                names = []
    return found


def changed(data: bytes, root: str, wanted: Mapping[str, bytes]) -> bytes:
    """The crontab with these entries as the colony's block, in its old place or at the end; without a block
    for no entries."""
    begin, end = _ends(root)
    block: list[bytes] = []
    if wanted:
        shown = re.sub("[^ -~]", "?", root).encode()
        block = [begin + b" " + shown + b" (by 'colony cron install') >>>"]
        for line in dict.fromkeys(wanted[name] for name in sorted(wanted)):
            block += [b"# workflow " + name.encode() for name in sorted(wanted) if wanted[name] == line]
            block.append(line)
        block.append(end + b" <<<")
    lines = data.split(b"\n")
    places = _blocks(data, root)
    if not places and block:
        head = data if not data or data.endswith(b"\n") else data + b"\n"
        return head + b"\n".join(block) + b"\n"
    for number, (first, after) in reversed(list(enumerate(places))):
        lines[first:after] = block if number == 0 else []
    return b"\n".join(lines)


def settings(data: bytes, root: str) -> dict[str, str]:
    """{NAME: value} of the settings above the colony's block, the last of a name's lines counting."""
    places = _blocks(data, root)
    found = {}
    for line in data.split(b"\n")[: places[0][0] if places else None]:
        match = _SETTING.match(line)
        if match:
            name, value = (_unquoted(text).decode("utf-8", "replace") for text in match.groups())
            found[name] = value
    return found


def _unquoted(text: bytes) -> bytes:
    return text[1:-1] if len(text) > 1 and text[:1] in b"\"'" and text[:1] == text[-1:] else text


def warnings(data: bytes, root: str) -> list[str]:
    """Settings above the colony's block that change what its lines mean."""
    above = settings(data, root)
    found = []
    for name in ("CRON_TZ", "TZ"):
        if above.get(name):
            found.append(f"the crontab sets {name}={escape(above[name])}, which some crons apply to the lines below it")
    shell = os.path.basename(above.get("SHELL", "sh"))
    if shell not in ("sh", "bash", "dash", "ash", "ksh", "zsh"):
        found.append(f"the crontab sets SHELL={escape(above['SHELL'])}, which may not read Colony's lines as sh does")
    return found


# ── the lines ──────────────────────────────────────────────────────────────────────────────────────────────────


def lines(plans: Sequence[Mapping[str, Any]], root: str, python: str, folder: str) -> dict[str, bytes]:
    """{workflow: the crontab line that starts it}: `cd`, absolute paths, output into a log, since cron gives its jobs
    hardly any environment. `folder` holds Colony's executables.

    Cron knows the times of one zone, and not those at which the machine was off. So a workflow in the machine's zone
    with `missed: skip` has a line of its own at its own times; all others share one that asks each minute what is due.
    ColonyError (USAGE) for paths that no line can hold.
    """
    from shlex import quote

    def line(fields: str, executable: str, *words: str) -> bytes:
        command = [python, os.path.join(folder, executable), *words]
        text = f"cd {quote(root)} && {' '.join(map(quote, command))} >> .colony/logs/cron.log 2>&1"
        if re.search(r"[\x00-\x1f\x7f]", text):
            raise ColonyError("a path with control characters cannot stand in a crontab", fix="rename it", code=USAGE)
        return f"{fields} ".encode() + os.fsencode(text.replace("%", "\\%"))  # a bare '%' ends cron's command

    found = {}
    shared: list[str] = []
    for plan in sorted(plans, key=lambda plan: str(plan["name"])):
        name, trigger = plan["name"], plan["trigger"]
        if trigger["missed"] == "skip" and schedule.is_machines(trigger["timezone"]):
            fields = schedule.expand(trigger["cron"])
            found[name] = _checked(line(fields, "colony-workflow", "run", name, "--scheduled"), name)
            continue
        if shared and _length(line(_EACH_MINUTE, "colony-cron", "tick", *shared, name)) > LONGEST:
            shared = []
        shared.append(name)
        found |= dict.fromkeys(shared, _checked(line(_EACH_MINUTE, "colony-cron", "tick", *shared), name))
    return found


_EACH_MINUTE = "* * * * *"


def _length(line: bytes) -> int:
    """The bytes of the line's command, as cron counts them."""
    return len(line.split(b" ", 5)[5])


def _checked(line: bytes, name: str) -> bytes:
    if _length(line) > LONGEST:
        what = f"the crontab line of '{name}' has {_length(line):,} bytes, and cron takes {LONGEST}"
        raise ColonyError(what, fix="use shorter paths", code=USAGE)
    return line


def together(line: bytes) -> list[str]:
    """The workflows that a line serves which asks each minute; [] for any other line."""
    match = _TICK.match(line)
    return match.group(2).decode().split() if match else []


def _serving(line: bytes, names: list[str]) -> bytes:
    """Such a line for other workflows."""
    match = _TICK.match(line)
    assert match is not None
    return match.group(1) + " ".join(names).encode() + match.group(3)


def without(entries: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    """The entries without that workflow; a line that it shared goes on to serve the others."""
    left = {other: line for other, line in entries.items() if other != name}
    shared = entries.get(name, b"")
    others = [other for other in together(shared) if other != name]
    return {other: _serving(line, others) if line == shared and others else line for other, line in left.items()}


def joined(entries: Mapping[str, bytes], name: str, line: bytes) -> dict[str, bytes]:
    """The entries with that workflow's line, which may join one that asks each minute already."""
    left = without(entries, name)
    for other in dict.fromkeys(left.values()) if together(line) else []:
        names = sorted([*together(other), name])
        if len(names) > 1 and _serving(line, together(other)) == other and _length(_serving(line, names)) <= LONGEST:
            line = _serving(line, names)
            return {each: line if old == other else old for each, old in left.items()} | {name: line}
    return {**left, name: line}


def same(one: bytes, other: bytes) -> bool:
    """Whether two lines do the same for a workflow that both serve."""
    return one == other or (bool(together(one) and together(other)) and _serving(one, together(other)) == other)
