"""Peers that are one program and need no server: ninja, doit, luigi, snakemake, redun."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.bench.peers.peer import Graph, Peer, remove


class Ninja(Peer):
    name = "ninja"
    packages = ("ninja",)
    step = "shell command"
    durable = "a line of its log for each step as it ends, never fsynced"

    def write(self, folder: Path, graph: Graph) -> None:
        lines = ["rule step", "  command = $does"]
        for number in range(1, graph.steps + 1):
            before = graph.before(number)
            lines += [f"build s{number}: step{f' s{before}' if before else ''}", f"  does = {graph.shell(number)}"]
        (folder / "build.ninja").write_text("\n".join(lines) + "\n")

    def words(self, folder: Path, graph: Graph) -> Sequence[str]:
        return ("ninja", "-j2")

    def clean(self, folder: Path) -> None:
        remove(folder, ".ninja_log")

    def ran(self, said: str, folder: Path) -> int:
        return len(re.findall(r"^\[\d+/\d+\]", said, re.MULTILINE))


class Doit(Peer):
    name = "doit"
    packages = ("doit",)
    step = "shell command"
    durable = "all of it at the end of the run, never fsynced"

    def write(self, folder: Path, graph: Graph) -> None:
        shell = "echo s{n} >> ledger" if graph.ledger else "true"
        needs = '[f"step:{n - 1}"] if n > 1 else []' if graph.chained else "[]"
        (folder / "dodo.py").write_text(
            "def task_step():\n"
            f"    for n in range(1, {graph.steps + 1}):\n"
            f'        yield {{"name": str(n), "actions": [f"{shell}"], "task_dep": {needs}}}\n'
        )

    def words(self, folder: Path, graph: Graph) -> Sequence[str]:
        return ("doit", "-n", "2")

    def clean(self, folder: Path) -> None:
        for path in folder.glob(".doit.db*"):
            path.unlink()

    def ran(self, said: str, folder: Path) -> int:
        return len(re.findall(r"^\.  step:\d+$", said, re.MULTILINE))


class Luigi(Peer):
    name = "luigi"
    packages = ("luigi",)
    # With two workers it forks for each step, and takes three times as long.
    step = "Python that writes a file, one at a time"
    durable = "the file of each step as it ends, never fsynced"

    def write(self, folder: Path, graph: Graph) -> None:
        needs = "Step(self.n - 1) if self.n > 1 else []" if graph.chained else "[]"
        (folder / "steps.py").write_text(
            "import luigi\n\n"
            "class Step(luigi.Task):\n"
            "    n = luigi.IntParameter()\n\n"
            f"    def requires(self):\n        return {needs}\n\n"
            '    def output(self):\n        return luigi.LocalTarget(f"out/{self.n}")\n\n'
            f"    def run(self):\n        {graph.python('self.n')}\n"
            '        with self.output().open("w"):\n            pass\n\n'
            "class All(luigi.WrapperTask):\n"
            f"    def requires(self):\n        return [Step(n) for n in range(1, {graph.steps + 1})]\n"
        )

    def words(self, folder: Path, graph: Graph) -> Sequence[str]:
        module = ("--module", "steps", "All", "--local-scheduler", "--workers", "1")
        return ("luigi", *module, "--log-level", "WARNING")

    def environment(self, folder: Path) -> dict[str, str]:
        return {"PYTHONPATH": str(folder)}

    def clean(self, folder: Path) -> None:
        remove(folder, "out")

    def ran(self, said: str, folder: Path) -> int:
        return len(list((folder / "out").iterdir()))


class Snakemake(Peer):
    name = "snakemake"
    packages = ("snakemake",)
    step = "shell command and a file"
    durable = "a file and a record of each step as it ends, never fsynced"

    def write(self, folder: Path, graph: Graph) -> None:
        shell = "echo s{wildcards.n} >> ledger" if graph.ledger else "true"
        needs = 'lambda w: [] if w.n == "1" else f"out/{int(w.n) - 1}"' if graph.chained else "[]"
        (folder / "Snakefile").write_text(
            f'rule all:\n    input: expand("out/{{n}}", n=range(1, {graph.steps + 1}))\n\n'
            f'rule step:\n    input: {needs}\n    output: touch("out/{{n}}")\n    shell: "{shell}"\n'
        )

    def words(self, folder: Path, graph: Graph) -> Sequence[str]:
        return ("snakemake", "--cores", "2", "--quiet")

    def clean(self, folder: Path) -> None:
        remove(folder, "out", ".snakemake")

    def ran(self, said: str, folder: Path) -> int:
        return len(list((folder / "out").iterdir()))


class Redun(Peer):
    name = "redun"
    packages = ("redun",)
    steps = 200
    step = "Python in a thread"
    durable = "each step as it ends, in SQLite, fsynced"

    def write(self, folder: Path, graph: Graph) -> None:
        steps = "chain()" if graph.chained else f"[step(n) for n in range(1, {graph.steps + 1})]"
        (folder / "workflow.py").write_text(
            "from redun import task\n\n"
            'redun_namespace = "bench"\n\n\n'
            f"@task()\ndef step(n, after=None):\n    {graph.python('n')}\n    return n\n\n\n"
            "def chain():\n    last = None\n"
            f"    for n in range(1, {graph.steps + 1}):\n        last = step(n, last)\n    return last\n\n\n"
            f"@task()\ndef main():\n    return {steps}\n"
        )
        (folder / "redun.ini").write_text(
            "[backend]\ndb_uri = sqlite:///redun.db\n\n[executors.default]\ntype = local\nmax_workers = 2\n"
        )

    def words(self, folder: Path, graph: Graph) -> Sequence[str]:
        return ("redun", "--config", ".", "run", "workflow.py", "main")

    def clean(self, folder: Path) -> None:
        remove(folder, "redun.db", ".redun")

    def ran(self, said: str, folder: Path) -> int:
        found = re.search(r"bench\.step +\d+ +\d+ +\d+ +\d+ +(\d+)", said)
        return int(found[1]) if found else 0
