"""What a fetch has to know of earlier ones, in state documents: which objects were fetched, which fields there were."""

from __future__ import annotations

import os

from colony_lib.base import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from colony_lib.data.pipeline import Pipeline

    Record = dict[str, Any]


def of(pipeline: Pipeline, document: str, source: str) -> Record:
    """What the document says of the source; {} when it says nothing."""
    from colony_lib.store import paths

    path = paths.document(document) if pipeline.in_colony() else _outside(pipeline, document)
    found = files.read_json(path, {}, follow=False)
    entry = found.get(source) if isinstance(found, dict) else None
    return entry if isinstance(entry, dict) else {}


def update(pipeline: Pipeline, document: str, source: str, entry: Record) -> None:
    """Let the document say this of the source, beside what it says already."""

    def merged(old: Any) -> Record:
        old = old if isinstance(old, dict) else {}
        before = old.get(source)
        return {**old, source: {**(before if isinstance(before, dict) else {}), **entry}}

    if pipeline.in_colony():
        from colony_lib.store import documents

        documents.update(document, merged)
    else:
        files.update_json(_outside(pipeline, document), merged, default={}, lock=pipeline.lock(document))


def _outside(pipeline: Pipeline, document: str) -> str:
    return os.path.join(pipeline.state_folder(), document + ".json")
