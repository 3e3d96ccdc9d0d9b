"""What a stranger or an accident can hand to Colony: each is refused in one clear line, and nothing at all has changed.

A row of the table is: what it is, the words of the command, the exit status, a part of the error, and the files that are
there before. Each row runs the real executable in a colony of its own, between two looks at every byte around it.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import Colony
from tests.web import Answer, Asked, Web

DAY = "2013-02-08"
LONG = "x" * 200
LINE = 'steps:\n  - {name: one, run: "true"}\n'


class Made:
    """Something in place of a file that is not one."""

    def __init__(self, make: Callable[[Path], Any]) -> None:
        self.make = make


FIFO = Made(os.mkfifo)
FOLDER = Made(Path.mkdir)
OUTSIDE = Made(lambda path: path.symlink_to(path.parents[len(path.parts) - path.parts.index("colony") - 2] / "outside.txt"))
DEVICE = Made(lambda path: path.symlink_to("/dev/zero"))
ITSELF = Made(lambda path: path.symlink_to(path.name))


class Case(NamedTuple):
    what: str
    words: tuple[str, ...]
    code: int
    says: str
    files: dict[str, str | bytes | Made] = {}
    input: str | None = None
    listed: bool = False  # the problems are the result: on standard output, one line each
    may_leave: tuple[str, ...] = ()  # beginnings of paths where the refused is kept on purpose


def flow(what: str, text: str | bytes | Made, says: str) -> Case:
    """A workflow definition that is wrong."""
    return Case(f"a workflow with {what}", ("validate",), 2, says, {".colony/workflows/bad.yaml": text}, listed=True)


def config(what: str, text: str | bytes | Made, says: str) -> Case:
    """A colony.yml that is wrong."""
    return Case(f"a colony.yml with {what}", ("validate",), 2, says, {"colony.yml": text}, listed=True)


def pipeline(what: str, text: str | bytes | Made, says: str, words: tuple[str, ...] = ("fetch",), code: int = 2) -> Case:
    """A pipeline.yml that is wrong."""
    return Case(f"a pipeline.yml with {what}", (*words, "--date", DAY), code, says, {"pipeline.yml": text})


def line(what: str, *words: str, code: int = 2, says: str, input: str | None = None) -> Case:
    """A command line that is wrong."""
    return Case(what, words, code, says, input=input)


def data(what: str, name: str, text: str | bytes | Made | None, says: str, code: int = 2) -> Case:
    """A data file that `validate-data` cannot take."""
    return Case(f"validating {what}", ("validate-data", name, "--date", DAY), code, says, {} if text is None else {name: text})


def state(what: str, path: str, text: str | bytes | Made, says: str, *words: str, code: int = 2) -> Case:
    """Something strange where the colony keeps its state."""
    return Case(what, words, code, says, {f".colony/{path}": text})


def laughs(levels: int = 12) -> str:
    """Ten times ten times ten …: a few hundred bytes that would be terabytes."""
    text = "a0: &a0 [lol, lol]\n"
    for level in range(1, levels):
        text += f"a{level}: &a{level} [" + ", ".join([f"*a{level - 1}"] * 10) + "]\n"
    return text


YAML = [
    flow("a circle of dependencies", 'steps:\n  - {name: a, run: x, depends_on: [b]}\n  - {name: b, run: x, depends_on: [a]}\n', "'a' → 'b' → 'a'"),
    flow("a step that waits for itself", 'steps:\n  - {name: a, run: x, depends_on: [a]}\n', "a"),
    flow("a dependency that is not there", 'steps:\n  - {name: a, run: x, depends_on: [aa]}\n', "aa"),
    flow("the same key twice", "steps:\n  - name: a\n    run: x\n    run: y\n", "bad.yaml:4: "),
    flow("the same step twice", 'steps:\n  - {name: a, run: x}\n  - {name: a, run: y}\n', "twice"),
    flow("a billion laughs", laughs() + LINE, "alias"),
    flow("an alias of itself", "steps: &s\n  - *s\n", "bad.yaml:"),
    flow("a Python object", "steps: !!python/object/apply:os.system ['touch pwned']\n", "python"),
    flow("a Python name", "name: !!python/name:os.system\n" + LINE, "python"),
    flow("a tag of its own", "name: !vault secret\n" + LINE, "vault"),
    flow("tabs for indentation", "steps:\n\t- name: a\n\t  run: x\n", "tab"),
    flow("a NUL byte", b"steps:\n  - {name: a, run: 'x\x00y'}\n", "bad.yaml:"),
    flow("an escape sequence in a key", 'steps:\n  - {name: a, run: x, "\\e[2Jk": 1}\n', "\\x1b"),
    flow("bytes that are not UTF-8", b"steps:\n  - {name: a, run: 'caf\xe9'}\n", "UTF-8"),
    flow("UTF-16", "steps: []\n".encode("utf-16"), "bad.yaml"),
    flow("nothing in it", "", "bad.yaml"),
    flow("only a comment in it", "# nothing\n", "bad.yaml"),
    flow("a list at the top", "- a\n- b\n", "bad.yaml"),
    flow("a number at the top", "42\n", "bad.yaml"),
    flow("two documents", LINE + "---\n" + LINE, "bad.yaml"),
    flow("an unclosed bracket", "steps: [\n", "not YAML"),
    flow("a hundred thousand brackets", "steps: " + "[" * 100_000, "deep"),
    flow("five megabytes of it", "# " + "x" * 5_000_000 + "\n" + LINE, "bad.yaml"),
    flow("steps that are a text", "steps: all of them\n", "bad.yaml:1"),
    flow("steps that are a mapping", "steps: {a: {run: x}}\n", "bad.yaml"),
    flow("no steps", "steps: []\n", "bad.yaml"),
    flow("a step that is a text", "steps: [hello]\n", "bad.yaml"),
    flow("an unknown key", "steps:\n  - {name: a, run: x, timout: 5s}\n", "did you mean 'timeout'?"),
    flow("a step named after the folder above", "steps:\n  - {name: ../../x, run: x}\n", "bad.yaml:2"),
    flow("a step named as a command to run", "steps:\n  - {name: $(touch pwned), run: x}\n", "bad.yaml:2"),
    flow("a step whose name is empty", 'steps:\n  - {name: "", run: x}\n', "bad.yaml:2"),
    flow("a step whose name is 200 characters", f"steps:\n  - {{name: {LONG}, run: x}}\n", "bad.yaml:2"),
    flow("a step named by a number", "steps:\n  - {name: 1e3, run: x}\n", "bad.yaml"),
    flow("a timeout that is not a number", "steps:\n  - {name: a, run: x, timeout: .nan}\n", "'.nan' is no JSON number"),
    flow("a timeout below nothing", "steps:\n  - {name: a, run: x, timeout: -5s}\n", "timeout"),
    flow("a timeout without end", "steps:\n  - {name: a, run: x, timeout: .inf}\n", "'.inf' is no JSON number"),
    flow("a hundred million million attempts", "steps:\n  - {name: a, run: x, retry: {max_attempts: 100000000000000}}\n", "max_attempts"),
    flow("a reference to a step that is not there", "steps:\n  - {name: a, run: 'echo {{steps.b.output}}'}\n", "b"),
    flow("a reference that does not end", "steps:\n  - {name: a, run: 'echo {{steps.b'}\n", "bad.yaml:2"),
    flow("a reference with code in it", "steps:\n  - {name: a, run: 'echo {{__import__(\"os\")}}'}\n", "bad.yaml:2"),
    flow("a condition with code in it", "steps:\n  - {name: a, run: x, when: '__import__(\"os\").system(\"touch pwned\")'}\n", "bad.yaml:2"),
    flow("an agent that is not there", "steps:\n  - {name: a, run: x, agent: wroker}\n", "did you mean 'worker'?"),
    flow("an agent that is a path", "steps:\n  - {name: a, run: x, agent: ../../etc/passwd}\n", "bad.yaml:2"),
    flow("an output_schema of no type there is", "steps:\n  - {name: a, run: x, output_schema: {type: nonsense}}\n", "bad.yaml:2"),
    flow("a schedule on the 32nd", "trigger: {type: schedule, cron: '0 0 32 * *'}\n" + LINE, "bad.yaml"),
    flow("a FIFO for a file", FIFO, "not a regular file"),
    flow("a folder for a file", FOLDER, "bad.yaml"),
    flow("a link to itself for a file", ITSELF, "bad.yaml"),
    flow("an endless device for a file", DEVICE, "bad.yaml"),
    config("nothing in it", "", "colony.yml"),
    config("the same key twice", "name: a\nname: b\n", "colony.yml:2"),
    config("the same agent twice", "name: a\nagents: [{id: a}, {id: a}]\n", "twice"),
    config("an unknown key", "nme: x\n", "did you mean 'name'?"),
    config("a billion laughs", laughs(), "alias"),
    config("agents that are a number", "name: a\nagents: 7\n", "agents"),
    config("an agent named after the folder above", "name: a\nagents: [{id: ../x}]\n", "colony.yml:2"),
    config("an agent named as an option", "name: a\nagents: [{id: -rf}]\n", "colony.yml:2"),
    config("an agent named '..'", "name: a\nagents: [{id: ..}]\n", "colony.yml:2"),
    config("a Python object", "name: !!python/object/new:os.system [touch pwned]\n", "python"),
    config("an anchor merged into itself", "name: &n\n  <<: *n\n", "colony.yml"),
    config("binary in it", bytes(range(256)), "colony.yml"),
    config("a FIFO in its place", FIFO, "not a regular file"),
    pipeline("nothing in it", "", "pipeline.yml"),
    pipeline("a text at the top", "hello\n", "pipeline.yml"),
    pipeline("the same source twice", "version: 1\nsources:\n  a: {type: file, path: x}\n  a: {type: file, path: y}\n", "pipeline.yml:4"),
    pipeline("a source named after the folder above", "version: 1\nsources: {../x: {type: file, path: x.csv}}\n", "../x"),
    pipeline("a source of no known type", "version: 1\nsources: {a: {type: ftp, path: x}}\n", "ftp"),
    pipeline("an unknown key", "version: 1\nsources: {a: {type: file, pth: x}}\n", "did you mean 'path'?"),
    pipeline("a billion laughs", laughs(), "alias"),
    pipeline("a FIFO in its place", FIFO, "not a regular file", code=1),
    pipeline("a version of the future", "version: 99\nsources: {}\n", "version"),
    pipeline("a link out of the web", "version: 1\nsources: {a: {type: rest, url: 'file:///etc/passwd', records: d}}\n", "http"),
    pipeline("a table named as SQL", "version: 1\ndatasets: {a: {load: {table: 'x; drop table y', mode: append}}}\n", "pipeline.yml:2", ("load",)),
    pipeline("a rule that is code", "version: 1\ndatasets: {a: {checks: [{name: c, rule: '__import__(\"os\").system(\"touch pwned\")'}]}}\n", "pipeline.yml:2", ("validate-data",)),
]

NAMES = {
    "the folder above": "../x",
    "an absolute path": "/etc/passwd",
    "a path": "a/b",
    "one dot": ".",
    "two dots": "..",
    "nothing": "",
    "200 characters": LONG,
    "a command substitution": "$(touch pwned)",
    "a second command": ";touch pwned",
    "a command in backticks": "`touch pwned`",
    "a line break": "a\nb",
    "an escape sequence": "\x1b[2J",
    "digits of another script": "١٢٣",
    "bytes that are not UTF-8": "\udcff\udcfe",
}

FEW = ["the folder above", "an absolute path", "nothing", "200 characters", "a command substitution", "a line break"]

# The commands that take a name: its place, the status and the words when it is refused, and which of the names to try.
NAMED: dict[str, tuple[tuple[str, ...], int, str, list[str]]] = {
    "a document": (("state", "set", "{}", "a=1"), 2, "is not a name for a document", list(NAMES)),
    "a metric": (("metrics", "record", "{}", "1"), 2, "is not a name for a metric", list(NAMES)),
    "an agent to message": (("messages", "send", "{}", "hello"), 2, "agent", FEW),
    "an agent of a task": (("state", "task", "add", "t", "--agent={}"), 2, "agent", FEW),
    "an id of a task": (("state", "task", "add", "t", "--id={}"), 2, "is not a name for a task", FEW),
    "a run": (("workflow", "cancel", "{}"), 1, "run", FEW),
}


def names() -> Iterator[Case]:
    for subject, (words, code, says, tried) in NAMED.items():
        for kind in tried:
            yield Case(f"{subject} whose name is {kind}", tuple(w.replace("{}", NAMES[kind]) for w in words), code, says)


FLIGHTS: dict[str, str | bytes | Made] = {"pipeline.yml": "version: 1\ndatasets: {flights: {}}\n"}

LINES = [
    line("a command that there is not", "stats", says="did you mean"),
    line("a command that is a path", "../../bin/sh", says="unknown command"),
    line("a command that is a substitution", "$(touch pwned)", says="unknown command"),
    line("an empty command", "", says="command"),
    line("a workflow whose name is a command", "workflow", "run", "$(touch pwned)", says="workflow"),
    line("a workflow whose name is nothing", "workflow", "run", "", says="workflow"),
    line("a workflow whose name is an escape sequence", "workflow", "run", "\x1b[2J", says="\\x1b[2J"),
    line("a workflow whose name is of 200 characters", "workflow", "run", LONG, says="workflow"),
    line("a workflow in a file that is not there", "workflow", "run", "../x", code=1, says="there is no file '../x'"),
    line("a workflow in a file that is none", "workflow", "run", "/etc/passwd", says="/etc/passwd"),
    line("an option that there is not", "state", "task", "list", "--jsn", says="did you mean '--json'?"),
    line("an option cut short", "state", "task", "list", "--js", says="--js"),
    line("a subcommand that there is not", "state", "task", "remove", "x", says="remove"),
    line("no subcommand", "workflow", says="colony workflow"),
    line("a word too many", "status", "now", says="now"),
    line("a folder that is not there", "-C", "nowhere", "status", says="nowhere"),
    line("a metric that is not a number", "metrics", "record", "m", "NaN", says="NaN"),
    line("a metric that is infinite", "metrics", "record", "m", "inf", says="inf"),
    line("a metric that is too great", "metrics", "record", "m", "1e999", says="too large"),
    line("a metric in digits of another script", "metrics", "record", "m", "٣", says="٣"),
    line("a metric with an underscore", "metrics", "record", "m", "1_000", says="1_000"),
    line("a metric that is a text", "metrics", "record", "m", "$(touch pwned)", says="not a number"),
    line("a label without a value", "metrics", "record", "m", "1", "--label", "k", says="k"),
    line("a time that is none", "metrics", "record", "m", "1", "--at", "2013-02-30", says="2013-02-30"),
    line("a condition that is code", "metrics", "check", "m", "< __import__('os')", says="is not a number"),
    line("hours below nothing", "metrics", "show", "m", "--hours", "-1", says="-1"),
    line("hours that are not a number", "metrics", "show", "m", "--hours", "nan", says="nan"),
    line("hours without end", "metrics", "show", "m", "--hours", "inf", says="inf"),
    line("more hours than there were", "metrics", "show", "m", "--hours", "1e300", says="1e300"),
    line("lines below nothing", "logs", "-n", "-5", says="-5"),
    line("more lines than there are numbers", "logs", "-n", "9" * 5000, says="9"),
    line("a pattern that is not closed", "logs", "--pattern", "(", says="pattern"),
    line("a level that there is not", "logs", "--level", "loud", says="loud"),
    line("a time of logs that is none", "logs", "--since", "yesterday-ish", says="yesterday-ish"),
    line("a date that is none", "fetch", "--date", "2013-02-30", says="2013-02-30"),
    line("a date that is a path", "report", "--date", "../../x", says="../../x"),
    line("a date in digits of another script", "validate-data", "--date", "٢٠١٣-٠٢-٠٨", says="date"),
    line("a batch out of range", "transform", "--batch", "3/2", says="3/2")._replace(files=FLIGHTS),
    line("a batch of nothing", "transform", "--batch", "0/0", says="0/0")._replace(files=FLIGHTS),
    line("a priority out of range", "state", "task", "add", "t", "--priority", "99", says="99"),
    line("a priority in digits of another script", "state", "task", "add", "t", "--priority", "٣", says="٣"),
    line("a task without a title", "state", "task", "add", "", says="title"),
    line("a title of blanks", "state", "task", "add", " \t ", says="title"),
    line("a task that waits for what is not there", "state", "task", "add", "t", "--blockers", "nothing", code=1, says="nothing"),
    line("a task that is not there", "state", "task", "complete", "$(touch pwned)", code=1, says="task"),
    line("a result that is not JSON", "state", "task", "complete", "x", "--result", "{", says="JSON"),
    line("a status that there is not", "state", "task", "update", "x", "finished", says="finished"),
    line("an empty memory", "state", "memory", "add", "decision", "", says="text"),
    line("a change of a document that is none", "state", "set", "doc", "novalue", says="novalue"),
    line("a change of a document to NaN", "state", "set", "doc", "a=NaN", "--if", "b=NaN", says="NaN"),
    line("a path of a document that is empty", "state", "set", "doc", "=1", says="path"),
    line("a document that is not there", "state", "get", "nothing", code=1, says="nothing"),
    line("an empty message", "broadcast", "", says="the message is empty"),
    line("a wait below nothing", "broadcast", "x", "--lock-timeout=-1s", says="-1s"),
    line("a wait that is not a time", "broadcast", "x", "--lock-timeout", "soon", says="soon"),
    line("a limit below nothing", "workflow", "history", "--limit", "-1", says="-1"),
    line("a run without a workflow", "run-step", "latest", "x", code=1, says="run"),
    line("a run to do again whose name is a path", "workflow", "rerun", "../../runs", code=1, says="unknown run"),
    line("a workflow to backfill whose name is a path", "workflow", "backfill", "../x", "--from", DAY, "--to", DAY, code=1, says="there is no file '../x'"),
    line("a backfill of ten thousand years", "workflow", "backfill", "w", "--from", "0001-01-01", "--to", "9999-12-31", says="at most 3,660"),
    line("a budget that is code", "workflow", "backfill", "w", "--from", DAY, "--to", DAY, "--budget", "usd=$(touch pwned)", says="dollars"),
    line("runs to remove of a workflow whose name is a path", "workflow", "prune", "../x", "--keep-days", "1", code=1, says="unknown workflow"),
    line("more days to keep than there are numbers", "workflow", "prune", "--keep-days", "9" * 5000, says="whole number"),
    line("more times than there are", "cron", "next", "-n", "1" * 50, says="1"),
]

DATA = [
    data("a file that is not there", "none.csv", None, "there is no file 'none.csv'", 1),
    data("a FIFO", "rows.csv", FIFO, "not a regular file", 1),
    data("a link to itself", "rows.json", ITSELF, "symbolic links 'rows.json'", 1),
    data("JSON that breaks off", "rows.json", '[{"a": 1}, {"a": ', "not JSON"),
    data("HTML for JSON", "rows.json", "<!doctype html><title>Sign in</title>", "not JSON"),
    data("NaN in JSON", "rows.json", '[{"a": NaN}]', "NaN"),
    data("a hundred thousand brackets", "rows.json", "[" * 100_000, "deep"),
    data("half a character in JSON", "rows.json", '[{"a": "\\ud800"}]', "UTF-8"),
    data("a text for rows", "rows.json", '"rows"', "rows.json"),
    data("a CSV with the same column twice", "rows.csv", "a,a\n1,2\n", "the column 'a' twice at rows.csv:1", 1),
]

STATE = [
    state("a FIFO for the tasks", "state/tasks.jsonl", FIFO, "not a regular file", "state", "task", "list", code=1),
    state("a FIFO for the tasks that are written", "state/tasks.jsonl", FIFO, "not a regular file", "state", "task", "add", "x", code=1),
    state("a folder for the tasks", "state/tasks.jsonl", FOLDER, "tasks.jsonl", "state", "task", "add", "x", code=1),
    state("a link out of the colony for the tasks", "state/tasks.jsonl", OUTSIDE, "tasks.jsonl", "state", "task", "add", "x", code=1),
    state("a link to itself for the tasks", "state/tasks.jsonl", ITSELF, "tasks.jsonl", "state", "task", "list", code=1),
    state("an endless device for the tasks", "state/tasks.jsonl", DEVICE, "tasks.jsonl", "state", "task", "list", code=1),
    state("a FIFO for the messages", "messages/messages.jsonl", FIFO, "not a regular file", "messages", "list", code=1),
    state("a link out of the colony for the messages", "messages/messages.jsonl", OUTSIDE, "messages.jsonl", "broadcast", "x", code=1),
    state("a FIFO for the memory", "state/memory.jsonl", FIFO, "not a regular file", "state", "memory", "add", "decision", "x", code=1),
    state("a FIFO for a metric", "metrics/m.jsonl", FIFO, "not a regular file", "metrics", "record", "m", "1", code=1),
    state("a link out of the colony for a metric", "metrics/m.jsonl", OUTSIDE, "m.jsonl", "metrics", "record", "m", "1", code=1),
    state("a FIFO for a document", "state/doc.json", FIFO, "not a regular file", "state", "get", "doc", code=1),
    state("a document that breaks off", "state/doc.json", '{"a": 1', "not JSON", "state", "set", "doc", "b=2"),
    state("a document of a hundred thousand brackets", "state/doc.json", "[" * 100_000, "deep", "state", "get", "doc"),
    state("a document that is binary", "state/doc.json", bytes(range(256)), "UTF-8", "state", "set", "doc", "b=2"),
    state("an empty document", "state/doc.json", "", "doc.json", "state", "set", "doc", "b=2"),
    state("a FIFO for a log", "logs/worker.jsonl", FIFO, "not a regular file", "logs", "worker", code=1),
]

TABLE = [*YAML, *names(), *LINES, *DATA, *STATE]


MORE = b"x" * 65536


def hops(asked: Asked) -> Answer:
    return Answer({}, 302, {"Location": f"/hop{asked.number}"})


def again(asked: Asked) -> Answer:
    """The same page behind every link."""
    return Answer({"d": [{"id": 1}], "next": "x"}, headers={"Link": '</r?page=1>; rel="next"'})


# What a server replies, what is asked of it, and a part of the error. The source is of type rest, its records in `d`.
REPLIES: list[tuple[str, Any, str, str]] = [
    ("HTML", Answer(b"<!doctype html><title>Sign in</title>", headers={"Content-Type": "text/html"}), "", "HTML instead of JSON ('Sign in')"),
    ("nothing", Answer(b""), "", "not JSON"),
    ("JSON that breaks off", Answer(b'{"d": [{"id": 1}, {"id'), "", "not JSON"),
    ("JSON with NaN", Answer(b'{"d": [{"id": NaN}]}'), "", "NaN"),
    ("JSON with a number too great", Answer(b'{"d": [{"id": 1e999}]}'), "", "1e999"),
    ("JSON of a hundred thousand brackets", Answer(b"[" * 100_000), "", "deep"),
    ("JSON that is not UTF-8", Answer(b'{"d": [{"id": "\xff\xfe"}]}'), "", "UTF-8"),
    ("a text where the records should be", Answer({"d": "none"}), "", "d"),
    ("no records where they should be", Answer({"data": []}), "", "d"),
    ("a total that does not come true", Answer({"d": [{"id": 1}], "total": 5}), "pagination: {type: page, total: total}, max_pages: 4", "there are more than 4 pages"),
    ("a total that is not a number", Answer({"d": [{"id": 1}], "total": "many"}), "pagination: {type: page, total: total}, max_pages: 4", "total"),
    ("redirects without end", hops, "", "redirect"),
    ("a redirect to a file", Answer({}, 302, {"Location": "file:///etc/passwd"}), "", "redirects to what is no URL"),
    ("a next link that leads to itself", again, "pagination: {type: link}", "page"),
    ("a cursor that leads to itself", again, "pagination: {type: cursor, param: after, next: next}", "x"),
    ("compressed rubbish", Answer(b"rubbish", headers={"Content-Encoding": "gzip"}), "", "s"),
    ("a page that says no", Answer({"error": "$(touch pwned)\x1b[2J"}, 403), "", "403"),
    ("a wait of a century", Answer({}, 429, {"Retry-After": "3153600000"}), "", "; try again after 20"),
]


def look(folder: Path) -> dict[str, Any]:
    """Every name under the folder with what is there, but for locks and caches, which hold nothing of their own."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.startswith(("colony/.colony/cache", "colony/.colony/locks")):
            continue
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        else:
            found[name] = ("file", path.read_bytes()) if path.is_file() else (path.stat().st_mode,)
    return found


