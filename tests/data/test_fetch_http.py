"""What a REST source's server may do to a fetch, one exchange at a time; the server is real and on the loopback."""

from __future__ import annotations

import datetime
import email.utils
import gzip
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.web import Answer, Asked, Web, free_port

ROWS = [{"id": 1, "n": 9007199254740993}, {"id": 2, "n": 0.1}]


def rest(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "rest", "url": url, **more}


def script(*answers: Any) -> Callable[[Asked], Any]:
    """These answers in turn, the last for ever; one may be a function of the request."""

    def answer(asked: Asked) -> Any:
        found = answers[min(asked.number, len(answers)) - 1]
        return found(asked) if callable(found) else found

    return answer


def test_a_reply_that_is_a_list_becomes_a_raw_file_with_its_numbers_exact(fetch: Any) -> None:
    with Web(script(ROWS)) as web:
        done = fetch(rest(f"{web.url}/flights", params={"date": "{{date}}", "from": "{{yesterday}}", "live": True}))
    assert done.code == 0
    assert done.rows() == ROWS
    assert web.asked[0].query == {"date": "2013-02-08", "from": "2013-02-07", "live": "true"}
    head = (done.folder / "staging/raw/s_2013-02-08.json").read_text().split("\n")[0]
    assert head.startswith('{"v":1,"source":"s","fetch_time":"20')
    assert '"n":9007199254740993}' in (done.folder / "staging/raw/s_2013-02-08.json").read_text()


def test_429_with_retry_after_in_seconds_is_waited_for_and_uses_no_attempt(fetch: Any) -> None:
    limited = Answer({}, 429, {"Retry-After": "0.1"})
    with Web(script(limited, limited, limited, ROWS)) as web:
        started = time.monotonic()
        done = fetch(rest(web.url, retry={"max_attempts": 1}))
    assert done.code == 0 and time.monotonic() - started >= 0.3
    assert (done.figures()["waits"], done.figures()["retries"]) == (3, 0)
    assert done.figures()["waited_seconds"] == pytest.approx(0.3)


def test_429_with_retry_after_as_a_date_counts_from_the_servers_own_clock(fetch: Any) -> None:
    # The server's clock is a day ahead of ours: the wait it asks for is one second all the same.
    there = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    dates = [email.utils.format_datetime(there + datetime.timedelta(seconds=s), usegmt=True) for s in (0, 1)]
    limited = Answer({}, 429, {"Retry-After": dates[1]})

    def answer(asked: Asked) -> Any:
        return limited if asked.number == 1 else ROWS

    with Web(answer) as web:
        handler = web._server.RequestHandlerClass
        handler.date_time_string = lambda *_: dates[0]  # type: ignore[attr-defined]
        done = fetch(rest(web.url))
    assert done.code == 0
    assert done.figures()["waited_seconds"] == 1.0


def test_a_wait_longer_than_max_wait_ends_in_75_and_says_when_to_try_again(fetch: Any) -> None:
    with Web(script(Answer({}, 429, {"Retry-After": "3600"}))) as web:
        done = fetch(rest(web.url, retry={"max_wait": "30s"}))
    assert done.code == 75 and len(web.asked) == 1
    assert done.figures()["status"] == "busy"
    assert done.error().startswith("the source's rate limit (429): asks for a wait of 1h00m; try again after 20")
    assert done.error().endswith("Z; max_wait is 30s")


