"""Readings as compressed JSON, and back.

What is like its default is not written, so that most of a reading is not; keys that are not known are passed
over. A change that an older reader would misread raises the file's version.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic_core import SchemaValidator

from remediator.adapters.recording.surveys import Later, rebuilt
from remediator.core.deposition import Deposition
from remediator.core.plan import Survey
from remediator.core.reading import Decision, Reading

_LEVEL = 3
# Ten thousand sessions take a quarter of that. Whoever wrote more into our file meant no reading.
MOST = 16_000_000
# Each value takes much more in memory than in the text; a session has ten.
_MOST_VALUES, _STRING = 300_000, re.compile(rb'"(?:[^"\\]|\\.)*"')
_SESSION = 300
# Whatever is reckoned with values between these stays a number, and a time.
_AGES = timedelta(days=100 * 365)
_BOUNDS: dict[str, dict[str, Any]] = {
    "int": {"ge": -(2**64), "le": 2**64},
    "float": {"ge": -_AGES.total_seconds(), "le": _AGES.total_seconds(), "allow_inf_nan": False},
    "timedelta": {"ge": -_AGES, "le": _AGES},
    "datetime": {
        "ge": datetime(1971, 1, 1, tzinfo=UTC),
        "le": datetime(9000, 1, 1, tzinfo=UTC),
        "tz_constraint": "aware",
    },
    "tuple": {"fail_fast": True},  # each mistake takes memory
    "dict": {"fail_fast": True},
}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Deliberation:
    """What a plan rests on and what it is: large, and seldom asked for.

    Attributes:
        later: The survey, where it is told by what has changed.
    """

    survey: Survey | None = None
    plan: Decision | None = None
    later: Later | None = None


@cache
def _writer(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@cache
def _reader(kind: Any) -> SchemaValidator:
    return SchemaValidator(_bounded(TypeAdapter(kind).core_schema))


def _bounded(schema: Any) -> Any:
    """A schema that takes nothing but what can be, however deep inside."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_bounded, schema))
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    bounds = _BOUNDS.get(kind, {}) if isinstance(kind, str) else {}
    return {key: _bounded(value) for key, value in schema.items()} | bounds


def pack_deposition(deposition: Deposition) -> bytes:
    """Write what was learned before a restart."""
    return zlib.compress(_writer(Deposition).dump_json(deposition), _LEVEL)


def unpack_deposition(record: bytes) -> Deposition:
    """Read what `pack_deposition` wrote.

    Raises:
        ValueError: It is damaged.
    """
    return _read(Deposition, record)[0]


def pack(reading: Reading, later: Later | None = None) -> tuple[bytes, bytes | None]:
    """Write a reading: what is always wanted, and what a plan made of it.

    Args:
        reading: The reading.
        later: Its survey, where that is told by what has changed.
    """
    rest = Deliberation(None if later is not None else reading.survey, reading.plan, later)
    short = _writer(Reading).dump_json(replace(reading, survey=None, plan=None), exclude_defaults=True)
    if rest == Deliberation():
        return zlib.compress(short, _LEVEL), None
    return zlib.compress(short, _LEVEL), zlib.compress(
        _writer(Deliberation).dump_json(rest, exclude_defaults=True), _LEVEL
    )


def unpack(
    record: object, deliberation: object, earlier: Callable[[int], Survey] | None
) -> tuple[Reading, int]:
    """Read what `pack` wrote; tell about how many bytes it takes, too.

    Args:
        record: What is always wanted.
        deliberation: What a plan made of it, None where there is none or it is not wanted.
        earlier: The survey that is kept in full in a row, raises ValueError; None where no survey is wanted.

    Raises:
        ValueError: It is damaged, too large, or not a reading.
    """
    reading, size = _read(Reading, record)
    if deliberation is None:
        return reading, size
    rest, more = _read(Deliberation, deliberation)
    survey = rest.survey if earlier is not None else None
    if rest.later is not None and earlier is not None:
        survey = rebuilt(earlier(rest.later.base), rest.later)
        more += _SESSION * len(survey.sessions) if isinstance(survey.sessions, tuple) else 0
    return replace(reading, survey=survey, plan=rest.plan), size + more


def unpack_survey(deliberation: object) -> Survey:
    """Read a survey that was kept in full.

    Raises:
        ValueError: It is damaged, or there is none.
    """
    survey = _read(Deliberation, deliberation)[0].survey
    if survey is None:
        raise ValueError("no survey was kept there in full")
    return survey


def _read(kind: type[_T], record: object) -> tuple[_T, int]:
    if not isinstance(record, bytes):
        raise ValueError("is not a record")  # noqa: TRY004  what is in a file has no type that we could trust
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(record, MOST)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpacking.eof:
        raise ValueError(f"is cut off, or larger than {MOST} bytes")
    if text.count(b",") > _MOST_VALUES and _STRING.sub(b"", text).count(b",") > _MOST_VALUES:
        raise ValueError(f"has more than {_MOST_VALUES} values")
    kept: Any = kind
    found: _T = _reader(kept).validate_json(text)
    return found, len(text)
