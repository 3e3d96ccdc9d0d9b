"""The shared state as it lies in `.colony/state/`: read for a commit, and changed by what came from elsewhere.

Each file is read and replaced under its own lock, held for as long as that takes, so that writers go on during a
sync. What is here never gets less: a journal is replaced only by one that has all its lines, and a document that was
changed meanwhile keeps those changes.

A document is staged (`.NAME.json.merged`) before the reference `merging` says so, and takes its place by a rename: the
staged file's being gone tells, after a kill, that the document's fields are from then on those of the merge.
"""

from __future__ import annotations

import os

from colony_lib.base import files, locks
from colony_lib.base.errors import BUG, BUSY, ColonyError
from colony_lib.store import documents, fields, lineunion, paths, statetree, taskloss
from colony_lib.store.statetree import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from colony_lib.store.taskloss import Loss

ATTEMPTS = 3
TIMES_LIMIT = 64 << 20  # bytes
_STAGED = ".merged"


def _lock(file: str) -> locks.held:
    name = statetree.document_of(file)
    if name is not None:
        return locks.held(documents.lock(name), what=f"the document '{name}'")
    return locks.held(paths.lock(file.removesuffix(".jsonl")), what="the shared state")


def _content(file: str, limit: int) -> tuple[bytes, int] | None:
    """(content, when it was last written in ms since 1970) of a file of the state; None when it is not there.
    ColonyError when it is no regular file or too large."""
    try:
        fd = files.open_regular(paths.state_file(file), follow=False)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as opened:
        state = os.fstat(fd)
        if state.st_size > limit:
            raise ColonyError(f"it is larger than {limit >> 20} MiB")
        return opened.read(), state.st_mtime_ns // 1_000_000


def journal(file: str) -> bytes:
    """The whole lines of a journal of the state; its lock is held, or a line that is being written is left out."""
    try:
        found = _content(file, statetree.JOURNAL_LIMIT)
    except ColonyError as error:
        raise ColonyError(f"'{file}' cannot be shared: {error.what}", where=paths.state_file(file)) from None
    return lineunion.whole(found[0]) if found else b""


def snapshot(base: State, others: dict[str, fields.Map], host: str) -> State:
    """What is here now; what `base`, the last state that was committed here, has besides is taken over from it.

    A document that is damaged, unreadable or gone is as `base` has it: no accident here is a change for all. Of one
    that `base` has not, what it has in common with another's history ({name: history}) is not a write of its own.
    """
    state = State()
    state.others = base.others
    for file in statetree.JOURNALS:
        with _lock(file):
            here = journal(file)
        if here or file in base.journals:
            state.journals[file] = lineunion.union(here, base.journals.get(file, b""))
    state.fields = dict(base.fields)
    state.documents = dict(base.documents)
    for entry in sorted(_listed()):
        name = statetree.document_of(entry)
        if name is None:
            if not entry.startswith(".") and entry not in statetree.JOURNALS:
                state.left_out.append((entry, "it is neither a journal of Colony's nor a document"))
            continue
        try:
            with _lock(entry):
                found = _content(entry, statetree.DOCUMENT_LIMIT)
                times = _times(name)
            if found is None or found[0] == base.documents.get(name):
                continue
            now = fields.parse(found[0])
            if now is None:
                raise ColonyError("it is not JSON")
        except ColonyError as error:
            if error.code == BUSY:
                raise
            state.left_out.append((entry, error.what))
            continue
        state.documents[name] = found[0]
        history = base.fields.get(name) or fields.known(others.get(name, {}), now)
        state.fields[name] = fields.stamped(history, now, found[1], host, fields.read_times(times))
    return state


def _times(name: str) -> bytes:
    """What was noted of when the document's fields were written."""
    try:
        return files.read_bytes(paths.field_times(name), limit=TIMES_LIMIT, follow=False)
    except (ColonyError, FileNotFoundError):
        return b""


def forget_times(state: State) -> None:
    """What was noted of writes that are committed now is of no more use; a document that was written to since keeps
    its notes until the next time."""
    for name, data in state.documents.items():
        if os.path.lexists(paths.field_times(name)):
            with _lock(f"{name}.json"):
                if _is(f"{name}.json", data):
                    os.unlink(paths.field_times(name))


def _is(file: str, data: bytes) -> bool:
    try:
        found = _content(file, statetree.DOCUMENT_LIMIT)
    except ColonyError:
        return False
    return found is not None and found[0] == data


