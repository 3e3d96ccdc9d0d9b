"""The shared state as git holds it: what a commit of the branch says, two of them joined, and a tree made of that.

    tasks.jsonl  memory.jsonl    journals: lines, joined as sets (store.lineunion)
    NAME.json                    documents
    .fields/NAME.jsonl           the last write of each field of a document, joined by time (store.fields)
    .gitattributes .gitignore    so that git by itself does right too

Whatever else is in the branch (links, submodules, folders, odd names, what is too large) is nobody's to trust: it is
carried along untouched, never written to the disk, and named.
"""

from __future__ import annotations

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import check_name, cut, escape
from colony_lib.store import fields, lineunion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from colony_lib.store.git import Repository

TASKS = "tasks.jsonl"
JOURNALS = ("memory.jsonl", TASKS)
JOURNAL_LIMIT = 256 << 20  # bytes; git servers refuse larger files anyway
LINES_LIMIT = 2_000_000
DOCUMENT_LIMIT = 16 << 20
DOCUMENTS, DOCUMENTS_LIMIT = 10_000, 256 << 20  # files of documents and of their fields, and bytes of all of them
FIELDS_FOLDER = ".fields"
BY_HAND = "git"  # who wrote what a commit says and its fields do not: somebody who edited the branch itself
FORMS = {
    ".gitattributes": b"# Each line of these files is an event by itself: git, too, may put two machines' lines\n"
    b"# together.\n* -text\n*.jsonl merge=union\n",
    ".gitignore": b"# Files that a writer has not finished are nobody's.\n.*\n!.fields\n!.gitattributes\n!.gitignore\n",
}


class State:
    """What there is: `journals` {file: text}, `documents` {name: text}, `fields` {name: its fields' history}, `others`
    {path: (mode, type, object id)} that are carried along, and `left_out` [(path, why)]."""

    __slots__ = ("documents", "fields", "journals", "left_out", "others")

    def __init__(self) -> None:
        self.journals: dict[str, bytes] = {}
        self.documents: dict[str, bytes] = {}
        self.fields: dict[str, fields.Map] = {}
        self.others: dict[str, tuple[str, str, str]] = {}
        self.left_out: list[tuple[str, str]] = []

    def size(self) -> int:
        """Its bytes, roughly."""
        return sum(map(len, [*self.journals.values(), *self.documents.values()]))

    def files(self) -> dict[str, bytes]:
        """{path: content} of what the branch holds of it."""
        found = {**self.journals, **{f"{name}.json": data for name, data in self.documents.items()}}
        return found | {f"{FIELDS_FOLDER}/{name}.jsonl": fields.encode(self.fields[name]) for name in self.fields}


def document_of(file: str) -> str | None:
    """The document's name of 'NAME.json', when it is a name that may become a path; else None."""
    name = file.removesuffix(".json")
    try:
        return check_name(name, "document") if name != file else None
    except ColonyError:
        return None


def read(repository: Repository, commit: str) -> State:
    """What the commit says."""
    state = State()
    wanted: dict[str, str] = {}
    count = total = 0
    for path, entry, size in _entries(repository, commit):
        why = _refused(path, entry, size)
        if why is None and path not in JOURNALS:
            count, total = count + 1, total + size
            if count > DOCUMENTS or total > DOCUMENTS_LIMIT:
                why = f"the branch has more than {DOCUMENTS:,} documents, or {DOCUMENTS_LIMIT >> 20} MiB of them"
        if why is None:
            wanted[path] = entry[2]
        else:
            state.others[path] = entry
            if why:
                state.left_out.append((path, why))
    contents = repository.objects([commit, *wanted.values()])
    for path, oid in wanted.items():
        _take(state, path, oid, contents[oid])
    moment = _time_of(contents[commit])
    for name, data in state.documents.items():
        now = fields.parse(data)
        assert now is not None  # _take has seen to it
        state.fields[name] = fields.stamped(state.fields.get(name, {}), now, moment, BY_HAND)
    return state


def _entries(repository: Repository, commit: str) -> Iterable[tuple[str, tuple[str, str, str], int]]:
    for mode, kind, oid, size, name in repository.entries(commit):
        if (name, kind) == (FIELDS_FOLDER, "tree"):
            for *entry, inner_size, inner in repository.entries(oid):
                yield f"{FIELDS_FOLDER}/{inner}", (entry[0], entry[1], entry[2]), inner_size
        else:
            yield name, (mode, kind, oid), size


def _refused(path: str, entry: tuple[str, str, str], size: int) -> str | None:
    """Why an entry of the branch is not taken: None when it is, '' when nobody need hear of it."""
    mode, kind, _ = entry
    if path in FORMS:
        return None if kind == "blob" and mode == "100644" and size == len(FORMS[path]) else ""
    limit = _limit(path)
    if kind != "blob" or mode not in ("100644", "100755", "100664"):
        what = {"120000": "a symbolic link", "160000": "a submodule"}.get(mode, "a folder")
        return f"it is {what}"
    if limit is None:
        return "it is neither a journal of Colony's nor a document"
    return None if size <= limit else f"it is larger than {limit >> 20} MiB"


