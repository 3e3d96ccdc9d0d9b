"""The field types of Table Schema: what each accepts as JSON, how it reads a text, and what kind of column it makes.

To add a type: write its reader, a function of (text, field) that raises ValueError with what is wrong, and give it a
line in TYPES. Source: https://specs.frictionlessdata.io/table-schema/ and its second version at datapackage.org.

Where a warehouse needs more than the standard asks: NaN and INF are refused (neither JSON nor most SQL has them),
integers must fit in 64 bits, two fields of one name are refused, and without `fieldsMatch` other columns than those
of the schema may be there, in any order.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from colony_lib.base import jsontext
from colony_lib.base.errors import ColonyError
from colony_lib.data import times

if TYPE_CHECKING:
    from colony_lib.data.tableschema import Field

ITEMS = ("string", "integer", "boolean", "number", "datetime", "date", "time")  # of a list
TRUE = ("true", "True", "TRUE", "1")
FALSE = ("false", "False", "FALSE", "0")
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[^\s<>\"{}|\\^`]+", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(
    r"(-?)P(?!$)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)
_MONTH = 30.436875 * 86400  # seconds in the mean Gregorian month, to order durations


class FieldType:
    """`kind` of the column (see table), `native` Python types that are taken as they are, `read` for texts,
    `noun` for messages, `formats` and `constraints` that go with it."""

    __slots__ = ("constraints", "formats", "kind", "native", "noun", "read")

    def __init__(
        self,
        kind: str,
        noun: str,
        native: tuple[type, ...],
        read: Callable[[str, Field], Any],
        constraints: str = "",
        formats: tuple[str, ...] = ("default",),
    ) -> None:
        self.kind = kind
        self.noun = noun
        self.native = native
        self.read = read
        self.constraints = ("required", "unique", "enum", *constraints.split())
        self.formats = formats

    @property
    def textual(self) -> bool:
        """Whether JSON has no form of its own for it but a text."""
        return not self.native or str in self.native


def decimal(text: str, otherwise: float | None = None) -> float:
    """The number a text writes with a decimal point; ValueError (or `otherwise`) when it is none or cannot be
    held without changing its whole digits."""
    try:
        if not _DECIMAL.fullmatch(text):
            if text.lower().lstrip("+-") in ("nan", "inf"):
                raise ValueError("is not a finite number, which JSON and SQL want; name it in missingValues")
            raise ValueError("is not a number")
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError("is too large for a number")
        if len(text) > 15 and _INTEGER.fullmatch(text) and int(value) != int(text):
            raise ValueError("has more digits than a number can hold; declare it integer or string")
        return value
    except ValueError:
        if otherwise is None:
            raise
        return otherwise


def _bare(text: str, field: Field) -> str:
    """The digits in a text such as '€ 1.234,50' or '95%', as the field's options say."""
    options = field.options
    if options.get("bareNumber") is False:
        text = re.sub(r"^[^\d+.,-]+|[^\d.,]+$", "", text)
        text = re.sub(r"^([+-])[^\d.,]+", r"\1", text)
    if group := options.get("groupChar"):
        text = text.replace(group, "")
    point = options.get("decimalChar", ".")
    if point != "." and field.type == "number":
        if "." in text:
            raise ValueError(f"is not a number written with '{point}'")
        text = text.replace(point, ".")
    return text


def _number(text: str, field: Field) -> float:
    return decimal(_bare(text, field))


def whole(value: int) -> int:
    """The integer, if 64 bits hold it; else ValueError."""
    if not -(2**63) <= value < 2**63:
        raise ValueError("does not fit in 64 bits; declare it string")
    return value


def _integer(text: str, field: Field) -> int:
    text = _bare(text, field)
    if not _INTEGER.fullmatch(text):
        raise ValueError("is not an integer")
    if len(text) > 20:
        raise ValueError("does not fit in 64 bits; declare it string")
    return whole(int(text))


def _boolean(text: str, field: Field) -> bool:
    if text in field.options.get("trueValues", TRUE):
        return True
    if text in field.options.get("falseValues", FALSE):
        return False
    raise ValueError("is not a boolean")


def _string(text: str, field: Field) -> str:
    test = {"email": _EMAIL, "uri": _URI, "uuid": _UUID}.get(field.format)
    if test is not None and not test.fullmatch(text):
        raise ValueError(
            {"email": "is not an email address", "uri": "is not a URI", "uuid": "is not a UUID"}[field.format]
        )
    if field.format == "binary":
        import base64

        try:
            base64.b64decode(text, validate=True)
        except ValueError:
            raise ValueError("is not base64") from None
    return text


def _time(text: str, field: Field) -> str:
    found = times.time_of_day(text, field.format)
    if found is None:
        raise ValueError("is not a time of day" + ("" if field.format == "default" else f" as {field.format}"))
    return found


def _year(text: str, field: Field) -> int:
    if not re.fullmatch(r"-?\d{4,6}", text, re.ASCII):
        raise ValueError("is not a year")
    return int(text)


def _yearmonth(text: str, field: Field) -> str:
    if not re.fullmatch(r"\d{4}-(?:0[1-9]|1[0-2])", text, re.ASCII):
        raise ValueError("is not a year and month such as 2013-01")
    return text


