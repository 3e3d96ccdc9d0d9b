"""One HTTP exchange: a request to a status, headers and a whole body, within a time, a size and an origin.

The deadline holds for the whole exchange, however slowly the server drips; keys go to the source's own origin only.
"""

from __future__ import annotations

import io
import socket
import tempfile
import time
from urllib.parse import quote, unquote_plus, urlencode, urljoin, urlsplit, urlunsplit

import requests

from colony_lib import __version__
from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import escape, show_duration
from colony_lib.data import readers
from colony_lib.data.deadline import Adapter, Sockets
from colony_lib.data.streamed import LARGE
from colony_lib.store.redact import Redactor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO, Any

REDIRECTS = 5
ERROR_BODY = 64 * 1024  # bytes of an error's body that are read
_CHUNK = 64 * 1024
_HEADERS = {
    "Accept": "application/json, application/x-ndjson;q=0.9",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": f"colony/{__version__}",
}


class NoAnswer(Exception):
    """No whole answer came; `permanent` when another attempt cannot help (a certificate that is not trusted)."""

    def __init__(self, reason: str, permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


class Reply:
    """A whole answer; `url` is the one that gave it, after redirects, with the keys in it masked. A large body is in a
    file without a name, `file`, and `body` is its start."""

    __slots__ = ("body", "file", "headers", "location", "status", "url")

    def __init__(self, status: int, headers: Mapping[str, str], body: IO[bytes], location: str, url: str) -> None:
        self.status = status
        self.headers = headers
        size = body.seek(0, io.SEEK_END)
        body.seek(0)
        self.file = body if size > LARGE else None
        self.body = body.read(_CHUNK if self.file else -1)
        self.location = location  # as asked for, without the keys: what relative links start from
        self.url = url


class Auth:
    """What a source is shown: headers and query parameters that only its own origin ever gets."""

    __slots__ = ("headers", "query", "secrets")

    def __init__(self, headers: dict[str, str], query: dict[str, str], secrets: dict[str, str]) -> None:
        self.headers = headers
        self.query = query
        self.secrets = secrets


class Transport:
    """Sends GET requests for one source from one thread; `close` it when done."""

    def __init__(self, url: str, auth: Auth, headers: Mapping[str, str], *, timeout: float, max_bytes: int) -> None:
        self.origin = origin(url)
        self.auth = auth
        self._redactor = Redactor(auth.secrets)
        self.headers = dict(headers)
        self.timeout = timeout
        self.max_bytes = max_bytes
        self._sockets = Sockets()
        self._session = requests.Session()
        self._session.headers.clear()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, Adapter(self._sockets))

    def close(self) -> None:
        self._session.close()

    def shown(self, url: str) -> str:
        """The URL as messages may show it: no user and password, the values of key parameters as '***', other secrets
        by their names."""
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        query = "&".join(
            f"{name}=***" if equals and unquote_plus(name) in self.auth.query else pair
            for pair in parts.query.split("&")
            for name, equals, _ in [pair.partition("=")]
        )
        return escape(self._redactor.text(urlunsplit((parts.scheme, host, parts.path, query, ""))))

    def get(self, url: str, params: Mapping[str, str], conditions: Mapping[str, str] | None = None) -> Reply:
        """One GET, by those conditions (If-None-Match …), redirects followed. NoAnswer when there was no whole answer
        in time; ColonyError (FAILED) for a reply that is too large or a redirect that is refused."""
        deadline = time.monotonic() + self.timeout
        url = with_query(url, params)
        with self._sockets.until(deadline):
            for _ in range(REDIRECTS + 1):
                response = self._send(url, max(deadline - time.monotonic(), 0.001), conditions or {})
                target = response.headers.get("Location")
                if self._sockets.expired:
                    raise self._late()
                if response.status_code not in (301, 302, 303, 307, 308) or not target:
                    body = self._body(response)
                    if response.ok:  # an error's body may be cut
                        body = readers.unzip_file(body, self.shown(url), self.max_bytes)
                    return Reply(response.status_code, response.headers, body, url, self.shown(url))
                response.close()
                url = self._redirected(url, target)
        raise ColonyError(f"{self.shown(url)} redirects more than {REDIRECTS} times", code=FAILED)

    def _redirected(self, url: str, target: str) -> str:
        try:
            new = urljoin(url, target)
            leaves = origin(new) != origin(url)
        except (ValueError, ColonyError):
            raise ColonyError(f"{self.shown(url)} redirects to what is no URL", code=FAILED) from None
        if urlsplit(url).scheme == "https" and urlsplit(new).scheme != "https":
            raise ColonyError(f"{self.shown(url)} redirects from https to http: refused", code=FAILED)
        # A server that repeats our query in its redirect must not carry the key elsewhere for us.
        return without_query(new, self.auth.query) if leaves else new

    def _send(self, url: str, timeout: float, conditions: Mapping[str, str]) -> requests.Response:
        headers = dict(_HEADERS)
        if origin(url) == self.origin:
            headers |= dict(conditions) | self.headers | self.auth.headers
            url = with_query(url, self.auth.query)
        try:
            # Not by session.get: that would look into ~/.netrc for keys, keep cookies, and read the redirect first.
            prepared = requests.Request("GET", url, headers=headers).prepare()
            settings = self._session.merge_environment_settings(url, {}, True, None, None)
            return self._session.get_adapter(url).send(prepared, timeout=timeout, **settings)
        except Exception as error:
            raise self._failure(error) from None

    def _body(self, response: requests.Response) -> IO[bytes]:
        limit = self.max_bytes if response.ok else ERROR_BODY
        length = response.headers.get("Content-Length", "")
        said = int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None
        if response.ok and said is not None and said > limit:
            response.close()
            raise self._too_large()
        body: IO[bytes] = tempfile.SpooledTemporaryFile(LARGE)  # noqa: SIM115 - it ends with its reply
        size = 0
        try:
            for chunk in response.iter_content(_CHUNK):
                body.write(chunk)
                size += len(chunk)
                if size > limit:
                    response.close()
                    if response.ok:
                        raise self._too_large()
                    body.truncate(limit)
                    return body
            if said is not None and response.raw.tell() < said:
                raise NoAnswer("the reply was cut short")
        except (ColonyError, NoAnswer):
            raise
        except Exception as error:
            raise self._failure(error) from None
        if self._sockets.expired:
            raise self._late()  # a socket that was ended looks like one whose sender is done
        return body

    def _late(self) -> NoAnswer:
        return NoAnswer(f"no whole reply within {show_duration(self.timeout)}")

    def _too_large(self) -> ColonyError:
        return ColonyError(
            f"the reply is larger than max_bytes ({self.max_bytes:,})",
            fix="ask for smaller pages, or raise max_bytes",
            code=FAILED,
        )

    def _failure(self, error: Exception) -> NoAnswer:
        """What went wrong, in our words: those of the library carry whole URLs, keys included."""
        if self._sockets.expired or _has(error, TimeoutError, requests.Timeout):
            return self._late()
        if not isinstance(error, (requests.RequestException, OSError)) and type(error).__module__.split(".")[0] not in (
            "urllib3",
            "http",
        ):
            raise error
        return _reason(error)


