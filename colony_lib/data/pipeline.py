"""The pipeline file: reads pipeline.yml once, checked, and says where each of the data tools' files lies."""

from __future__ import annotations

import os
import re
import shlex
import time

from colony_lib.base import clock
from colony_lib.base.errors import FAILED, USAGE, ColonyError, unknown
from colony_lib.base.text import check_name, escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DEFAULT_FILE = "pipeline.yml"

# kind of file: (folder kind, name). Spelled here once, for fetch, transform, validate-data, load and report.
_FILES = {
    "raw": ("raw", "{name}_{date}.json"),
    "quarantine": ("quarantine", "{name}_{date}-{number}.json"),
    "transformed": ("transformed", "{name}_{date}.json"),
    "rejected": ("rejected", "{name}_{date}.json"),
    "transformation": ("reports", "transformation_{name}_{date}.json"),
    "validation": ("reports", "validation_{name}_{date}.json"),
    "load": ("reports", "load_{date}.json"),
    "report": ("reports", "daily_{date}.md"),
    "page": ("reports", "daily_{date}.html"),
    "daily": ("metrics", "daily_{date}.json"),
}
_FOLDERS = {"staging": "staging", "reports": "reports", "metrics": "metrics", "backups": "backups"}
_STAGED = ("raw", "quarantine", "transformed", "rejected")
_PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")


