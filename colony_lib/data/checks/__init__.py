"""The checks of validate-data, one small module for each.

To add one: write a function in a module of its own and name it in CHECKS

    def row_length(subject: Subject) -> list[dict[str, Any]]:
        limits = subject.expectations.limits("row_length", warn=24, fail=48)   # thresholds: {row_length: {warn, fail}}
        longest = …                                                 # from subject.frame, whole columns at a time
        return [finding("row_length", limits.at_most(longest), longest, f"the longest row has {longest} characters")]

and name its thresholds in schemas/pipeline.schema.json. A check returns no finding when it does not apply. It points
at rows by `subject.flag(name, rows, invalid=…)`; what it finds must not depend on the order of the rows.
"""

from __future__ import annotations

from colony_lib.data.checks import (
    anomaly,
    columns,
    completeness,
    duplicates,
    errors,
    freshness,
    integrity,
    rules,
    volume,
)
from colony_lib.data.checks.registry import Check, Expectations, Limits, Rule, Subject

CHECKS: list[Check] = [
    volume.record_count,
    columns.schema,
    completeness.completeness,
    duplicates.duplicates,
    errors.error_rate,
    integrity.referential_integrity,
    freshness.freshness,
    anomaly.anomaly,
    rules.rules,
]

__all__ = ["CHECKS", "Expectations", "Limits", "Rule", "Subject"]
