"""What a peer is: how it is installed, how it writes a graph, how it is run, and how it tells what it did."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

LEDGER = "ledger"  # the file that the steps of a graph with a ledger append their names to


class Graph(NamedTuple):
    """So many steps s1, s2, …, each waiting for the one before or for none. They do nothing, or, with a ledger, append
    their names to LEDGER."""

    steps: int
    chained: bool
    ledger: bool = False

    def before(self, number: int) -> int | None:
        """The step that this one waits for."""
        return number - 1 if self.chained and number > 1 else None

    def shell(self, number: int) -> str:
        """A step as a shell command."""
        return f"echo s{number} >> {LEDGER}" if self.ledger else "true"

    def python(self, name: str) -> str:
        """The body of a step as Python: `name` is an expression for its number."""
        return f'open("{LEDGER}", "a").write(f"s{{{name}}}\\n")' if self.ledger else "pass"


class Peer:
    """One of the others. What is written and kept all lies in the folder of the graph."""

    name: str
    packages: tuple[str, ...]  # from PyPI; the first is the peer itself
    steps = 1_000  # of the wide graph; 200 for those that need minutes for a thousand
    step: str  # what a step is, in the peer's own idiom
    durable: str  # what is on the disk, and when; whether by fsync, `strace -f -c -e fsync,fdatasync` says

    def write(self, folder: Path, graph: Graph) -> None:
        """Write the graph into the folder, which is empty."""
        raise NotImplementedError

    def words(self, folder: Path, graph: Graph) -> Sequence[str]:
        """The command that runs it, two steps at a time."""
        raise NotImplementedError

    def environment(self, folder: Path) -> dict[str, str]:
        return {}

    def prepare(self, folder: Path) -> Sequence[str]:
        """A command that is run once before the first run, if one is needed."""
        return ()

    def clean(self, folder: Path) -> None:
        """Forget the run before, so that every step is to be done again."""

    def ran(self, said: str, folder: Path) -> int:
        """How many steps the last run did, by its own account: what it said, or what it left."""
        raise NotImplementedError


def remove(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
