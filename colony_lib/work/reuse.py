"""Whether a step's work has been done before: what decides its output is its key; an earlier success with the same key
gives its output, and where there is none, the words say what differs.

A key is {v, command, instructions, agent, env: {NAME}, output_schema, expect, references: {"{{…}}"}, inputs: {file},
context}, all of it digests but the agent's id. It holds nothing of Colony itself and no line number, so that neither an
upgrade nor a comment in the workflow makes paid work be done again. `context` is what the command finds on its standard
input: it counts for commands that were seen to read it.
"""

from __future__ import annotations

import glob
import os
import re

from colony_lib.base import files, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.store import paths, references, runs, successes
from colony_lib.store.digests import Digests
from colony_lib.store.digests import stamp as stamp_of
from colony_lib.store.successes import digest, ordered
from colony_lib.work import evidence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from colony_lib.work.engine import Schedule

    Record = dict[str, Any]

INLINE = 32 * 1024  # bytes; a larger key is a file of its own beside the journal
SHOWN = 3  # differences that are told
_NONE = "no earlier success on record"
# What a command can take without a reference, by its text; then it counts as if it were referred to.
_IMPLIED = (
    (re.compile(r"COLONY_DATE|\bcolony[ -](?:fetch|transform|validate-data|load|report)\b"), "{{date}}"),
    (re.compile(r"COLONY_RUN_ID"), "{{run.id}}"),
    (re.compile(r"COLONY_BATCH_ID"), "{{batch_id}}"),
)
_PARTS = {
    "command": "the command changed",
    "instructions": "the instructions changed",
    "agent": "it is another agent's",
    "output_schema": "the output_schema changed",
    "expect": "what it expects changed",
    "asked": "the agent's prompt, model or tools changed",
    "context": "what it reads on standard input is another value",
}