class Pipeline:
    """A checked pipeline file: `document` as read, `file` for messages, `root` that relative names start from.

    Built by `load`; without a pipeline file (`given` is then false) all is default and there are no sources.
    """

    __slots__ = ("document", "file", "given", "lines", "root")

    def __init__(
        self,
        document: dict[str, Any],
        *,
        root: str,
        file: str,
        given: bool = True,
        lines: Mapping[tuple[Any, ...], int] | None = None,
    ) -> None:
        self.document = document
        self.root = root
        self.file = file
        self.given = given
        self.lines = lines or {}

    def where(self, *keys: str | int) -> str:
        """'pipeline.yml:12', the line of the key that the keys lead to, or of the nearest one above it."""
        from colony_lib.store import yamltext

        return yamltext.where(self.lines, keys, self.file)

    def names(self, section: str) -> list[str]:
        """The names in a section ('sources', 'datasets', 'views'), in the order of the file."""
        return list(self.document.get(section) or {})

    def source(self, name: str) -> dict[str, Any]:
        """The source as written; ColonyError (FAILED) with the nearest names when there is none."""
        return self._entry("sources", "source", name)

    def dataset(self, name: str) -> dict[str, Any]:
        """The dataset as written; ColonyError (FAILED) with the nearest names when there is none."""
        return self._entry("datasets", "dataset", name)

    def schema_policy(self, section: str, name: str) -> str:
        """'evolve', 'freeze' or 'discard': what is done when the fields of a source, or the columns of a dataset on
        their way into its table, are not as they were. `section` is 'sources' or 'datasets'."""
        entry = self.source(name) if section == "sources" else self.dataset(name)
        return str(entry.get("schema_policy") or self.document.get("schema_policy") or "evolve")

    def _entry(self, section: str, kind: str, name: str) -> dict[str, Any]:
        entries = self.document.get(section) or {}
        if name not in entries:
            raise unknown(kind, escape(name), list(entries), where=self.file, code=FAILED)
        entry: dict[str, Any] = entries[name]
        return entry

    def folder(self, kind: str) -> str:
        """The absolute path of a folder: staging, reports, metrics, backups, and in staging raw, quarantine,
        transformed, rejected. The folder need not exist: the file layer makes it."""
        given = self.document.get("folders") or {}
        if kind in _STAGED:
            return os.path.join(self.folder("staging"), kind)
        return os.path.join(self.root, given.get(kind, _FOLDERS[kind]))

    def path(self, kind: str, name: str = "", date: str = "", number: int = 0) -> str:
        """The absolute path of a file between the tools: raw, quarantine (with its number), transformed,
        rejected, transformation, validation (of a source or dataset and a date), load, report, page and daily (of
        a date)."""
        folder, pattern = _FILES[kind]
        if "{name}" in pattern:
            check_name(name, "dataset")
        check_date(date)
        return os.path.join(self.folder(folder), pattern.format(name=name, date=date, number=number))

    def shown(self, path: str) -> str:
        """The path as people and summaries see it: relative to the root when it lies in it."""
        relative = os.path.relpath(path, self.root)
        return path if relative.startswith("..") else relative

    def in_colony(self) -> bool:
        return os.path.isdir(os.path.join(self.root, ".colony"))

    def state_folder(self) -> str:
        """Where the data tools keep what outlives a process and belongs to this machine (circuit breakers, token
        buckets): .colony/cache/data in a colony, else .colony-data in the staging folder."""
        if self.in_colony():
            return os.path.join(self.root, ".colony", "cache", "data")
        return os.path.join(self.folder("staging"), ".colony-data")

    def lock(self, name: str) -> str:
        """The lock file of the data tools' thing of that name."""
        if self.in_colony():
            return os.path.join(self.root, ".colony", "locks", f"data-{name}.lock")
        return os.path.join(self.state_folder(), f"{name}.lock")

    def expand(self, value: Any, *keys: str | int) -> Any:
        """The value with $VAR and ${VAR} taken from the environment now, in every text in it; $$ is a dollar.

        `keys` lead to it in the document. ColonyError (USAGE) with file and line for a variable that is not set.
        """
        if isinstance(value, str):
            return expand(value, where=self.where(*keys))
        if isinstance(value, dict):
            return {key: self.expand(item, *keys, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.expand(item, *keys, index) for index, item in enumerate(value)]
        return value


def load(file: str | None = None) -> Pipeline:
    """The pipeline file, parsed strictly and checked against schemas/pipeline.schema.json.

    `file` None: pipeline.yml in the colony's root, or in the working folder where there is no colony.
    ColonyError (USAGE) with file and line for what is wrong in it, or when it is not there.
    """
    pipeline = find(file)
    if not pipeline.given:
        raise ColonyError(
            f"no pipeline file '{pipeline.file}'",
            where=pipeline.root,
            fix="write one ('colony help pipelines'), name it with --pipeline FILE, or begin with an example: "
            "colony init --example data-pipeline DIR",
            code=USAGE,
        )
    return pipeline


def find(file: str | None = None) -> Pipeline:
    """As `load`, but where no file is named and there is none, a Pipeline of defaults whose `given` is false."""
    root = _root()
    path = file or os.path.join(root, DEFAULT_FILE)
    shown = file or DEFAULT_FILE
    if not os.path.lexists(path):
        if file is None:
            return Pipeline({}, root=root, file=shown, given=False)
        raise ColonyError(f"no pipeline file '{escape(file)}'", code=USAGE)
    document, lines = _read(path, shown) if file else _of_colony(path, shown)
    _check_folders(document, shown, lines)
    return Pipeline(document, root=root, file=shown, lines=lines)


def _root() -> str:
    from colony_lib.store import paths

    return paths.root_or_none() or os.getcwd()


# Values that are sent as text: `{code: 010}` is '010'.
_AS_TEXT = (("sources", None, "params", None), ("sources", None, "headers", None), ("sources", None, "auth", None))


def _of_colony(path: str, shown: str) -> tuple[dict[str, Any], Mapping[tuple[Any, ...], int]]:
    """As `_read`, of the file of that name in the root; from its compiled copy, where a colony keeps one."""
    from colony_lib.data import compiled
    from colony_lib.store import paths, yamltext

    if paths.root_or_none() is None:
        return _read(path, shown)
    source = yamltext.read_source(path, file=shown)
    found = compiled.find(source)
    if found is None:
        found = _checked(*yamltext.load(source, shown, as_text=_AS_TEXT), shown)
        compiled.keep(source, *found)
    return found


def _read(path: str, shown: str) -> tuple[dict[str, Any], Mapping[tuple[Any, ...], int]]:
    from colony_lib.store import yamltext

    return _checked(*yamltext.read(path, file=shown, as_text=_AS_TEXT), shown)


def _checked(
    document: Any, lines: Mapping[tuple[Any, ...], int], shown: str
) -> tuple[dict[str, Any], Mapping[tuple[Any, ...], int]]:
    from colony_lib.data import sources
    from colony_lib.store import schema, yamltext

    if document is None:
        raise ColonyError(f"'{escape(shown)}' is empty", fix="describe sources and datasets in it", code=USAGE)
    # A type of source that is not here has keys of its own: say that first, not that its keys are unknown.
    for name, source in _entries(document, "sources"):
        if isinstance(source.get("type"), str):
            sources.check_type(source["type"], where=yamltext.where(lines, ("sources", name, "type"), shown))
    schema.check(document, "pipeline", lines, shown)
    return document, lines


def _entries(document: Any, section: str) -> list[tuple[str, dict[str, Any]]]:
    found = document.get(section) if isinstance(document, dict) else None
    return [(k, v) for k, v in found.items() if isinstance(v, dict)] if isinstance(found, dict) else []


def _check_folders(document: dict[str, Any], shown: str, lines: Mapping[tuple[Any, ...], int]) -> None:
    # The tools write there: a pipeline file that came from elsewhere must not lead them out of the root.
    for kind, folder in (document.get("folders") or {}).items():
        if (
            os.path.isabs(folder)
            or ".." in folder.split("/")
            or folder.strip("./") == ""
            or ".colony" in folder.split("/")
        ):
            line = lines.get(("folders", kind))
            raise ColonyError(
                f"the folder '{escape(folder)}' does not lie in the pipeline's own folder",
                where=f"{shown}:{line}" if line else shown,
                fix="give a relative path without '..'",
                code=USAGE,
            )


def expand(text: str, *, where: str | None = None) -> str:
    """The text with $VAR and ${VAR} taken from the environment now; $$ is a literal dollar.

    ColonyError (USAGE) that names the variable when it is not set. What a variable holds is not expanded again.
    """
    if "$" not in text:
        return text
    from colony_lib.store import env, variables

    known = env.environ()
    missing = [name for name in variables.names(text) if name not in known]
    fix = _of_env_file(missing[0]) if missing else None
    return variables.expand(text, known, who="the pipeline", where=where, fix=fix)


def _of_env_file(name: str) -> str | None:
    """What to do about a variable that runs have from the env_file of colony.yml; None where they have it not."""
    from colony_lib.store import config, paths

    if paths.root_or_none() is None:
        return None
    try:
        file = config.load()["env_file"]
        if name not in config.env_file_values(file):
            return None
    except ColonyError:
        return None  # `colony validate` says what is wrong there
    path = shlex.quote(os.path.relpath(config.env_file_path(file)))
    path = path if "/" in path else f"./{path}"
    return f"runs have it from '{file}'; to have it here too: set -a; . {path}; set +a"


def variables_in(value: Any) -> list[str]:
    """The names of the environment variables that a value's texts use."""
    if isinstance(value, str):
        from colony_lib.store import variables

        return variables.names(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [name for item in inner for name in variables_in(item)]


def fill(value: Any, values: Mapping[str, str | None], *, where: str | None = None) -> Any:
    """The value with {{name}} and $VAR filled in, in each of its texts and in one go: what is filled in is data.

    ColonyError (USAGE) for a {{name}} that is not among `values`, or has no value, and for a variable not set.
    """
    if isinstance(value, dict):
        return {key: fill(item, values, where=where) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, values, where=where) for item in value]
    if not isinstance(value, str):
        return value
    parts = _PLACEHOLDER.split(value)
    for place, part in enumerate(parts):
        parts[place] = _value_of(part, values, where) if place % 2 else expand(part, where=where)
    return "".join(parts)


def _value_of(name: str, values: Mapping[str, str | None], where: str | None) -> str:
    if name not in values:
        known = ["{{" + n + "}}" for n in values]
        raise unknown("reference", "{{" + escape(name) + "}}", known, where=where, code=USAGE)
    text = values[name]
    if text is None:
        raise ColonyError("{{" + name + "}} has no value yet", where=where, fix=f"give --{name}", code=USAGE)
    return text


def byte_count(value: int | str) -> int:
    """Bytes of '200MB', '64 KB', '1.5GB' (powers of ten) or of a bare number, as the schema lets them be written."""
    if isinstance(value, int):
        return value
    number, unit = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB)", value).groups()  # type: ignore[union-attr]
    return int(float(number) * {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}[unit])


def check_date(text: str) -> str:
    """The logical date, when it is a day of the calendar as YYYY-MM-DD; else ColonyError (USAGE)."""
    import datetime

    try:
        if not _DATE.match(text):
            raise ValueError
        datetime.date.fromisoformat(text)
    except ValueError:
        raise ColonyError(f"'{escape(text)[:40]}' is not a date", fix="write it like 2013-01-31", code=USAGE) from None
    return text


def logical_date(given: str | None) -> str:
    """The date the tools work for: the one given, else $COLONY_DATE (the run's), else today here."""
    from colony_lib.store import env

    text = given or env.get("COLONY_DATE") or time.strftime("%Y-%m-%d", time.localtime(clock.epoch()))
    return check_date(text)


def day_before(date: str) -> str:
    import datetime

    return (datetime.date.fromisoformat(date) - datetime.timedelta(days=1)).isoformat()
