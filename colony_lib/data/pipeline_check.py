"""`colony validate` of pipeline.yml: what is wrong in it, as the tools would find it, each at its own time."""

from __future__ import annotations

from colony_lib.base.errors import ColonyError, nearest
from colony_lib.base.text import escape
from colony_lib.data import pipeline as pipelines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from colony_lib.data.pipeline import Pipeline


def check() -> tuple[list[ColonyError], list[str]] | None:
    """(what is wrong, what is allowed and may not be meant); None where there is no pipeline.yml. Reads no data, asks
    nobody, and takes nothing from the environment."""
    try:
        pipeline = pipelines.find()
    except ColonyError as error:
        return [error], []
    if not pipeline.given:
        return None
    return [*_warehouse(pipeline), *_datasets(pipeline)], _sourceless(pipeline)


def _warehouse(pipeline: Pipeline) -> list[ColonyError]:
    from colony_lib.data import warehouses

    given = pipeline.document.get("warehouse")
    url = given["url"] if isinstance(given, dict) else given
    if not url or pipelines.variables_in(url):
        return []
    try:
        warehouses.split(url, pipeline.where("warehouse"))
    except ColonyError as error:
        return [error]
    return []


def _datasets(pipeline: Pipeline) -> list[ColonyError]:
    """What transform would refuse to begin with. Its plans need pandas: without it nothing is said of them."""
    from importlib.util import find_spec

    if find_spec("pandas") is None:
        return []
    from colony_lib.data.transform_files import Day

    day = Day(pipeline, "1970-01-01")
    found: dict[str, ColonyError] = {}
    for name in pipeline.names("datasets"):
        try:
            day.plan(name)
        except ColonyError as error:
            found.setdefault(str(error), error)  # datasets that need a wrong one say the same of it
    return list(found.values())


def _sourceless(pipeline: Pipeline) -> list[str]:
    """Datasets of no source that is described: their raw files may come from elsewhere, or their name be a slip."""
    sources = pipeline.names("sources")
    found = []
    for name in pipeline.names("datasets"):
        dataset = pipeline.dataset(name)
        source = dataset.get("source") or name
        if not dataset.get("from") and sources and source not in sources:
            near = nearest(source, sources) or "say 'source: NAME', or put its raw files into staging yourself"
            where = pipeline.where("datasets", name)
            found.append(f"{where}: the dataset '{escape(name)}' is of no source that is there; {near}")
    return found
