"""Sends lineage events to the endpoint that OPENLINEAGE_URL names, beside the file that has them anyway.

OPENLINEAGE_ENDPOINT is the path there (default api/v1/lineage) and OPENLINEAGE_API_KEY a bearer token, as OpenLineage's
own clients read them. An endpoint that does not answer costs its time limit and a line in the log, never the work.
"""

from __future__ import annotations

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.base.text import cut, escape
from colony_lib.store import env

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SECONDS = 3.0
_OURS = ("v", "id")  # what the file has and OpenLineage does not know


def post(event: dict[str, Any]) -> str | None:
    """Send one event, where there is an endpoint; what went wrong, in words without secrets, else None."""
    url = env.get("OPENLINEAGE_URL")
    if url is None:
        return None
    # By the standard library: importing `requests` for one small request would cost more than the command itself.
    import http.client
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "OPENLINEAGE_URL is no http URL"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "OPENLINEAGE_URL is no http URL"
    path = "/" + "/".join(filter(None, (parts.path.strip("/"), (env.get("OPENLINEAGE_ENDPOINT") or "api/v1/lineage"))))
    headers = {"Content-Type": "application/json"}
    key = env.get("OPENLINEAGE_API_KEY")
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    body = jsontext.dumps({name: value for name, value in event.items() if name not in _OURS}).encode()
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, port, timeout=_SECONDS)
    try:
        connection.request("POST", path, body, headers)
        reply = connection.getresponse()
        said = reply.read(400).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = escape(str(error) or type(error).__name__)
        return f"the lineage endpoint at {escape(parts.hostname)} does not take events: {why}"
    finally:
        connection.close()
    if reply.status >= 300:
        return f"the lineage endpoint at {escape(parts.hostname)} answered {reply.status}: {escape(cut(said, 200))}"
    return None


def send(event: dict[str, Any]) -> None:
    """`post`, and tell the agent's log when it could not be sent."""
    trouble = post(event)
    if trouble is None:
        return
    from colony_lib.base import files
    from colony_lib.store import logs

    step = env.step()
    attempt = step.get("attempt", "")
    try:
        logs.line(
            step.get("agent") or "colony",
            "warn",
            files.redacted(f"{trouble}; the event is in .colony/lineage/"),
            step.get("run_id"),
            step.get("step"),
            int(attempt) if attempt.isdigit() else None,
        )
    except ColonyError:
        return  # a full disk, say: the event itself is written, and the log is no more than news