def place(colony: Colony, files: dict[str, str | bytes | Made]) -> None:
    """Put the files there, and beside the colony what must not be touched."""
    (colony.root.parent / "outside.txt").write_text("not yours\n")
    for folder in ("home", "tmp"):
        (colony.root.parent / folder).mkdir()
    for name, text in files.items():
        path = colony.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, Made):
            path.unlink(missing_ok=True)
            text.make(path)
        else:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())


def attempt(colony: Colony, case: Case, **env: str) -> None:
    """Run the case and hold it against the row."""
    place(colony, case.files)
    above = colony.root.parent
    before = look(above)
    kept = {"HOME": str(above / "home"), "TMPDIR": str(above / "tmp"), **env}
    done = colony(*case.words, input=case.input, env=kept, check=False, timeout=120)
    told = done.out if case.listed else done.err
    assert done.code == case.code, done
    assert case.says in told, done
    assert "Traceback" not in done.out + done.err
    assert not any(ord(sign) < 32 and sign != "\n" for sign in done.out + done.err), "controls reach the terminal"
    assert max(map(len, told.split("\n"))) < 1000, "an error is to be read"
    assert done.err.count("\n") == 1 and done.err.endswith("\n"), done
    if not case.listed:
        assert done.err.startswith("colony"), done
        assert done.out == "", done
    after = look(above)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {name for name in changed if not name.startswith(case.may_leave or ("//",))} == set()
    assert not any("pwned" in name for name in after)


