"""The end of a long log, and the last errors in it, common or rare."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench import bulk
from tests.bench.measure import Command, Failed
from tests.bench.suite import Bench, Figure, Row, Sizes, figure, forget_caches

FEW = 10  # errors of the log in which they are rare: as many as are asked for, and all at the other end
LAST, ERRORS = "≤ 4 × `python3 -c pass`", "≤ 6 × `python3 -c pass`"


def rows(sizes: Sizes) -> list[Row]:
    size = f"{sizes.long_log / 1e9:g} GB" if sizes.long_log >= 1e9 else f"{sizes.long_log / 1e6:g} MB"
    errors = "`logs --level error -n 10`"
    return [
        Row(f"`logs -n 10` on {size}, nothing in `.colony/cache`", LAST),
        Row(f"`logs -n 10` on {size}, again", LAST),
        Row(f"{errors} on {size}, one line in 100 an error, nothing in `.colony/cache`", ERRORS),
        Row(f"{errors} on {size}, one line in 100 an error, again", ERRORS),
        Row(f"{errors} on {size}, its first {FEW} lines errors and no other, nothing in `.colony/cache`", ERRORS),
        Row(f"{errors} on {size}, its first {FEW} lines errors and no other, again", ERRORS),
    ]


def measure(bench: Bench) -> Iterator[Figure]:
    root = bench.colony()
    path = root / ".colony/logs/worker.jsonl"
    last = Command(("colony", "logs", "-n", "10"), root)
    errors = Command(("colony", "logs", "--level", "error", "-n", "10"), root)
    bulk.write(path, bulk.log(bench.sizes.long_log, "worker"))
    for command in (last, errors):
        yield from _cold_and_warm(bench, command)
    path.unlink()
    bulk.write(path, bulk.log(bench.sizes.long_log, "worker", errors=FEW))
    yield from _cold_and_warm(bench, errors)


def _cold_and_warm(bench: Bench, command: Command) -> Iterator[Figure]:
    for before in (lambda: forget_caches(command.folder), None):
        made = bench.beside_python(command._replace(before=before))
        lines = bench.watch.said().count("\n")
        if lines != 10:
            raise Failed(f"'{' '.join(command.words)}' printed {lines} lines, not 10")  # type: ignore[arg-type]
        yield figure(made)