def _listed() -> list[str]:
    folder = paths.state_folder()
    return os.listdir(folder) if os.path.isdir(folder) else []


# -- writing back


def stage(before: State, after: State) -> None:
    """Stage each document that the merge makes other than it is here. A damaged one is left for a person to see to."""
    unstage()
    damaged = {path for path, _ in before.left_out}
    for name, data in after.documents.items():
        file = f"{name}.json"
        if file not in damaged and (data != before.documents.get(name) or not os.path.lexists(paths.state_file(file))):
            files.write_bytes(_staged(file), data)


def unstage() -> None:
    """Forget what was staged and not put in its place."""
    for entry in _listed():
        if entry.startswith(".") and entry.endswith(_STAGED):
            os.unlink(paths.state_file(entry))


def _staged(file: str) -> str:
    return paths.state_file(f".{file}{_STAGED}")


def put(before: State, after: State) -> list[Loss]:
    """Bring into the files what the merge `after` has and they have not, `before` being what they held when it was
    made; returns who lost a task by that. Done twice, or after a kill, it comes to the same."""
    for entry in sorted(_listed()):
        if entry.startswith(".") and entry.endswith(_STAGED):
            file = entry.removeprefix(".").removesuffix(_STAGED)
            name = statetree.document_of(file)
            if name is not None:
                _put_document(file, before.documents.get(name))
    losses: list[Loss] = []
    for file, data in after.journals.items():
        losses += _put_journal(file, data, before.journals.get(file, b""))
    return losses


def _put_document(file: str, before: bytes | None) -> None:
    """Let the staged document take its place, with what was changed here since it was as `before`."""
    staged, path = _staged(file), paths.state_file(file)
    with _lock(file):
        try:
            found = _content(file, statetree.DOCUMENT_LIMIT)
        except ColonyError:
            os.unlink(staged)  # it has just become no file of ours
            return
        if found is not None and found[0] != before:
            now = fields.parse(found[0])
            if now is None:
                os.unlink(staged)
                return
            merged = fields.parse(files.read_bytes(staged, follow=False)) or {}
            made = fields.moved(fields.parse(before or b"") or {}, now, merged)
            if made != merged:
                like = documents.get(statetree.document_of(file) or "")
                files.write_bytes(staged, fields.text(made, like))
        files.put(staged, path)


def _put_journal(file: str, merged: bytes, before: bytes) -> list[Loss]:
    """Give the journal the lines of `merged` that it lacks; `before` is what it held when that was made. What it makes
    of the tasks is worked out, and told, before the lock is taken; where writers are too quick for that, under it."""
    path = paths.state_file(file)
    losses: list[Loss] = []
    for attempt in range(ATTEMPTS):
        lock = _lock(file)
        last = attempt == ATTEMPTS - 1
        try:
            if last:
                lock.__enter__()
            here = journal(file)
            union = lineunion.union(here, merged)
            if union == here:
                return losses
            if lineunion.missing(here, union):
                raise ColonyError("a merge would have taken lines away; nothing was written", where=path, code=BUG)
            replacing = files.replacing(path)
            with replacing as fd:
                files.write_all(fd, union)
                os.fsync(fd)  # so that under the lock little is left to do
                if file == statetree.TASKS:
                    own = taskloss.kept() | taskloss.claims_in(lineunion.missing(here, before))
                    losses = taskloss.losses(own, replacing.temporary)
                    taskloss.tell(losses)
                if not last:
                    lock.__enter__()
                    if journal(file) != here:
                        raise _Grown
        except _Grown:
            continue
        finally:
            lock.__exit__(None, None, None)
        return losses
    raise AssertionError("the last attempt holds the lock")


class _Grown(Exception):
    """The journal has grown while its union was made."""


def put_forms(state: State) -> None:
    """Write the files that nothing reads but git and people: those of the fields, .gitattributes, .gitignore."""
    for path, data in [*state.files().items(), *statetree.FORMS.items()]:
        if path.startswith(".") and path not in state.others:  # an edited .gitattributes stays in git
            _put_form(path, data)


def _put_form(path: str, data: bytes) -> None:
    target = paths.state_file(path)
    if os.path.islink(target) or os.path.islink(paths.state_file(statetree.FIELDS_FOLDER)):
        return  # somebody made it point elsewhere
    try:
        if files.read_bytes(target, follow=False) == data:
            return
    except FileNotFoundError:
        files.make_dirs(os.path.dirname(target))
    files.write_bytes(target, data, durable=False)