class Reuse:
    """Looks for earlier successes for one run. `breathe` is called now and then while files are read, and may raise
    to give up."""

    def __init__(self, run: runs.Run, schedule: Schedule, breathe: Callable[[], None]) -> None:
        self.run = run
        self.schedule = schedule
        self._digests = Digests(breathe)
        self._successes: successes.Successes | None = None
        self._others: dict[str, runs.Run] = {}
        self._stretched: dict[str, str] = {}

    def look(self, job: Record) -> Record | None:
        """For a unit of a step with `cache`, the record to journal before anything else is done: step_cached, with an
        earlier success's output, or step_keyed, with the reason why there is none to take. None when the journal
        says the same already. A job that is to be done is told the inputs that it must leave alone."""
        name, batch = job["step"], job["batch"]
        step = self.run.step(name)
        unit = step.unit(batch)
        scope = self.schedule.scope(step.definition, batch)
        try:
            found, unmatched = inputs(step.definition, scope)
            read = {shown: self._digests.of(path) for shown, path in found.items()}
        except (ColonyError, OSError) as error:
            what = error.what if isinstance(error, ColonyError) else f"{error.strerror} '{error.filename}'"
            return runs.record("step_keyed", step=name, batch=batch, why=f"not cached: {what}")
        job["inputs"] = {shown: [found, *stamp] for shown, (found, stamp) in read.items()}
        key = self._key(step.definition, scope, job)
        hint = f"; no file matches '{unmatched[0]}'" if unmatched else ""
        why = self._forbidden(name)
        if why is None:
            earlier, why = self._earlier(step, batch, key, job["folder"])
            taken = self._take(earlier, step, batch) if earlier is not None else None
            if taken is not None:
                taken["why"] += hint
                return taken | self._kept(key, name, batch)
        if unit.reuse is not None and self.run.key(unit) == key:
            return None
        kept = self._kept(key, name, batch)
        return runs.record("step_keyed", step=name, batch=batch, why=f"not cached: {why}{hint}", **kept)

    def close(self) -> None:
        self._digests.keep()

    # -- the key

    def _key(self, definition: Record, scope: references.Scope, job: Record) -> Record:
        expect = (definition.get("expect") or {}).get("files") or []
        # Named one by one: what later versions may add to a context must not make what earlier ones did look different.
        context = [job["context"][name] for name in ("workflow", "date", "input", "item", "batch_id")]
        context += [[name, step["status"], step["output"]] for name, step in job["context"]["steps"].items()]
        given = definition.get("env") or {}
        task = job["context"].get("task")
        asked = (
            {} if task is None else {"asked": digest([task["runner"], task["model"]["asked"], ordered(task["agent"])])}
        )
        return {
            "v": 1,
            "command": digest(definition.get("run")),
            "instructions": digest(definition.get("instructions")),
            "agent": definition.get("agent"),
            "env": {name: self._variable(name, job["env"][name], job["secrets"]) for name in given},
            "output_schema": digest(ordered(definition.get("output_schema"))),
            "expect": digest(expect),
            "references": {text: digest(_value(text, scope)) for text in _referred(definition)},
            "inputs": {shown: seen[0] for shown, seen in job["inputs"].items()},
            "context": digest(context),
            **asked,
        }

    def _variable(self, name: str, value: str, secrets: Record) -> str:
        """A digest of the variable's value; of one that holds a secret such a digest as cannot be guessed at speed."""
        if not any(secret in value for secret in secrets.values() if secret):
            return digest(value)
        if value not in self._stretched:
            import hashlib

            salt = b"colony cache: " + name.encode()
            self._stretched[value] = hashlib.pbkdf2_hmac("sha256", value.encode(), salt, 50_000).hex()
        return self._stretched[value]

    def _kept(self, key: Record, name: str, batch: int | None) -> Record:
        text = jsontext.dumps(key)
        if len(text) <= INLINE:
            return {"key": key}
        path = os.path.join(unit_folder(name, batch), "key.json")
        files.write_text(os.path.join(self.run.folder, path), text + "\n")
        return {"key_file": path}

    # -- earlier successes

    def _forbidden(self, name: str) -> str | None:
        header = self.run.header
        if header.get("no_cache"):
            return "the run was started with --no-cache"
        if name in header.get("again", ()):
            return f"the rerun of {header.get('rerun_of')} was to do it again"
        return None

    def _earlier(
        self, step: runs.Step, batch: int | None, key: Record, folder: str
    ) -> tuple[tuple[runs.Run, runs.Unit] | None, str]:
        """(the success to take, or None; why there is none)."""
        if self._successes is None:
            self._successes = successes.Successes(self.run.plan["name"], self.run.run_id)
        name = step.definition["name"]
        for read in (False, True):
            place = self._successes.find(successes.key_digest(name, key, read))
            found = self._at(place)
            if found is not None and found[1].read == read and not differences(self._key_of(found), key, read):
                changed = self._left_changed(found[1], folder)
                return (None, f"{changed} since {_made_by(found)}") if changed else (found, _NONE)
        found = self._at(self._successes.latest(successes.same_work(step, batch)))
        if found is None:
            return None, _NONE
        unit = found[1]
        if unit.changed is not None:
            return None, f"{unit.changed} was changed while {_made_by(found)} did it"
        differ = differences(self._key_of(found), key, unit.read, since=_made_by(found))
        if not differ:
            return None, _NONE
        more = f" and {len(differ) - SHOWN} more" if len(differ) > SHOWN else ""
        return None, ", ".join(differ[:SHOWN]) + more

    def _at(self, place: successes.Place | None) -> tuple[runs.Run, runs.Unit] | None:
        """The success that the index speaks of, as its run's own journal tells it; None when that is not so."""
        if place is None:
            return None
        run_id, name, batch = place
        if run_id not in self._others:
            try:
                self._others[run_id] = runs.load(run_id)
            except ColonyError:
                return None  # gone meanwhile
        run = self._others[run_id]
        unit = run.steps[name].units.get(batch) if name in run.steps else None
        if unit is None or unit.status not in runs.SUCCEEDED or run.key(unit) is None:
            return None
        return run, unit

    @staticmethod
    def _key_of(found: tuple[runs.Run, runs.Unit]) -> Record:
        return found[0].key(found[1]) or {}

    def _left_changed(self, unit: runs.Unit, folder: str) -> str | None:
        """What of the files that the step expects is not any more as that success left it, in words."""
        for name, was in unit.files.items():
            try:
                now = _left(os.path.join(folder, name), self._digests)
            except FileNotFoundError:
                return f"{name}, which it expects, is gone"
            except (OSError, ColonyError):
                now = None
            if now != was:
                return f"{name}, which it expects, has changed"
        return None

    def _take(self, found: tuple[runs.Run, runs.Unit], step: runs.Step, batch: int | None) -> Record | None:
        """The record that takes the success over, but for the key; None when its files have gone meanwhile."""
        name = step.definition["name"]
        place = unit_folder(name, batch)
        try:
            fields = carried(*found, self.run.folder, lambda kind: os.path.join(place, f"{kind}.json"))
            if "output_file" in fields:
                files.sync_folder(os.path.join(self.run.folder, place))
        except FileNotFoundError:
            return None
        fields = {kind: value for kind, value in fields.items() if kind not in ("key", "key_file")}
        why = f"nothing changed since {_made_by(found)}"
        return runs.record("step_cached", step=name, batch=batch, why=why, **fields)


