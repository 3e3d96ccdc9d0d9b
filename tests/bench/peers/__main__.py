"""`make bench-peers`: the same graphs of steps that do nothing, by others who run steps, beside `make -j2`.

`python -m tests.bench.peers [NAME…] [--runs N] [--write]` installs each peer from PyPI into build/peers/NAME, runs the
graphs there as the peer's own documentation would have them written, two steps at a time (one at a time where that is
quicker), and prints two tables. Before anything is measured each peer runs each graph once with steps that write their
names into a ledger; every measured run must have done all steps by the peer's own account. Each pair is a run of
`make -s -j2` and one of the peer, right after it.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from colony_lib.base.errors import nearest
from colony_lib.base.text import plural
from tests.bench import graphs, machine, tables
from tests.bench.measure import Command, Failed, Pairs, Stopwatch, duration, number, pairs, stopwatch
from tests.bench.peers import builders, environment, platforms, taskwarrior
from tests.bench.peers.colony import Colony
from tests.bench.peers.peer import LEDGER, Graph, Peer
from tests.bench.suite import say
from tests.conftest import REPOSITORY, clean_environment

PEERS: tuple[Peer, ...] = (
    builders.Ninja(), builders.Doit(), builders.Luigi(), builders.Snakemake(), builders.Redun(),
    platforms.Dagster(), platforms.Prefect(), platforms.Airflow(),
)  # fmt: skip
NAMES = (*(peer.name for peer in PEERS), "taskwarrior")
CHAIN = 100
COLUMNS = ("peer", "independent steps", f"a chain of {CHAIN}", "a step is", "on the disk")
LONGEST = 600.0  # seconds of one run; a longer one is given up
SECONDS = 300.0  # for all runs of one graph: of a slow peer there are fewer


def main(argv: Sequence[str]) -> int:
    given = arguments(argv)
    signal.signal(signal.SIGTERM, _terminated)
    environment.PLACE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=environment.PLACE))
    mark = environment.new_mark()
    try:
        clean = clean_environment()
        machine.compile_library(clean)
        head = f"{machine.facts(folder)}; medians of at most {plural(given.runs, 'pair')}"
        with stopwatch(folder / "watch", clean) as watch:
            lines = [line for peer in chosen(given.names) for line in measure(peer, watch, folder, given.runs, mark)]
            tasks, note = beside_taskwarrior(watch, folder, given)
    except KeyboardInterrupt:
        return 130
    except Failed as error:
        say(f"nothing measured: {error}")
        return 1
    finally:
        environment.stop_all(mark)
        shutil.rmtree(folder, ignore_errors=True)
    parts = [f"{head}.\n"]
    if lines:
        parts += ["Each figure is a ratio to `make -s -j2` of the same graph.\n", tables.made(COLUMNS, lines)]
    parts += [f"{note}\n", *([tables.made(taskwarrior.COLUMNS, tasks)] if tasks else [])] if note else []
    text = "\n".join(parts)
    print(text, end="")
    if given.write:
        tables.put(REPOSITORY / "CONTRIBUTING.md", "peers", text)
    return 0


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line, checked; exits with 2 when it is wrong."""
    parser = argparse.ArgumentParser("python -m tests.bench.peers", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(NAMES)}")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="pairs of which a figure is the median (3)")
    parser.add_argument("--write", action="store_true", help="put the tables into CONTRIBUTING.md")
    given = parser.parse_args(argv)
    for name in given.names:
        if name not in NAMES:
            parser.error(f"unknown peer '{name}'; {nearest(name, NAMES) or 'there is ' + ', '.join(NAMES)}")
    if not 1 <= given.runs <= 50:
        parser.error(f"--runs {given.runs} is not 1 to 50")
    if given.write and given.names:
        parser.error("--write is for all peers: leave out the names")
    return given


def chosen(names: Sequence[str]) -> list[Peer]:
    """Colony, and the peers that are named; all of them when none is."""
    found = [peer for peer in PEERS if not names or peer.name in names]
    return [Colony(), *found] if found else []


