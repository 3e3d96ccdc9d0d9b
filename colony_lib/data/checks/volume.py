"""The check `record_count`: how many records there are, none above all."""

from __future__ import annotations

from typing import Any

from colony_lib.base.text import plural
from colony_lib.data.checks.registry import Limits, Subject, finding


def record_count(subject: Subject) -> list[dict[str, Any]]:
    """No records: WARN; FAIL where the dataset is `required: true`. thresholds: {record_count: {warn: N, fail: N}} are
    the fewest, `warn_above` and `fail_above` the most."""
    expected = subject.expectations
    limits = expected.limits("record_count", fail=1) if expected.required else expected.limits("record_count", warn=1)
    most = Limits(expected.option("record_count", "warn_above"), expected.option("record_count", "fail_above"))
    count = len(subject)
    judged = limits.at_least(count)
    word = "fewer"
    if judged[0] and not (above := most.at_most(count))[0]:
        judged, word = above, "more"
    passed, severity, limit = judged
    message = plural(count, "record") if count else "there are no records"
    if not passed and count and limit is not None:
        message += f", {word} than {limit:,.0f}"
    return [finding("record_count", (passed, severity, limit), count, message)]