def test_a_429_that_never_ends_is_not_asked_for_ever(fetch: Any) -> None:
    with Web(script(Answer({}, 429, {"Retry-After": "0"}))) as web:
        done = fetch(rest(web.url))
    assert done.code == 75 and len(web.asked) == 11
    assert "10 times in a row" in done.error()


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 599])
def test_an_answer_that_may_get_better_is_asked_for_again(fetch: Any, status: int) -> None:
    with Web(script(Answer({}, status), ROWS)) as web:
        done = fetch(rest(web.url))
    assert done.code == 0 and done.rows() == ROWS
    assert done.figures()["retries"] == 1 and len(web.asked) == 2


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "400 Bad Request: no such day"),
        (401, "401 Unauthorized: no such day"),
        (404, "404 Not Found: no such day"),
    ],
)
def test_an_answer_that_cannot_get_better_is_not(fetch: Any, status: int, said: str) -> None:
    with Web(script(Answer({"error": {"message": "no such day"}}, status))) as web:
        done = fetch(rest(f"{web.url}/x"))
    assert done.code == 1 and len(web.asked) == 1
    fix = "; check the source's 'auth'" if status == 401 else ""
    assert done.error() == f"{said} from {web.url}/x{fix}"
    assert not done.raw()


def test_attempts_are_counted_and_the_last_reason_is_told(fetch: Any) -> None:
    with Web(script(Answer(b"<html><title>Down for repairs</title></html>", 503))) as web:
        done = fetch(rest(f"{web.url}/x", retry={"max_attempts": 3}))
    assert done.code == 1 and len(web.asked) == 3
    assert done.error() == f"503 Service Unavailable: Down for repairs after 3 attempts ({web.url}/x)"
    assert done.figures()["retries"] == 2


def test_html_instead_of_json_goes_to_quarantine_with_its_title_and_fails(fetch: Any) -> None:
    page = b"<!DOCTYPE html><html><head><title>Please  sign\n in</title></head></html>"
    with Web(script(Answer(page, headers={"Content-Type": "text/html; charset=utf-8"}))) as web:
        done = fetch(rest(f"{web.url}/x", retry={"max_attempts": 2}))
    assert done.code == 1 and len(web.asked) == 2
    assert done.error() == f"HTML instead of JSON ('Please sign in') after 2 attempts at {web.url}/x"
    [kept] = done.quarantine()
    assert (kept["source"], kept["date"], kept["origin"]) == ("s", "2013-02-08", f"{web.url}/x")
    assert kept["body"] == page.decode() and kept["reason"].startswith("HTML instead of JSON")
    assert done.figures()["quarantine"] == ["staging/quarantine/s_2013-02-08-1.json"]
    assert not done.raw()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'[{"id": 1}, {"id"', "the reply is not JSON: Expecting ':' delimiter"),
        (b"", "the reply is not JSON: nothing but white space"),
        (b'[{"id": NaN}]', "the reply is not JSON: NaN is not JSON"),
        (b'[{"id": 1e999}]', "the reply is not JSON: the number 1e999 is too large"),
        (b'[{"id": -Infinity}]', "the reply is not JSON: -Infinity is not JSON"),
        (b'[{"id": "\xff"}]', "the reply is not JSON: not UTF-8 text"),
        (b'["\\ud800"]', "the reply is not JSON: not UTF-8 text"),
        (b"[" * 100_000, "the reply is not JSON: nested too deeply"),
        (b"id,name\n1,x\n", "the reply is not JSON: Extra data"),
        (b"\x00\x00", "the reply is not JSON: Expecting value"),
    ],
)
def test_a_reply_that_is_no_json_goes_to_quarantine_and_fails(fetch: Any, body: bytes, reason: str) -> None:
    with Web(script(Answer(body))) as web:
        done = fetch(rest(web.url, retry={"max_attempts": 1}))
    if b"id,name" in body:
        reason = "the reply is not JSON: Expecting value"
    assert done.code == 1
    assert done.error().startswith(reason), done.error()
    assert done.quarantine()[0]["bytes"] == len(body)
    assert not done.raw()


def test_a_truncated_reply_is_asked_for_again(fetch: Any) -> None:
    whole = json.dumps(ROWS).encode()
    with Web(script(Answer(whole[:-3]), ROWS)) as web:
        done = fetch(rest(web.url))
    assert done.code == 0 and done.rows() == ROWS and done.figures()["retries"] == 1
    assert len(web.asked) == 2


