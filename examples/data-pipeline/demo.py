#!/usr/bin/env python3
"""Shows the pipeline at work: starts the flights API on a free port and runs days of 2013 through daily-etl.

    demo.py                     three days of February 2013
    demo.py 2013-07-10 ...      days of your own choice
    demo.py --into DIR          the same in a copy of this example, in DIR (made when it is not there)

It only types commands that you can type: colony init, validate, workflow run, workflow status. Run it again, and each
day is fetched, cleaned and checked anew, and the warehouse stays as it was: loads are idempotent.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from typing import IO, Any, NoReturn

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = (
    "colony.yml",
    "pipeline.yml",
    "demo.env",
    "README.md",
    "nyc2013.py",
    "flights_api.py",
    "prepare_data.py",
    "demo.py",
    os.path.join(".colony", ".gitignore"),
    os.path.join(".colony", "workflows", "daily-etl.yaml"),
    os.path.join(".colony", "workflows", "daily-etl-agents.yaml"),
)
DAYS = {
    "2013-02-07": "an ordinary day",
    "2013-02-08": "a blizzard closes the airports",
    "2013-02-12": "calm again, but for a wind gauge at Newark",
}
MARKS = {"completed": "✓", "failed": "✗", "cancelled": "-", "skipped": "-", "interrupted": "✗"}


class Failed(Exception):
    """The demo cannot go on; the text says why."""


class Colony:
    """The `colony` command in the example's folder."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("COLONY_")}
        beside = os.path.realpath(os.path.join(HERE, "..", "..", "bin"))
        if os.path.isfile(os.path.join(beside, "colony")):  # in a checkout: its own commands, by this Python
            path = [beside, os.path.dirname(sys.executable), self.environment.get("PATH", os.defpath)]
            self.environment["PATH"] = os.pathsep.join(path)
        if not shutil.which("colony", path=self.environment.get("PATH")):
            raise Failed("there is no 'colony' on your PATH; run 'make demo' at the top of the checkout")

    def __call__(self, *words: str) -> str:
        """What `colony WORDS` prints; Failed with its own message when it does not exit 0."""
        done = subprocess.run(["colony", *words], cwd=self.root, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"'colony {' '.join(words)}' exited {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            ["colony", *words], cwd=self.root, env=self.environment, stdout=pipe, stderr=pipe, text=True
        )


