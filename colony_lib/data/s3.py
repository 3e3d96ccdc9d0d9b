"""The way to S3, for sources and for staging: one client, and every refusal of its as one line.

Address and keys are those that boto3 finds (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, a profile, a machine's role).
"""

from __future__ import annotations

import functools
import re
import threading

from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_ENDPOINT = re.compile(r"https?://[^/\s]+")
_making = threading.Lock()  # boto3's default session is not for several threads at once


def need(where: str | None) -> None:
    """ColonyError (USAGE) where boto3 is not installed; it is not imported yet."""
    import importlib.util

    if importlib.util.find_spec("boto3") is None:
        fix = "pip install 'colony[s3]'"
        raise ColonyError("the Python package 'boto3' is not installed", where=where, fix=fix, code=USAGE)


def client(endpoint: str | None, region: str | None, where: str | None) -> Any:
    """A client, for any number of threads. ColonyError (USAGE) when there can be none, FAILED for what its profile or
    address is refused for."""
    need(where)
    import boto3
    import botocore.config

    retries: Any = {"mode": "standard", "max_attempts": 4}
    config = botocore.config.Config(retries=retries, connect_timeout=10, read_timeout=60)

    def make() -> Any:
        with _making:
            return boto3.client("s3", endpoint_url=endpoint, region_name=region, config=config)

    try:
        return asked(make, where)
    except ValueError as error:  # an endpoint that is no address
        raise ColonyError(escape(str(error)), where=where, code=USAGE) from None


def asked(work: Callable[[], Any], where: str | None) -> Any:
    """What boto3 gives; any error of its is a ColonyError (FAILED) of one line."""
    import botocore.exceptions

    try:
        return work()
    except botocore.exceptions.ClientError as error:
        said = error.response.get("Error", {})
        what = f"{said.get('Code')}: {said.get('Message')}"
    except botocore.exceptions.NoCredentialsError:
        fix = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        raise ColonyError("there are no keys for S3", where=where, fix=fix, code=FAILED) from None
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.HTTPClientError) as error:
        what = str(error).rstrip(".")
    raise ColonyError(f"S3 refused: {escape(what)}", where=where, code=FAILED)


class Place:
    """A place on S3, s3://BUCKET/PREFIX: `prefix` is empty or ends in a slash. ColonyError (USAGE) for an address that
    is none; nobody is asked before something is to be got or put."""

    def __init__(self, url: str, endpoint: str | None, region: str | None, where: str) -> None:
        self.url = url
        self._way = (endpoint, region, where)
        scheme, _, rest = url.partition("://")
        self.bucket, _, prefix = rest.partition("/")
        parts = prefix.strip("/").split("/") if prefix.strip("/") else []
        if scheme != "s3" or not _BUCKET.match(self.bucket) or {"", ".", ".."} & {*parts} or not prefix.isprintable():
            fix = "write it like s3://bucket/folder"
            raise ColonyError(f"'{escape(url)}' is no place on S3", where=where, fix=fix, code=USAGE)
        if endpoint is not None and not _ENDPOINT.match(endpoint):
            fix = "write it like https://s3.example.org"
            raise ColonyError(f"'{escape(endpoint)}' is no address of a server", where=where, fix=fix, code=USAGE)
        self.prefix = "".join(part + "/" for part in parts)

    @property
    def client(self) -> Any:
        return _shared(*self._way)

    def shown(self, key: str) -> str:
        return escape(f"s3://{self.bucket}/{key}")

    def asked(self, work: Callable[[], Any], key: str) -> Any:
        return asked(work, self.shown(key))

    def get(self, key: str) -> tuple[Any, str] | None:
        """(body, etag) of an object; None when it is not there."""

        def ask() -> tuple[Any, str] | None:
            reply = _unless(lambda: self.client.get_object(Bucket=self.bucket, Key=key), "NoSuchKey")
            return reply and (reply["Body"], reply["ETag"])

        found: tuple[Any, str] | None = self.asked(ask, key)
        return found

    def has(self, key: str, size: int, sha256: str) -> bool:
        """Whether `send` has put these bytes there, and nobody anything else since; where that may not be asked, no."""

        def ask() -> bool:
            reply = _unless(lambda: self.client.head_object(Bucket=self.bucket, Key=key), "404", "403")
            return reply is not None and (reply["ContentLength"], reply["Metadata"].get("sha256")) == (size, sha256)

        return bool(self.asked(ask, key))

    def put(self, key: str, data: bytes) -> str:
        """Put the object there in one step; its etag."""
        more = {"Body": data, "ContentType": "application/json"}
        reply = self.asked(lambda: self.client.put_object(Bucket=self.bucket, Key=key, **more), key)
        return str(reply["ETag"])

    def send(self, key: str, file: IO[bytes], sha256: str) -> None:
        """As `put`, of a file of any size from where it stands, in several parts if it is large: it is there whole, or
        not at all."""
        more = {"ContentType": "application/json", "Metadata": {"sha256": sha256}}
        self.asked(lambda: self.client.upload_fileobj(_Unclosed(file), self.bucket, key, ExtraArgs=more), key)

    def listed(self, start: str, after: str, last: str) -> list[tuple[str, str]]:
        """(key, etag) of the objects whose keys begin so, from behind `after` to `last`, by key."""

        def ask() -> list[tuple[str, str]]:
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=start, StartAfter=after
            )
            found: list[tuple[str, str]] = []
            for page in pages:
                items = [(item["Key"], item["ETag"]) for item in page.get("Contents") or []]
                found += [item for item in items if item[0] <= last]
                if items and items[-1][0] > last:
                    break
            return found

        listed: list[tuple[str, str]] = self.asked(ask, start)
        return listed


_shared = functools.cache(client)


def _unless(work: Callable[[], Any], *codes: str) -> Any:
    """What boto3 gives; None for an error of one of these codes."""
    import botocore.exceptions

    try:
        return work()
    except botocore.exceptions.ClientError as error:
        if error.response.get("Error", {}).get("Code") not in codes:
            raise
        return None


class _Unclosed:
    """A file that boto3 may read; what it does when it is done, to close it, is left to the file's owner."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def close(self) -> None:
        """Nothing."""
