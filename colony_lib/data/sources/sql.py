"""Sources of type `sql`: the rows of a query, from any database that SQLAlchemy knows, a portion at a time.

`{{date}}`, `{{yesterday}}` and `{{since}}` in the query are bound as values, never put into its text.
"""

from __future__ import annotations

import re

from colony_lib.base.errors import FAILED, USAGE, ColonyError
from colony_lib.base.text import escape
from colony_lib.data.pipeline import variables_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from colony_lib.data.sources import Request

_BATCH = 1000
_PLACE = re.compile(r"\{\{\s*([a-z]+)\s*\}\}")
_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}  # not the one that is SQLAlchemy's own


class Source:
    """One run of a query; see colony_lib.data.sources."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.secrets: dict[str, str] = {}
        self.expected: int | None = None
        self.url = self._address()
        self.origin = escape(self.url.render_as_string(hide_password=True))
        self.field: str | None = (request.settings.get("incremental") or {}).get("field")
        self.query, self.values = self._bound(request.settings["query"])

    def plan(self) -> dict[str, Any]:
        return {"url": self.origin, "query": self.query, "values": self.values}

    def _address(self) -> Any:
        sqlalchemy = _package(self.request.where("type"))
        try:
            url = sqlalchemy.engine.make_url(self.request.setting("url"))
        except sqlalchemy.exc.ArgumentError:
            raise ColonyError(
                "the source's URL is no URL of a database",
                where=self.request.where("url"),
                fix="write it like postgresql://user:password@host/database or sqlite:///folder/data.db",
                code=USAGE,
            ) from None
        if url.password:
            names = variables_in(self.request.settings["url"])
            self.secrets[names[0] if len(names) == 1 else f"{self.request.name}.password"] = str(url.password)
        return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))

    def _bound(self, query: str) -> tuple[str, dict[str, Any]]:
        """(the query with :names for its {{places}}, their values). A query that does not say how it takes only what is
        new is asked for the rows whose `incremental` field is past the watermark."""
        known = self.request.values()
        values: dict[str, Any] = {}

        def bind(found: re.Match[str]) -> str:
            name = found[1]
            if name not in known:
                there = ", ".join(f"{{{{{each}}}}}" for each in known)
                where = self.request.where("query")
                raise ColonyError(f"unknown place {{{{{name}}}}}", where=where, fix=f"there is {there}", code=USAGE)
            values[name] = known[name]
            return f":{name}"

        text = _PLACE.sub(bind, query.strip().rstrip(";"))
        if self.field is not None and "since" not in values and known["since"] is not None:
            values["since"] = known["since"]
            quoted = '"' + self.field.replace('"', '""') + '"'
            text = f"SELECT * FROM ({text}) AS colony_query WHERE {quoted} > :since"
        return text, values

    def batches(self) -> Iterator[list[Any]]:
        sqlalchemy = _package(self.request.where("type"))
        tally = self.request.tally
        tally.origin = self.origin
        options = {"postgresql_readonly": True} if self.url.get_backend_name() == "postgresql" else {}
        try:
            engine = sqlalchemy.create_engine(self.url, poolclass=sqlalchemy.pool.NullPool)
            with engine.connect().execution_options(stream_results=True, yield_per=_BATCH, **options) as connection:
                result = connection.execute(sqlalchemy.text(self.query), self.values)
                names = self._names(list(result.keys()))
                for rows in result.partitions(_BATCH):
                    tally.pages += 1
                    yield [dict(zip(names, map(_plain, row), strict=True)) for row in rows]
                connection.rollback()  # whatever the query was, it has changed nothing
        except sqlalchemy.exc.NoSuchModuleError:
            raise ColonyError(
                f"SQLAlchemy has no dialect '{escape(self.url.drivername)}' here",
                where=self.request.where("url"),
                fix="install the package that brings it",
                code=USAGE,
            ) from None
        except ModuleNotFoundError as error:
            raise ColonyError(
                f"the Python package '{error.name}' is not installed",
                where=self.request.where("url"),
                fix=f"pip install {error.name}",
                code=USAGE,
            ) from None
        except sqlalchemy.exc.SQLAlchemyError as error:
            said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            raise ColonyError(f"the database refused: {escape(said)}", where=self.origin, code=FAILED) from None

    def keep(self) -> None:
        """Nothing is noted of a query: what is new is told by the watermark of the load."""

    def _names(self, names: list[str]) -> list[str]:
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ColonyError(
                f"the query gives the column '{escape(twice)}' twice",
                where=self.request.where("query"),
                fix="name each column once, with AS",
                code=FAILED,
            )
        return names


def _package(where: str) -> Any:
    try:
        import sqlalchemy
        import sqlalchemy.exc
        import sqlalchemy.pool
    except ModuleNotFoundError:
        fix = "pip install 'colony[sql]'"
        raise ColonyError(
            "the Python package 'sqlalchemy' is not installed", where=where, fix=fix, code=USAGE
        ) from None
    return sqlalchemy


def _plain(value: Any) -> Any:
    """A database's value as JSON has it: times in ISO 8601 (UTC where they have an offset), a decimal as a number where
    that is exact, bytes in Base64, what JSON does not know as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    import datetime
    import decimal
    import math

    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        return _number(value)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            return value.astimezone(datetime.UTC).replace(tzinfo=None).isoformat() + "Z"
        return value.isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        import base64

        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _number(value: Any) -> Any:
    """A decimal as the number that JSON can hold exactly, else as text."""
    if not value.is_finite():
        return None
    if value == value.to_integral_value():
        return int(value)
    return float(value) if type(value)(repr(float(value))) == value else str(value)
