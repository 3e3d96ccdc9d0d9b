"""Staging on S3: machines without a shared disk hand each other the files of each phase.

What a tool has written whole it puts there before it says that it is done; what the next one needs it takes from
there. A *unit* is what one tool makes of one source or dataset and day: one file or several. Under the prefix lie

    content/KIND/NAME_DATE/SHA256.json     the files' bytes: never changed, put before the manifest
    UNIT/NAME_DATE.json                    the manifest: which bytes are the unit's files now; put last, in one step
    parts/NAME_DATE/FINGERPRINT/I.json     the same of a part that a batch has made (see fetch_parts, transform_parts)

so that a unit is there whole or not at all, whoever was killed where, and the same bytes are sent once. What came from
there is placed here only when its bytes are those that the manifest says.

A note of the manifest that this machine has last put or taken tells which side has changed since: a file that
another machine has made anew is taken anew, one that was changed here is left, and one that both have is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re

from colony_lib.base import files, jsontext
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.data import s3
from colony_lib.data.pipeline import check_date

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.data.pipeline import Pipeline

# Unit: the kinds of its files (see pipeline.path), in the order in which they are put into their places: what the next
# tool looks for comes last.
UNITS = {
    "raw": ("raw",),
    "transformed": ("rejected", "transformation", "transformed"),
    "validation": ("validation",),
    "load": ("load",),
    "daily": ("daily",),
}
_MAKES = {
    "raw": "colony fetch",
    "transformed": "colony transform",
    "validation": "colony validate-data",
    "load": "colony load",
    "daily": "colony report",
}
_BLOCK = 1 << 20
_MANIFEST = 1 << 16  # bytes; a manifest that is larger is none
_FILE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)_(\d{4}-\d\d-\d\d)\.json\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


def check(pipeline: Pipeline) -> None:
    """ColonyError (USAGE) for an address that is none, or without boto3; nobody is asked."""
    if "staging" in pipeline.document:
        _place(pipeline)
        s3.need(pipeline.where("staging"))


def put(pipeline: Pipeline, unit: str, name: str, date: str) -> None:
    """Put the unit there as it lies here; nothing where no staging is named. ColonyError (FAILED), and what was there
    is there still, when it cannot be."""
    if "staging" in pipeline.document:
        _unit(pipeline, unit, name, date).put()


def take(pipeline: Pipeline, unit: str, name: str, date: str) -> None:
    """Let the unit's files here be those that are there, where it has any; nothing where no staging is named.

    ColonyError (FAILED), and what is here is as it was, when they cannot be had, are not what their manifest says, or
    were changed both here and there since this machine put or took them.
    """
    if "staging" in pipeline.document:
        _unit(pipeline, unit, name, date).take()


def take_days(pipeline: Pipeline, unit: str, name: str, first: str, last: str) -> None:
    """As `take`, for each day from the first to the last of which something is there; what this machine has as it is
    there is not asked for."""
    if "staging" in pipeline.document:
        for date, etag in _days(_place(pipeline), unit, name, first, last):
            one = _unit(pipeline, unit, name, date)
            if one.note().get("etag") != etag or not all(map(os.path.exists, one.paths.values())):
                one.take()


def take_file(pipeline: Pipeline, path: str) -> None:
    """As `take`, of the raw or transformed data whose file here has this path; nothing for any other path."""
    if "staging" in pipeline.document and (match := _FILE.match(os.path.basename(path))) and _is_date(match[2]):
        for unit in ("raw", "transformed"):
            if os.path.abspath(path) == pipeline.path(unit, match[1], match[2]):
                take(pipeline, unit, match[1], match[2])


def put_part(pipeline: Pipeline, parts: str, number: int, path: str) -> None:
    """Put the file there as one of the parts (those of one input, made by one description) that batches make; nothing
    where no staging is named."""
    if "staging" in pipeline.document:
        _part(pipeline, parts, number, path).put()


def take_parts(pipeline: Pipeline, parts: str, missing: dict[int, str]) -> list[int]:
    """Of the parts that are missing here, {number: where it belongs}, those that are not there either. When there are
    none, all of them are here afterwards."""
    if "staging" not in pipeline.document or not missing:
        return list(missing)
    place = _place(pipeline)
    start = f"{place.prefix}parts/{parts}/"
    there = {key.removeprefix(start).removesuffix(".json") for key, _ in place.listed(start, start, start + "a")}
    waiting = [number for number in missing if str(number) not in there]
    if not waiting:
        for number, path in missing.items():
            _part(pipeline, parts, number, path).take()
    return waiting


def _place(pipeline: Pipeline) -> s3.Place:
    given = pipeline.document["staging"]
    where = pipeline.where("staging", "url") if isinstance(given, dict) else pipeline.where("staging")
    settings = pipeline.expand(given if isinstance(given, dict) else {"url": given}, "staging")
    return s3.Place(settings["url"], settings.get("endpoint"), settings.get("region"), where)


def _days(place: s3.Place, unit: str, name: str, first: str, last: str) -> list[tuple[str, str]]:
    """(date, etag of its manifest) of the days of which the unit is there, by date."""
    start = f"{place.prefix}{unit}/{name}_" if name else f"{place.prefix}{unit}/"
    dated = re.compile(re.escape(start) + r"(\d{4}-\d\d-\d\d)\.json\Z")
    listed = place.listed(start, start + first, f"{start}{last}.json")
    return [(match[1], etag) for key, etag in listed if (match := dated.match(key)) and _is_date(match[1])]


def _is_date(text: str) -> bool:
    try:
        return check_date(text) == text
    except ColonyError:
        return False  # others may have put other things there


def _unit(pipeline: Pipeline, unit: str, name: str, date: str) -> _Unit:
    paths = {kind: pipeline.path(kind, name, date) for kind in UNITS[unit]}
    again = f"run '{_MAKES[unit]}{' ' + name if name else ''} --date {date}'"
    return _Unit(pipeline, unit, f"{name}_{date}" if name else date, paths, again)


def _part(pipeline: Pipeline, parts: str, number: int, path: str) -> _Unit:
    return _Unit(pipeline, "parts", f"{parts}/{number}", {"part": path}, f"make batch {number} again")


class _Unit:
    """One unit: `paths` of its files here, {kind: path}; `key` of its manifest there."""

    def __init__(self, pipeline: Pipeline, unit: str, stem: str, paths: dict[str, str], again: str) -> None:
        self.place = _place(pipeline)
        self.pipeline = pipeline
        self.unit = unit
        self.stem = stem
        self.paths = paths
        self.again = again  # how it is made anew
        self.key = f"{self.place.prefix}{unit}/{stem}.json"

    def _content(self, kind: str, sha256: str) -> str:
        return f"{self.place.prefix}content/{kind}/{self.stem}/{sha256}.json"

    # -- the note of what was last put or taken

    def _note(self) -> str:
        return os.path.join(self.pipeline.state_folder(), "staged", f"{self.unit}-{self.stem}.json")

    def note(self) -> dict[str, Any]:
        """{etag, files: {kind: sha256}} of the manifest last put or taken here; {} when there is none of this place."""
        try:
            found = files.read_json(self._note(), {})
        except ColonyError:
            return {}  # damaged: then nothing is known of it
        return found if isinstance(found, dict) and found.get("url") == self.place.url else {}

    def _write_note(self, etag: str, hashes: dict[str, str]) -> None:
        if self.unit == "parts":
            return  # they are of one input, which their name says: that of another has another name
        value = {"v": 1, "url": self.place.url, "etag": etag, "files": hashes}
        if self.note() != value:
            files.write_json(self._note(), value)

    # -- there

    def put(self) -> None:
        told: dict[str, Any] = {}
        for kind, path in self.paths.items():
            try:
                fd = files.open_regular(path)
            except FileNotFoundError:
                continue  # a day without receipts has no load report
            with os.fdopen(fd, "rb") as file:
                told[kind] = self._send(kind, path, file)
        if not told:
            return
        manifest = jsontext.dumps({"v": 1, "unit": self.unit, "of": self.stem, "files": told}).encode() + b"\n"
        etag = self.place.put(self.key, manifest)
        self._write_note(etag, {kind: one["sha256"] for kind, one in told.items()})

    def _send(self, kind: str, path: str, file: Any) -> dict[str, Any]:
        """Put the bytes of the open file there, unless they are; {sha256, bytes}."""
        before = os.fstat(file.fileno())
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        key = self._content(kind, sha256)
        if not self.place.has(key, before.st_size, sha256):
            file.seek(0)
            self.place.send(key, file, sha256)
        after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ColonyError(
                "the file was changed while it was sent to staging",
                where=self.pipeline.shown(path),
                fix="try again",
                code=FAILED,
            )
        return {"sha256": sha256, "bytes": before.st_size}

    # -- here

    def take(self) -> None:
        found = self._manifest()
        if found is None:
            return
        told, etag = found
        note = self.note()
        known: dict[str, Any] = note.get("files") or {}
        here = {kind: _sha256(path) for kind, path in self.paths.items()}
        there = {kind: one["sha256"] for kind, one in told.items()}
        wanted = []
        for kind, sha256 in there.items():
            if here[kind] == sha256:
                continue
            if here[kind] is None or here[kind] == known.get(kind) or self.unit == "parts":
                wanted.append(kind)
            elif known != there:
                raise ColonyError(
                    f"the file is another than that in staging, {self.place.shown(self.key)}, and not one that was "
                    "there before",
                    where=self.pipeline.shown(self.paths[kind]),
                    fix=f"remove it to take that one, or {self.again} here",
                    code=FAILED,
                )
            # else it was changed here since, and nothing there: what is here counts
        if wanted and not self._place({kind: (told[kind], here[kind]) for kind in wanted}):
            return  # another process has written them meanwhile: that is newer
        if known != there or note.get("etag") != etag:
            self._write_note(etag, there)

    def _place(self, wanted: dict[str, tuple[dict[str, Any], str | None]]) -> bool:
        """Have all of the files' bytes here, then put them into their places in the order of the unit; not when one of
        the places is no more as it was, {kind: (entry in the manifest, SHA-256 here)}: then False."""
        try:
            with contextlib.ExitStack() as stack:
                # A stack ends with what was put on it first: the file that comes last.
                for kind in reversed(wanted):
                    self._fetch(kind, wanted[kind][0], stack.enter_context(files.replacing(self.paths[kind])))
                if any(_sha256(self.paths[kind]) != before for kind, (_, before) in wanted.items()):
                    raise _WrittenHereError
        except _WrittenHereError:
            return False
        return True

    def _manifest(self) -> tuple[dict[str, Any], str] | None:
        """({kind: {sha256, bytes}}, etag) of the files that are there, in the order in which they are placed here."""
        found = self.place.get(self.key)
        if found is None:
            return None
        body, etag = found
        data = self.place.asked(lambda: body.read(_MANIFEST + 1), self.key)
        where = self.place.shown(self.key)
        try:
            value = jsontext.loads(data, where=where) if len(data) <= _MANIFEST else None
        except ColonyError:
            value = None
        told = value.get("files") if isinstance(value, dict) and value.get("v") == 1 else None
        if not isinstance(told, dict) or not all(map(_is_entry, told.values())):
            raise ColonyError("this is no manifest of staging", where=where, fix=self.again, code=FAILED)
        return {kind: told[kind] for kind in self.paths if kind in told}, etag

    def _fetch(self, kind: str, entry: dict[str, Any], fd: int) -> None:
        """Write the file's bytes to the descriptor. ColonyError (FAILED) when they are not what the manifest says."""
        key = self._content(kind, entry["sha256"])
        found = self.place.get(key)
        if found is None:
            raise ColonyError(
                "the file is not in staging any more", where=self.place.shown(key), fix=self.again, code=FAILED
            )
        body, _ = found
        told, size = hashlib.sha256(), 0
        while size <= entry["bytes"] and (block := self.place.asked(lambda: body.read(_BLOCK), key)):
            told.update(block)
            files.write_all(fd, block)
            size += len(block)
        if (told.hexdigest(), size) != (entry["sha256"], entry["bytes"]):
            raise ColonyError(
                "the file in staging is not what its manifest says",
                where=self.place.shown(key),
                fix=self.again,
                code=FAILED,
            )


class _WrittenHereError(Exception):
    """The file's place was taken while its bytes came."""


def _is_entry(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("sha256"), str)
        and _SHA256.match(value["sha256"]) is not None
        and isinstance(value.get("bytes"), int)
        and value["bytes"] >= 0
    )


def _sha256(path: str) -> str | None:
    """The SHA-256 of the file's bytes; None when there is no file."""
    try:
        fd = files.open_regular(path)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
