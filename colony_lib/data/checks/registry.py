"""What every check shares: what it looks at, its limits, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from colony_lib.data import columnstats
from colony_lib.data.expression import Expression
from colony_lib.data.history import Day
from colony_lib.data.tableschema import Problem, Schema

WARN, FAIL = "warn", "fail"


class Limits:
    """Where a check begins to warn and where it fails; None: never."""

    __slots__ = ("fail", "warn")

    def __init__(self, warn: float | None = None, fail: float | None = None) -> None:
        self.warn = warn
        self.fail = fail

    def below(self, value: float) -> tuple[bool, str, float | None]:
        """(passed, severity, limit) of a share that must be below the limits; a limit of 0 is none at all."""
        return self._judge(lambda limit: value >= limit if limit > 0 else value > 0)

    def at_least(self, value: float) -> tuple[bool, str, float | None]:
        """(passed, severity, limit) of a value that must reach the limits."""
        return self._judge(lambda limit: value < limit)

    def at_most(self, value: float) -> tuple[bool, str, float | None]:
        """(passed, severity, limit) of a value that may be as great as the limits."""
        return self._judge(lambda limit: value > limit)

    def _judge(self, broken: Callable[[float], bool]) -> tuple[bool, str, float | None]:
        """What was broken, the graver first; when nothing was, the limit that was hardest to keep."""
        for severity, limit in ((FAIL, self.fail), (WARN, self.warn)):
            if limit is not None and broken(limit):
                return False, severity, limit
        return True, FAIL if self.fail is not None else WARN, self.warn if self.warn is not None else self.fail


class Rule:
    """A business rule: `text` parsed, its `limits` on the share of rows that break it."""

    __slots__ = ("expression", "limits", "name")

    def __init__(self, name: str, expression: Expression, limits: Limits) -> None:
        self.name = name
        self.expression = expression
        self.limits = limits


class Expectations:
    """What a dataset must meet: its schema, rules, and thresholds by check (as written)."""

    __slots__ = ("required", "rules", "schema", "thresholds")

    def __init__(
        self,
        schema: Schema | None = None,
        rules: Sequence[Rule] = (),
        thresholds: Mapping[str, Mapping[str, Any]] | None = None,
        required: bool = False,
    ) -> None:
        self.schema = schema or Schema()
        self.rules = list(rules)
        self.thresholds = thresholds or {}
        self.required = required

    def limits(self, name: str, *, instead: bool = False, **default: float) -> Limits:
        """The limits of a check: the default ones, changed by those written; with `instead`, by what is written alone.
        'a:b' falls back to what is written for 'a'."""
        given = self.thresholds.get(name) or self.thresholds.get(name.partition(":")[0]) or {}
        known = given if instead and given else {**default, **given}
        return Limits(known.get("warn"), known.get("fail"))

    def option(self, name: str, key: str) -> Any:
        return (self.thresholds.get(name) or {}).get(key)


class Subject:
    """The table under test. `raw` as it came (missing values null), `frame` with the columns cast to the schema's
    types (what could not be is null), `problems` of its cells, `unread` and `rejected` records that are not in it.

    `lookup(dataset)` and `warehouse(table, columns)` give what foreign keys refer to; `statistics` of this table are
    compared with those of `history`, the earlier days of `date`."""

    __slots__ = (
        "date", "errors", "expectations", "flags", "frame", "history", "lookup", "problems", "raw", "rejected",
        "statistics", "unread", "warehouse", "work",
    )  # fmt: skip

    def __init__(
        self,
        raw: pd.DataFrame,
        frame: pd.DataFrame,
        problems: list[Problem],
        expectations: Expectations,
        lookup: Callable[[str], pd.DataFrame],
        *,
        unread: int = 0,
        rejected: int = 0,
        date: str | None = None,
        history: Sequence[Day] = (),
        warehouse: Callable[[str, list[str]], list[tuple[Any, ...]]] | None = None,
    ) -> None:
        self.raw = raw
        self.frame = frame
        self.problems = problems
        self.expectations = expectations
        self.lookup = lookup
        self.unread = unread
        self.rejected = rejected
        self.date = date
        self.history = list(history)
        self.warehouse = warehouse
        self.statistics = columnstats.of(frame)
        self.errors = self.none()  # rows with an error that makes them invalid
        self.flags: dict[str, np.ndarray] = {}  # rows that a check points at, by the check's name
        self.work: dict[str, Any] = {}  # what one check found out and another needs too

    @property
    def schema(self) -> Schema:
        return self.expectations.schema

    def __len__(self) -> int:
        return len(self.frame)

    def none(self) -> np.ndarray:
        """A mask with no row in it."""
        return np.zeros(len(self.frame), dtype=bool)

    def flag(self, name: str, rows: np.ndarray, *, invalid: bool) -> None:
        """Point at those rows; `invalid`: they count against validity in the quality score."""
        if rows.any():
            self.flags[name] = self.flags.get(name, self.none()) | rows
        if invalid:
            self.errors = self.errors | rows


def finding(
    name: str, judged: tuple[bool, str, float | None], value: float | int | None, message: str
) -> dict[str, Any]:
    """A check as the report has it."""
    passed, severity, threshold = judged
    return {
        "name": name,
        "passed": passed,
        "severity": severity,
        "value": value,
        "threshold": threshold,
        "message": message,
    }


def share(part: int, whole: int) -> float:
    """The share of a whole, to six digits; of nothing it is 0."""
    return round(part / whole, 6) if whole else 0.0


def percent(value: float) -> str:
    """'2.5 %', never '0 %' of something."""
    text = f"{value * 100:.2f}".rstrip("0").rstrip(".")
    return f"{text} %" if value == 0 or float(text) else "less than 0.01 %"


Check = Callable[[Subject], list[dict[str, Any]]]
