"""Whether a run that was shot, starved and resumed has kept its promises: what its commands did, held against what its
journal says. Jepsen's accounting for plain files: a beginning is an invocation, and its end is one of *ok* (completed),
*fail* (failed, busy) and *info* (interrupted: it may have taken effect or not, and only then may it be made again
without having failed).

The ledger is written by the commands themselves, one line a write, in the order in which things happened; the journal
is read here by its own few lines of JSON, not by the library that is under test.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Unit = tuple[str, int | None]  # a step and its batch


class Entry(NamedTuple):
    """One line of the ledger."""

    what: str  # 'begin' or 'end'
    unit: Unit
    attempt: int
    token: str  # the process, so that one beginning is told from another
    code: int = 0  # of an end


class Promise(NamedTuple):
    """What a step of the scenario must come to, and what it may do on the way."""

    status: str = "completed"  # in the end: completed, failed (and passed over) or skipped
    output: Any = None  # of a completed unit
    after: tuple[str, ...] = ()  # the steps whose completion must come before each of its beginnings
    repeatable: bool = True  # False: never again after an attempt in doubt, unless a person says so
    ends: bool = True  # False: its command is ended by its time limit, so that it never writes an end


class Snapshot(NamedTuple):
    """What was known when a process had died: how long the ledger was, and what the journal held as completed."""

    ledger: int
    completed: frozenset[Unit]


def read_ledger(text: str) -> list[Entry]:
    """The entries of a ledger; ValueError for a line that is none."""
    found = []
    for line in text.split("\n"):
        if line:
            what, step, batch, attempt, token, *code = line.split(" ")
            unit = (step, None if batch == "-" else int(batch))
            found.append(Entry(what, unit, int(attempt), token, int(code[0]) if code else 0))
    return found


def read_journal(data: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    """(records, what is wrong): every line must be whole, but for the last, which may be torn."""
    *lines, last = data.split(b"\n")
    records, wrong = [], []
    for number, line in enumerate([*lines, last] if _record(last) else lines, 1):
        record = _record(line)
        if record is None:
            wrong.append(f"the journal's line {number} is unreadable: {line[:80]!r}")
        else:
            records.append(record)
    return records, wrong


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "id" in found and "v" in found else None


def _unit(record: Mapping[str, Any]) -> Unit:
    return record["step"], record.get("batch")


def completed(records: Iterable[Mapping[str, Any]]) -> frozenset[Unit]:
    """The units that the journal holds as completed."""
    return frozenset(
        _unit(each) for each in records if each["type"] == "attempt_ended" and each["status"] == "completed"
    )


def violations(
    promises: Mapping[Unit, Promise],
    ledger: Sequence[Entry],
    records: Sequence[Mapping[str, Any]],
    snapshots: Iterable[Snapshot] = (),
    *,
    doubt: bool,
    trouble: bool = False,
    shot: bool = False,
    approvals: int = 0,
    handlers: Iterable[str] = (),
) -> list[str]:
    """Every promise of a completed run that was broken, in words; [] when it kept them all.

    `doubt`: more than the engine was shot, so that attempts may be interrupted. `shot`: commands were, so that an attempt
    may have failed by it. `trouble`: the disk failed, so that an attempt may have failed whose command did not. `approvals`: how often a person said of an attempt in doubt that it be
    made again. `handlers`: the error_handling steps, which are made anew for each failure of the run.
    """
    handling = set(handlers)
    steps = [entry for entry in ledger if entry.unit[0] not in handling]
    of_steps = [each for each in records if each.get("step") not in handling]
    return [
        *_ids(records),
        *_beginnings(ledger, records),
        *_ends(promises, ledger, records, doubt, trouble, shot),
        *_after_completion(steps, of_steps, [_without(handling, each, ledger) for each in snapshots]),
        *_order(promises, ledger, trouble),
        *_repeats(promises, steps, of_steps, approvals),
        *_handling(ledger, records, handling),
        *_outcomes(promises, steps, of_steps),
    ]


def _without(handling: set[str], snapshot: Snapshot, ledger: Sequence[Entry]) -> Snapshot:
    """The snapshot of what is there without the error_handling steps."""
    length = sum(entry.unit[0] not in handling for entry in ledger[: snapshot.ledger])
    return Snapshot(length, frozenset(unit for unit in snapshot.completed if unit[0] not in handling))


def _name(unit: Unit, attempt: int | None = None) -> str:
    name = unit[0] if unit[1] is None else f"{unit[0]}[{unit[1]}]"
    return name if attempt is None else f"{name} attempt {attempt}"


def _ids(records: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Nothing was recorded twice: a run's records are made once, and each has an id of its own."""
    ids = Counter(record["id"] for record in records)
    yield from (f"the journal has the id {each} twice" for each in sorted(ids) if ids[each] > 1)


