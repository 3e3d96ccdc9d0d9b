"""The check `error_rate`: the share of records that break the schema, or could not be transformed or read."""

from __future__ import annotations

from typing import Any

import numpy as np

from colony_lib.base.text import plural
from colony_lib.data.checks.registry import Subject, finding, percent, share


def error_rate(subject: Subject) -> list[dict[str, Any]]:
    limits = subject.expectations.limits("error_rate", warn=0, fail=0.001)
    broken = (
        np.logical_or.reduce([problem.rows for problem in subject.problems]) if subject.problems else subject.none()
    )
    count = int(broken.sum())
    outside = subject.unread + subject.rejected
    value = share(count + outside, len(subject) + outside)
    parts = [f"{plural(count, 'record')} with errors"] if count else []
    parts += [f"{plural(subject.rejected, 'record')} rejected by transform"] if subject.rejected else []
    parts += [f"{plural(subject.unread, 'record')} unreadable"] if subject.unread else []
    message = f"{', '.join(parts)}: {percent(value)}" if parts else "no record has an error"
    return [finding("error_rate", limits.below(value), value, message)]
