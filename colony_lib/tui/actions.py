"""What the screen changes, it changes as a person would: by Colony's own commands, as child processes."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys

from colony_lib.base.text import cut, escape
from colony_lib.store import env, paths

LONGEST = 400  # characters of what a command said that are shown


class Outcome:
    """What a command came to: its exit status, the last line that it said, and the first line of its output."""

    __slots__ = ("code", "first", "said", "words")

    def __init__(self, words: list[str], code: int, said: str, first: str = "") -> None:
        self.words, self.code, self.said, self.first = words, code, said, first


def shown(words: list[str]) -> str:
    """The command as a person types it."""
    return escape(shlex.join(["colony", *words]))


def program(name: str) -> str:
    """The executable of a command: beside the one that runs, else beside this checkout's library."""
    beside = os.path.dirname(os.path.realpath(sys.argv[0]))
    checkout = os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, "bin")
    for folder in (beside, os.path.realpath(checkout)):
        path = os.path.join(folder, f"colony-{name}")
        if os.access(path, os.X_OK):
            return path
    return f"colony-{name}"


async def run(words: list[str]) -> Outcome:
    """Run `colony WORDS…` in the colony's root, in a session of its own, so that it outlives the screen's terminal."""
    environment = {**env.environ(), "COLONY_ROOT": paths.root()}
    try:
        child = await asyncio.create_subprocess_exec(
            program(words[0]),
            *words[1:],
            cwd=paths.root(),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return Outcome(words, 1, f"cannot start it: {error.strerror}")
    out, err = await child.communicate()
    said = (err if child.returncode else err or out).decode("utf-8", "replace").strip().split("\n")
    first = out.decode("utf-8", "replace").split("\n")[0]
    return Outcome(words, child.returncode or 0, cut(escape(said[-1]), LONGEST), first)
