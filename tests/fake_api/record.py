"""What has come and what became of it, in memory and in a log that another process can read."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from pathlib import Path

from tests.fake_api.faults import CHARGED
from tests.fake_api.forms import Object

_SECRET = ("x-api-key", "authorization")
_ARRIVED = ("number", "at", "path", "headers", "key", "conversation", "turn", "body")
_ANSWERED = ("number", "answered", "problem", "once", "content", "stop")


class Request:
    """One request as it came (`key`: digest of its exact bytes, `at`: seconds since the epoch) and what became of it.

    `answered`: '' (not yet), 'reply', a fault's name, 'refused' (`problem` says why), 'count' (of tokens). `delivered`: whether a whole
    reply was written to the connection. `once`: whether the answer was one that happens once. `content` and `stop`: digest and
    stop_reason of a reply.
    """

    def __init__(self, path: str, headers: dict[str, str], data: bytes) -> None:
        self.number = 0  # from 1 on, in the order in which they came
        self.path = path
        self.headers = headers
        self.body: Object = {}
        self.key = hashlib.sha256(data).hexdigest()[:24]
        self.at = time.time()
        self.conversation: str | None = None
        self.turn = 0
        self.answered = ""
        self.problem = ""
        self.once = False
        self.content: str | None = None
        self.stop: str | None = None
        self.delivered = False

    def __repr__(self) -> str:
        return f"<{self.number}: {self.conversation!r} {self.turn} {self.answered} {self.problem}>"


class Account:
    """The requests that have come, and what can be said of them."""

    url: str
    requests: list[Request]

    @property
    def problems(self) -> list[str]:
        """What was refused as no request that the API takes."""
        return [request.problem for request in self.requests if request.problem]

    def paid(self) -> int:
        """The replies that were wholly or partly sent: what the real API would charge for."""
        return sum(request.answered in CHARGED for request in self.requests)

    def counts(self) -> Counter[str]:
        """How many of each answer, and `requests` (all but the counts of tokens), `paid`, `delivered`, `again` (the same bytes as
        a request before)."""
        asked = [request for request in self.requests if request.answered != "count"]
        found = Counter(request.answered for request in self.requests if request.answered)
        found["requests"], found["paid"] = len(asked), self.paid()
        found["delivered"] = sum(request.delivered for request in asked)
        found["again"] = len(asked) - len({request.key for request in asked})
        return found


class Log:
    """The JSON Lines of an account: a line when a request arrives, one before it is answered, one when a reply was wholly sent."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self._fd = None if path is None else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def arrived(self, request: Request) -> None:
        if self._fd is None:
            return
        given = {key: getattr(request, key) for key in _ARRIVED}
        # Who searches for leaked keys in all files must not find this one.
        given["headers"] = {name: value for name, value in request.headers.items() if name not in _SECRET}
        self._write("request", given)

    def answered(self, request: Request) -> None:
        self._write("answer", {key: getattr(request, key) for key in _ANSWERED})

    def delivered(self, request: Request) -> None:
        self._write("delivered", {"number": request.number, "delivered": request.delivered})

    def _write(self, kind: str, values: Object) -> None:
        if self._fd is not None:
            os.write(self._fd, (json.dumps({"type": kind, **values}) + "\n").encode())
            os.fsync(self._fd)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def read(path: str | os.PathLike[str]) -> list[Request]:
    """The requests of a log, which may still be growing."""
    found: dict[int, Request] = {}
    data = Path(path).read_bytes() if Path(path).exists() else b""
    for line in data.split(b"\n")[:-1]:
        values = json.loads(line)
        kind, number = values.pop("type"), values["number"]
        if kind == "request":
            found[number] = Request(values["path"], values["headers"], b"")
        for key, value in values.items():
            setattr(found[number], key, value)
    return list(found.values())
