"""The types of source: a name in pipeline.yml leads to the one module that knows that type.

To add a type, write a module with a class `Source` as described here, name it in TYPES, and give its keys to
schemas/pipeline.schema.json. `Source(request)` checks and expands its settings (ColonyError, USAGE, before anything
is asked of anyone) and has

* `secrets`: {name: value} of what must not appear in any file or message;
* `origin`: where the records come from, for people, without secrets;
* `plan()`: what a fetch would do, as a dict for --dry-run, asking nobody;
* `batches()`: an iterator of lists of values, in order (bad ones may go to `request.tally.problems` instead), which
  looks at `request.stop` when it waits;
* `keep()`: called once the raw file is there; notes what the next fetch must know;
* `expected`: after the last batch, how many records there should be, or None when the source does not say;
* where it is made of files or objects that can be read each by itself, `pieces()`: a list of them, in order, each a
  list of what tells that it is the same, and `share`, (begin, end) of those that `batches()` shall read, or None.
"""

from __future__ import annotations

from colony_lib.base.errors import USAGE, ColonyError, nearest
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from typing import Any, Protocol

    from colony_lib.data.pipeline import Pipeline

    class Source(Protocol):
        secrets: dict[str, str]
        origin: str
        expected: int | None

        def plan(self) -> dict[str, Any]: ...

        def batches(self) -> Iterator[list[Any]]: ...

        def keep(self) -> None: ...


TYPES = {
    "rest": "colony_lib.data.sources.rest",
    "file": "colony_lib.data.sources.files",
    "s3": "colony_lib.data.sources.s3",
    "sql": "colony_lib.data.sources.sql",
}


class Problems(list["dict[str, Any]"]):
    """Records that could not be read, as the quarantine keeps them; the readers append (line, reason, record)."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self.tally = tally

    def append(self, problem: Any, /) -> None:
        line, reason, record = problem
        super().append({"origin": self.tally.origin, "line": line, "reason": reason, "record": record})


class Tally:
    """What happened while a source was fetched: counts for the summary, and what could not be read."""

    __slots__ = ("notes", "origin", "pages", "problems", "retries", "unchanged", "unique", "waited_seconds", "waits")

    def __init__(self) -> None:
        self.pages = 0
        self.retries = 0
        self.unchanged = 0  # replies that were the same as at the last fetch (304)
        self.waits = 0  # for a rate limit, the source's own or ours
        self.waited_seconds = 0.0
        self.unique = 0  # records kept so far, repeats left out
        self.notes: list[str] = []
        self.origin = ""  # the page or file that is being read
        self.problems = Problems(self)


class Request:
    """One fetch of one source: its settings as written, the logical date, and what the fetch shares with it."""

    __slots__ = ("date", "name", "pipeline", "settings", "since", "stop", "tally")

    def __init__(self, pipeline: Pipeline, name: str, date: str, since: str | None, stop: threading.Event) -> None:
        self.pipeline = pipeline
        self.name = name
        self.settings: dict[str, Any] = pipeline.source(name)
        self.date = date
        self.since = since
        self.stop = stop
        self.tally = Tally()

    def where(self, *keys: str | int) -> str:
        """'pipeline.yml:12', the line of a key of this source."""
        return self.pipeline.where("sources", self.name, *keys)

    def setting(self, *keys: str, default: Any = None) -> Any:
        """The setting under these keys with {{date}}, {{yesterday}} and $VAR filled in; each only in the text as
        written, never in what was filled in."""
        value: Any = self.settings
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                return default
            value = value[key]
        return self.filled(value, *keys)

    def filled(self, value: Any, *keys: str | int) -> Any:
        from colony_lib.data import pipeline

        return pipeline.fill(value, self.values(), where=self.where(*keys))

    def values(self) -> dict[str, str | None]:
        from colony_lib.data.pipeline import day_before

        return {"date": self.date, "yesterday": day_before(self.date), "since": self.since}


def check_type(kind: str, where: str | None = None) -> None:
    """ColonyError (USAGE) when this version has no such type of source."""
    if kind in TYPES:
        return
    hint = nearest(kind, TYPES) or "the types are " + ", ".join(TYPES)
    raise ColonyError(f"unknown type of source '{escape(kind)}'", where=where, fix=hint, code=USAGE)


def open_source(request: Request) -> Source:
    """The source, its settings checked; its module is imported here and not before."""
    import importlib

    kind = request.settings["type"]
    check_type(kind, request.where("type"))
    source: Source = importlib.import_module(TYPES[kind]).Source(request)
    return source
