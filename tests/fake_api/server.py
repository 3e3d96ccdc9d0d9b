"""The server: takes a request, has it checked, and answers it with its reply or its fault."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fake_api import faults, history, rules, script, sse
from tests.fake_api.forms import KEY, Object, Refused, canonical, content_digest
from tests.fake_api.record import Account, Log, Request, read
from tests.fake_api.tokens import Cache, Prompt, estimate

_REQUEST_ID = "req_test"


class FakeAPI(Account):
    """The API, from `with` on. With a log that is there already it goes on where that ends."""

    def __init__(self, given: script.Given, log: str | os.PathLike[str] | None = None, port: int = 0) -> None:
        self._scripted = script.Scripted(given)
        self.requests: list[Request] = [] if log is None else read(log)
        self.closing = threading.Event()
        self._log = Log(log)
        self._lock = threading.Lock()
        self._cache = Cache()
        self._sent: dict[str | None, dict[str, str]] = {}  # of each conversation: a reply's digest to its stop_reason
        for request in self.requests:
            self._remember(request)
            self._scripted.used[request.conversation, request.turn] += request.once
        self._server = _Server(port, self)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FakeAPI:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()
        with self._lock:
            self._log.close()

    def environment(self) -> dict[str, str]:
        """What a child needs to ask here."""
        return {"ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": KEY}

    # -- the account

    def arrived(self, request: Request) -> None:
        with self._lock:
            request.number = len(self.requests) + 1
            self.requests.append(request)
            self._log.arrived(request)

    def answering(self, request: Request, answered: str, problem: str = "") -> None:
        """It is answered like this from now on."""
        with self._lock:
            request.answered, request.problem = answered, problem
            self._remember(request)
            self._log.answered(request)

    def delivered(self, request: Request, whether: bool = True) -> None:
        with self._lock:
            request.delivered = whether
            self._log.delivered(request)

    def _remember(self, request: Request) -> None:
        # Only a whole reply can be part of a history: who keeps part of one is found out.
        if request.answered == "reply" and request.content:
            self._sent.setdefault(request.conversation, {})[request.content] = request.stop or ""

    # -- one request

    @property
    def script(self) -> Any:
        """The script as it was given; to change it is to change what is answered from then on."""
        return self._scripted.given

    @script.setter
    def script(self, given: script.Given) -> None:
        self._scripted.given = given

    def reply(self, request: Request) -> tuple[Object, Object]:
        """(reply, fault or {}). Refused when the script has none."""
        return self._scripted.reply(request)

    def place(self, request: Request, data: bytes) -> None:
        """Read its body, and tell its conversation and turn as far as it has any."""
        try:
            request.body = json.loads(data)
            canonical(request.body).encode()
            request.turn = sum(message["role"] == "assistant" for message in request.body["messages"])
            request.conversation = self._scripted.conversation(request.body)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return  # it will be refused for it

    def check(self, request: Request, data: bytes, counting: bool) -> None:
        """Refused for what the API would refuse."""
        try:
            body = json.loads(data)
            canonical(body).encode()
        except ValueError as error:
            raise Refused(f"The request body is not valid JSON: {error}") from None
        if not isinstance(body, dict):
            raise Refused("The request body is not an object")
        with self._lock:
            sent = dict(self._sent.get(request.conversation, {}))
        try:
            rules.check(body, counting=counting)
            history.check_form(body["messages"])
            rules.check_marks(body)
            history.check_order(body["messages"], sent)
            history.check_said(body, sent)
            history.check_end(body["messages"], sent)
        except (AttributeError, KeyError, TypeError) as error:
            raise Refused(f"the request has not the form of one: {error!r}") from None

    def message(self, reply: Object, request: Request) -> Object:
        """The whole reply; it is asked for once for each request, since the cache remembers it."""
        made = script.message(reply, request)
        request.content, request.stop = content_digest(made["content"]), made["stop_reason"]
        with self._lock:
            usage = self._cache.input(request.body)
        out = {"output_tokens": estimate(made["content"]), "service_tier": "standard"}
        return {**made, "usage": {**usage, **out, **(reply.get("usage") or {})}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, api: FakeAPI) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.api = api
        self.open: set[socket.socket] = set()

    def handle_error(self, *_: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # who asked is gone: nothing to tell
            super().handle_error(*_)

    def hang_up(self) -> None:
        """End the connections that are kept alive: nobody is answered after the end."""
        for each in list(self.open):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has ended by itself


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # each event is a small write of its own
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.api = self.server.api
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def log_message(self, *_: Any) -> None:
        """Nothing: the test sees `requests`."""

    def do_GET(self) -> None:
        self._json(*faults.error("404", f"Not found: {self.path}"))

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, data)
        self.api.place(request, data)
        self.api.arrived(request)
        try:
            self._answer(request, data)
        except Refused as refused:
            self.api.answering(request, "refused", str(refused))
            self._json(*faults.error("400", str(refused)))

    def _answer(self, request: Request, data: bytes) -> None:
        path = self.path.partition("?")[0]
        if KEY not in (
            request.headers.get("x-api-key"),
            request.headers.get("authorization", "").removeprefix("Bearer "),
        ):
            return self._fail(request, {"fault": "401"})
        if path not in ("/v1/messages", "/v1/messages/count_tokens"):
            return self._fail(request, {"fault": "404", "message": f"Not found: {path}"})
        counting = path.endswith("count_tokens")
        self.api.check(request, data, counting)
        if request.body["model"].startswith(rules.RETIRED):
            return self._fail(request, {"fault": "404", "message": f"model: {request.body['model']}"})
        if counting:
            self.api.answering(request, "count")
            return self._json(200, {"input_tokens": Prompt(request.body).total()})
        reply, fault = self.api.reply(request)
        self.api.closing.wait(fault.get("delay", reply.get("delay", 0)))
        if fault.get("fault", "reply") in faults.CHARGED:
            return self._reply(request, reply, fault)
        return self._fail(request, fault)

    # -- answers that are none

    def _fail(self, request: Request, fault: Object) -> None:
        name = fault["fault"]
        self.api.answering(request, name)
        if name == "html":
            self._send(
                fault.get("status", 502), b"<html><body>Bad gateway</body></html>", "text/html", faults.headers(fault)
            )
        elif name == "reset":
            self._reset()
        elif name == "hang":
            self.api.closing.wait(fault.get("seconds", 60))
            self.close_connection = True
        else:
            status, body = faults.error(name, fault.get("message"))
            self._json(status, body, faults.headers(fault))

    def _reset(self) -> None:
        """End the connection by RST; what was written before may be lost with it."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    # -- answers that are a reply, or part of one

    def _reply(self, request: Request, reply: Object, fault: Object) -> None:
        message = self.api.message(reply, request)
        name = fault.get("fault", "reply")
        self.api.answering(request, name)
        if name == "null-content":
            message["content"] = None
        if request.body.get("stream"):
            last = self._stream(message, fault, reply.get("drip", 0))
        else:
            last = self._whole(message, fault)
        if name == "cut":
            return self._cut(fault)
        # Who has the whole reply must find it noted as delivered; the last bytes say nothing more.
        if name == "reply":
            self.api.delivered(request)
        try:
            self.wfile.write(last)
        except OSError:
            self.api.delivered(request, False)
            raise
        return None

    def _whole(self, message: Object, fault: Object) -> bytes:
        """Send all but the last bytes, which are returned. Without a stream, what is an event of one is a status, and what ends
        early is a body without stop_reason."""
        name = fault.get("fault")
        status = 529 if name == "error-event" else 200
        if name == "clean-early-end":
            message["stop_reason"] = None
        data = json.dumps(faults.OVERLOADED if status == 529 else message, ensure_ascii=False).encode()
        length = len(data)
        if name in ("broken-body", "cut"):
            data = data[: length // 2]
        self._head(status, "application/json", {"content-length": str(length if name == "cut" else len(data))})
        self.wfile.write(data[:-1])
        return data[-1:]

    def _stream(self, message: Object, fault: Object, drip: float) -> bytes:
        """Send all events, and return what ends the body."""
        self._head(200, "text/event-stream; charset=utf-8", {"transfer-encoding": "chunked"})
        for number, event in enumerate(sse.stream(message, fault)):
            if number and drip:
                self.api.closing.wait(drip)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        return b"0\r\n\r\n"

    def _cut(self, fault: Object) -> None:
        self.close_connection = True
        if fault.get("reset"):
            self._reset()

    # -- how it is sent

    def _json(self, status: int, value: Object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value, ensure_ascii=False).encode(), "application/json", headers or {})

    def _send(self, status: int, data: bytes, kind: str, headers: dict[str, str]) -> None:
        self._head(status, kind, {"content-length": str(len(data)), **headers})
        self.wfile.write(data)

    def _head(self, status: int, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "request-id": _REQUEST_ID, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