def _reason(error: BaseException) -> NoAnswer:
    import ssl
    from http.client import IncompleteRead

    tls = _has(error, ssl.SSLError)
    if tls:
        why = getattr(tls, "verify_message", None) or getattr(tls, "reason", None) or "failed"
        return NoAnswer(f"TLS: {escape(why)}", permanent=isinstance(tls, ssl.SSLCertVerificationError))
    for kind, text in (
        (ConnectionRefusedError, "connection refused"),
        (socket.gaierror, "the host's name is not known"),
        (requests.exceptions.ContentDecodingError, "the reply's compression is broken"),
        (IncompleteRead, "the reply was cut short"),
        (ConnectionError, "the connection was cut"),
    ):
        if _has(error, kind):
            return NoAnswer(text)
    system = _has(error, OSError)
    if isinstance(system, OSError) and system.strerror:
        return NoAnswer(escape(system.strerror).lower())
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        return NoAnswer("the URL cannot be asked for", permanent=True)
    return NoAnswer(f"no proper HTTP ({type(error).__name__})")


def _has(error: BaseException, *kinds: type[BaseException]) -> BaseException | None:
    """The error, or the one of its causes, that is of one of these kinds."""
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, kinds):
            return one
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return None


def origin(url: str) -> tuple[str, str, int]:
    """(scheme, host, port) of an http or https URL; ColonyError (USAGE) for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        if not parts.hostname or any(c.isspace() or ord(c) < 32 for c in url):
            raise ValueError
    except (ValueError, KeyError):
        raise ColonyError(
            "the URL is not one of http or https", fix="write it like https://api.example.com/flights", code=USAGE
        ) from None
    return parts.scheme, parts.hostname.lower(), port


def without_query(url: str, names: Mapping[str, str]) -> str:
    """The URL without these query parameters; all else as it was, to the letter."""
    parts = urlsplit(url)
    kept = [pair for pair in parts.query.split("&") if pair and unquote_plus(pair.partition("=")[0]) not in names]
    return urlunsplit(parts._replace(query="&".join(kept), fragment=""))


def with_query(url: str, params: Mapping[str, str]) -> str:
    """The URL with these query parameters, in place of those of the same name; all else as it was."""
    if not params:
        return url
    parts = urlsplit(without_query(url, params))
    added = urlencode(dict(params), quote_via=quote)
    return urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))
