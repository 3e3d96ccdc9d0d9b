"""Asking whether a reply has changed: a 304 stands for the bytes of the last fetch, and never for an empty day."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.data.dying import killed
from tests.web import Answer, Asked, Web

ROWS = [{"id": 1}, {"id": 2}]


def rest(url: str, **settings: Any) -> dict[str, Any]:
    return {"type": "rest", "url": url, **settings}


class Tagged:
    """A server that answers 304 to whoever has what it has; `rows` may be changed."""

    def __init__(self, rows: Any = ROWS, header: str = "ETag") -> None:
        self.rows = rows
        self.header = header
        self.more: dict[str, str] = {}

    @property
    def mark(self) -> str:
        if self.header == "ETag":
            return f'"{len(json.dumps(self.rows))}"'
        return f"Fri, 08 Feb 2013 0{len(self.rows)}:00:00 GMT"

    def __call__(self, asked: Asked) -> Answer:
        condition = "If-None-Match" if self.header == "ETag" else "If-Modified-Since"
        if asked.headers.get(condition) == self.mark:
            return Answer(b"", 304, {self.header: self.mark})
        return Answer(self.rows, headers={self.header: self.mark, **self.more})


def kept(folder: Path) -> list[Path]:
    return sorted((folder / "staging/.colony-data/replies/s").glob("*"))


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_what_has_not_changed_is_taken_from_the_last_fetch(fetch: Any, folder: Path, header: str) -> None:
    tagged = Tagged(header=header)
    with Web(tagged) as web:
        assert fetch(rest(web.url)).figures()["unchanged"] == 0
        done = fetch(rest(web.url))
        assert done.rows() == ROWS and done.figures()["unchanged"] == 1 and done.figures()["records"] == 2
        tagged.rows = [*ROWS, {"id": 3}]
        assert fetch(rest(web.url)).rows() == tagged.rows
        done = fetch(rest(web.url))
        assert done.rows() == tagged.rows and done.figures()["unchanged"] == 1
    assert len(kept(folder)) == 1


def test_pages_lead_on_by_the_links_of_before(fetch: Any, folder: Path) -> None:
    def page(asked: Asked) -> Answer:
        number = int(asked.query.get("page", 1))
        headers = {"ETag": f'"p{number}"', "X-Total": "2"}
        if number == 1:
            headers["Link"] = '<?page=2>; rel="next"'
        if asked.headers.get("If-None-Match") == headers["ETag"]:
            return Answer(b"", 304)
        return Answer([{"id": number}], headers=headers)

    with Web(page) as web:
        for unchanged in (0, 2, 2):
            done = fetch(rest(web.url, pagination={"type": "link", "total_header": "X-Total"}))
            assert done.rows() == ROWS and done.figures()["unchanged"] == unchanged
    assert len(kept(folder)) == 2


def test_a_large_reply_is_kept_too(fetch: Any) -> None:
    rows = [{"id": number, "pad": "x" * 4000} for number in range(2200)]
    with Web(Tagged(rows)) as web:
        fetch(rest(web.url))
        done = fetch(rest(web.url))
    assert done.figures()["unchanged"] == 1 and done.rows() == rows


def test_a_fetch_that_fails_leaves_what_was_known(fetch: Any, folder: Path) -> None:
    tagged = Tagged()
    with Web(tagged) as web:
        fetch(rest(web.url))
        before = kept(folder)[0].read_bytes()
        tagged.rows = {"no": "records"}
        assert fetch(rest(web.url)).code == 1
        tagged.rows = ROWS
        done = fetch(rest(web.url))
        assert done.figures()["unchanged"] == 1 and done.rows() == ROWS
    assert [path.read_bytes() for path in kept(folder) if path.suffix == ".reply"] == [before]


@pytest.mark.parametrize("damage", [b"", b"{}\n", b'{"v":1}\nx', None])
def test_bytes_that_are_not_those_that_were_kept_are_not_asked_by(
    fetch: Any, folder: Path, damage: bytes | None
) -> None:
    with Web(Tagged()) as web:
        fetch(rest(web.url))
        [path] = kept(folder)
        path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
        done = fetch(rest(web.url))
        assert done.rows() == ROWS and done.figures()["unchanged"] == 0
        assert "If-None-Match" not in web.asked[1].headers


def test_what_is_not_to_be_kept_is_not(fetch: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "sesame-123")
    tagged = Tagged([{"you": "sesame-123"}])
    with Web(tagged) as web:
        fetch(rest(web.url, auth={"bearer": "$KEY"}))  # the reply repeats the key
        fetch(rest(web.url, conditional=False))
        tagged.more = {"Cache-Control": "private, no-store"}
        fetch(rest(web.url))
        assert kept(folder) == []
        assert all("If-None-Match" not in asked.headers for asked in web.asked)


def test_a_304_that_was_not_asked_for_is_no_empty_day(fetch: Any) -> None:
    with Web(lambda _: Answer(b"", 304)) as web:
        done = fetch(rest(web.url))
    assert done.code == 1 and done.error().startswith("304 Not Modified from") and not done.raw()


def test_a_fetch_that_is_killed_anywhere_is_followed_by_one_that_has_it_all(fetch: Any, folder: Path) -> None:
    tagged = Tagged()
    ends = []
    with Web(tagged) as web:
        for point in range(1, 12):
            tagged.rows = ROWS
            fetch(rest(web.url))
            tagged.rows = [*ROWS, {"id": 10 + point}]
            ends.append(killed(folder, point, "fetch", "--date", "2013-02-08"))
            assert fetch(rest(web.url)).rows() == tagged.rows
            if ends[-1] == 0:
                break
    assert ends[-1] == 0 and ends[:-1] == [-signal.SIGKILL] * (len(ends) - 1) and len(ends) > 2
