"""The checks of validate-data, one small module for each.

To add one: write a function in a module of its own and name it in CHECKS

    def freshness(subject: Subject) -> list[dict[str, Any]]:
        limits = subject.expectations.limits("freshness", warn=24, fail=48)    # thresholds: {freshness: {warn, fail}}
        hours = …                                                   # from subject.frame, whole columns at a time
        return [finding("freshness", limits.below(hours), hours, f"the newest row is {hours} hours old")]

and name its thresholds in schemas/pipeline.schema.json. A check returns no finding when it does not apply. It points
at rows by `subject.flag(name, rows, invalid=…)`; what it finds must not depend on the order of the rows.
"""

from __future__ import annotations

from colony_lib.data.checks import columns, completeness, duplicates, errors, integrity, rules, volume
from colony_lib.data.checks.registry import Check, Expectations, Limits, Rule, Subject

CHECKS: list[Check] = [
    volume.record_count,
    columns.schema,
    completeness.completeness,
    duplicates.duplicates,
    errors.error_rate,
    integrity.referential_integrity,
    rules.rules,
]

__all__ = ["CHECKS", "Expectations", "Limits", "Rule", "Subject"]
