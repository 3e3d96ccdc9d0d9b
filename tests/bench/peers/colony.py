"""Colony as one of the peers, measured in the same loop: the same graph, the same account of what was done."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bench.peers.peer import Graph, Peer, remove
from tests.conftest import REPOSITORY

COLONY = str(REPOSITORY / "bin" / "colony")


class Colony(Peer):
    name = "colony"
    packages = ()
    step = "shell command"
    durable = "each step before what depends on it starts, and at the end, fsynced"

    def write(self, folder: Path, graph: Graph) -> None:
        subprocess.run([COLONY, "init"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        lines = ["name: steps", "max_parallel: 2", "steps:"]
        for number in range(1, graph.steps + 1):
            before = graph.before(number)
            lines.append(f"  - name: s{number}\n    run: {json.dumps(graph.shell(number))}")
            lines += [f"    depends_on: [s{before}]"] if before else []
        (folder / ".colony" / "workflows" / "steps.yaml").write_text("\n".join(lines) + "\n")

    def words(self, folder: Path, graph: Graph) -> Sequence[str]:
        return (COLONY, "workflow", "run", "steps")

    def clean(self, folder: Path) -> None:
        remove(folder, ".colony/runs")

    def ran(self, said: str, folder: Path) -> int:
        return len(set(re.findall(r"^✓ (s\d+) completed", said, re.MULTILINE)))

    @staticmethod
    def version() -> str:
        done = subprocess.run([COLONY, "--version"], capture_output=True, text=True, check=True)
        return done.stdout.split()[-1]