def test_a_connection_cut_before_the_promised_length_is_asked_again(fetch: Any) -> None:
    whole = json.dumps(ROWS).encode()

    def cut(_: Asked) -> Answer:
        web.closing.set()  # makes the server close after this answer
        return Answer(whole[:10], length=len(whole))

    def then(_: Asked) -> Any:
        web.closing.clear()
        return ROWS

    with Web(script(cut, then)) as web:
        done = fetch(rest(web.url))
        web.closing.clear()
    assert done.code == 0 and done.rows() == ROWS and done.figures()["retries"] == 1


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"error": "unknown date"}, "there is no list in the reply"),
        ({"a": [], "b": []}, "there is 2 lists (a, b) in the reply; name the one with the records by 'records:'"),
        (42, "the reply is a number, not records"),
        (None, "the reply is null, not records"),
    ],
)
def test_json_without_records_goes_to_quarantine_too(fetch: Any, body: Any, what: str) -> None:
    with Web(script(Answer(json.dumps(body).encode()))) as web:
        done = fetch(rest(web.url))
    assert done.code == 1 and what.split(";")[0] in done.error()
    assert json.loads(done.quarantine()[0]["body"]) == body


def test_the_records_are_found_at_their_dotted_path(fetch: Any) -> None:
    reply = {"meta": {"list": [1]}, "result": {"rows": ROWS}}
    with Web(script(reply)) as web:
        assert fetch(rest(web.url, records="result.rows")).rows() == ROWS
        done = fetch(rest(web.url, records="result.row"))
    assert done.code == 1
    assert f"there is no 'result.row' in the reply at {web.url}; the keys are rows" == done.error()


def test_records_that_are_no_objects_are_kept_apart_and_the_rest_is_fetched(fetch: Any) -> None:
    with Web(script([*ROWS, None, 3, [4], "x"])) as web:
        done = fetch(rest(web.url))
    assert done.code == 0 and done.rows() == ROWS and done.figures()["quarantined"] == 4
    [kept] = done.quarantine()
    assert kept["reason"] == "4 records could not be read" and kept["record_count"] == 4
    assert kept["data"][0] == {
        "origin": f"page 1 ({web.url})",
        "line": 3,
        "reason": "the record is null, not an object",
        "record": None,
    }


def test_when_no_record_can_be_read_the_fetch_fails(fetch: Any) -> None:
    with Web(script([1, 2])) as web:
        done = fetch(rest(web.url))
    assert done.code == 1 and not done.raw()
    assert done.error() == "none of 2 records could be read (the record is a number, not an object)"


def test_no_content_is_no_records(fetch: Any) -> None:
    with Web(script(Answer(b"", 204))) as web:
        done = fetch(rest(web.url, records="data"))
    assert done.code == 0 and done.rows() == []


@pytest.mark.parametrize("declared", [True, False])
def test_gzip_is_unpacked_whether_the_reply_says_so_or_not(fetch: Any, declared: bool) -> None:
    headers = {"Content-Encoding": "gzip"} if declared else {}
    with Web(script(Answer(gzip.compress(json.dumps(ROWS).encode()), headers=headers))) as web:
        assert fetch(rest(web.url)).rows() == ROWS
    assert web.asked[0].headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize("declared", [True, False])
def test_a_small_gzip_that_holds_a_flood_is_refused(fetch: Any, declared: bool) -> None:
    headers = {"Content-Encoding": "gzip"} if declared else {}
    bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    with Web(script(Answer(bomb, headers=headers))) as web:
        done = fetch(rest(web.url, max_bytes="1MB", retry={"max_attempts": 1}))
    assert done.code == 1 and "1,000,000" in done.error()