def _beginnings(ledger: Sequence[Entry], records: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Each attempt begins once, after the journal has said that it will."""
    announced = {(_unit(each), each["attempt"]) for each in records if each["type"] == "attempt_started"}
    begun: set[tuple[Unit, int]] = set()
    for entry in ledger:
        if entry.what == "begin":
            key = (entry.unit, entry.attempt)
            if key in begun:
                yield f"{_name(*key)} began twice"
            if key not in announced:
                yield f"{_name(*key)} began and the journal does not know of it"
            begun.add(key)


def _ends(
    promises: Mapping[Unit, Promise],
    ledger: Sequence[Entry],
    records: Sequence[Mapping[str, Any]],
    doubt: bool,
    trouble: bool,
    shot: bool,
) -> Iterable[str]:
    """What the journal says that an attempt came to is what the command did."""
    begun = {(entry.unit, entry.attempt) for entry in ledger if entry.what == "begin"}
    codes = {(entry.unit, entry.attempt): entry.code for entry in ledger if entry.what == "end"}
    ended: dict[tuple[Unit, int], str] = {}
    for each in records:
        if each["type"] != "attempt_ended":
            continue
        key, status = (_unit(each), each["attempt"]), each["status"]
        name, code = _name(*key), codes.get((_unit(each), each["attempt"]))
        promise = promises.get(key[0], Promise())
        if key in ended:
            yield f"{name} ended twice: {ended[key]}, {status}"
        ended[key] = status
        if status == "completed" and code != 0:
            yield f"{name} is completed, and its command " + ("never ended" if code is None else f"ended with {code}")
        elif status == "completed" and key[0] in promises and each.get("output") != promise.output:
            yield f"{name} has the output {each.get('output')!r}, not {promise.output!r}"
        elif status == "failed" and not _excused(each, code, promise.ends or key not in begun, trouble, shot):
            yield f"{name} is failed, and its command did not fail: {each.get('error')}"
        elif status == "busy" and code != 75:
            yield f"{name} is busy, and its command ended with {code}"
        elif status == "interrupted" and not doubt:
            yield f"{name} is interrupted, though only the engine was shot"
        elif status not in ("completed", "failed", "busy", "interrupted"):
            yield f"{name} ended as {status}"
    for key in sorted(begun - ended.keys(), key=str):
        yield f"{_name(*key)} began and has no end in the journal"


def _excused(record: Mapping[str, Any], code: int | None, must_end: bool, trouble: bool, shot: bool) -> bool:
    """Whether an attempt may be called failed whose command ended with that code, or without one."""
    killed = shot and "SIGKILL" in str(record.get("error"))
    return code not in (None, 0) or trouble or killed or (code is None and not must_end)


def _after_completion(
    ledger: Sequence[Entry], records: Sequence[Mapping[str, Any]], snapshots: Iterable[Snapshot]
) -> Iterable[str]:
    """What is completed never begins again, and is never forgotten."""
    final: dict[Unit, int] = {}
    for each in records:
        if each["type"] == "attempt_ended" and each["status"] == "completed":
            if _unit(each) in final and final[_unit(each)] != each["attempt"]:
                yield f"{_name(_unit(each))} was completed twice"
            final.setdefault(_unit(each), each["attempt"])
    for entry in ledger:
        if entry.what == "begin" and entry.unit in final and entry.attempt > final[entry.unit]:
            yield f"{_name(entry.unit, entry.attempt)} began after attempt {final[entry.unit]} had completed"
    for snapshot in snapshots:
        lost = sorted(snapshot.completed - final.keys(), key=str)
        yield from (f"{_name(unit)} was completed, and that is forgotten" for unit in lost)
        for entry in ledger[snapshot.ledger :]:
            if entry.what == "begin" and entry.unit in snapshot.completed:
                yield f"{_name(entry.unit, entry.attempt)} began though it was completed before a process died"


def _order(promises: Mapping[Unit, Promise], ledger: Sequence[Entry], trouble: bool) -> Iterable[str]:
    """Nothing begins before what it depends on has ended, nor beside another attempt of its own. (With `trouble` a step
    may have failed, and been passed over, before its command began.)"""
    open_: dict[Unit, set[int]] = defaultdict(set)
    alive = {(entry.unit, entry.attempt): place for place, entry in enumerate(ledger) if entry.what == "end"}
    done: set[Unit] = set()
    for place, entry in enumerate(ledger):
        if entry.what == "end":
            open_[entry.unit].discard(entry.attempt)
            done.add(entry.unit)
            continue
        for other in sorted(open_[entry.unit]):
            if alive.get((entry.unit, other), -1) > place:
                yield f"{_name(entry.unit, entry.attempt)} began while attempt {other} was alive"
        open_[entry.unit].add(entry.attempt)
        for step in promises.get(entry.unit, Promise()).after:
            for unit, promise in promises.items():
                waived = promise.status == "skipped" or (promise.status == "failed" and trouble)
                if unit[0] == step and promise.ends and not waived and unit not in done:
                    yield f"{_name(entry.unit, entry.attempt)} began before {_name(unit)} had ended"


def _repeats(
    promises: Mapping[Unit, Promise], ledger: Sequence[Entry], records: Sequence[Mapping[str, Any]], approvals: int
) -> Iterable[str]:
    """An attempt that follows another has a reason: the other failed, was busy, or is in doubt. What must not be
    repeated is not made again while it is in doubt, nor when it took effect and only the record of it failed."""
    said = {
        (_unit(each), each["attempt"]): each["status"]
        for each in records
        if each["type"] == "attempt_ended" and each["status"] != "completed"
    }
    codes = {(entry.unit, entry.attempt): entry.code for entry in ledger if entry.what == "end"}
    begun: dict[Unit, list[int]] = defaultdict(list)
    for entry in ledger:
        if entry.what == "begin":
            begun[entry.unit].append(entry.attempt)
    for unit, attempts in begun.items():
        doubts = 0
        for earlier in sorted(attempts)[:-1]:
            status = said.get((unit, earlier))
            if status is None:
                yield f"{_name(unit, earlier)} neither failed nor is in doubt, and another followed it"
            doubts += status == "interrupted" or (status == "failed" and codes.get((unit, earlier)) == 0)
        if not promises.get(unit, Promise()).repeatable and doubts > approvals:
            yield f"{_name(unit)} must not be repeated, and was {doubts} times"


def _handling(
    ledger: Sequence[Entry], records: Sequence[Mapping[str, Any]], handling: set[str]
) -> Iterable[str]:
    """A failure is handled once by each engine that meets it."""
    engines = sum(each["type"] == "run_started" for each in records)
    for step in sorted(handling):
        times = sum(entry.what == "begin" and entry.unit[0] == step for entry in ledger)
        if times > engines:
            yield f"{step} was done {times} times by {engines} engines"


def _outcomes(
    promises: Mapping[Unit, Promise], ledger: Sequence[Entry], records: Sequence[Mapping[str, Any]]
) -> Iterable[str]:
    """Each unit came to what was promised, and nothing else was done."""
    begun = {entry.unit for entry in ledger if entry.what == "begin"}
    last = {_unit(each): each["status"] for each in records if each["type"] == "attempt_ended"}
    skipped = {each["step"] for each in records if each["type"] == "step_skipped"}
    for unit, promise in promises.items():
        if promise.status == "skipped":
            if unit in begun or unit[0] not in skipped:
                yield f"{_name(unit)} was not skipped"
        elif unit not in begun:
            yield f"{_name(unit)} was never done"
        elif last.get(unit) != promise.status:
            yield f"{_name(unit)} ended as {last.get(unit)}, not as {promise.status}"
    for unit in sorted(begun - promises.keys(), key=str):
        yield f"{_name(unit)} was done, and nobody asked for it"