def duration_seconds(text: str) -> float:
    """Seconds of an ISO 8601 duration, a month counted as 30.436875 days, so that durations have an order."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("is not an ISO 8601 duration such as P1DT2H")
    years, months, weeks, days, hours, minutes, seconds = (float(part or 0) for part in match.groups()[1:])
    total = (12 * years + months) * _MONTH + (7 * weeks + days) * 86400 + hours * 3600 + minutes * 60 + seconds
    return -total if match.group(1) else total


def _duration(text: str, field: Field) -> str:
    duration_seconds(text)
    return text


def _json(text: str, wanted: type, noun: str) -> Any:
    try:
        value = jsontext.loads(text)
    except ColonyError:
        raise ValueError(f"is not {noun}") from None
    if not isinstance(value, wanted):
        raise ValueError(f"is not {noun}")
    return value


def _object(text: str, field: Field) -> Any:
    return _json(text, dict, "a JSON object")


def _array(text: str, field: Field) -> Any:
    return _json(text, list, "a JSON array")


def _list(text: str, field: Field) -> list[Any]:
    return items(text.split(field.options.get("delimiter", ",")) if text else [], field)


def items(values: list[Any], field: Field) -> list[Any]:
    """The values as the list's itemType (default string), as JSON has them; ValueError names the first that is none."""
    kind = field.options.get("itemType", "string")
    if kind == "string":
        return values
    from colony_lib.data import table, tableschema

    column, problem = tableschema.cast(table.infer(values), tableschema.Field("item", kind))
    if problem is not None:
        place = int(problem.rows.argmax())
        raise ValueError(f"has an item that is no {kind}: {problem.reason(place, values[place])}")
    return table.values(column)


def _geojson(text: str, field: Field) -> Any:
    value = _json(text, dict, "GeoJSON")
    if not isinstance(value.get("type"), str):
        raise ValueError("is not GeoJSON")
    return value


def _geopoint(text: str, field: Field) -> str:
    try:
        if field.format == "object":
            point = _json(text, dict, "a point")
            parts = [point["lon"], point["lat"]]
        elif field.format == "array":
            parts = _json(text, list, "a point")
        else:
            parts = [decimal(part.strip()) for part in text.split(",")]
        longitude, latitude = parts
        if abs(longitude) > 180 or abs(latitude) > 90:
            raise ValueError
    except (ValueError, TypeError, KeyError):
        raise ValueError("is not a point on Earth such as '-73.78, 40.64' (longitude, latitude)") from None
    return text


def _moment(text: str, field: Field) -> Any:
    found, reasons = times.parse([text], field.type, [field.format])
    if reasons or found[0] != found[0]:
        raise ValueError(reasons.get(0) or not_a_moment(field.type, [field.format], text))
    return found[0]


def not_a_moment(kind: str, forms: list[str], text: Any) -> str:
    """What is wrong with a text that is no date or datetime in the declared formats, and what to declare."""
    told = [form for form in forms if form not in ("default", "any")]
    if told:
        return f"is not a {kind} written as {' or '.join(told)}"
    hint = ""
    if isinstance(text, str) and re.match(r"\s*\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}", text):
        hint = "; declare its format, such as %m/%d/%Y"
    elif isinstance(text, (int, float)) or re.fullmatch(r"\d{9,13}", str(text)):
        hint = "; declare its format, such as epoch_seconds"
    return f"is not an ISO 8601 {kind}{hint}"


def _any(text: str, field: Field) -> str:
    return text


_ORDER = "minimum maximum exclusiveMinimum exclusiveMaximum"
_LENGTH = "minLength maxLength"
TYPES: dict[str, FieldType] = {
    "string": FieldType(
        "string", "a text", (str,), _string, f"{_LENGTH} pattern", ("default", "email", "uri", "binary", "uuid")
    ),
    "number": FieldType("number", "a number", (int, float), _number, _ORDER),
    "integer": FieldType("integer", "an integer", (int,), _integer, _ORDER),
    "boolean": FieldType("boolean", "a boolean", (bool,), _boolean),
    "date": FieldType("date", "a date", (), _moment, _ORDER),
    "time": FieldType("string", "a time of day", (), _time, _ORDER),
    "datetime": FieldType("datetime", "a datetime", (), _moment, _ORDER),
    "year": FieldType("integer", "a year", (int,), _year, _ORDER),
    "yearmonth": FieldType("string", "a year and month", (), _yearmonth, _ORDER),
    "duration": FieldType("string", "a duration", (), _duration, _ORDER),
    "object": FieldType("any", "an object", (dict,), _object, f"{_LENGTH} jsonSchema"),
    "array": FieldType("any", "an array", (list,), _array, f"{_LENGTH} jsonSchema"),
    "list": FieldType("any", "a list", (list,), _list, _LENGTH),
    "geopoint": FieldType("string", "a point", (), _geopoint, "", ("default", "array", "object")),
    "geojson": FieldType("any", "GeoJSON", (dict,), _geojson, "", ("default", "topojson")),
    "any": FieldType("any", "a value", (str, int, float, bool, list, dict), _any, f"{_LENGTH} pattern"),
}
