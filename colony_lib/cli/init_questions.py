"""The questions of `colony init` on a terminal: each stands for an option, and has a default that Enter takes."""

from __future__ import annotations

import os
import sys

from colony_lib.base.errors import INTERRUPTED, ColonyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EMPTY = "empty"


def may_ask(root: str) -> bool:
    """Only people at a terminal are asked, and only of a colony that is not there yet."""
    return sys.stdin.isatty() and sys.stdout.isatty() and not os.path.lexists(os.path.join(root, "colony.yml"))


def ask(question: str, default: str, check: Callable[[str], object]) -> str:
    """The answer, or the default for Enter; asked again while `check` raises a ColonyError, whose words are said."""
    while True:
        sys.stderr.write(f"{question} [{default}]: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            sys.stderr.write("\n")
            raise ColonyError(
                "no answer came, so nothing was made", fix="'colony init --yes' asks nothing", code=INTERRUPTED
            )
        answer = line.strip() or default
        try:
            check(answer)
        except ColonyError as error:
            sys.stderr.write(f"{error}\n")
            continue
        return answer