def test_broken_gzip_is_told_in_one_line(fetch: Any) -> None:
    with Web(script(Answer(b"not gzip at all", headers={"Content-Encoding": "gzip"}))) as web:
        done = fetch(rest(web.url, retry={"max_attempts": 2}))
    assert done.code == 1 and len(web.asked) == 2
    assert done.error() == f"the reply's compression is broken after 2 attempts ({web.url})"


@pytest.mark.parametrize("declared", [True, False])
def test_500_mb_are_never_read_whole(fetch: Any, declared: bool) -> None:
    piece = b" " * 1_000_000

    def flood(_: Asked) -> Answer:
        return Answer((piece for _ in range(500)), length=500_000_000 if declared else None)

    with Web(flood) as web:
        done = fetch(rest(web.url, max_bytes="3MB"))
    assert done.code == 1
    assert done.error() == "the reply is larger than max_bytes (3,000,000); ask for smaller pages, or raise max_bytes"
    assert web.sent < 30_000_000 and len(web.asked) == 1
    assert not done.raw()


def test_a_server_that_drips_its_body_is_left_at_the_deadline(fetch: Any) -> None:
    with Web(lambda _: Answer(web.drip())) as web:
        started = time.monotonic()
        done = fetch(rest(web.url, timeout="200ms", retry={"max_attempts": 2}))
        took = time.monotonic() - started
    assert done.code == 1 and took < 2
    assert done.error() == f"no whole reply within 0.2s after 2 attempts ({web.url})"


def test_a_server_that_drips_its_headers_is_left_too(fetch: Any) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        over = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not over.wait(0.02):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        done = fetch(rest(f"http://127.0.0.1:{port}/", timeout="300ms", retry={"max_attempts": 1}))
        over.set()
        thread.join(2)
    assert done.code == 1
    assert done.error().startswith("no whole reply within 0.3s at the only attempt")


