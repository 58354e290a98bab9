"""The kinds of single values a configuration has: how each is read, and how JSON Schema describes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from remediator.config import units
from remediator.config.problems import did_you_mean
from remediator.core.policy import Rate
from remediator.recurrence import check_cron, check_timezone

REFERENCE = {"type": "string", "pattern": r"\$\{.+\}"}
"""What any value may be instead: text that holds a reference to a variable."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Annotation of a pydantic field whose value is written as text.

    Attributes:
        parse: Turns the text into the value or raises ValueError with what is wrong, without the value.
        json: What JSON Schema says of the value when it holds no reference.
        name: What the reference page calls it.
    """

    parse: Callable[[str], Any]
    json: dict[str, Any] = field(hash=False)
    name: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Read the field with `parse` alone; pydantic's own conversions are too obliging."""
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the field; text without a pattern may hold a reference anyway."""
        free = self.json.get("type") == "string" and not {"pattern", "enum"} & self.json.keys()
        description = self.json if free else {"anyOf": [self.json, REFERENCE]}
        return {**description, "x-kind": self.name}

    def _read(self, value: object) -> Any:
        if not isinstance(value, str):
            raise ValueError("must be a single value, not a list or keys and values")  # noqa: TRY004
        return self.parse(value)


@dataclass(frozen=True, slots=True)
class OrNone:
    """Annotation of a pydantic field that the word `none` switches off."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Let `none` through as None and leave everything else to the type itself."""

        def read(value: object, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            return None if value == "none" else inner(value)

        return core_schema.no_info_wrap_validator_function(read, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the type itself, or `none`."""
        inner = dict(handler(schema))
        kind = inner.pop("x-kind", None)
        either = {"anyOf": [*inner.pop("anyOf", [inner] if inner else []), {"const": "none"}]}
        return {**either, "x-kind": f"{kind} or none"} if kind else either


@dataclass(frozen=True, slots=True)
class OneOrMore:
    """Annotation of a pydantic tuple that may also be written as its only value.

    Attributes:
        least: How many values there must be.
    """

    least: int = 1

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Take a single value as a list of one."""

        def read(value: object, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            found = inner([value] if isinstance(value, str) else value)
            if len(found) < self.least:
                raise ValueError("is empty; at least one value is needed")
            return found

        return core_schema.no_info_wrap_validator_function(read, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe one value, or a list of them."""
        several = handler(schema)
        one = several["items"]
        several = {**several, "minItems": self.least} if self.least else several
        return {"anyOf": [one, several], "x-kind": f"{one['x-kind']}, or a list"}


@dataclass(frozen=True, slots=True)
class OneKey:
    """Annotation of a section that may also be written as the value of its most telling key alone.

    Attributes:
        key: That key.
    """

    key: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Take a single value as a section with nothing but that key."""

        def read(value: object, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            return inner({self.key: value} if isinstance(value, str) else value)

        return core_schema.no_info_wrap_validator_function(read, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the section, or that key's value."""
        whole_section = handler(schema)
        alone = handler.resolve_ref_schema(whole_section)["properties"][self.key]
        values = alone.get("anyOf", [alone])
        return {"anyOf": [whole_section, *values], "x-kind": f"section, its `{self.key}` alone"}


def duration(
    least: timedelta = timedelta(milliseconds=1), most: timedelta = units.LONGEST, *, seconds: bool = False
) -> Kind:
    """A length of time.

    Args:
        least: The shortest allowed.
        most: The longest allowed.
        seconds: Only whole seconds are allowed.
    """

    def parse(text: str) -> timedelta:
        value = units.parse_duration(text)
        if not least <= value <= most:
            span = f"{units.format_duration(least)} to {units.format_duration(most)}"
            raise ValueError(f"is out of range; {span} is allowed")
        if seconds and value % timedelta(seconds=1):
            raise ValueError("is not in whole seconds, which is all that TCP can do")
        return value

    return Kind(parse, {"type": "string", "pattern": f"^{units.DURATION_PATTERN}$"}, "duration")


def size(least: units.Size, most: units.Size) -> Kind:
    """A number of bytes within bounds."""

    def parse(text: str) -> int:
        value = units.parse_size(text)
        if not least <= value <= most:
            span = f"{units.format_size(least)} to {units.format_size(most)}"
            raise ValueError(f"is out of range; {span} is allowed")
        return value

    return Kind(parse, {"type": "string", "pattern": f"^{units.SIZE_PATTERN}$"}, "size")


def whole(least: int, most: int = units.MOST) -> Kind:
    """A whole number within bounds."""

    def parse(text: str) -> int:
        return units.parse_count(text, least, most)

    return Kind(parse, {"type": "integer", "minimum": least, "maximum": most}, "whole number")


def choice(*words: str) -> Kind:
    """One of a few words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"is not allowed; one of {', '.join(words)}{did_you_mean(text, words)}")
        return text

    return Kind(parse, {"type": "string", "enum": list(words)}, " or ".join(f"`{word}`" for word in words))


def text(pattern: str = r"[^\0]+", what: str = "must not be empty", name: str = "text") -> Kind:
    """Text.

    Args:
        pattern: What all of it must match.
        what: What is allowed, for the message when it does not; continues "the value ...".
        name: What the reference page calls it.
    """
    compiled = re.compile(pattern, re.DOTALL)

    def parse(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(what)
        return value

    return Kind(parse, {"type": "string", "minLength": 1}, name)


def secret() -> Kind:
    """Text that must not be shown."""
    kind = text()
    return Kind(kind.parse, {**kind.json, "writeOnly": True}, "text")


def _network(value: str) -> str:
    try:
        return str(ip_network(value.strip(), strict=False))
    except ValueError:
        raise ValueError("is neither an IP address nor a network such as 10.1.0.0/16") from None


def _churn(value: str) -> Rate:
    per_second = value.removesuffix("/s")
    return units.parse_rate(f"{per_second} per 1s" if per_second != value else value)


def _cron(value: str) -> str:
    check_cron(value)
    return value


def _timezone(value: str) -> str:
    check_timezone(value)
    return value


def _boolean(value: str) -> bool:
    if value not in ("true", "false"):
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(value.lower(), value)
        raise ValueError(f"is neither true nor false{did_you_mean(meant, ('true', 'false'))}")
    return value == "true"


def _version(value: str) -> int:
    if value != "1":
        raise ValueError("is not a version of this file format that is known here; only 1 is")
    return 1


def _per_step(value: str) -> int | float:
    if value.isdigit():
        return units.parse_count(value, least=1)
    try:
        return units.parse_percent(value)
    except ValueError:
        raise ValueError("is neither a percentage, such as 50%, nor a whole number") from None


def _least(value: str) -> int | float:
    try:
        return _per_step(value)
    except ValueError as error:
        if not re.fullmatch(units.DURATION_PATTERN, value):
            raise
        raise ValueError(
            f"{error}; how many and for how long is written {{older_than: 10m, count: 20}}"
        ) from None


_PERCENT = {"type": "string", "pattern": f"^{units.PERCENT_PATTERN}$"}

_TEXT = {"type": "string", "minLength": 1}

NETWORK = Kind(_network, _TEXT, "IP address or network")
CRON = Kind(_cron, _TEXT, "crontab expression")
TIMEZONE = Kind(_timezone, _TEXT, "time zone")
BOOLEAN = Kind(_boolean, {"type": "boolean"}, "`true` or `false`")
VERSION = Kind(_version, {"const": 1}, "`1`")
PERCENT = Kind(units.parse_percent, _PERCENT, "percentage")
CHURN = Kind(
    _churn,
    {"type": "string", "pattern": f"^(?:[0-9]{{1,7}}/s|{units.RATE_PATTERN})$"},
    "rate, or `50/s`",
)
RATE = Kind(units.parse_rate, {"type": "string", "pattern": f"^{units.RATE_PATTERN}$"}, "rate")
_SHARE_OR_NUMBER = {"anyOf": [{"type": "integer", "minimum": 1}, _PERCENT]}
PER_STEP = Kind(_per_step, _SHARE_OR_NUMBER, "percentage or whole number")
LEAST = Kind(_least, _SHARE_OR_NUMBER, "percentage or whole number")
