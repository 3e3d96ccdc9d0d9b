"""The pages of a REST source: every way they follow each other, and every way in which they mislead."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from colony_lib.data.pagination import next_link
from tests.web import Answer, Asked, Web


def rows(start: int, end: int) -> list[dict[str, Any]]:
    return [{"id": number, "name": f"r{number}"} for number in range(start, end)]


def rest(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "rest", "url": f"{url}/r", "records": "data", **more}


def numbered(all_rows: list[Any], most: int = 10, parameter: str = "page", **meta: Any) -> Callable[[Asked], Any]:
    """A server of pages by number, of at most `most` records whatever it is asked for."""

    def answer(asked: Asked) -> Any:
        size = min(int(asked.query.get("size", most)), most)
        start = (int(asked.query[parameter]) - 1) * size
        return {"data": all_rows[start : start + size], "meta": {"total": len(all_rows), **meta}}

    return answer


def test_pages_by_number_end_at_the_total(fetch: Any) -> None:
    with Web(numbered(rows(0, 25))) as web:
        done = fetch(
            rest(web.url, pagination={"type": "page", "size_param": "size", "size": 10, "total": "meta.total"})
        )
    assert done.code == 0 and done.rows() == rows(0, 25)
    assert [asked.query for asked in web.asked] == [{"size": "10", "page": str(page)} for page in (1, 2, 3)]
    assert done.figures()["pages"] == 3


def test_without_a_total_a_short_page_is_not_taken_for_the_last(fetch: Any) -> None:
    # The server gives four at most, though ten are asked for.
    with Web(numbered(rows(0, 9), most=4)) as web:
        done = fetch(rest(web.url, pagination={"type": "page", "size_param": "size", "size": 10}))
    assert done.rows() == rows(0, 9)
    assert [asked.query["page"] for asked in web.asked] == ["1", "2", "3", "4"]


def test_a_page_beyond_the_end_may_be_a_404(fetch: Any) -> None:
    def answer(asked: Asked) -> Any:
        page = int(asked.query["p"])
        return {"data": rows(page * 2, page * 2 + 2)} if page < 3 else Answer({"detail": "Invalid page."}, 404)

    with Web(answer) as web:
        done = fetch(rest(web.url, pagination={"type": "page", "param": "p", "start": 0}))
        assert done.code == 0 and done.rows() == rows(0, 6)
        first = fetch(rest(web.url, pagination={"type": "page", "param": "p", "start": 3}))
    assert first.code == 1 and "404" in first.error()


def test_the_number_of_pages_ends_it_too(fetch: Any) -> None:
    with Web(numbered(rows(0, 7), most=3, pages=3)) as web:
        done = fetch(rest(web.url, pagination={"type": "page", "pages": "meta.pages"}))
    assert done.rows() == rows(0, 7) and len(web.asked) == 3


def test_offsets_go_on_by_what_came_and_not_by_what_was_asked_for(fetch: Any) -> None:
    def answer(asked: Asked) -> Any:
        start = int(asked.query["from"])
        return {"data": rows(start, min(start + 3, 8))}

    with Web(answer) as web:
        done = fetch(rest(web.url, pagination={"type": "offset", "param": "from", "size_param": "limit", "size": 5}))
    assert done.rows() == rows(0, 8)
    assert [asked.query["from"] for asked in web.asked] == ["0", "3", "6", "8"]


@pytest.mark.parametrize("last", [None, "", False, "absent"])
def test_cursors_lead_on_until_there_is_none(fetch: Any, last: Any) -> None:
    def answer(asked: Asked) -> Any:
        place = int(asked.query.get("after", "0"))
        reply: dict[str, Any] = {"data": rows(place, place + 2), "meta": {"next": place + 2}}
        if place >= 4:
            reply["meta"] = {} if last == "absent" else {"next": last}
        return reply

    with Web(answer) as web:
        done = fetch(rest(web.url, pagination={"type": "cursor", "param": "after", "next": "meta.next"}))
    assert done.rows() == rows(0, 6) and done.figures()["notes"] == []
    assert [asked.query for asked in web.asked] == [{}, {"after": "2"}, {"after": "4"}]


def test_a_cursor_that_is_not_even_in_the_first_reply_is_noted(fetch: Any) -> None:
    with Web(lambda _: {"data": rows(0, 2), "meta": {}}) as web:
        done = fetch(rest(web.url, pagination={"type": "cursor", "next": "meta.cursor"}))
    assert done.code == 0
    assert done.figures()["notes"] == ["there is no 'meta.cursor' in the first reply: it was taken for the only page"]


def test_a_next_url_in_the_reply_is_followed_as_it_stands(fetch: Any) -> None:
    def answer(asked: Asked) -> Any:
        if asked.path == "/r":
            return {"data": rows(0, 2), "next": "/more?c=a%2Bb&page=2"}
        return {"data": rows(2, 3), "next": None}

    with Web(answer) as web:
        done = fetch(rest(web.url, params={"date": "{{date}}"}, pagination={"type": "cursor", "next": "next"}))
    assert done.rows() == rows(0, 3)
    assert web.asked[1].query == {"c": "a+b", "page": "2"}


def test_link_headers_are_followed_with_the_key_and_relative_to_the_page(fetch: Any) -> None:
    def answer(asked: Asked) -> Any:
        page = int(asked.query.get("page", "1"))
        link = f'<?page={page + 1}>; rel="next", </r?page=9>; rel="last"' if page < 3 else '</r?page=1>; rel="first"'
        return Answer({"data": rows(page, page + 1)}, headers={"Link": link})

    with Web(answer) as web:
        done = fetch(rest(web.url, auth={"query": "key", "value": "sesame-9"}, pagination={"type": "link"}))
    assert done.rows() == rows(1, 4)
    assert [asked.query for asked in web.asked] == [{"key": "sesame-9"}] + [
        {"page": p, "key": "sesame-9"} for p in ("2", "3")
    ]


def test_a_next_link_to_another_host_is_followed_without_the_key(fetch: Any) -> None:
    with Web(lambda _: {"data": rows(1, 2)}) as other:
        link = {"Link": f"<{other.url}/r?page=2>; rel=next"}
        with Web(lambda _: Answer({"data": rows(0, 1)}, headers=link)) as web:
            auth = {"query": "key", "value": "sesame-9", "bearer": "sesame-9"}
            done = fetch(rest(web.url, auth=auth, headers={"X-Own": "mine"}, pagination={"type": "link"}))
    assert done.rows() == rows(0, 2)
    assert web.asked[0].headers["X-Own"] == "mine" and web.asked[0].query == {"key": "sesame-9"}
    assert other.asked[0].query == {"page": "2"}
    assert not {"Authorization", "X-Own"} & set(other.asked[0].headers)


@pytest.mark.parametrize(
    ("header", "link"),
    [
        ("", None),
        ('<https://x/?a=1,2;3>; rel="next"', "https://x/?a=1,2;3"),
        ("<a>; rel=prev, <b>; rel=next", "b"),
        ('<a>; title="x, <c>; rel=\\"next\\""; rel="prev", <b>; REL="last next"', "b"),
        ("<a>;rel=nextish", None),
        ("<a", None),
        ("<" + "a" * 10_000 + ";" * 10_000, None),
    ],
)
def test_link_headers_are_read_as_rfc_8288_has_them(header: str, link: str | None) -> None:
    assert next_link(header) == link


@pytest.mark.parametrize("kind", ["cursor", "link", "next"])
def test_a_next_that_goes_in_a_circle_ends_with_an_error(fetch: Any, kind: str) -> None:
    def answer(asked: Asked) -> Any:
        here = asked.query.get("c", "a")
        there = {"a": "b", "b": "c", "c": "b"}[here]
        reply = {"data": [{"id": len(web.asked)}], "next": there if kind == "cursor" else f"/r?c={there}"}
        return Answer(reply, headers={"Link": f'</r?c={there}>; rel="next"'})

    settings: dict[str, Any] = {"type": "link"} if kind == "link" else {"type": "cursor", "next": "next"}
    if kind == "cursor":
        settings["param"] = "c"
    with Web(answer) as web:
        done = fetch(rest(web.url, pagination=settings))
    assert done.code == 1 and not done.raw() and len(web.asked) == 3
    assert done.error().startswith("page 3 leads back to a page that was there before: the pages go in a circle at")


def test_a_next_link_that_points_to_its_own_page_ends_with_an_error(fetch: Any) -> None:
    with Web(lambda asked: Answer({"data": rows(0, 1)}, headers={"Link": f"<{web.url}/r>; rel=next"})) as web:
        done = fetch(rest(web.url, pagination={"type": "link"}))
    assert done.code == 1 and "in a circle" in done.error() and len(web.asked) == 1


@pytest.mark.parametrize("kind", ["page", "offset"])
def test_a_server_that_ignores_the_page_is_noticed(fetch: Any, kind: str) -> None:
    with Web(lambda _: {"data": rows(0, 5)}) as web:
        done = fetch(rest(web.url, pagination={"type": kind, "param": "nr"}))
    assert done.code == 1 and not done.raw() and len(web.asked) == 2
    assert done.error().startswith("page 2 holds the very records of page 1 at ")
    assert done.error().endswith("; does the source know the parameter 'nr'?")


def test_there_is_an_end_to_pages_without_end(fetch: Any) -> None:
    def answer(asked: Asked) -> Any:
        return {"data": rows(int(asked.query["page"]), int(asked.query["page"]) + 1)}

    with Web(answer) as web:
        done = fetch(rest(web.url, pagination={"type": "page"}, max_pages=7))
    assert done.code == 1 and len(web.asked) == 7
    assert "there are more than 7 pages" in done.error()


def test_less_than_the_total_is_not_complete_and_goes_to_quarantine(fetch: Any) -> None:
    def answer(asked: Asked) -> Any:
        page = int(asked.query["page"])
        return {"data": rows(page * 2, page * 2 + 2) if page < 4 else [], "meta": {"total": 9}}

    with Web(answer) as web:
        done = fetch(rest(web.url, key="id", pagination={"type": "page", "total": "meta.total"}))
    assert done.code == 1 and not done.raw()
    assert done.error() == "not complete: the source says 9 records, 6 came; fetch again"
    [kept] = done.quarantine()
    assert kept["data"] == rows(2, 8) and kept["record_count"] == 6
    assert kept["reason"].startswith("not complete") and kept["origin"] == f"{web.url}/r"


def test_repeats_across_pages_are_counted_and_dropped_so_that_the_total_holds(fetch: Any) -> None:
    pages = [[*rows(0, 3)], [*rows(2, 5)], [*rows(4, 6)]]

    def answer(asked: Asked) -> Any:
        page = int(asked.query["page"])
        return {"data": pages[page - 1] if page <= 3 else [], "meta": {"total": 6}}

    paging = {"type": "page", "total": "meta.total"}
    with Web(answer) as web:
        done = fetch(rest(web.url, key=["id"], pagination=paging))
        assert done.code == 0 and done.rows() == rows(0, 6) and done.figures()["duplicates"] == 2
        keyless = fetch(rest(web.url, pagination=paging))
    assert keyless.code == 1
    assert "the source says 6 records, 8 came" in keyless.error() and "name the source's 'key'" in keyless.error()


def test_one_key_with_two_contents_is_kept_twice_and_counted(fetch: Any) -> None:
    pages = [[{"id": 1, "v": "old"}, {"id": 2}], [{"v": "new", "id": 1}, {"id": 2}, {"id": 1, "v": "old"}]]
    with Web(lambda asked: {"data": pages[int(asked.query["page"]) - 1], "meta": {"total": 2, "pages": 2}}) as web:
        done = fetch(rest(web.url, key="id", pagination={"type": "page", "pages": "meta.pages", "total": "meta.total"}))
    assert done.code == 0
    # Both records were there after the first page: the total says so, and the second page is not asked for.
    assert done.rows() == pages[0] and len(web.asked) == 1
    with Web(lambda asked: {"data": pages[int(asked.query["page"]) - 1], "meta": {"pages": 2}}) as web:
        done = fetch(rest(web.url, key="id", pagination={"type": "page", "pages": "meta.pages"}))
    assert done.rows() == [*pages[0], {"v": "new", "id": 1}]
    assert (done.figures()["duplicates"], done.figures()["conflicts"]) == (2, 1)


def test_a_key_that_no_record_has_is_an_error_that_names_the_fields(fetch: Any) -> None:
    with Web(lambda _: {"data": rows(0, 2)}) as web:
        done = fetch(rest(web.url, key=["flightId"]))
    assert done.code == 1
    assert done.error() == "no record has the key field 'flightId'; the fields are id, name"


def test_a_total_that_changes_while_the_pages_are_turned_is_noted_and_the_last_counts(fetch: Any) -> None:
    def answer(asked: Asked) -> Any:
        page = int(asked.query["page"])
        total = 4 if page == 1 else 5
        return {"data": rows(0, 5)[(page - 1) * 2 : page * 2], "meta": {"total": total}}

    with Web(answer) as web:
        done = fetch(rest(web.url, key="id", pagination={"type": "page", "total": "meta.total"}))
    assert done.code == 0 and done.rows() == rows(0, 5)
    assert done.figures()["notes"] == ["the total went from 4 to 5 while page 2 was fetched"]


@pytest.mark.parametrize(
    ("meta", "what"),
    [
        ({}, "there is no 'meta.total' in the reply"),
        ({"total": None}, "'meta.total' should be a number from 0 on and is None"),
        ({"total": -1}, "'meta.total' should be a number from 0 on and is -1"),
        ({"total": True}, "'meta.total' should be a number from 0 on and is True"),
        ({"total": "many"}, "'meta.total' should be a number from 0 on and is many"),
        ({"total": 2.5}, "'meta.total' should be a number from 0 on and is 2.5"),
    ],
)
def test_a_total_that_is_none_is_an_error_and_not_ignored(fetch: Any, meta: dict[str, Any], what: str) -> None:
    with Web(lambda _: {"data": rows(0, 2), "meta": meta}) as web:
        done = fetch(rest(web.url, pagination={"type": "page", "total": "meta.total"}))
    assert done.code == 1 and what in done.error() and not done.raw()


def test_a_total_may_be_text_or_stand_in_a_header(fetch: Any) -> None:
    with Web(lambda _: Answer({"data": rows(0, 2), "total": "2"}, headers={"X-Total-Count": "3"})) as web:
        assert fetch(rest(web.url, pagination={"type": "page", "total": "total"})).code == 0
        wrong = fetch(rest(web.url, pagination={"type": "none", "total_header": "x-total-count"}))
        missing = fetch(rest(web.url, pagination={"type": "none", "total_header": "X-Total"}))
    assert wrong.code == 1 and "the source says 3 records, 2 came" in wrong.error()
    assert missing.code == 1 and "'X-Total' should be a number from 0 on and is nothing" in missing.error()


def test_nothing_at_all_is_complete_when_the_source_says_so(fetch: Any) -> None:
    with Web(lambda _: {"data": [], "meta": {"total": 0}}) as web:
        done = fetch(rest(web.url, key="id", pagination={"type": "page", "total": "meta.total"}))
    assert done.code == 0 and done.rows() == [] and len(web.asked) == 1


def test_a_page_that_fails_in_the_middle_leaves_the_raw_file_of_before(fetch: Any) -> None:
    broken = False

    def answer(asked: Asked) -> Any:
        page = int(asked.query["page"])
        if broken and page == 2:
            return Answer({}, 400)
        return {"data": rows(page * 2, page * 2 + 2) if page < 3 else []}

    with Web(answer) as web:
        done = fetch(rest(web.url, pagination={"type": "page"}))
        before = (done.folder / "staging/raw/s_2013-02-08.json").read_bytes()
        broken = True
        again = fetch(rest(web.url, pagination={"type": "page"}))
    assert again.code == 1
    assert (done.folder / "staging/raw/s_2013-02-08.json").read_bytes() == before
    assert [path.name for path in (done.folder / "staging/raw").iterdir()] == ["s_2013-02-08.json"]


def test_a_repeat_of_the_same_date_replaces_the_raw_file(fetch: Any) -> None:
    with Web(lambda asked: {"data": rows(0, asked.number)}) as web:
        assert len(fetch(rest(web.url)).rows()) == 1
        assert len(fetch(rest(web.url)).rows()) == 2
    assert json.loads((fetch(rest(web.url)).folder / "staging/raw/s_2013-02-08.json").read_text())["record_count"] == 2


def test_since_is_sent_when_there_is_one_and_left_out_of_a_first_fetch(fetch: Any) -> None:
    with Web(lambda _: {"data": []}) as web:
        settings = rest(web.url, params={"after": "{{since}}"}, incremental={"field": "updated", "param": "since"})
        fetch(settings)
        done = fetch(settings, since="2013-02-07T10:00:00Z")
    assert web.asked[0].query == {}
    assert web.asked[1].query == {"after": "2013-02-07T10:00:00Z", "since": "2013-02-07T10:00:00Z"}
    envelope = json.loads((done.folder / "staging/raw/s_2013-02-08.json").read_text())
    assert envelope["since"] == "2013-02-07T10:00:00Z"