def test_what_is_no_http_is_told_in_our_words(fetch: Any) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example.com ESMTP\r\n")

        threading.Thread(target=babble, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        done = fetch(rest(url, retry={"max_attempts": 1}))
    assert done.code == 1
    assert done.error() in (
        f"no proper HTTP ({name}) at the only attempt ({url})" for name in ("ConnectionError", "ProtocolError")
    ) or (done.error() == f"the connection was cut at the only attempt ({url})")


@pytest.mark.parametrize(
    ("host", "reason"),
    [("127.0.0.1:{port}", "connection refused"), ("no-such-host.invalid", "the host's name is not known")],
)
def test_a_server_that_is_not_there_is_told_in_one_line(fetch: Any, host: str, reason: str) -> None:
    url = "http://" + host.format(port=free_port()) + "/x"
    done = fetch(rest(url, retry={"max_attempts": 2}))
    assert done.code == 1
    assert done.error() == f"{reason} after 2 attempts ({url})"


# A certificate for 127.0.0.1, good for a hundred years, and its key: it opens nothing but the server of this test.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgRCRO55gzJaqjBAk7
GWf5g7xg0IPci7xepW31Lz+3LLChRANCAAReztnQG/yseBM60WYm9SlbuLqHbiQE
DEI6LQgsGB8JJvnMKQwxCf6m0o3/Qmt02JNdsu1a4GSkmAUmhmWzjpBi
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBlzCCATygAwIBAgIUMkfg8dkACikGYUup/GOMwXx5P3AwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMY29sb255IHRlc3RzMCAXDTI2MTEyMzA3MjQ1M1oYDzIxMjYx
MDMwMDcyNDUzWjAXMRUwEwYDVQQDDAxjb2xvbnkgdGVzdHMwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAAReztnQG/yseBM60WYm9SlbuLqHbiQEDEI6LQgsGB8JJvnM
KQwxCf6m0o3/Qmt02JNdsu1a4GSkmAUmhmWzjpBio2QwYjAdBgNVHQ4EFgQUsH+8
fTprFk2pwbxEFRLRBMlpsQEwHwYDVR0jBBgwFoAUsH+8fTprFk2pwbxEFRLRBMlp
sQEwDwYDVR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMC
A0kAMEYCIQD91JMoTwpdArJ/mmSATQQOnPqXx9zr2ynCmvJ+3Fo1HwIhAL1wiRwP
JQXcXlxdaaJ+hUHQqNjv3gidqUzm90iRdqPm
-----END CERTIFICATE-----
"""


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(
    fetch: Any, folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ssl

    (folder / "own.pem").write_text(CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    with Web(lambda asked: Answer(web.drip()) if asked.path == "/drip" else ROWS, tls=context) as web:
        done = fetch(rest(f"{web.url}/x"))
        assert done.code == 1 and web.asked == []
        assert done.error() == f"TLS: self-signed certificate ({web.url}/x)"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "own.pem"))
        assert fetch(rest(f"{web.url}/x")).rows() == ROWS
        late = fetch(rest(f"{web.url}/drip", timeout="300ms", retry={"max_attempts": 1}))
    assert late.error() == f"no whole reply within 0.3s at the only attempt ({web.url}/drip)"


def test_redirects_are_followed_to_their_end(fetch: Any) -> None:
    def answer(asked: Asked) -> Any:
        if asked.path == "/old":
            return Answer(b"", 301, {"Location": "/new?page=1"})
        return [{"query": asked.query, "key": asked.headers.get("X-Key")}]

    with Web(answer) as web:
        done = fetch(rest(f"{web.url}/old", auth={"header": "X-Key", "value": "opensesame"}))
    assert len(web.asked) == 2
    assert done.rows() == [{"query": {"page": "1"}, "key": "[s.value]"}]
    assert web.asked[1].headers["X-Key"] == "opensesame"


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("/again", "redirects more than 5 times"),
        ("file:///etc/passwd", "redirects to what is no URL"),
        ("ftp://127.0.0.1/", "redirects to what is no URL"),
        ("http://[::1", "redirects to what is no URL"),
    ],
)
def test_a_redirect_to_nowhere_is_refused(fetch: Any, target: str, what: str) -> None:
    with Web(script(Answer(b"", 302, {"Location": target}))) as web:
        done = fetch(rest(f"{web.url}/x"))
    assert done.code == 1 and what in done.error()
    assert len(web.asked) <= 6


def test_a_redirect_to_another_host_carries_no_key(fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t-t0ken")
    monkeypatch.setenv("WHO", "colony-tests")
    with Web(lambda _: ROWS) as other:

        def away(asked: Asked) -> Answer:
            return Answer(b"", 302, {"Location": f"{other.url}/x?date=1&api_key={asked.query['api_key']}"})

        with Web(away) as web:
            done = fetch(
                rest(
                    f"{web.url}/x",
                    auth={"query": "api_key", "value": "$TOKEN", "bearer": "$TOKEN"},
                    headers={"X-Client": "$WHO", "Cookie": "sid=$TOKEN"},
                )
            )
    assert done.code == 0
    first, second = web.asked[0], other.asked[0]
    assert first.query["api_key"] == "s3cr3t-t0ken"
    assert first.headers["Authorization"] == "Bearer s3cr3t-t0ken" and first.headers["X-Client"] == "colony-tests"
    assert second.query == {"date": "1"}
    assert not {"Authorization", "Cookie", "X-Client"} & set(second.headers)
    assert "s3cr3t" not in str(second.headers)


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        ({"header": "X-Api-Key", "value": "$KEY"}, ("X-Api-Key", "sesame-123")),
        ({"bearer": "${KEY}"}, ("Authorization", "Bearer sesame-123")),
        ({"basic": "ann:$KEY"}, ("Authorization", "Basic YW5uOnNlc2FtZS0xMjM=")),
    ],
)
def test_keys_are_sent_and_never_shown(
    fetch: Any, monkeypatch: pytest.MonkeyPatch, auth: dict[str, str], sent: tuple[str, str]
) -> None:
    monkeypatch.setenv("KEY", "sesame-123")

    def echo(asked: Asked) -> Any:
        return [{"you_sent": asked.headers[sent[0]], "plain": "sesame-123"}]

    with Web(echo) as web:
        done = fetch(rest(web.url, auth=auth))
    assert web.asked[0].headers[sent[0]] == sent[1]
    text = (done.folder / "staging/raw/s_2013-02-08.json").read_text()
    assert "sesame" not in text and "c2VzYW1l" not in text and "YW5uOnNlc2FtZS0xMjM" not in text
    assert done.rows()[0]["plain"] == "[KEY]"


def test_a_key_in_the_query_is_masked_in_errors_and_in_the_quarantine(
    fetch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "k+y &/1")

    def echo(asked: Asked) -> Answer:
        return Answer(f"no: {asked.query['token']}".encode())

    with Web(echo) as web:
        done = fetch(
            rest(
                f"{web.url}/x?v=2",
                params={"q": "a b"},
                auth={"query": "token", "value": "$KEY"},
                retry={"max_attempts": 1},
            )
        )
    assert web.asked[0].query == {"v": "2", "q": "a b", "token": "k+y &/1"}
    assert done.error().endswith(f"at {web.url}/x?v=2&q=a%20b")
    [kept] = done.quarantine()
    assert kept["body"] == "no: [KEY]"


def test_a_password_in_the_url_is_sent_and_not_shown(fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "pa55w0rd")
    with Web(script(Answer({}, 500))) as web:
        done = fetch(rest(f"http://ann:$PASSWORD@127.0.0.1:{web.port}/x", retry={"max_attempts": 1}))
    assert web.asked[0].headers["Authorization"] == "Basic YW5uOnBhNTV3MHJk"
    assert done.error() == f"500 Internal Server Error at the only attempt ({web.url}/x)"


@pytest.mark.parametrize(
    ("path", "shown"),
    [("x?token=$T", "x?token=[T]"), ("hooks/$SECRET_PATH/x", "hooks/[SECRET_PATH]/x"), ("x?day=$T", "x?day=tok-1234567")],
)
def test_a_key_that_is_written_into_the_url_is_sent_and_shown_by_its_name(
    fetch: Any, monkeypatch: pytest.MonkeyPatch, path: str, shown: str
) -> None:
    monkeypatch.setenv("T", "tok-1234567")
    monkeypatch.setenv("SECRET_PATH", "pa/th-1234567")
    with Web(script(Answer({}, 500))) as web:
        done = fetch(rest(f"http://ann:open-sesame@127.0.0.1:{web.port}/{path}", retry={"max_attempts": 1}))
    assert "1234567" in web.asked[0].path + "".join(web.asked[0].query.values())
    assert done.error() == f"500 Internal Server Error at the only attempt ({web.url}/{shown})"


def test_a_key_with_the_newline_of_its_file_is_refused_without_being_shown(
    fetch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from colony_lib.base.errors import ColonyError

    monkeypatch.setenv("KEY", "sesame\nX-Admin: 1")
    with pytest.raises(ColonyError) as caught:
        fetch(rest("http://127.0.0.1:9/", auth={"header": "X-Key", "value": "$KEY"}))
    assert caught.value.code == 2
    assert "holds a line break" in str(caught.value) and "sesame" not in str(caught.value)


def test_what_netrc_holds_is_not_sent(fetch: Any, folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".netrc").write_text("machine 127.0.0.1 login ann password netrc-secret\n")
    (folder / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("NETRC", str(folder / ".netrc"))
    with Web(script(ROWS)) as web:
        fetch(rest(web.url, auth={"bearer": "mine-only"}))
        fetch(rest(web.url))
    assert web.asked[0].headers["Authorization"] == "Bearer mine-only"
    assert "Authorization" not in web.asked[1].headers
