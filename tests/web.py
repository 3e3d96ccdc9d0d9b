"""A real HTTP server on the loopback interface, whose answers a test gives: the only double in the tests of fetching."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


class Asked:
    """A request as it came in."""

    def __init__(self, number: int, path: str, headers: dict[str, str]) -> None:
        parts = urlsplit(path)
        self.number = number  # from 1 on
        self.path = parts.path
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.headers = headers


class Answer:
    """What to send: `body` as bytes with its length, or piece by piece; JSON of anything else."""

    def __init__(
        self, body: Any = None, status: int = 200, headers: dict[str, str] | None = None, length: int | None = None
    ) -> None:
        self.status = status
        self.headers = {"Content-Type": "application/json", **(headers or {})}
        self.pieces: Iterable[bytes]
        if isinstance(body, Iterator):
            self.pieces = body
        else:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.pieces = [data]
            length = len(data) if length is None else length
        if length is not None:
            self.headers["Content-Length"] = str(length)


class Web:
    """`with Web(answer) as web`: `answer(asked)` gives an Answer, or anything that is its JSON body."""

    def __init__(self, answer: Callable[[Asked], Any], tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.sent = 0  # bytes of bodies that the sockets took
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)

    def _handler(web) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with web._lock:
                    asked = Asked(len(web.asked) + 1, self.path, dict(self.headers.items()))
                    web.asked.append(asked)
                found = web.answer(asked)
                answer = found if isinstance(found, Answer) else Answer(found)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for piece in answer.pieces:
                        self.wfile.write(piece)
                        web.sent += len(piece)
                except OSError:
                    self.close_connection = True
                if "Content-Length" not in answer.headers or web.closing.is_set():
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Nothing: the test sees `asked`."""

        return Handler

    def drip(self, piece: bytes = b" ", pause: float = 0.02) -> Iterator[bytes]:
        """That piece for ever, slowly."""
        while not self.closing.is_set():
            yield piece
            time.sleep(pause)

    def __enter__(self) -> Web:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


def free_port() -> int:
    """A port on which nobody listens."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