def _made_by(found: tuple[runs.Run, runs.Unit]) -> str:
    """The run that did the work: the output may have been handed on."""
    return found[1].source or found[0].run_id


def unit_folder(name: str, batch: int | None) -> str:
    """Where files of a unit that belong to no attempt are, relative to the run's folder."""
    return os.path.join("steps", name, *([] if batch is None else [f"batch-{batch}"]), "reuse")


def carried(run: runs.Run, unit: runs.Unit, folder: str, place: Callable[[str], str]) -> Record:
    """The fields of a step_cached record that takes over the unit's success. Its large files ('output', 'key') get a
    second name, `place(kind)`, in `folder`, the taking run's, so that this run needs the other no more; to sync that
    folder is the caller's. FileNotFoundError when a file is gone."""
    fields: Record = {"source": unit.source or run.run_id, "read": unit.read}
    if unit.files:
        fields["files"] = unit.files
    if unit.changed is not None:
        fields["changed"] = unit.changed
    for kind, value, file in (("output", unit.output, unit.output_file), ("key", unit.key, unit.key_file)):
        if file:
            fields[f"{kind}_file"] = place(kind)
            files.share(os.path.join(run.folder, file), os.path.join(folder, fields[f"{kind}_file"]))
        elif value is not None:
            fields[kind] = value
    return fields


# -- what decides an output


def _referred(definition: Record) -> list[str]:
    """The references that the step's texts hold or imply, each once, without spaces."""
    texts = [definition.get("run"), definition.get("instructions")]
    texts += (definition.get("expect") or {}).get("files") or []
    found = [
        "{{" + ".".join(part.strip() for part in reference.text[2:-2].split(".")) + "}}"
        for text in texts
        if text
        for reference in references.find(text)
        if reference.root != "literal"
    ]
    command = definition.get("run") or ""
    found += [implied for pattern, implied in _IMPLIED if pattern.search(command)]
    if definition.get("for_each") is not None:
        found.append("{{item}}")
    elif definition.get("parallel") is not None:
        found += ["{{batch_id}}", "{{batch_count}}"]
    return sorted(set(found))


def _value(text: str, scope: references.Scope) -> Any:
    """[the reference's value]; [] where it has none (in instructions that only document a command)."""
    try:
        return [references.resolve(references.parse(text), scope)]
    except ColonyError:
        return []


