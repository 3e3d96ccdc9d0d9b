"""Tells one event to one command or webhook, within a time limit: the only place where alerts leave the colony."""

from __future__ import annotations

import os

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import cut, escape, show_duration
from colony_lib.store import env, paths, variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_VARIABLES = {"COLONY_RUN_ID": "run_id", "COLONY_WORKFLOW": "workflow", "COLONY_DATE": "date", "COLONY_ALERT": "event",
              "COLONY_ALERT_TEXT": "text"}  # fmt: skip


def tell(alert: Mapping[str, Any], event: Mapping[str, Any], known: Mapping[str, str]) -> str | None:
    """Give the event {event, text, run_id, workflow, date, …} to the alert's command or webhook. `known` is the
    environment, with what the env_file adds. Returns what went wrong, else None; it may hold secrets of `known`."""
    if alert["command"] is not None:
        return _run(alert["command"], event, known, alert["timeout_seconds"])
    try:
        url = variables.expand(alert["webhook"], known, who="the webhook")
    except ColonyError as error:
        return str(error)
    return _post(url.strip(), event["text"], alert["timeout_seconds"])


def _run(command: str, event: Mapping[str, Any], known: Mapping[str, str], seconds: float) -> str | None:
    import signal
    import subprocess
    import tempfile

    own = {name: str(event[key]) for name, key in _VARIABLES.items() if event.get(key) is not None}
    outside = {name: value for name, value in known.items() if name not in env.STEP_VARIABLES.values()}
    # Files, not pipes: what a command leaves behind in the background may keep a pipe open for ever.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(jsontext.dumps(dict(event)).encode() + b"\n")
        given.seek(0)
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                cwd=paths.root(),
                env=outside | own | {"COLONY_ROOT": paths.root()},
                stdin=given,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return f"the command could not be started: {escape(error)}"
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"the command took more than {show_duration(seconds)}"
        if code == 0:
            return None
        words = os.pread(said.fileno(), 4096, max(0, os.fstat(said.fileno()).st_size - 4096)).decode("utf-8", "replace")
    last = escape(cut(words.rstrip().rpartition("\n")[2], 300))
    return f"the command ended with exit status {code}" + (f": {last}" if last else "")


def _post(url: str, text: str, seconds: float) -> str | None:
    """Post {"text": …}, following no redirection; of the URL nothing but the host is ever said."""
    import http.client
    import socket
    import threading
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "the webhook is no http or https URL"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "the webhook is no http or https URL"
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, port, timeout=seconds)
    late = threading.Event()

    def give_up() -> None:  # the timeout of a socket starts anew with every byte that a slow server sends
        late.set()
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)

    clock = threading.Timer(seconds, give_up)
    clock.daemon = True
    clock.start()
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        body = jsontext.dumps({"text": _slack(text)}).encode()
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
    except (OSError, http.client.HTTPException, ValueError) as error:
        late_words = f"did not answer within {show_duration(seconds)}"
        # InvalidURL and its like repeat the URL: of those only the kind.
        why = escape(error.strerror or type(error).__name__) if isinstance(error, OSError) else type(error).__name__
        slow = late.is_set() or isinstance(error, TimeoutError)
        return f"the webhook at {escape(parts.hostname)} " + (late_words if slow else f"could not be reached: {why}")
    finally:
        clock.cancel()
        connection.close()
    # Not what it said: servers like to repeat the path that they were asked for, and that is the secret.
    return None if 200 <= reply.status < 300 else f"the webhook at {escape(parts.hostname)} answered {reply.status}"


def _slack(text: str) -> str:
    """Nothing in data may become a mention or a link: Slack's text has three characters of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
