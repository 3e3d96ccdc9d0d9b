"""Odd places for a colony: read-only, full, and spread over two file systems. A folder where this can be had with the rights
that the tests have is mounted (`python -m tests.faults.places WHAT FOLDER`, in a mount namespace of its own); injected
faults stand for the same everywhere."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY, clean_environment
from tests.faults import scenario
from tests.faults.harness import Place

STEPS = """\
name: w
steps:
  - {name: a, agent: worker, run: "echo speaks >&2; echo 1"}
  - {name: b, depends_on: [a], run: "echo {{steps.a.output}}"}
"""
FILLED = (
    ("state", "task", "add", "first"), ("state", "task", "add", "second", "--blockers", "first"),
    ("state", "set", "doc", "n=1"), ("state", "memory", "add", "decision", "load by upsert"),
    ("metrics", "record", "m", "1"), ("broadcast", "hello"), ("workflow", "run", "w", "-q"),
)  # fmt: skip
READS = (
    ("status",), ("workflow", "list"), ("workflow", "show", "w"), ("workflow", "graph", "w"), ("workflow", "validate", "w"),
    ("validate",), ("workflow", "status"), ("workflow", "status", "--json"), ("workflow", "history"), ("logs",),
    ("logs", "worker", "--json"), ("metrics", "list"), ("metrics", "show", "m"), ("state", "task", "list"),
    ("state", "task", "ready"), ("state", "task", "show", "first"), ("state", "get", "doc"), ("state", "memory", "search", "load"),
    ("messages", "list"), ("cron", "list"),
)  # fmt: skip
WRITES = (
    ("state", "task", "add", "third"), ("state", "task", "claim", "--agent", "worker"), ("state", "set", "doc", "n+=1"),
    ("state", "memory", "add", "decision", "no"), ("metrics", "record", "m", "2"), ("metrics", "record", "new", "2"),
    ("broadcast", "again"), ("messages", "send", "worker", "again"), ("workflow", "run", "w"),
)  # fmt: skip


def make(root: Path) -> None:
    scenario.empty(root)
    (root / ".colony/workflows/w.yaml").write_text(STEPS)


def fill(place: Place) -> None:
    """Give the colony something of everything."""
    for words in FILLED:
        done = place(*words)
        assert done.code == 0, done


def contents(root: Path) -> dict[str, bytes]:
    """Every file but the locks, whose notes of who holds them are nobody's work."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def answers(place: Place) -> list[tuple[int, str, str]]:
    """What the reading commands say; how long ago something was is left out."""
    return [(done.code, done.out, done.err) for done in (place(*words) for words in READS)]


def refuses(place: Place, why: str) -> None:
    """Every command that writes fails with one line that says why, and nothing at all is changed."""
    before = contents(place.root)
    for words in WRITES:
        done = place(*words)
        assert done.code == 1 and done.out == "" and why in done.err, (words, done)
        assert done.err.startswith(f"colony {words[0]}: ") and done.err.count("\n") == 1, (words, done)
    assert contents(place.root) == before


# ---- with mounts


def namespace() -> list[str] | None:
    """The words before a command that let it mount; None where nothing does."""
    for words in (["unshare", "-m"], ["unshare", "-rm"]):
        try:
            tried = subprocess.run([*words, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
        except FileNotFoundError:
            return None
        if tried.returncode == 0:
            return words
    return None


def mounted(what: str, folder: Path) -> None:
    """Do one of the functions below in a namespace of its own; nothing where that is not allowed."""
    words = namespace()
    if words is None:
        return
    done = subprocess.run(
        [*words, sys.executable, "-m", "tests.faults.places", what, str(folder)],
        cwd=REPOSITORY, env=clean_environment(), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def read_only(folder: Path) -> None:
    place = Place(folder / "place", make)
    fill(place)
    before = answers(place)
    _mount("--bind", str(place.root), str(place.root))
    _mount("-o", "remount,bind,ro", str(place.root))
    assert answers(place) == before
    refuses(place, "Read-only file system")


def full(folder: Path) -> None:
    """A disk of 600 KB that fills up while the colony is used, and is freed again."""
    place = Place(folder / "place", lambda root: _mount("-t", "tmpfs", "-o", "size=600k", "none", str(root)))
    make(place.root)
    (place.root / "ballast").write_bytes(b"x" * 200_000)
    fill(place)
    before = answers(place)
    added = 0
    for _ in range(60):
        done = place("state", "task", "add", "-", input=json.dumps({"title": f"t{added}", "description": "x" * 30_000}) + "\n")
        if done.code != 0:
            break
        added += 1
    assert 3 < added < 60 and done.code == 1 and "No space left on device" in done.err and done.err.count("\n") == 1, done
    kept = contents(place.root)
    with (place.root / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"x" * 4096)
    assert place("metrics", "record", "m", "2").code in (0, 1)  # a block may have room left for a line
    run = place("workflow", "run", "w", "-q")
    assert run.code == 1 and "No space left on device" in run.err, run
    (place.root / "filler").unlink()
    (place.root / "ballast").unlink()
    assert all(data == kept.get(name) for name, data in contents(place.root).items() if name.endswith("tasks.jsonl"))
    assert [code for code, _, _ in answers(place)] == [code for code, _, _ in before]
    titles = [json.loads(line)["title"] for line in place("state", "task", "list", "--json").out.splitlines()]
    assert titles == ["first", "second", *(f"t{n}" for n in range(added))]
    assert place("state", "set", "doc", "n+=1").code == 0 and place("workflow", "run", "w", "-q").code == 0


def two_file_systems(folder: Path) -> None:
    place = Place(folder / "place", make)
    for name in ("state", "runs", "locks"):
        _mount("-t", "tmpfs", "-o", "size=4m", "none", str(place.root / ".colony" / name))
    fill(place)
    assert place("health").out.count("fail") == 0
    assert all(code == 0 for code, _, _ in answers(place))


if __name__ == "__main__":
    {"read_only": read_only, "full": full, "two_file_systems": two_file_systems}[sys.argv[1]](Path(sys.argv[2]))
