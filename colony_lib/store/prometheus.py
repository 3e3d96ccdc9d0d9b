"""Metrics in Prometheus' text exposition format (version 0.0.4)."""

from __future__ import annotations

import re

from colony_lib.base import clock
from colony_lib.base.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from colony_lib.store.points import Latest

_NOT_NAME = re.compile("[^A-Za-z0-9_]")


def metric_name(name: str) -> str:
    """The name as Prometheus allows it: `workflow.run.duration_seconds` is workflow_run_duration_seconds."""
    mapped = _NOT_NAME.sub("_", name)
    return "_" + mapped if mapped[0].isdigit() else mapped


def label_value(value: str) -> str:
    """The value between its quotes; control characters, which the format has no escape for, are spelled out."""
    return escape(value, keep="\n").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def lines(metrics: Iterable[Latest], *, timestamps: bool = True) -> Iterator[str]:
    """The exposition's lines: HELP, TYPE and the newest sample of every set of labels, with its time in
    milliseconds. Metrics whose names fall together are one family, told apart by a label `colony_metric`."""
    families: dict[str, list[Latest]] = {}
    for metric in metrics:
        if metric.series:
            families.setdefault(metric_name(metric.name), []).append(metric)
    for family, members in sorted(families.items()):
        shared = len(members) > 1
        units = sorted({member.unit for member in members if member.unit})
        names = " and ".join(member.name for member in members)
        yield f"# HELP {family} {names} as Colony recorded it{', in ' + ', '.join(units) if units else ''}"
        types = {member.type for member in members}
        yield f"# TYPE {family} {types.pop() if len(types) == 1 else 'untyped'}"
        for member in members:
            for labels, time, value in member.series:
                own = {"colony_metric": member.name} if shared else {}
                pairs = {**labels, **own}.items()
                inner = ",".join(f'{_NOT_NAME.sub("_", key)}="{label_value(text)}"' for key, text in pairs)
                sample = f"{family}{{{inner}}}" if inner else family
                yield f"{sample} {value!r}{f' {round(clock.seconds(time) * 1000)}' if timestamps else ''}"
