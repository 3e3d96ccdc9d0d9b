"""What `executors:` of colony.yml and a step's `resources:` must be, beyond what their schemas say; with defaults."""

from __future__ import annotations

import re

from colony_lib.base.errors import USAGE, ColonyError
from colony_lib.base.text import duration, escape
from colony_lib.store import variables, yamltext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Lines = dict[tuple[str | int, ...], int]
    Record = dict[str, Any]

LOCAL = "local"
CONNECT_TIMEOUT = 300.0  # seconds
_WHERE = ("address", "scheduler_file", "deploy")
_ADDRESS = re.compile(r"\$(?:[A-Za-z_]|\{)|(?:tcp|tls|ucx|ws|wss)://[^\s/]+:[0-9]+/?\Z")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kKMGT]?)(i?)B?\Z")
_TRACE = 2.0**-20  # of a resource that is asked for as a tag: it must be there, and is not used up


def problems(executors: Any, lines: Lines, file: str) -> Iterator[ColonyError]:
    """What is wrong with the executors that have the right types."""
    seen: set[str] = set()
    for index, executor in enumerate(executors if isinstance(executors, list) else []):
        if not isinstance(executor, dict) or not isinstance(executor.get("name"), str):
            continue
        for key, what, fix in (*_name_faults(executor, seen), *_faults(executor)):
            path: tuple[str | int, ...] = ("executors", index, key) if key in executor else ("executors", index)
            yield ColonyError(what, where=yamltext.where(lines, path, file), fix=fix, code=USAGE)


def _name_faults(executor: Record, seen: set[str]) -> Iterator[tuple[str, str, str]]:
    name = executor["name"]
    if name in seen:
        yield "name", f"the executor '{escape(name)}' is there twice", "rename one"
    if name == LOCAL:
        yield "name", "'local' is this machine, and always there", "choose another name"
    seen.add(name)


def _faults(executor: Record) -> Iterator[tuple[str, str, str]]:
    """(key, what, fix) of each."""
    who = f"the executor '{escape(executor['name'])}'"
    given = [key for key in _WHERE if key in executor]
    if executor.get("type") == LOCAL:
        for key in (*given, "adapt", "resources", "connect_timeout"):
            if key in executor:
                yield key, f"{who} is this machine, and '{key}' says where another is", "write 'type: dask'"
        return
    if len(given) != 1:
        what = f"{who} has {' and '.join(given)}" if given else f"{who} does not say where it is"
        yield (given[1] if given else ""), what, "write one of address, scheduler_file and deploy"
    if "adapt" in executor and "deploy" not in executor:
        yield "adapt", f"{who} adapts a cluster that others have started", "write 'deploy', or take 'adapt' out"
    adapt = executor.get("adapt")
    if isinstance(adapt, dict) and _number(adapt.get("minimum")) > _number(adapt.get("maximum")) > 0:
        yield "adapt", f"{who} has a minimum above its maximum", "write maximum above minimum"
    deploy = executor.get("deploy")
    if isinstance(deploy, dict) and "workers" in deploy and "adapt" in executor:
        yield "deploy", f"{who} has both a number of workers and 'adapt'", "keep one"
    for key in ("address", "scheduler_file"):
        text = executor.get(key)
        wrong = variables.fault(text) if isinstance(text, str) else None
        if wrong:
            yield key, f"{key}: {wrong}", "write $$ for a dollar sign"
    address = executor.get("address")
    if isinstance(address, str) and not _ADDRESS.match(address):
        yield "address", f"'{escape(address)}' is no scheduler's address", "write tcp://HOST:8786"
    if "connect_timeout" in executor:
        try:
            duration(executor["connect_timeout"])
        except ColonyError as error:
            yield "connect_timeout", f"connect_timeout: {error.what}", error.fix or ""


def _number(value: Any) -> float:
    return value if isinstance(value, (int, float)) else 0


def filled(executors: list[Record]) -> list[Record]:
    """The executors with their defaults: {name, type, address, scheduler_file, deploy: {with, workers, options} | None,
    adapt: {minimum, maximum} | None, resources, max_parallel, connect_timeout_seconds}."""
    found = []
    for given in executors:
        deploy, adapt = given.get("deploy"), given.get("adapt")
        found.append(
            {
                "name": given["name"],
                "type": given["type"],
                "address": given.get("address"),
                "scheduler_file": given.get("scheduler_file"),
                "deploy": deploy and {"workers": 1, "options": {}, **deploy},
                "adapt": adapt and {"minimum": 0, **adapt},
                "resources": given.get("resources", {}),
                "max_parallel": given.get("max_parallel"),
                "connect_timeout_seconds": duration(given.get("connect_timeout", CONNECT_TIMEOUT)),
            }
        )
    return found


def amounts(executor: Record, step: Record | None) -> dict[str, float]:
    """What a step asks of a worker, as Dask counts it: {resource: amount}; memory in bytes."""
    given = {**executor["resources"], **(step or {})}
    found = {tag: _TRACE for tag in given.get("tags", [])}
    if "cpus" in given:
        found["cpus"] = float(given["cpus"])
    if "memory" in given:
        found["memory"] = size(given["memory"])
    return found


def is_met(asked: Record, offered: Record) -> bool:
    """Whether a worker that offers so much could do what asks for that, if it did nothing else."""
    return all(offered.get(name, 0) >= amount for name, amount in asked.items())


def shown(amounts: Record) -> str:
    """The amounts as `dask worker --resources` takes them."""
    return " ".join(f"{name}={1 if amount == _TRACE else f'{amount:g}'}" for name, amount in amounts.items())


def size(value: Any) -> float:
    """Bytes of '500MB' (10^6), '4GiB' (2^30) or a number. ColonyError (USAGE) for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _SIZE.match(value) if isinstance(value, str) else None
    if match is None:
        raise ColonyError(f"'{escape(value)}' is not a size", fix="write it like 500MB or 4GB", code=USAGE)
    power = " KMGT".index(match[2].upper() or " ")
    return float(match[1]) * float(1024 if match[3] else 1000) ** power
