"""The compiled copy of a colony's pipeline.yml: what it says, checked, for the next tool that reads this very text.

Reading YAML and checking it takes the tools longer than most of what they then do. The copy lies in .colony/cache/ and
counts only for the very text and code that it was made from; whoever deletes it loses a tenth of a second.
"""

from __future__ import annotations

import os

from colony_lib import __version__
from colony_lib.base import files
from colony_lib.base.errors import ColonyError
from colony_lib.store import paths, schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Lines = Mapping[tuple[str | int, ...], int]

KIND = "pipeline"  # of the schema, and of the copy
# The modules whose text decides what a pipeline file comes to, from the package's folder.
_COMPILER = ("data/pipeline.py", "data/sources/__init__.py", "store/schema.py", "store/yamltext.py")


def find(source: str) -> tuple[dict[str, Any], Lines] | None:
    """(document, lines) of a pipeline file of that text, as `keep` got them; None when it is not known."""
    try:
        kept = files.read_json(paths.cache(KIND), None, follow=False)
        if not isinstance(kept, dict) or kept["source"] != source or kept["compiler"] != _compiler():
            return None
        return kept["document"], {tuple(path): line for path, line in kept["lines"]}
    except (ColonyError, KeyError, TypeError, ValueError):
        return None  # damaged: made anew


def keep(source: str, document: dict[str, Any], lines: Lines) -> None:
    """Keep what a text came to, of a document that is whole and checked."""
    record = {"v": 1, "source": source, "compiler": _compiler(), "document": document}
    record["lines"] = [[list(path), line] for path, line in lines.items()]
    try:
        files.write_json(paths.cache(KIND), record, indent=None, durable=False)
    except ColonyError:
        return  # a full disk or a read-only colony makes the next start slower, not this one wrong


def _compiler() -> list[Any]:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found: list[Any] = [__version__]
    for file in (schema.file(KIND), *(os.path.join(package, *name.split("/")) for name in _COMPILER)):
        state = os.stat(file)
        found += [state.st_size, state.st_mtime_ns]
    return found