class Api:
    """The flights API in a process of its own, which ends when this one does, however it ends."""

    def __init__(self, root: str) -> None:
        command = [sys.executable, os.path.join(root, "flights_api.py"), "--port", "0", "--until-eof"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise Failed("the flights API did not start")

    def stop(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


def demo(root: str, days: list[str]) -> None:
    started = time.monotonic()
    colony = Colony(root)
    colony("init")
    subprocess.run([sys.executable, os.path.join(root, "prepare_data.py")], stdout=subprocess.DEVNULL, check=True)
    colony("validate")
    api = Api(root)
    try:
        colony.environment["FLIGHTS_API"] = api.url
        print(f"The colony in {where(root)}: six agents, five steps a day. The API listens at {api.url}.")
        seconds = [run_day(colony, day)["duration_seconds"] for day in days]
    finally:
        api.stop()
    whole, each = time.monotonic() - started, sum(seconds) / len(seconds)
    print(
        f"\n{len(days)} day{'s' * (len(days) > 1)} in {whole:.1f} s, of which the pipeline took {each:.1f} s a day.\n"
    )
    print(f"Report     {os.path.join(where(root), 'reports', f'daily_{days[-1]}.md')}")
    print(f"Warehouse  {os.path.join(where(root), 'warehouse', 'flights.duckdb')}")
    print("Next       " + "\n           ".join(next_commands(root, days[-1])))


def run_day(colony: Colony, day: str) -> dict[str, Any]:
    """Run daily-etl for the flights of `day`, a line for each step as it ends; the run's record."""
    date = datetime.date.fromisoformat(day)
    night = (date + datetime.timedelta(days=1)).isoformat()
    why = f": {DAYS[day]}" if day in DAYS else ""
    print(f"\n{date:%A} {date.day} {date:%B %Y}{why}", flush=True)
    process = colony.start("workflow", "run", "daily-etl", "--date", night)
    assert process.stdout is not None and process.stderr is not None
    try:
        run_id = process.stdout.readline().strip()
        said = [] if run_id else process.stderr.readlines()
        if said:
            raise Failed("".join(said).strip())
        run, said = follow(colony, process.stderr, run_id)
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        process.stdout.close()
        process.stderr.close()
    if run["status"] != "completed":
        raise Failed(f"run {run_id} {run['status']}: {run['error'] or ''.join(said[-1:]).strip()}")
    return run


def follow(colony: Colony, progress: IO[str], run_id: str) -> tuple[dict[str, Any], list[str]]:
    """Print each step when it has ended, until the run has; the run's record, and the lines of `progress`, each of
    which says that there is something to see."""
    shown: set[str] = set()
    said: list[str] = []
    while True:
        line = progress.readline()
        said += [line] if line else []
        run: dict[str, Any] = json.loads(colony("workflow", "status", run_id, "--json"))
        for step in run["steps"]:
            if step["name"] not in shown and step["status"] in MARKS:
                shown.add(step["name"])
                show_step(step)
        if not line:
            return run, said


def show_step(step: dict[str, Any]) -> None:
    output = step["output"] if isinstance(step["output"], dict) else {}
    warned = step["name"] == "validate-data" and output.get("status") == "WARN"
    said = step["error"] or (DETAILS[step["name"]](output) if step["status"] == "completed" else step["status"])
    took = step["duration_seconds"] or 0.0
    print(f"  {'!' if warned else MARKS[step['status']]} {step['name']:<16}{took:>5.1f}s  {said}", flush=True)


def fetched(output: dict[str, Any]) -> str:
    sources = output["sources"]
    flights, hours, files = sources["flights"], sources["weather"]["records"], len(sources) - 2
    said = f"{flights['records']} flights in {flights['pages']} pages, {hours} hours of weather, {files} files"
    for key, words in (("duplicates", "repeats dropped"), ("retries", "tried again"), ("waits", "waited as told")):
        count = sum(source[key] for source in sources.values())
        said += f", {count} {words}" if count else ""
    return said


def transformed(output: dict[str, Any]) -> str:
    apart = f"{output['rejected']} set apart" if output["rejected"] else "none set apart"
    return f"{output['record_count']:,} rows in {len(output['datasets'])} datasets, {apart}"


def validated(output: dict[str, Any]) -> str:
    failed = [f"{name} {check}" for name, dataset in output["datasets"].items() for check in dataset["failed"]]
    return f"{output['status']}, quality {output['quality_score']}" + (f": {', '.join(failed)}" if failed else "")


def loaded(output: dict[str, Any]) -> str:
    tables = output["tables"].values()
    inserted, updated = sum(table["inserted"] for table in tables), sum(table["updated"] for table in tables)
    return f"{inserted:,} rows new, {updated:,} changed, in {len(tables)} tables"


def reported(output: dict[str, Any]) -> str:
    held = [f"{alert['figure']} {alert['condition']}" for alert in output["alerts"] if alert["holds"]]
    return str(output["files"]["markdown"]) + (f"; alert: {', '.join(held)}" if held else "")


DETAILS = {
    "fetch-data": fetched,
    "transform-data": transformed,
    "validate-data": validated,
    "load-data": loaded,
    "generate-report": reported,
}


def where(path: str) -> str:
    """The path as one would type it here."""
    relative = os.path.relpath(path)
    return os.path.abspath(path) if relative.startswith("..") else relative


def next_commands(root: str, day: str) -> list[str]:
    """Three commands that can be pasted as they stand."""
    installed = os.path.join(sys.prefix, "bin", "colony")
    colony = where(installed) if os.path.isfile(installed) else "colony"
    base = colony if where(root) == "." else f"{colony} -C {shlex.quote(where(root))}"
    history = f"{base} workflow history daily-etl  # dated the night after the flights"
    return [history, f"{base} lineage flights --date {day}", f"{base} messages list"]


def copy_to(folder: str) -> str:
    """The example's own files, copied to `folder`, replacing those that are there; what runs left there stays."""
    for name in SOURCES:
        target = os.path.join(folder, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(os.path.join(HERE, name), target)
    return os.path.abspath(folder)


def day_of_2013(text: str) -> str:
    if datetime.date.fromisoformat(text).isoformat() != text or not text.startswith("2013-"):
        raise ValueError(text)
    return text


def interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="demo.py", allow_abbrev=False, description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("days", nargs="*", metavar="DAY", type=day_of_2013, help="days of 2013, written YYYY-MM-DD")
    parser.add_argument("--into", metavar="DIR", help="work in a copy of the example in DIR")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        demo(copy_to(args.into) if args.into else HERE, args.days or list(DAYS))
    except Failed as error:
        print(f"demo.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo.py: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