def _limit(path: str) -> int | None:
    """The size up to which a file of that path is taken; None for a path that means nothing here."""
    if path in JOURNALS:
        return JOURNAL_LIMIT
    if path.startswith(FIELDS_FOLDER + "/"):
        inner = path.removeprefix(FIELDS_FOLDER + "/")
        is_ours = inner.endswith(".jsonl") and document_of(inner.removesuffix("l")) is not None
        return 2 * DOCUMENT_LIMIT if is_ours else None
    return DOCUMENT_LIMIT if document_of(path) is not None else None


def _take(state: State, path: str, oid: str, data: bytes) -> None:
    entry = ("100644", "blob", oid)
    if path in FORMS:
        if data != FORMS[path]:
            state.others[path] = entry
    elif path in JOURNALS:
        if data.count(b"\n") > LINES_LIMIT:
            state.others[path] = entry
            state.left_out.append((path, f"it has more than {LINES_LIMIT:,} lines"))
        else:
            state.journals[path] = data if data.endswith(b"\n") or not data else data + b"\n"
    elif path.startswith(FIELDS_FOLDER + "/"):
        name = path.removeprefix(FIELDS_FOLDER + "/").removesuffix(".jsonl")
        state.fields[name], wrong = fields.decode(data)
        if wrong:
            state.left_out.append((path, f"{wrong} of its lines are not the write of a field"))
    elif fields.parse(data) is None:
        state.left_out.append((path, "it is not JSON"))
        state.others[path] = entry
    else:
        state.documents[path.removesuffix(".json")] = data


def _time_of(commit: bytes) -> int:
    """The committer's time of a commit, in ms since 1970."""
    for line in commit.split(b"\n\n", 1)[0].split(b"\n"):
        if line.startswith(b"committer "):
            seconds = line.rsplit(b" ", 2)[1]
            return int(seconds) * 1000 if seconds.isdigit() and len(seconds) < 15 else 0
    return 0


def join(ours: State, theirs: State, before: dict[str, tuple[str, str, str]] | None) -> State:
    """Everything that either says; the same whoever joins them. `before` are the `others` of their common ancestor."""
    made = State()
    for file in sorted({*ours.journals, *theirs.journals}):
        made.journals[file] = lineunion.union(ours.journals.get(file, b""), theirs.journals.get(file, b""))
    for name in sorted({*ours.fields, *theirs.fields}):
        made.fields[name] = fields.join(ours.fields.get(name, {}), theirs.fields.get(name, {}))
        texts = [side.documents[name] for side in (ours, theirs) if name in side.documents]
        document = fields.render(made.fields[name], texts)
        if document is not None:
            made.documents[name] = document
    made.others = _join_others(ours.others, theirs.others, before)
    made.left_out = ours.left_out + [found for found in theirs.left_out if found not in ours.left_out]
    return made


def _join_others(
    ours: dict[str, tuple[str, str, str]],
    theirs: dict[str, tuple[str, str, str]],
    before: dict[str, tuple[str, str, str]] | None,
) -> dict[str, tuple[str, str, str]]:
    """Three-way: what one side changed counts; of two changes the greater, which means nothing but is agreed on."""
    made = {}
    for path in {*ours, *theirs}:
        one, other = ours.get(path), theirs.get(path)
        old = None if before is None else before.get(path)
        if one == other or other == old:
            chosen = one
        elif one == old:
            chosen = other
        else:
            chosen = max(entry for entry in (one, other) if entry is not None)
        if chosen is not None:
            made[path] = chosen
    return made


def write(repository: Repository, state: State) -> str:
    """The object id of the state as a tree."""
    entries: dict[str, tuple[str, str, str]] = {
        path: ("100644", "blob", repository.store(data)) for path, data in state.files().items()
    }
    for path, entry in state.others.items():
        entries.setdefault(path, entry)
    for path, data in FORMS.items():
        if path not in entries:
            entries[path] = ("100644", "blob", repository.store(data))
    inner = {path: entry for path, entry in entries.items() if path.startswith(FIELDS_FOLDER + "/")}
    if inner:
        listed = [(*entry, path.removeprefix(FIELDS_FOLDER + "/")) for path, entry in inner.items()]
        entries[FIELDS_FOLDER] = ("040000", "tree", repository.make_tree(listed))
    return repository.make_tree((*entry, path) for path, entry in entries.items() if path not in inner)


def check_is_state(repository: Repository, commit: str, branch: str) -> None:
    """ColonyError (USAGE) for a branch that holds something else: the state must not get into somebody's code."""
    fix = "give the state a branch of its own in colony.yml: shared_state: {branch: colony/state}"
    # Only in the state's own repository is there no HEAD of code that it could share history with.
    if repository.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}").code == 0:
        base = repository.merge_base("HEAD", commit)
        if base is not None and repository.run("symbolic-ref", "--quiet", "HEAD").text != f"refs/heads/{branch}":
            what = f"the branch '{escape(branch)}' holds code: it shares its history with HEAD"
            raise ColonyError(what, fix=fix, code=USAGE)
    names = {name: kind for _, kind, _, _, name in repository.entries(commit)}
    if not {FIELDS_FOLDER, *JOURNALS}.intersection(names):
        strange = [name for name in names if not name.startswith(".") and _limit(name) is None]
        if strange:
            what = f"the branch '{escape(branch)}' holds '{escape(cut(strange[0], 60))}', which is no shared state"
            raise ColonyError(what, fix=fix, code=USAGE)
