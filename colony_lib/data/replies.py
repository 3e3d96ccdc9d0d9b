"""The replies of a source's last fetch with their ETag or Last-Modified, so that what is the same is not sent again.

A reply is one file: its validators on the first line, its bytes behind it. So there is never a validator without the
bytes that it is of, whatever is killed; bytes that are not those which were written are not asked by.
"""

from __future__ import annotations

import hashlib
import os
import tempfile

from colony_lib.base import files, jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.data.streamed import LARGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import IO

_BLOCK = 1 << 18
_HEAD = 64 * 1024  # bytes of the first line, at most
_NEW, _KEPT = ".new", ".reply"


class Known:
    """A reply of before: its `headers`, its bytes in `file`, and the `conditions` to ask by."""

    def __init__(self, headers: dict[str, str], file: IO[bytes]) -> None:
        self.headers = headers
        self.file = file
        asked = {"If-None-Match": headers.get("ETag"), "If-Modified-Since": headers.get("Last-Modified")}
        self.conditions = {name: value for name, value in asked.items() if value}


class Replies:
    """What one fetch knows of the last, in `folder`, and leaves for the next; `headers` are those to remember besides.
    A reply that holds one of the `secrets` is not kept."""

    def __init__(self, folder: str, secrets: Iterable[str], headers: Iterable[str]) -> None:
        self.folder = folder
        self.secrets = [secret.encode() for secret in secrets if secret]
        self.headers = ("ETag", "Last-Modified", "Content-Type", "Link", *headers)
        self._same: set[str] = set()
        self._new: set[str] = set()

    def known(self, url: str) -> Known | None:
        """The reply that this URL (without keys) gave to the last fetch."""
        try:
            with open(files.open_regular(self._path(url, _KEPT), follow=False), "rb") as file:
                head = jsontext.loads(file.readline(_HEAD))
                body: IO[bytes] = tempfile.SpooledTemporaryFile(LARGE)  # noqa: SIM115 - it ends with its reply
                digest = _copy(file, body)
                if head["url"] != url or head["sha256"] != digest:
                    return None
                return Known({str(name): str(value) for name, value in head["headers"].items()}, body)
        except (OSError, ColonyError, KeyError, TypeError, AttributeError):
            return None  # not there, or damaged: it is asked for without conditions

    def again(self, url: str) -> None:
        """The reply is still what it was."""
        self._same.add(self._name(url))

    def note(self, url: str, headers: Mapping[str, str], body: IO[bytes]) -> None:
        """Put a new reply beside the known ones; `keep` makes it one of them."""
        if not ("ETag" in headers or "Last-Modified" in headers) or "no-store" in headers.get("Cache-Control", ""):
            return
        body.seek(0)
        if self.secrets and _holds(body, self.secrets):
            return
        body.seek(0)
        kept = {name: headers[name] for name in self.headers if name in headers}
        head = {"v": 1, "url": url, "headers": kept, "sha256": _copy(body)}
        first = files.redacted(jsontext.dumps(head)).encode() + b"\n"
        if len(first) >= _HEAD:
            return
        body.seek(0)
        with files.replacing(self._path(url, _NEW), durable=False) as fd:
            files.write_all(fd, first)
            while block := body.read(_BLOCK):
                files.write_all(fd, block)
        self._new.add(self._name(url))

    def keep(self) -> None:
        """From here on the replies of this fetch are the known ones, and no others."""
        try:
            there = os.listdir(self.folder)
        except FileNotFoundError:
            return
        for name in there:
            stem, suffix = os.path.splitext(name)
            path = os.path.join(self.folder, name)
            try:
                if suffix == _NEW and stem in self._new:
                    files.put(path, os.path.join(self.folder, stem + _KEPT), durable=False)
                elif suffix == _NEW or (suffix == _KEPT and stem not in self._same | self._new):
                    os.unlink(path)
            except (FileNotFoundError, ColonyError):
                continue  # another fetch of the source was quicker; what is not kept is only asked for in full

    def _name(self, url: str) -> str:
        return hashlib.blake2b(url.encode(), digest_size=12).hexdigest()

    def _path(self, url: str, suffix: str) -> str:
        return os.path.join(self.folder, self._name(url) + suffix)


def _copy(source: IO[bytes], target: IO[bytes] | None = None) -> str:
    """The digest of what is left of the file, which is written into the other one."""
    digest = hashlib.sha256()
    while block := source.read(_BLOCK):
        digest.update(block)
        if target is not None:
            target.write(block)
    return digest.hexdigest()


def _holds(body: IO[bytes], secrets: list[bytes]) -> bool:
    before = b""
    longest = max(map(len, secrets))
    while block := body.read(_BLOCK):
        text = before + block
        if any(secret in text for secret in secrets):
            return True
        before = text[-longest:]
    return False
