"""Sources of type `s3`: CSV, JSON, NDJSON and Parquet objects of a bucket, by key or pattern, gzip included."""

from __future__ import annotations

import re

from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.data import remembered, s3
from colony_lib.data.pipeline import byte_count
from colony_lib.data.sources.files import parsed
from colony_lib.store import env

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from colony_lib.data.sources import Request

_BATCH = 1000
_SECRET = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_FOUND = "fetched_objects"  # the state document: which objects were fetched, for which date


class Source:
    """One reading of the objects of a source; see colony_lib.data.sources."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.settings = request.settings
        self.secrets = {name: value for name in _SECRET if (value := env.get(name))}
        self.expected: int | None = None
        self.url: str = request.setting("url")
        self.bucket, self.pattern = self._address()
        self.origin = escape(self.url)
        self.max_bytes = byte_count(self.settings.get("max_bytes", "200MB"))
        self.taken: dict[str, str] = {}  # {key: etag} of this fetch
        self.share: tuple[int, int] | None = None  # (begin, end) of the objects to read; None: all

    def _address(self) -> tuple[str, str]:
        scheme, _, rest = self.url.partition("://")
        bucket, _, pattern = rest.partition("/")
        if scheme != "s3" or not bucket or not pattern:
            raise ColonyError(
                f"'{escape(self.url)}' is no address of objects",
                where=self.request.where("url"),
                fix="write it like s3://bucket/folder/{{date}}/*.csv.gz",
                code=USAGE,
            )
        return bucket, pattern + "**" if pattern.endswith("/") else pattern

    def plan(self) -> dict[str, Any]:
        return {"url": self.origin, "prefix": self._prefix(), "only_new": self._only_new}

    def _prefix(self) -> str:
        return re.split(r"[*?]", self.pattern, maxsplit=1)[0]

    @property
    def _only_new(self) -> bool:
        return bool(self.settings.get("only_new"))

    def _client(self) -> Any:
        return s3.client(self.request.setting("endpoint"), self.request.setting("region"), self.request.where("type"))

    def _asked(self, work: Any) -> Any:
        return s3.asked(work, self.origin)

    def _objects(self, client: Any) -> list[tuple[str, str, int]]:
        """(key, etag, bytes) of the objects to read, by key."""
        wanted = re.compile(_meaning(self.pattern))
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._prefix())
        found = self._asked(
            lambda: [
                (item["Key"], item["ETag"], item["Size"])
                for page in pages
                for item in page.get("Contents") or []
                if wanted.fullmatch(item["Key"]) and not item["Key"].endswith("/")
            ]
        )
        return sorted(found)

    def pieces(self) -> list[list[Any]]:
        """[key, etag, bytes] of each object; the server is asked."""
        return [list(item) for item in self._objects(self._client())]

    def batches(self) -> Iterator[list[Any]]:
        client = self._client()
        there = self._objects(client)
        if not there and not self.settings.get("optional"):
            raise ColonyError(
                f"there is no object '{self.origin}'",
                where=self.request.where("url"),
                fix="check its 'url'",
                code=FAILED,
            )
        if self.share:
            there = there[slice(*self.share)]
        new = [item for item in there if self._is_new(item[0], item[1])]
        tally = self.request.tally
        if len(new) < len(there):
            tally.notes.append(f"{len(there) - len(new):,} of {len(there):,} objects were fetched for other dates")
        for key, etag, size in new:
            tally.pages += 1
            tally.origin = escape(f"s3://{self.bucket}/{key}")
            data = self._body(client, key, etag, size)
            self.taken[key] = etag
            batch: list[Any] = []
            for row in parsed(data, key, tally.origin, self.settings, tally.problems, self.max_bytes):
                batch.append(row)
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
            yield batch

    def _body(self, client: Any, key: str, etag: str, size: int) -> bytes:
        """The object as it was listed: one that was replaced meanwhile is refused, and had at the next fetch."""
        if size > self.max_bytes:
            fix = "raise the source's max_bytes"
            raise ColonyError(f"an object of {size:,} bytes", where=self.request.tally.origin, fix=fix, code=FAILED)

        def read() -> bytes:
            body: bytes = client.get_object(Bucket=self.bucket, Key=key, IfMatch=etag)["Body"].read()
            return body

        data: bytes = self._asked(read)
        if len(data) != size:
            what = f"{len(data):,} of the object's {size:,} bytes came"
            raise ColonyError(what, where=self.request.tally.origin, fix="fetch again", code=FAILED)
        return data

    # -- only what is new

    def _is_new(self, key: str, etag: str) -> bool:
        """An object counts for the date for which it was first fetched, so that a fetch that is done again gives the
        same; one that has changed since is new."""
        if not self._only_new:
            return True
        before = remembered.of(self.request.pipeline, _FOUND, self.request.name).get(key)
        return not isinstance(before, dict) or before.get("etag") != etag or before.get("date") == self.request.date

    def keep(self) -> None:
        """Note what was fetched, once the raw file is there."""
        if not self._only_new or not self.taken:
            return
        entry = {key: {"etag": etag, "date": self.request.date} for key, etag in self.taken.items()}
        remembered.update(self.request.pipeline, _FOUND, self.request.name, entry)


def _meaning(pattern: str) -> str:
    """A pattern of keys as a regular expression: * and ? stay within a folder, ** goes deeper."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    meaning = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(meaning.get(part, re.escape(part)) for part in parts)
