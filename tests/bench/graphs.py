"""The same graphs of steps for Colony and for `make`: so many that wait for nothing, or so many in a chain."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.measure import Command, Failed


def names(count: int) -> list[str]:
    return [f"s{number}" for number in range(1, count + 1)]


def workflow(count: int, *, chained: bool) -> str:
    """The workflow as YAML."""
    lines = ["max_parallel: 2", "steps:"]
    before = None
    for name in names(count):
        lines += [f"  - name: {name}", '    run: "true"']
        if chained and before:
            lines.append(f"    depends_on: [{before}]")
        before = name
    return "\n".join(lines) + "\n"


def makefile(count: int, *, chained: bool, recipe: str = "true") -> str:
    """The same as a makefile. Its targets are phony, which spares `make` the search for files and rules."""
    steps = names(count)
    lines = [f".PHONY: all {' '.join(steps)}", f"all: {steps[-1] if chained else ' '.join(steps)}"]
    before = ""
    for name in steps:
        lines += [f"{name}:{before}", f"\t@{recipe}"]
        before = f" {name}" if chained else ""
    return "\n".join(lines) + "\n"


def make(folder: Path, count: int, *, chained: bool, recipe: str = "true") -> Command:
    """`make -s -j2` of the graph.

    The recipe `true` is the floor: `make` starts the program itself, which is quicker than the shell that it needs
    for `true;`, and it is what a user writes. (A step's `run:` is shell text always.)
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"Makefile-{count}-{'chain' if chained else 'wide'}-{'shell' * (recipe != 'true')}"
    path.write_text(makefile(count, chained=chained, recipe=recipe), encoding="utf-8")
    return Command(("make", "-s", "-j2", "-f", path.name), folder)


def write(root: Path, name: str, count: int, *, chained: bool) -> Path:
    """The graph as a workflow of the colony."""
    path = root / ".colony" / "workflows" / f"{name}.yaml"
    path.write_text(f"name: {name}\n{workflow(count, chained=chained)}", encoding="utf-8")
    return path


def completed(status: str, count: int) -> None:
    """Failed unless the run, as `workflow status --json` tells it, is completed and so is each of its steps, once."""
    run = json.loads(status)
    done = sum(step["status"] == "completed" and step["attempts"] == 1 for step in run["steps"])
    if run["status"] != "completed" or done != count:
        raise Failed(f"the run is {run['status']} with {done} of {count} steps completed at once")
