"""An independent judge of events: the public OpenLineage client's own classes, which are generated from its schemas."""

from __future__ import annotations

import importlib
import pkgutil
import typing
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import attr
import openlineage.client.generated as generated
from openlineage.client.generated import base


def _classes() -> dict[str, type]:
    """{facet's name: class} of all facets that the standard knows."""
    found = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for value in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, base.BaseFacet):
                found[value.__name__] = value
    return found


FACETS = _classes()
# Where the standard says that a facet of that kind belongs.
PLACES = {
    "run": base.RunFacet, "job": base.JobFacet, "facets": base.DatasetFacet,
    "inputFacets": base.InputDatasetFacet, "outputFacets": base.OutputDatasetFacet,
}  # fmt: skip


def check(event: dict[str, Any]) -> None:
    """AssertionError with the place of what is not as the standard has it."""
    told = {key: value for key, value in event.items() if key not in ("v", "id")}
    assert told["schemaURL"] == base.RunEvent._get_schema()
    assert datetime.fromisoformat(told["eventTime"]).tzinfo is not None
    assert urlsplit(told["producer"]).scheme and urlsplit(told["producer"]).netloc
    run, job = told.pop("run"), told.pop("job")
    inputs, outputs = told.pop("inputs"), told.pop("outputs")
    assert set(told) == {"eventType", "eventTime", "producer", "schemaURL"}
    base.EventType(told["eventType"])
    base.Run(runId=run["runId"])
    _facets(run.get("facets", {}), "run")
    structured(base.Job, job, "job")
    for side, datasets in (("inputFacets", inputs), ("outputFacets", outputs)):
        for dataset in datasets:
            assert set(dataset) <= {"namespace", "name", "facets", side}, dataset
            assert dataset["namespace"] and dataset["name"]
            _facets(dataset.get("facets", {}), "facets")
            _facets(dataset.get(side, {}), side)


def _facets(facets: dict[str, Any], place: str) -> None:
    for name, facet in facets.items():
        values = dict(facet)
        for key in ("_producer", "_schemaURL"):
            assert urlsplit(values.pop(key)).scheme == "https", name
        if name.startswith("colony_"):
            continue  # ours: any properties may follow, under a prefix of our own
        cls = FACETS[facet["_schemaURL"].rpartition("/")[2]]
        assert issubclass(cls, PLACES[place]), f"{name} does not belong in {place}"
        assert cls.__name__.lower() in (f"{name}{tail}".lower() for tail in _TAILS), name
        structured(cls, values, name)


_TAILS = ("RunFacet", "JobFacet", "DatasetFacet", "InputDatasetFacet", "OutputDatasetFacet")


def structured(wanted: Any, value: Any, place: str) -> None:
    """Check the value against a type of the client's, attrs classes all the way down."""
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return
    if origin is dict:
        assert isinstance(value, dict), place
        for key, one in value.items():
            structured(parts[1], one, f"{place}/{key}")
    elif origin is list:
        assert isinstance(value, list), place
        for number, one in enumerate(value):
            structured(parts[0], one, f"{place}/{number}")
    elif origin is not None:  # X | None: what is there is an X
        assert value is not None, place
        structured(next(part for part in parts if part is not type(None)), value, place)
    elif attr.has(wanted):
        hints = typing.get_type_hints(wanted)
        assert set(value) <= set(hints), f"{place}: {set(value) - set(hints)}"
        for name, one in value.items():
            structured(hints[name], one, f"{place}/{name}")
        wanted(**value)  # its own required fields and validators
    else:
        assert type(value) is wanted or (wanted is float and type(value) is int), f"{place}: {value!r}"
