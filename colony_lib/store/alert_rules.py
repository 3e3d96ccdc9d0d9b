"""What `alerts:` of colony.yml must be, beyond what its schema says, and the alerts with their defaults."""

from __future__ import annotations

import re

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import duration
from colony_lib.store import variables, yamltext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Lines = dict[tuple[str | int, ...], int]

TIMEOUT = 5.0  # seconds
LONGEST = 60.0  # the end of a run waits for it
_TAKES_ALL = re.compile(r"\$(?:[A-Za-z_]|\{)|https?://[^\s]+\Z")


def problems(alerts: Any, lines: Lines, file: str) -> Iterator[ColonyError]:
    """What is wrong with the alerts that have the right types."""
    for index, alert in enumerate(alerts if isinstance(alerts, list) else []):
        if isinstance(alert, dict):
            for key, what, fix in _faults(alert):
                path: tuple[str | int, ...] = ("alerts", index, key) if key in alert else ("alerts", index)
                yield ColonyError(what, where=yamltext.where(lines, path, file), fix=fix, code=USAGE)


def _faults(alert: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(key, what, fix) of each."""
    if "on" not in alert and "metrics" not in alert:
        yield "", "the alert names no event", "add 'on: [failure]', or 'metrics:' with a condition"
    if ("command" in alert) == ("webhook" in alert):
        both = "webhook" in alert
        fix = "write two alerts" if both else "add 'webhook: $NAME_OF_A_VARIABLE' or 'command:'"
        yield (
            "webhook",
            f"the alert has {'both a' if both else 'neither'} command {'and' if both else 'nor'} webhook",
            fix,
        )
    url = alert.get("webhook")
    if isinstance(url, str):
        wrong = variables.fault(url)
        if wrong:
            yield "webhook", f"webhook: {wrong}", "write $$ for a dollar sign"
        elif not _TAKES_ALL.match(url):
            yield "webhook", "the webhook is no http or https URL", "write $NAME of a variable that holds the URL"
    if "timeout" in alert:
        try:
            long = duration(alert["timeout"]) > LONGEST
        except ColonyError:
            return  # said by the schema
        if long:
            yield "timeout", f"an alert may take at most {LONGEST:g}s", "give a shorter timeout"


def filled(alerts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The alerts as store.config describes them."""
    return [
        {
            "on": alert.get("on", []),
            "metrics": alert.get("metrics", {}),
            "workflows": alert.get("workflows", []),
            "command": alert.get("command"),
            "webhook": alert.get("webhook"),
            "timeout_seconds": duration(alert["timeout"]) if "timeout" in alert else TIMEOUT,
        }
        for alert in alerts
    ]
