"""The checks of validate-data, one small module for each.

To add one: write a function in a module of its own and name it in CHECKS

    def capitals(subject: Subject) -> list[dict[str, Any]]:
        limits = subject.expectations.limits("capitals", warn=0.1, fail=0.5)    # thresholds: {capitals: {warn, fail}}
        share = …                                                   # from subject.frame, whole columns at a time
        return [finding("capitals", limits.below(share), share, f"{share:.0%} of the names are in capitals")]

and name its thresholds in schemas/pipeline.schema.json. A check returns no finding when it does not apply. It points
at rows by `subject.flag(name, rows, invalid=…)`; what it finds must not depend on the order of the rows.
"""

from __future__ import annotations

from colony_lib.data.checks import (
    anomalies,
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
    rules.rules,
    freshness.freshness,
    anomalies.anomalies,
]

__all__ = ["CHECKS", "Expectations", "Limits", "Rule", "Subject"]
