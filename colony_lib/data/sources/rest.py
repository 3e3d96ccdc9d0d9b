"""Sources of type `rest`: JSON from an HTTP API, page by page."""

from __future__ import annotations

import io
import os
import re
from urllib.parse import unquote, urlsplit, urlunsplit

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import duration, show_duration
from colony_lib.data import readers
from colony_lib.data.http import LINES, STREAM, Client, Retry
from colony_lib.data.limits import Breaker, Bucket
from colony_lib.data.pagination import MAX_PAGES, Pages
from colony_lib.data.pipeline import byte_count, expand, variables_in
from colony_lib.data.quarantine import Unreadable
from colony_lib.data.replies import Replies
from colony_lib.data.streamed import Document, Lines, Seen
from colony_lib.data.transport import Auth, Transport, origin, with_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from colony_lib.data.sources import Request

# Outside `auth`, a value that comes from the environment under such a name is taken for a secret too.
_SECRET = re.compile(r"auth|key|token|secret|passw|cookie|signature|credential", re.IGNORECASE)
_SINCE = re.compile(r"\{\{\s*since\s*\}\}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


class Source:
    """One fetch of a REST source; see colony_lib.data.sources."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.expected: int | None = None
        self.secrets: dict[str, str] = {}
        self._masked: dict[str, str] = {}
        self.records = request.settings.get("records")
        self.url, self._user = self._address()
        self.params = self._params()
        self.headers = {
            name: self._header(name, request.setting("headers", name), "headers", name)
            for name in self._named("headers")
        }
        self.auth = self._auth()
        self.timeout = self._duration("timeout", default=30.0)
        self.max_bytes = byte_count(request.settings.get("max_bytes", "200MB"))
        self.retry = Retry(
            attempts=request.settings.get("retry", {}).get("max_attempts", 4),
            delay=self._duration("retry", "delay", default=0.5),
            max_delay=self._duration("retry", "max_delay", default=30.0),
            max_wait=self._duration("retry", "max_wait", default=60.0),
        )
        self.breaker = self._breaker()
        self.bucket = self._bucket()
        self.replies = self._replies()

    def keep(self) -> None:
        """The replies of this fetch are those to ask by the next time."""
        if self.replies is not None:
            self.replies.keep()

    def _replies(self) -> Replies | None:
        if not self.request.settings.get("conditional", True):
            return None
        folder = os.path.join(self.request.pipeline.state_folder(), "replies", self.request.name)
        total = self.request.settings.get("pagination", {}).get("total_header")
        return Replies(folder, self.secrets.values(), [total] if total else [])

    @property
    def origin(self) -> str:
        return self._transport().shown(with_query(self.url, self.params))

    def _named(self, section: str) -> dict[str, Any]:
        found: dict[str, Any] = self.request.settings.get(section) or {}
        return found

    def _address(self) -> tuple[str, str]:
        """(the URL without user and password, 'user:password' or '')."""
        url = self.request.setting("url")
        try:
            origin(url)
        except ColonyError as error:
            raise ColonyError(error.what, where=self.request.where("url"), fix=error.fix, code=USAGE) from None
        parts = urlsplit(url)
        written = self.request.settings["url"]
        named = [(name, value) for name, _, value in (part.partition("=") for part in re.split("[?&]", written))]
        for variable in variables_in(written):  # in its path, or as a parameter
            if _SECRET.search(variable) or any(_SECRET.search(n) and variable in variables_in(v) for n, v in named):
                self._keep(variable, expand(f"${{{variable}}}"), f"${{{variable}}}")
        user, _, host = parts.netloc.rpartition("@")
        if user:
            self._keep("password", unquote(parts.password or ""), re.split("[/?#]", written.partition("://")[2])[0])
        return urlunsplit(parts._replace(netloc=host, fragment="")), unquote(user)

    def _keep(self, name: str, value: str, written: Any) -> None:
        """Remember a value that must not show, by the name of the variable that it came from, else the source's."""
        names = variables_in(written)
        if value:
            self.secrets[names[0] if len(names) == 1 else f"{self.request.name}.{name}"] = value

    def _params(self) -> dict[str, str]:
        """The query parameters filled in; those that need {{since}} are left out of a first, full fetch."""
        params: dict[str, str] = {}
        for name, written in self._named("params").items():
            if isinstance(written, str) and self.request.since is None and _SINCE.search(written):
                continue
            params[name] = _sent(self.request.setting("params", name))
            if _SECRET.search(name) and variables_in(written):
                self._masked[name] = params[name]
                self._keep(name, params[name], written)
        incremental = self.request.settings.get("incremental", {})
        if incremental.get("param") and self.request.since is not None:
            params[incremental["param"]] = self.request.since
        return params

    def _header(self, name: str, value: Any, *keys: str) -> str:
        text = _sent(value).strip(" \t")
        where = self.request.where(*keys)
        if not _HEADER.match(name):
            raise ColonyError(f"'{name}' is not the name of a header", where=where, code=USAGE)
        # The value is not shown: it may well be a key, read with the newline that ended its file.
        if any(ord(character) < 32 or ord(character) > 255 or ord(character) == 127 for character in text):
            what = f"the value of the header '{name}' holds a line break or another character that no header may have"
            raise ColonyError(what, where=where, code=USAGE)
        written = self._named(keys[0]).get(keys[-1])
        if keys[0] == "headers" and _SECRET.search(name) and variables_in(written):
            self._keep(name, text, written)
        return text

    def _auth(self) -> Auth:
        from base64 import b64encode

        written = self._named("auth")
        value = {
            key: _sent(self.request.setting("auth", key)) for key in ("value", "bearer", "basic") if key in written
        }
        for key, secret in value.items():
            self._keep(key, secret, written[key])
        headers: dict[str, str] = {}
        basic = value.get("basic", self._user)
        if basic:
            self.secrets[f"{self.request.name}.basic"] = basic
            self._keep("password", basic.partition(":")[2], written.get("basic"))
            headers["Authorization"] = "Basic " + b64encode(basic.encode()).decode()
        if "bearer" in value:
            headers["Authorization"] = self._header("Authorization", f"Bearer {value['bearer']}", "auth", "bearer")
        if "header" in written:
            headers[written["header"]] = self._header(written["header"], value["value"], "auth", "value")
        query = {**self._masked, **({written["query"]: value["value"]} if "query" in written else {})}
        self.params = {name: text for name, text in self.params.items() if name not in query}
        return Auth(headers, query, self.secrets)

    def _duration(self, *keys: str, default: float) -> float:
        value: Any = self.request.settings
        for key in keys:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        if value == {}:
            return default
        try:
            return duration(value)
        except ColonyError as error:
            raise ColonyError(error.what, where=self.request.where(*keys), fix=error.fix, code=USAGE) from None

    def _breaker(self) -> Breaker:
        given = self._named("circuit_breaker")
        pipeline, name = self.request.pipeline, self.request.name
        timeout = self._duration("circuit_breaker", "timeout", default=60.0)
        lock = pipeline.lock(f"breaker-{name}")
        return Breaker(pipeline.state_folder(), name, lock, failures=given.get("failures", 5), timeout=timeout)

    def _bucket(self) -> Bucket | None:
        if not self._named("rate_limit"):
            return None
        text = str(self.request.setting("rate_limit", "requests"))
        if not text.isascii() or not text.isdigit() or not 0 < int(text) < 10**9:
            where = self.request.where("rate_limit", "requests")
            raise ColonyError(
                f"the rate limit is '{text[:40]}'", where=where, fix="give a whole number from 1 on", code=USAGE
            )
        pipeline, name = self.request.pipeline, self.request.name
        if "shared" in self._named("rate_limit"):
            name = f"shared-{self.request.settings['rate_limit']['shared']}"
        per = self._duration("rate_limit", "per", default=60.0)
        return Bucket(pipeline.state_folder(), name, pipeline.lock(f"bucket-{name}"), requests=int(text), per=per)

    def _transport(self) -> Transport:
        return Transport(self.url, self.auth, self.headers, timeout=self.timeout, max_bytes=self.max_bytes)

    def _pages(self) -> Pages:
        settings = self.request.settings
        return Pages(settings.get("pagination", {}), self.url, self.params, settings.get("max_pages", MAX_PAGES))

    def plan(self) -> dict[str, Any]:
        pages = self._pages()
        shown = self._transport().shown(with_query(with_query(pages.url, pages.params), self.auth.query))
        limit = f"{self.bucket.requests} requests in {show_duration(self.bucket.per)}" if self.bucket else None
        return {
            "request": f"GET {shown}",
            "headers": sorted({*self.headers, *self.auth.headers}),
            "pagination": pages.kind,
            "rate_limit": limit,
        }

    def batches(self) -> Iterator[list[Any]]:
        tally = self.request.tally
        pages = self._pages()
        transport = self._transport()
        client = Client(
            transport,
            retry=self.retry,
            breaker=self.breaker,
            bucket=self.bucket,
            tally=tally,
            stop=self.request.stop,
            replies=self.replies,
            lines=self.request.settings.get("format") == "ndjson",
        )
        try:
            while True:
                answer = client.get(pages.url, pages.params, end=pages.may_end)
                if answer is None:
                    break
                value, reply = answer
                tally.pages += 1
                tally.origin = f"page {pages.page} ({reply.url})"
                try:
                    records: list[Any] | Seen
                    if value is LINES or value is STREAM:
                        records = Seen(others=pages.kind != "none")
                        file = reply.file or io.BytesIO(reply.body)
                        page = Lines(file, tally.problems) if value is LINES else Document(file, self.records)
                        for batch in page.batches():
                            records.add(batch)
                            yield batch
                        value = page.value
                    else:
                        records = [] if reply.status == 204 else readers.records_in(value, self.records)
                        yield records
                    if not pages.follow(
                        value, reply.headers, reply.location, records, tally.unique + len(tally.problems)
                    ):
                        break
                except Unreadable:
                    raise
                except ColonyError as error:
                    raise Unreadable(error.what, origin=reply.url, body=reply.body, fix=error.fix) from None
        finally:
            transport.close()
        self.expected = pages.total
        tally.notes += pages.notes


def _sent(value: Any) -> str:
    """A setting as the query or a header carries it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
