"""`make bench`: how fast Colony is, each figure a ratio to a floor measured in the same run.

`python -m tests.bench [NAME…] [--runs N] [--quick] [--write]` prints one table; progress goes to standard error. With
--write README.md gets the rows, and keeps the others that it has, each with the day on which it was measured. Exits 0
whatever the figures are (this is no test), 1 when something could not be measured, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from colony_lib.base.errors import nearest
from tests.bench import machine, tables
from tests.bench.measure import Failed, Stopwatch, stopwatch
from tests.bench.suite import QUICK, Bench, Group, Row, Sizes, say
from tests.conftest import REPOSITORY, clean_environment

# modules of tests.bench.rows
NAMES = ("run", "chain", "resume", "small", "tasks", "metrics", "logs", "quality", "load", "writers", "cluster")
COLUMNS = ("what", "measured", "aim", "spread (pairs)", "on")
README = REPOSITORY / "README.md"
PLACE = REPOSITORY / "build" / "bench"  # beside the checkout: /tmp is memory on many machines


def group(name: str) -> Group:
    module: Group = import_module(f"tests.bench.rows.{name}")  # type: ignore[assignment]
    return module


def every_row(sizes: Sizes) -> list[Row]:
    """The rows of the whole table, in its order."""
    return [row for name in NAMES for row in group(name).rows(sizes)]


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line, checked; exits with 2 when it is wrong."""
    parser = argparse.ArgumentParser("python -m tests.bench", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"measure only these: {', '.join(NAMES)}")
    parser.add_argument("--runs", type=int, metavar="N", help="pairs of which a figure is the median (default 9)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and 3 pairs: a look, in a minute")
    parser.add_argument("--write", action="store_true", help="put the rows into the table in README.md")
    given = parser.parse_args(argv)
    for name in given.names:
        if name not in NAMES:
            parser.error(f"unknown benchmark '{name}'; {nearest(name, NAMES) or 'there is ' + ', '.join(NAMES)}")
    if given.runs is not None and not 1 <= given.runs <= 50:
        parser.error(f"--runs {given.runs} is not 1 to 50")
    if given.write and given.quick:
        parser.error("--write is for figures of the whole size: leave out --quick")
    return given


def main(argv: Sequence[str]) -> int:
    given = arguments(argv)
    sizes = QUICK if given.quick else Sizes()
    if given.runs is not None:
        sizes = sizes._replace(runs=given.runs)
    # Terminated, it tidies up like interrupted.
    signal.signal(signal.SIGTERM, _terminated)
    PLACE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=PLACE))
    try:
        environment = clean_environment()
        machine.compile_library(environment)
        head = machine.facts(folder)
        with stopwatch(folder / "watch", environment) as watch:
            lines, whole = [], True
            for name in dict.fromkeys(given.names or NAMES):
                more, measured = measure(name, watch, sizes, folder / name)
                lines += more
                whole = whole and measured
    except KeyboardInterrupt:
        return 130
    except Failed as error:
        say(f"nothing measured: {error}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{head}.\n\n{tables.made(COLUMNS, lines)}", end="")
    if given.write and whole:
        known = {line[0]: line for line in tables.read(tables.between(README.read_text(encoding="utf-8"), "bench"))}
        known |= {line[0]: line for line in lines}
        kept = [known.get(row.what, (row.what, "not measured yet", row.aim, "", "")) for row in every_row(sizes)]
        tables.put(README, "bench", f"{head}.\n\n{tables.made(COLUMNS, kept)}")
    return 0 if whole else 1


def measure(name: str, watch: Stopwatch, sizes: Sizes, folder: Path) -> tuple[list[Sequence[str]], bool]:
    """(the lines of a group's rows, whether all of them could be measured)."""
    rows = group(name).rows(sizes)
    lines: list[Sequence[str]] = []
    folder.mkdir()
    try:
        for row, figure in zip(rows, group(name).measure(Bench(watch, sizes, folder)), strict=True):
            lines.append((row.what, figure.measured, row.aim, f"{figure.spread} ({figure.pairs})", machine.today()))
            say(f"{name}: {row.what}: {figure.measured}, {figure.spread}")
        return lines, True
    except Failed as error:
        say(f"{name}: not measured: {error}")
        missing = [(row.what, f"not measured: {error}", row.aim, "", "") for row in rows[len(lines) :]]
        return lines + missing, False
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _terminated(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