def inputs(definition: Record, scope: references.Scope) -> tuple[dict[str, str], list[str]]:
    """({name as written from the root: path} of the files that `cache.inputs` names, the patterns that match none).

    Globs are from the colony's root, `**` goes down any number of folders, and a folder that is named (without
    wildcards, or with a last '/') stands for all files below it. Values of references are no patterns.
    """
    root = paths.root()
    found: set[str] = set()
    unmatched = []
    for template in (definition.get("cache") or {}).get("inputs") or []:
        pattern = references.text(template, scope, taken=glob.escape)
        named = not glob.has_magic(template) or pattern.endswith("/")
        matches = [
            each
            for match in glob.glob(pattern, root_dir=root, recursive=True)
            for each in _files_of(root, match, named)
        ]
        found.update(matches)
        if not matches:
            unmatched.append(pattern)
    return {_utf8(name): os.path.join(root, name) for name in sorted(found)}, unmatched


def _utf8(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ColonyError(f"the name of the input {name!a} is not UTF-8 text") from None
    return name


def _files_of(root: str, name: str, named: bool) -> Iterator[str]:
    path = os.path.join(root, name)
    if os.path.isfile(path):
        yield os.path.normpath(name)
    elif named:
        for folder, inner, names in os.walk(path):
            if os.path.samefile(folder, root):
                inner[:] = [each for each in inner if each != ".colony"]  # what runs leave there is no input of theirs
            for each in names:
                if os.path.isfile(os.path.join(folder, each)):
                    yield os.path.normpath(os.path.join(name, os.path.relpath(folder, path), each))


def differences(was: Record, now: Record, read: bool, since: str = "") -> list[str]:
    """What differs between two keys, in words; [] when they are the same. `read`: the earlier command read its
    standard input."""
    if was.get("v") != now["v"]:
        return [f"what Colony compares has changed since {since}"]
    found = [words for part, words in _PARTS.items() if was.get(part) != now.get(part) and (part != "context" or read)]
    for name in sorted({*was["env"], *now["env"]}):
        if was["env"].get(name) != now["env"].get(name):
            found.append(f"the variable {name} is another value")
    for text in sorted(was["references"].keys() & now["references"].keys()):  # what is new comes with another text
        if was["references"][text] != now["references"][text]:
            found.append(f"{text} is another value")
    if not found and was["references"].keys() != now["references"].keys():
        found.append("it refers to something else")
    for name in sorted({*was["inputs"], *now["inputs"]}):
        if name not in was["inputs"]:
            found.append(f"a new input {name}")
        elif name not in now["inputs"]:
            found.append(f"the input {name} is gone")
        elif was["inputs"][name] != now["inputs"][name]:
            found.append(f"{name} changed since {since}")
    return found


# -- when an attempt has succeeded


def left(definition: Record, job: Record, source: int) -> Record:
    """What a successful attempt's last record says for those who may reuse its output: digests of the files that the
    step expects, whether the command read its standard input (open at `source`), and an input that is not any more
    what it was before the attempt, which so does not tell what the output was made of."""
    # Where the file at descriptor 0 is opened by a name of its own, reading it does not move the place in ours.
    by_name = any(name in (definition.get("run") or "") for name in ("/dev/stdin", "/dev/fd/0", "/proc/self/fd"))
    found: Record = {"read": by_name or _was_read(source)}
    digests = Digests()
    expected = {name for pattern in job.get("expect") or [] for name in evidence.named(pattern, job["folder"])}
    seen: dict[str, str] = {}
    for path in sorted(expected):
        name = os.path.relpath(path, job["folder"])
        try:
            seen[name] = _left(path, digests)
        except (OSError, ColonyError):  # gone since it was looked at
            found["changed"] = name
    if seen:
        found["files"] = seen
    for name, was in job["inputs"].items():
        if _has_changed(os.path.join(paths.root(), name), was, digests):
            found["changed"] = name
            break
    return found


def _was_read(source: int) -> bool:
    try:
        return os.lseek(source, 0, os.SEEK_CUR) > 0
    except OSError:
        return True  # no file: the command has put something else in its place


def _left(path: str, digests: Digests) -> str:
    return "a folder" if os.path.isdir(path) else digests.of(path)[0]


def _has_changed(path: str, was: list[Any], digests: Digests) -> bool:
    """`was`: the digest and, where it is known, the stamp."""
    try:
        return stamp_of(path) != was[1:] and digests.of(path)[0] != was[0]
    except (OSError, ColonyError):
        return True
