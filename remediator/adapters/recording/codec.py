"""Readings as compressed JSON, and back.

What is like its default is not written, so that most of a reading is not; keys that are not known are passed
over. A change that an older reader would misread raises the file's version.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import cache

from pydantic import TypeAdapter

from remediator.core.deposition import Deposition
from remediator.core.plan import Survey
from remediator.core.reading import Decision, Reading

_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Deliberation:
    """What a plan rests on and what it is: large, and seldom asked for."""

    survey: Survey | None = None
    plan: Decision | None = None


@cache
def _readings() -> TypeAdapter[Reading]:
    return TypeAdapter(Reading)


@cache
def _deliberations() -> TypeAdapter[Deliberation]:
    return TypeAdapter(Deliberation)


@cache
def _depositions() -> TypeAdapter[Deposition]:
    return TypeAdapter(Deposition)


def pack_deposition(deposition: Deposition) -> bytes:
    """Write what was learned before a restart."""
    return zlib.compress(_depositions().dump_json(deposition), _LEVEL)


def unpack_deposition(record: bytes) -> Deposition:
    """Read what `pack_deposition` wrote.

    Raises:
        ValueError: It is damaged.
    """
    try:
        return _depositions().validate_json(zlib.decompress(record))
    except zlib.error as error:
        raise ValueError(str(error)) from error


def pack(reading: Reading) -> tuple[bytes, bytes | None]:
    """Write a reading: what is always wanted, and what a plan made of it."""
    rest = Deliberation(reading.survey, reading.plan)
    short = _readings().dump_json(replace(reading, survey=None, plan=None), exclude_defaults=True)
    if rest == Deliberation():
        return zlib.compress(short, _LEVEL), None
    return zlib.compress(short, _LEVEL), zlib.compress(
        _deliberations().dump_json(rest, exclude_defaults=True), _LEVEL
    )


def unpack(record: bytes, deliberation: bytes | None) -> Reading:
    """Read what `pack` wrote.

    Raises:
        ValueError: It is damaged, or not a reading.
    """
    try:
        reading = _readings().validate_json(zlib.decompress(record))
        if deliberation is None:
            return reading
        rest = _deliberations().validate_json(zlib.decompress(deliberation))
    except zlib.error as error:
        raise ValueError(str(error)) from error
    return replace(reading, survey=rest.survey, plan=rest.plan)
