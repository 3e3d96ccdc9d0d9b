"""The example's API: true to the package's figures, and as awkward as its page of manners says."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.examples import figures

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "data-pipeline"
sys.path.insert(0, str(EXAMPLE))

import flights_api  # noqa: E402
import nyc2013  # noqa: E402
import prepare_data  # noqa: E402

KEY = "a test's key"


class Client:
    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, key: str | None = KEY) -> tuple[int, dict, dict]:
        request = urllib.request.Request(self.url + path, headers={} if key is None else {"X-Api-Key": key})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as reply:
                return reply.status, json.load(reply), dict(reply.headers)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), dict(error.headers)

    def pages(self, resource: str, date: str, size: int = 200) -> list[list[dict]]:
        found = []
        page = pages = 1
        while page <= pages:
            status, body, _ = self.get(f"/{resource}?date={date}&page={page}&per_page={size}")
            if status == 503:
                continue
            assert status == 200, body
            pages = body["meta"]["pages"]
            found.append(body["data"])
            page += 1
        return found


@pytest.fixture(scope="module")
def api() -> Iterator[flights_api.Api]:
    server = flights_api.Api(0, KEY, rate=1e6, burst=1000, spoiled={"2013-02-14"}, data=None)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(api: flights_api.Api) -> Client:
    return Client(api.url)


def plain(value: object) -> str:
    return "NA" if value in (None, "", "NA") else str(value).strip()


def test_all_pages_of_a_day_hold_each_flight_of_the_package_with_its_figures(client: Client) -> None:
    rows = figures.flights("2013-02-08")
    pages = client.pages("flights", "2013-02-08")
    served = {(r["carrier"], int(r["flight"]), r["origin"]): r for page in pages for r in page}
    assert len(rows) == len(served) == 930
    for row in rows:
        record = served[row["carrier"], int(row["flight"]), row["origin"]]
        for name, column in {**flights_api.NUMBERS, "tailNum": "tailnum", "dest": "dest"}.items():
            assert plain(record[name]) == row[column], (name, record, row)


def test_pages_overlap_by_one_record_and_the_total_counts_it_once(client: Client) -> None:
    pages = client.pages("flights", "2013-02-07")
    assert [len(page) for page in pages] == [200, 200, 200, 200, 136]
    assert all(earlier[-1] == later[0] for earlier, later in pairwise(pages))
    status, body, _ = client.get("/flights?date=2013-02-07&page=3&per_page=5000")
    assert (status, body["meta"]) == (200, {"date": "2013-02-07", "page": 3, "perPage": 200, "pages": 5, "total": 932})


def test_dates_numbers_nulls_and_blanks_are_written_as_each_carrier_writes_them(client: Client) -> None:
    by_carrier: dict[str, list[dict]] = {}
    for page in client.pages("flights", "2013-02-08"):
        for record in page:
            by_carrier.setdefault(record["carrier"], []).append(record)
    assert {r["flightDate"] for r in by_carrier["EV"]} == {"08-Feb-2013"}
    assert {r["flightDate"] for r in by_carrier["US"]} == {"February 8, 2013"}
    assert {r["flightDate"] for r in by_carrier["UA"]} == {"2013-02-08"}
    assert all(isinstance(r["distance"], str) for r in by_carrier["DL"])
    assert all(r["tailNum"] is None or r["tailNum"].endswith(" ") for r in by_carrier["AA"])
    assert {r["depTime"] for r in by_carrier["MQ"] if not isinstance(r["depTime"], int)} == {"NA"}
    assert {r["depTime"] for r in by_carrier["WN"] if not isinstance(r["depTime"], int)} == {""}
    assert all(r["timeHour"].endswith("-05:00") for r in by_carrier["B6"])


def test_new_yorks_offset_changes_with_its_daylight_saving_time() -> None:
    row = {"carrier": "B6", "time_hour": "2013-03-10T10:00:00Z"}
    assert flights_api._hour(row) == "2013-03-10T06:00:00-04:00"
    assert flights_api._hour({**row, "time_hour": "2013-11-03T06:00:00Z"}) == "2013-11-03T01:00:00-05:00"


def test_weather_is_served_by_the_same_rules(client: Client) -> None:
    records = [record for page in client.pages("weather", "2013-02-12") for record in page]
    assert len(records) == 72
    broken = [record for record in records if record["windSpeed"] is not None and record["windSpeed"] > 200]
    assert [(r["origin"], r["timeHour"], r["windSpeed"]) for r in broken] == [
        ("EWR", "2013-02-12T08:00:00Z", 1048.36058)
    ]


def test_a_day_outside_the_data_is_an_empty_page(client: Client) -> None:
    status, body, _ = client.get("/flights?date=2014-06-01")
    assert (status, body["data"], body["meta"]["total"], body["meta"]["pages"]) == (200, [], 0, 1)


def test_the_second_page_of_an_even_day_answers_503_once(client: Client) -> None:
    assert [client.get("/flights?date=2013-04-20&page=2")[0] for _ in range(3)] == [503, 200, 200]
    assert client.get("/flights?date=2013-04-21&page=2")[0] == 200


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/flights?date=2013-02-08", None, 401),
        ("/flights?date=2013-02-08", "another key", 401),
        ("/flights", KEY, 400),
        ("/flights?date=2013-02-30", KEY, 400),
        ("/flights?date=2013-02-08&page=0", KEY, 400),
        ("/flights?date=2013-02-08&per_page=x", KEY, 400),
        ("/ships", KEY, 404),
        ("/health", None, 200),
    ],
)
def test_wrong_requests_are_refused_with_the_usual_status(
    client: Client, path: str, key: str | None, status: int
) -> None:
    assert client.get(path, key)[0] == status


def test_more_requests_than_the_bucket_holds_get_429_and_a_time_to_wait() -> None:
    bucket = flights_api.Bucket(rate=0.01, burst=2)
    assert [bucket.wait("a") for _ in range(2)] == [0, 0]
    assert 90 < bucket.wait("a") <= 100
    assert bucket.wait("b") == 0


def test_a_spoiled_day_has_lost_arrival_times_and_carriers(client: Client) -> None:
    rows = figures.flights("2013-02-14")
    landed = sum(row["air_time"] != "NA" for row in rows)
    served = {json.dumps(r): r for page in client.pages("flights", "2013-02-14") for r in page}.values()
    assert sum(r["arrTime"] is None and plain(r["airTime"]) != "NA" for r in served) == landed // 10
    assert sum(r["carrier"] == "??" for r in served) == landed // 40


def test_the_program_prints_its_address_limits_requests_and_ends_with_its_parent_or_a_signal() -> None:
    for end in ("eof", "term"):
        command = [
            sys.executable,
            str(EXAMPLE / "flights_api.py"),
            "--port",
            "0",
            "--key",
            KEY,
            "--burst",
            "1",
            "--until-eof",
        ]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin and process.stdout
        client = Client(process.stdout.readline().strip())
        assert client.get("/weather?date=2013-02-12")[0] == 200
        status, _, headers = client.get("/weather?date=2013-02-12")
        assert (status, headers["Retry-After"]) == (429, "1")
        if end == "eof":
            process.stdin.close()
        else:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 0
        process.stdout.close()
        if end == "term":
            process.stdin.close()


def test_reference_files_are_written_as_other_systems_would_and_alike_each_time(tmp_path: Path) -> None:
    import gzip

    first = {Path(path).name: Path(path).read_bytes() for path in prepare_data.write(str(tmp_path))}
    again = {Path(path).name: Path(path).read_bytes() for path in prepare_data.write(str(tmp_path))}
    assert first == again
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "airlines.json",
        "airports.csv",
        "planes.csv.gz",
        "remarks.json",
    ]
    assert {r["carrier"] for r in json.loads(first["airlines.json"])} == {
        r["carrier"] for r in nyc2013.table("airlines")
    }
    assert first["airports.csv"].startswith(b"\xef\xbb\xbfFAA;NAME;LAT")
    planes = list(csv.DictReader(io.StringIO(gzip.decompress(first["planes.csv.gz"]).decode(), newline="")))
    assert [row["Tail Num"] for row in planes] == [row["tailnum"] for row in nyc2013.table("planes")]
    assert sum(row["Year Built"] == "NA" for row in planes) == 70
