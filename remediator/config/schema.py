"""The configuration file's schema as a whole, and as JSON Schema for editors."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from datetime import timedelta
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from remediator.config import units
from remediator.config.audit import Audit
from remediator.config.maintenance import Maintenance
from remediator.config.notify import Notify
from remediator.config.policies import Policy
from remediator.config.recording import Recording
from remediator.config.scalars import VERSION, choice, text
from remediator.config.section import Section
from remediator.config.targets import Client, Database, Docker, Service
from remediator.config.web import Web
from remediator.core.policy import Rate


class Log(Section):
    """What is logged, and how."""

    level: Annotated[str, choice("debug", "info", "warning", "error")] = "info"
    """The least that is logged."""
    format: Annotated[Literal["auto", "json", "console"], choice("auto", "json", "console")] = "auto"
    """`json` lines, `console` for people, or `auto`: console on a terminal, else json."""


class Root(Section):
    """Configuration of remediator."""

    model_config = ConfigDict(title="remediator configuration")

    version: Annotated[int, VERSION] = 1
    """Version of this file's format."""
    mode: Annotated[Literal["dry-run", "enforce"], choice("dry-run", "enforce")] = "dry-run"
    """`dry-run` only says what it would do; `enforce` does it."""
    state_dir: Annotated[str, text(r"[^~\0][^\0]*", "must be a path; ~ has no meaning here")] = (
        "/var/lib/remediator"
    )
    """Where records are kept; a relative path starts at this file's directory."""
    docker: Docker = Docker()
    """The Docker Engine that runs the services."""
    databases: Annotated[tuple[Database, ...], Field(min_length=1)] = (Database(),)
    """What is watched: one entry for each server, whose slots and sessions are those of all its databases.
    Without it: one database named `default`, found as its `dsn` says."""
    services: tuple[Service, ...] = ()
    """What may be restarted."""
    clients: tuple[Client, ...] = ()
    """Who else has sessions: reports, a pooler, a colleague's notebook. For telling them apart."""
    policies: Annotated[tuple[Policy, ...], Field(min_length=1)] = (Policy(name="default"),)
    """When to do what. Without it: one named `default`, in which everything has its default."""
    maintenance: tuple[Maintenance, ...] = ()
    """When nothing is done to any database or service."""
    notify: tuple[Notify, ...] = ()
    """Who is told what happens."""
    recording: Recording = Recording()
    """What is kept of what each check saw."""
    log: Log = Log()
    """What is logged, and how."""
    web: Web | None = None
    """The status page and `/metrics`. Without this section no port is opened."""
    audit: Audit | None = None
    """Audits that the daemon makes by itself. Without this section it makes none."""


class _Generator(GenerateJsonSchema):
    """JSON Schema in the file's own words: no nulls, and defaults as they would be written."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  pydantic calls it so
        """Every key has a title, sections too."""
        return True

    def get_title_from_name(self, name: str) -> str:
        """A key's title is the key in words."""
        return name.replace("_", " ")

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        """A key may be left out, but never be null."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        """Leave out defaults that are whole sections, since their keys say them, and nulls."""
        inner = self.generate_inner(schema["schema"])
        value = schema.get("default")
        if value is None and {"const": "none"} in inner.get("anyOf", []):
            return {**inner, "default": "none"}
        if value is None or value == () or isinstance(value, BaseModel):
            return inner
        if isinstance(value, tuple):
            written = None if isinstance(value[0], BaseModel) else [_written(item) for item in value]
            return {**inner, "default": written} if written else inner
        return {**inner, "default": _written(value)}


def _written(value: object) -> object:
    match value:
        case timedelta():
            return units.format_duration(value)
        case Rate():
            return units.format_rate(value)
        case units.Size():
            return units.format_size(value)
        case float():
            return units.format_percent(value)
        case _:
            return value


@cache
def _json() -> dict[str, Any]:
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        **Root.model_json_schema(schema_generator=_Generator),
    }


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the configuration file; a copy of one's own."""
    return deepcopy(_json())


def keys_at(path: Iterable[int | str]) -> list[str]:
    """The keys allowed in the section that a path of keys and indices leads to."""
    node = _json()
    for part in path:
        node = section(node["items"] if isinstance(part, int) else node["properties"][part])
    return list(node["properties"])


def section(node: dict[str, Any]) -> dict[str, Any]:
    """Follow references, and of alternatives the first."""
    while "anyOf" in node or "$ref" in node:
        reference = node.get("$ref", "").rpartition("/")[2]
        node = _json()["$defs"][reference] if reference else node["anyOf"][0]
    return node
