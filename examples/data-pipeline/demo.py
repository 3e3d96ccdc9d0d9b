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
import shutil
import signal
import subprocess
import sys
import time
from typing import Any, NoReturn

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
)
DAYS = {
    "2013-02-07": "an ordinary day",
    "2013-02-08": "a blizzard closes the airports",
    "2013-02-12": "calm again, but for a wind gauge at Newark",
}
MARKS = {"completed": "✓", "failed": "✗", "cancelled": "-", "skipped": "-", "interrupted": "✗"}


class Failed(Exception):
    """The demo cannot go on; the text says why."""


def copy_to(folder: str) -> str:
    """The example's own files, copied to `folder`, replacing those that are there; what runs left stays."""
    for name in SOURCES:
        target = os.path.join(folder, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(os.path.join(HERE, name), target)
    return os.path.abspath(folder)


class Colony:
    """The `colony` command in the example's folder."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.environment = dict(os.environ)
        self.environment.pop("COLONY_ROOT", None)
        beside = os.path.join(HERE, "..", "..", "bin")
        if os.path.isfile(os.path.join(beside, "colony")):  # in a checkout: its own commands, by this Python
            first = [os.path.realpath(beside), os.path.dirname(sys.executable)]
            self.environment["PATH"] = os.pathsep.join([*first, self.environment.get("PATH", os.defpath)])
        if not shutil.which("colony", path=self.environment["PATH"]):
            raise Failed("there is no 'colony' on your PATH; run 'make demo' at the top of the checkout")

    def __call__(self, *words: str) -> str:
        """What `colony WORDS` prints; Failed with its own message when it does not exit 0."""
        done = subprocess.run(
            ["colony", *words], cwd=self.root, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise Failed(f"'colony {' '.join(words)}' exited {done.returncode}")
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["colony", *words],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
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


def run_day(colony: Colony, day: str) -> dict[str, Any]:
    """Run daily-etl for the flights of `day`, a line for each step as it ends; the run's record."""
    date = datetime.date.fromisoformat(day)
    night = (date + datetime.timedelta(days=1)).isoformat()
    why = f": {DAYS[day]}" if day in DAYS else ""
    print(f"\n{date:%A} {date.day} {date:%B %Y}{why}")
    process = colony.start("workflow", "run", "daily-etl", "--date", night)
    assert process.stdout is not None
    try:
        run_id = process.stdout.readline().strip()
        if not run_id:
            raise Failed(f"'colony workflow run daily-etl --date {night}' exited {process.wait()}")
        shown: set[str] = set()
        while True:
            over = process.poll() is not None
            run: dict[str, Any] = json.loads(colony("workflow", "status", run_id, "--json"))
            for step in run["steps"]:
                if step["name"] not in shown and step["status"] in MARKS:
                    shown.add(step["name"])
                    show_step(step)
            if over:
                break
            time.sleep(0.15)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait()
        process.stdout.close()
    if run["status"] != "completed":
        raise Failed(f"run {run_id} {run['status']}: {run['error']}")
    return run


def show_step(step: dict[str, Any]) -> None:
    output = step["output"] if isinstance(step["output"], dict) else {}
    mark = "!" if output.get("status") == "WARN" else MARKS[step["status"]]
    said = step["error"] or DETAILS.get(step["name"], lambda output: "")(output)
    print(f"  {mark} {step['name']:<16}{step['duration_seconds'] or 0:>5.1f}s  {said}", flush=True)


def fetched(output: dict[str, Any]) -> str:
    sources = output["sources"]
    parts = [f"{sources[name]['records']:,} {name}" for name in ("flights", "weather") if name in sources]
    tries = sum(source["retries"] for source in sources.values())
    repeats = sum(source["duplicates"] for source in sources.values())
    return f"{', '.join(parts)} and {len(sources) - len(parts)} files; {tries} retries, {repeats} repeats across pages"


def transformed(output: dict[str, Any]) -> str:
    rejected = sum(dataset["rejected"] for dataset in output["datasets"].values())
    return f"{output['record_count']:,} rows in {len(output['datasets'])} datasets, {rejected} set apart"


def validated(output: dict[str, Any]) -> str:
    odd = [check["name"] for check in output["checks"] if not check["passed"]]
    return f"{output['status']}, quality {output['quality_score']:.3f}" + (f": {', '.join(odd)}" if odd else "")


def loaded(output: dict[str, Any]) -> str:
    rows = {name: (table["inserted"], table["updated"]) for name, table in output["tables"].items()}
    inserted, updated = (sum(counts) for counts in zip(*rows.values(), strict=True)) if rows else (0, 0)
    return f"{output['status']}: {inserted:,} rows new, {updated:,} changed, in {len(rows)} tables"


def reported(output: dict[str, Any]) -> str:
    return str(output.get("report", ""))


DETAILS = {
    "fetch-data": fetched,
    "transform-data": transformed,
    "validate-data": validated,
    "load-data": loaded,
    "generate-report": reported,
}


def demo(root: str, days: list[str]) -> None:
    started = time.monotonic()
    colony = Colony(root)
    colony("init")
    subprocess.run([sys.executable, os.path.join(root, "prepare_data.py")], stdout=subprocess.DEVNULL, check=True)
    colony("validate")
    api = Api(root)
    try:
        colony.environment["FLIGHTS_API"] = api.url
        colony.environment.setdefault("DATA_API_KEY", "nyc-2013-demo")
        print(f"Six agents, five steps a day, in {os.path.relpath(root)}; the API is at {api.url}.")
        seconds = [run_day(colony, day)["duration_seconds"] for day in days]
    finally:
        api.stop()
    whole = time.monotonic() - started
    print(f"\n{len(days)} days in {whole:.1f} s; the pipeline took {sum(seconds) / len(days):.1f} s a day.\n")
    where = os.path.relpath(root)
    print(f"Report     {os.path.join(where, 'reports', f'daily_{days[-1]}.md')}")
    print(f"Warehouse  {os.path.join(where, 'warehouse', 'flights.duckdb')}")
    print("Next       " + "\n           ".join(next_commands(where, days[-1])))


def next_commands(where: str, day: str) -> list[str]:
    """Three commands that can be pasted as they stand."""
    installed = os.path.join(sys.prefix, "bin", "colony")
    colony = os.path.relpath(installed) if os.path.isfile(installed) else "colony"
    base = colony if where == "." else f"{colony} -C {where}"
    return [
        f"{base} workflow status",
        f"{base} lineage flights --date {day}",
        f"{base} workflow history daily-etl --limit 10",
    ]


def stop(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="demo.py", allow_abbrev=False, description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("days", nargs="*", metavar="DAY", help="days of 2013, YYYY-MM-DD (default: three of February)")
    parser.add_argument("--into", metavar="DIR", help="work in a copy of the example in DIR")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, stop)
    try:
        for day in args.days:
            if not (datetime.date.fromisoformat(day).isoformat() == day and day.startswith("2013-")):
                raise ValueError
    except ValueError:
        parser.error("a DAY is a date of 2013, written like 2013-07-10")
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