@pytest.mark.parametrize("case", TABLE, ids=[case.what for case in TABLE])
def test_it_is_refused_in_one_line_and_nothing_changed(colony: Colony, case: Case) -> None:
    attempt(colony, case)


# What a fetch that failed leaves on purpose: what cannot be read in the quarantine, and that and how often it failed.
KEPT = ("colony/staging", *(f"colony/.colony/{folder}/" for folder in ("lineage", "state", "logs", "metrics")))


@pytest.mark.parametrize(("what", "reply", "asks", "says"), REPLIES, ids=[f"a server that replies with {row[0]}" for row in REPLIES])
def test_a_reply_is_refused_in_one_line_and_no_data_comes_of_it(
    colony: Colony, what: str, reply: Any, asks: str, says: str
) -> None:
    source = f"{{type: rest, url: $API/r, records: d, retry: {{max_attempts: 1, delay: 1ms}}{asks and ', ' + asks}}}"
    files = {"pipeline.yml": f"version: 1\nsources:\n  s: {source}\n"}
    code = 75 if "wait" in what else 1
    with Web(reply if callable(reply) else lambda _: reply) as web:
        attempt(colony, Case(what, ("fetch", "--date", DAY), code, says, files, may_leave=KEPT), API=web.url)
        assert 1 <= len(web.asked) <= (1 if code == 75 else 40)
    assert not list(colony.root.glob("staging/raw/*"))


