"""Posts lineage events to an OpenLineage endpoint: `OPENLINEAGE_URL`, as the standard's own clients read it.

What an endpoint does never fails a step: the events are in `.colony/lineage/` before they are posted, and what could
not be posted is said by the caller in one line.
"""

from __future__ import annotations

from colony_lib.base import files, jsontext
from colony_lib.store import env

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

TIMEOUT = 5.0  # seconds for all events of one call, whatever the endpoint does
PATH = "api/v1/lineage"
_OURS = ("v", "id")  # what the journal's lines carry and an OpenLineage event has not


def endpoint() -> str | None:
    """The URL that events are posted to: $OPENLINEAGE_URL and $OPENLINEAGE_ENDPOINT (default api/v1/lineage); None when
    it is not set, or $OPENLINEAGE_DISABLED is true."""
    base = env.get("OPENLINEAGE_URL")
    if base is None or (env.get("OPENLINEAGE_DISABLED") or "").strip().lower() == "true":
        return None
    return f"{base.rstrip('/')}/{(env.get('OPENLINEAGE_ENDPOINT') or PATH).lstrip('/')}"


def shown(url: str) -> str:
    """The URL without what may be secret in it: user, password, query."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "$OPENLINEAGE_URL"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def send(url: str, events: Sequence[dict[str, Any]]) -> tuple[int, str | None]:
    """(how many of the events the endpoint took, in their order, why it did not take the next or None).

    A daemon thread does it, so that an endpoint that answers a byte a second holds nobody longer than TIMEOUT.
    """
    import threading

    timeout = TIMEOUT
    taken = 0
    why: str | None = f"no answer within {timeout:g} s"

    def work() -> None:
        nonlocal taken, why
        for event in events:
            problem = _post(url, event, timeout)
            if problem is not None:
                why = problem
                return
            taken += 1
        why = None

    thread = threading.Thread(target=work, name="lineage", daemon=True)
    thread.start()
    thread.join(timeout)
    return taken, why


def _post(url: str, event: dict[str, Any], timeout: float) -> str | None:
    """Why the event was not taken, or None. A redirection is not followed: it would turn the POST into a GET."""
    import http.client
    import urllib.error
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any) -> None:
            return None

    told = {key: value for key, value in event.items() if key not in _OURS}
    body = files.redacted(jsontext.dumps(told)).encode()
    try:
        address, headers = _addressed(url)
        request = urllib.request.Request(address, body, headers, method="POST")
        with urllib.request.build_opener(Stay).open(request, timeout=timeout):
            return None
    except urllib.error.HTTPError as error:
        error.close()
        return f"it answered {error.code}"
    except urllib.error.URLError as error:
        return str(error.reason)
    except ValueError:
        return "OPENLINEAGE_URL is not an http or https URL"
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"


def _addressed(url: str) -> tuple[str, dict[str, str]]:
    """(the URL without user and password, the request's headers); ValueError when it is no URL for HTTP."""
    import base64
    from urllib.parse import unquote, urlsplit, urlunsplit

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(url)
    headers = {"Content-Type": "application/json"}
    user, _, host = parts.netloc.rpartition("@")
    key = env.get("OPENLINEAGE_API_KEY")
    if key:
        headers["Authorization"] = f"Bearer {key}"
    elif user:
        headers["Authorization"] = "Basic " + base64.b64encode(unquote(user).encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), headers
