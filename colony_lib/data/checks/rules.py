"""The business rules of a dataset's `checks:`, each a check by its own name."""

from __future__ import annotations

from typing import Any

import numpy as np

from colony_lib.base.errors import ColonyError
from colony_lib.base.text import plural
from colony_lib.data.checks.registry import FAIL, WARN, Rule, Subject, finding, percent, share


def rules(subject: Subject) -> list[dict[str, Any]]:
    """A row breaks a rule when it is false; when it is null (something it compares is) the row keeps it."""
    return [_one(subject, rule) for rule in subject.expectations.rules]


def _one(subject: Subject, rule: Rule) -> dict[str, Any]:
    severity = FAIL if rule.limits.fail is not None else WARN
    if not len(subject):
        return finding(rule.name, rule.limits.below(0.0), 0.0, "there are no records")
    try:
        _, broken = rule.expression.truth(subject.frame)
    except ColonyError as error:  # the data has not the columns that the rule is about
        return finding(rule.name, (False, severity, rule.limits.fail), None, f"cannot be checked: {error}")
    count = int(broken.sum())
    value = share(count, len(subject))
    judged = rule.limits.below(value)
    if not judged[0]:  # a rule that only warns points at rows that are odd, not wrong
        subject.flag(rule.name, broken, invalid=judged[1] == FAIL)
    if not count:
        return finding(rule.name, judged, value, f"every row keeps it: {rule.expression.text}")
    first = int(np.flatnonzero(broken)[0]) + 1
    message = f"{plural(count, 'row')} ({percent(value)}) break it, row {first} first: {rule.expression.text}"
    return finding(rule.name, judged, value, message)