def test_a_reply_of_500_megabytes_is_left_at_the_first_too_many(colony: Colony) -> None:
    source = "{type: rest, url: $API/r, records: d, max_bytes: 1MB, retry: {max_attempts: 1, delay: 1ms}}"
    files = {"pipeline.yml": f"version: 1\nsources:\n  s: {source}\n"}
    case = Case("500 MB", ("fetch", "--date", DAY), 1, "larger than max_bytes", files, may_leave=KEPT)
    with Web(lambda _: Answer(itertools.repeat(MORE, 8000))) as web:
        attempt(colony, case, API=web.url)
        assert len(web.asked) == 1
        assert web.sent < 20_000_000
    assert not list(colony.root.glob("staging/raw/*"))


# Rows that are read, and found wanting: the judgement is the result, and the report of it is kept.
JUDGED: list[tuple[str, str, bytes, int, str]] = [
    ("an empty CSV", "rows.csv", b"", 0, "WARN  rows  0 records"),
    ("a CSV with ragged rows", "rows.csv", b"a,b\n1,2\n1\n1,2,3\n", 1, "FAIL  rows"),
    ("a CSV with a NUL", "rows.csv", b"a,b\n1,\x002\n", 1, "FAIL  rows"),
    ("a CSV that is not UTF-8", "rows.csv", b"a,b\n1,caf\xe9\n", 1, "FAIL  rows"),
    ("JSON rows that are numbers", "rows.json", b"[1, 2]", 1, "FAIL  rows"),
    ("a CSV of formulas and commands", "rows.csv", b"a,b\n=cmd|' /C calc'!A0,$(touch pwned)\n", 0, "PASS  rows  1 record"),
]


