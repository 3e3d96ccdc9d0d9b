"""Pagination: from one page of a REST source to the request for the next, with an end to every circle."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import urljoin

from colony_lib.base import jsontext
from colony_lib.base.errors import FAILED, ColonyError
from colony_lib.base.text import escape
from colony_lib.data import readers
from colony_lib.data.streamed import Seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

MAX_PAGES = 10_000
_LINK = re.compile(r"<([^>]*)>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:\"(?:[^\"\\]|\\.)*\"|[^\s;,\"]*))?)*)")
_PARAMETER = re.compile(r";\s*([^\s=;,]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;,\"]*))")


class Pages:
    """The way through the pages of one source: `url` and `params` are the next request, until `follow` says no.

    Nothing ends it silently but the source's own word: an empty page, no next cursor or link, the number of pages, or
    the total. A short page is no end: sources give fewer than they are asked for.
    """

    def __init__(
        self, settings: Mapping[str, Any], url: str, params: Mapping[str, str], max_pages: int = MAX_PAGES
    ) -> None:
        self.kind: str = settings.get("type", "none")
        self.settings = settings
        self.url = url
        self.params = dict(params)
        self.max_pages = max_pages
        self.page = 1
        self.total: int | None = None
        self.notes: list[str] = []
        self._place: int = settings.get("start", 0 if self.kind == "offset" else 1)
        self._seen: set[Any] = set()
        self._contents: dict[bytes, int] = {}
        if "size_param" in settings and "size" in settings:
            self.params[settings["size_param"]] = str(settings["size"])
        if self.kind in ("page", "offset"):
            self.params[self._parameter()] = str(self._place)

    def _parameter(self) -> str:
        return str(self.settings.get("param", self.kind))

    @property
    def may_end(self) -> bool:
        """Whether a 404 now means that there are no more pages."""
        return self.page > 1 and self.kind in ("page", "offset")

    def follow(
        self, value: Any, headers: Mapping[str, str], location: str, records: list[Any] | Seen, unique: int
    ) -> bool:
        """Take in a page and prepare the next request; False when this page was the last.

        `location` is where relative links start, `unique` how many records there are so far without repeats.
        ColonyError (FAILED) for a circle: a next that was there before, or a page whose content was.
        """
        self._take_total(value, headers)
        self._refuse_repeat(records)
        if not self._next(value, headers, location, records) or self._has_all(unique):
            return False
        if self.page >= self.max_pages:
            raise ColonyError(
                f"there are more than {self.max_pages:,} pages",
                fix="raise max_pages, or ask for larger pages",
                code=FAILED,
            )
        self.page += 1
        return True

    def _has_all(self, unique: int) -> bool:
        return self.kind in ("page", "offset") and self.total is not None and unique >= self.total

    def _next(self, value: Any, headers: Mapping[str, str], location: str, records: list[Any] | Seen) -> bool:
        if self.kind == "page":
            pages = self._count(value, "pages")
            if not records or (pages is not None and self.page >= pages):
                return False
            self._place += 1
            self.params[self._parameter()] = str(self._place)
            return True
        if self.kind == "offset":
            # By what came, not by what was asked for: a source that gives fewer would be skipped over.
            self._place += len(records)
            self.params[self._parameter()] = str(self._place)
            return bool(records)
        if self.kind == "link":
            return self._go(next_link(headers.get("Link", "")), location)
        if self.kind == "cursor":
            return self._cursor(value, location)
        return False

    def _cursor(self, value: Any, location: str) -> bool:
        path = self.settings["next"]
        try:
            cursor = readers.at(value, path)
        except ColonyError:
            if self.page == 1 and self.total is None:
                self.notes.append(f"there is no '{path}' in the first reply: it was taken for the only page")
            return False
        if cursor is None or cursor == "" or cursor is False:
            return False
        if isinstance(cursor, str) and "param" not in self.settings and re.match(r"https?://|[/?]", cursor):
            return self._go(cursor, location)
        if not isinstance(cursor, (str, int)):
            raise ColonyError(f"the next cursor '{path}' is neither text nor a number", code=FAILED)
        self._once(str(cursor))
        self.params[self._parameter()] = str(cursor)
        return True

    def _go(self, link: str | None, location: str) -> bool:
        if not link:
            return False
        try:
            url = urljoin(location, link)
        except ValueError:
            raise ColonyError("the next link is no URL", code=FAILED) from None
        self._seen.add(location)
        self._once(url)
        self.url, self.params = url, {}
        return True

    def _once(self, key: Any) -> None:
        if key in self._seen:
            raise ColonyError(
                f"page {self.page} leads back to a page that was there before: the pages go in a circle", code=FAILED
            )
        self._seen.add(key)

    def _refuse_repeat(self, records: list[Any] | Seen) -> None:
        if len(records) < 2 or self.kind == "none":
            return
        if isinstance(records, Seen):
            content = records.content
        else:
            content = hashlib.blake2b(jsontext.dumps(records).encode(), digest_size=16).digest()
        before = self._contents.setdefault(content, self.page)
        if before != self.page:
            hint = (
                f"does the source know the parameter '{escape(self._parameter())}'?"
                if self.kind in ("page", "offset")
                else None
            )
            raise ColonyError(f"page {self.page} holds the very records of page {before}", fix=hint, code=FAILED)

    def _take_total(self, value: Any, headers: Mapping[str, str]) -> None:
        name = self.settings.get("total_header")
        total = self._whole(headers.get(name, ""), name) if name else self._count(value, "total")
        if total is not None:
            if self.total is not None and total != self.total:
                self.notes.append(f"the total went from {self.total:,} to {total:,} while page {self.page} was fetched")
            self.total = total

    def _count(self, value: Any, key: str) -> int | None:
        path = self.settings.get(key)
        return None if path is None else self._whole(readers.at(value, path), path)

    def _whole(self, found: Any, name: str) -> int:
        if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 19:
            return int(found)
        if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
            return found
        shown = escape(found)[:40] if found != "" else "nothing"
        raise ColonyError(f"'{name}' should be a number from 0 on and is {shown}", code=FAILED)


def next_link(header: str) -> str | None:
    """The target of rel="next" in a Link header (RFC 8288), or None."""
    for match in _LINK.finditer(header):
        for name, quoted, bare in _PARAMETER.findall(match[2]):
            if name.lower() == "rel" and "next" in (quoted or bare).lower().split():
                return match[1].strip()
    return None
