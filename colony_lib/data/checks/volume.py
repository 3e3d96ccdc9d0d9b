"""The check `record_count`: how many records there are, none above all."""

from __future__ import annotations

from typing import Any

from colony_lib.base.text import plural
from colony_lib.data.checks.registry import Subject, finding


def record_count(subject: Subject) -> list[dict[str, Any]]:
    """No records: WARN; FAIL where the dataset is `required: true`. thresholds: {record_count: {warn: N, fail: N}}."""
    expected = subject.expectations
    limits = expected.limits("record_count", fail=1) if expected.required else expected.limits("record_count", warn=1)
    count = len(subject)
    passed, severity, limit = limits.at_least(count)
    message = plural(count, "record") if count else "there are no records"
    if not passed and count and limit is not None:
        message += f", fewer than {limit:,.0f}"
    return [finding("record_count", (passed, severity, limit), count, message)]