@pytest.mark.parametrize(("what", "name", "text", "code", "says"), JUDGED, ids=[row[0] for row in JUDGED])
def test_rows_that_can_be_read_are_judged(colony: Colony, what: str, name: str, text: bytes, code: int, says: str) -> None:
    place(colony, {name: text})
    before = look(colony.root.parent)
    done = colony("validate-data", name, "--date", DAY, check=False)
    assert done.code == code, done
    assert done.out.startswith(says), done
    assert done.err.count("\n") == code, done
    assert "Traceback" not in done.err
    after = look(colony.root.parent)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    new = ("colony/reports", "colony/.colony/", "colony/staging")
    assert {path for path in changed if not path.startswith(new)} == set()
    assert not any("pwned" in path for path in after)


# Words that are only text: taken as they are, kept as they are, and never run.
TEXTS = ["$(touch pwned)", "'; touch `touch pwned`; '", "-rf", "\x1b[2J\x07", "a\nb\r\nc", "{{item}}"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_kept_as_it_is_and_never_run(colony: Colony, text: str) -> None:
    place(colony, {})
    colony("messages", "send", "worker", "--", text)
    plain = colony("messages", "list").out
    assert not any(ord(sign) < 32 and sign != "\n" for sign in plain)
    assert colony.lines("messages", "list", "--json")[-1]["text"] == text
    colony.workflow("w", "steps:\n  - {name: one, run: \"printf '%s' {{input.text}} > got; true {{input.text}}\"}\n")
    colony("workflow", "run", "w", "--quiet", "--input", json.dumps({"text": text}))
    assert (colony.root / "got").read_bytes() == text.encode()
    assert not list(colony.root.parent.rglob("*pwned*"))


# A journal with damage in it is read past: what is whole is printed, the damage is named in one line, nothing is lost.
DAMAGE: dict[str, bytes] = {
    "binary": bytes(byte for byte in range(256) if byte != 10),
    "HTML": b"<html>",
    "an empty object": b"{}",
    "a list": b"[1]",
    "NaN": b'{"v": 1, "id": NaN}',
    "a hundred thousand brackets": b"[" * 100_000,
    "five megabytes": b'{"v": 1, "id": "' + b"x" * 5_000_000,
    "half a character": b'{"v": 1, "id": "\\ud800"}',
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=[f"a line of {what}" for what in DAMAGE])
def test_a_damaged_line_is_named_and_what_is_whole_is_read(colony: Colony, damage: bytes) -> None:
    colony("state", "task", "add", "first")
    journal = colony.root / ".colony/state/tasks.jsonl"
    journal.write_bytes(journal.read_bytes() + damage + b"\n")
    done = colony("state", "task", "list", "--json")
    assert [json.loads(row)["title"] for row in done.out.splitlines()] == ["first"]
    assert done.err.startswith("colony state: skipped an unreadable line at ") and "tasks.jsonl:2: " in done.err
    assert done.err.count("\n") == 1 and len(done.err) < 1000
    colony("state", "task", "add", "second")
    assert damage in journal.read_bytes()
    titles = [row["title"] for row in colony.lines("state", "task", "list", "--json")]
    assert titles == ["first", "second"]