def measure(peer: Peer, watch: Stopwatch, folder: Path, runs: int, mark: str) -> list[Sequence[str]]:
    """The peer's lines of the table: Colony's two (with as many steps as either kind of peer is given), others' one."""
    lines: list[Sequence[str]] = []
    place = folder / peer.name
    try:
        version = environment.installed(peer) or Colony.version()
        say(f"{peer.name} {version}")
        chain = cell(peer, watch, place / "chain", Graph(CHAIN, chained=True), runs, mark)
        for count in (1_000, 200) if isinstance(peer, Colony) else (peer.steps,):
            wide = cell(peer, watch, place / f"wide-{count}", Graph(count, chained=False), runs, mark)
            named = f"{peer.name} {version}"
            lines.append((named, f"{count:,}: {wide}", chain, peer.step, peer.durable))
    except Failed as error:
        say(f"{peer.name}: {error}")
        lines.append((peer.name, str(error), "", peer.step, peer.durable))
    finally:
        left = environment.stop_all(mark)
        if left:
            say(f"{peer.name}: ended {left} processes that had stayed")
        shutil.rmtree(place, ignore_errors=True)
    return lines


def cell(peer: Peer, watch: Stopwatch, folder: Path, graph: Graph, runs: int, mark: str) -> str:
    """The ratio of one graph, its spread and the times behind it."""
    command = written(peer, watch, folder / "ledger", graph._replace(ledger=True), mark)
    once = watch(command).seconds
    done = (command.folder / LEDGER).read_text().split()
    named = graphs.names(graph.steps)
    if sorted(done) != sorted(named) or (graph.chained and done != named):
        raise Failed(f"its ledger is wrong: {len(done)} entries of {graph.steps} steps")

    ready = written(peer, watch, folder / "measured", graph, mark)

    def all_done() -> None:
        ran = peer.ran(watch.said(), ready.folder)
        if ran != graph.steps:
            raise Failed(f"it did {ran} of {graph.steps} steps")

    fitting = max(1, min(runs, int(SECONDS / once) - 2))
    floor = graphs.make(folder / "make", graph.steps, chained=graph.chained)
    made: Pairs = pairs(watch, floor, ready._replace(after=all_done), fitting)
    text = f"**{number(made.ratio)} ×** ({made.spread()}; {duration(made.ours)})"
    say(f"  {graph.steps} steps{', a chain' * graph.chained}: {text}, {plural(fitting, 'pair')}")
    return text


def written(peer: Peer, watch: Stopwatch, folder: Path, graph: Graph, mark: str) -> Command:
    """The command that runs the graph, written into a new folder."""
    folder.mkdir(parents=True)
    peer.write(folder, graph)
    variables = {**environment.variables(peer, mark), **peer.environment(folder)}
    command = Command(peer.words(folder, graph), folder, seconds=LONGEST, environment=variables)
    if peer.prepare(folder):
        watch(command._replace(words=peer.prepare(folder)))
    return command._replace(before=lambda: peer.clean(folder))


def beside_taskwarrior(watch: Stopwatch, folder: Path, given: argparse.Namespace) -> tuple[list[Sequence[str]], str]:
    """(the lines of the second table, what stands above it); nothing when taskwarrior is not among those named."""
    if given.names and "taskwarrior" not in given.names:
        return [], ""
    place = folder / "taskwarrior"
    place.mkdir()
    lines: list[Sequence[str]] = []
    try:
        version = taskwarrior.version()
        say(f"taskwarrior {version}")
        for line in taskwarrior.rows(watch, place, given.runs, LONGEST):
            say(f"  {', '.join(line)}")
            lines.append(line)
    except Failed as error:
        return lines, f"taskwarrior: {error}."
    note = (
        f"Task lists, beside taskwarrior {version}. Both have synced what they add before they end. Every tenth task is "
        "done; every tenth of Colony's waits for another, none of taskwarrior's does."
    )
    return lines, note


def _terminated(signal_number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + signal_number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
