"""The reference page of the configuration file, made from its schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from remediator.config.schema import schema, section

_Row = tuple[str, str, str, str]

_HEAD = """\
# Configuration reference

Made from the schema by `scripts/config-reference`; a test holds the two together. For editors there is the
[JSON Schema](config.schema.json), for reading the commented
[config.example.yaml](../../config.example.yaml).

The file is YAML without its surprises: no anchors, aliases, tags, merge keys, duplicate keys or second
document; at most 256 KiB, 32 levels and 10,000 values. Values are what is written: `no` is not false, `010`
is not eight. A mistake is reported as `file:line:column: key: what is wrong; what is allowed`, all of them
at once, with exit status 78.

| kind | written as |
|---|---|
| duration | numbers with units, largest first: `500ms`, `10s`, `5m`, `1h30m`, `1d`; at most `365d` |
| percentage | `50%` or `12.5%`; above 0 % and at most 100 % |
| rate | a number, `per` and a duration up to `31d`: `1 per 30m` |
| ..., or a list | one value, or several: `[3 per 1h, 7 per 1d]`; each of them holds |
| name | A to Z, a to z, 0 to 9, `.`, `_` and `-`, at most 63 |

**Variables**: in any value, `${VAR}` is replaced by the environment variable and is a mistake when that is
not set; `${VAR:-default}` and `${VAR:?message}` also take an empty one as not set. `$$` is a dollar sign.

**Precedence**: an environment variable overrides the file, the file overrides what a DSN says, that the
default. In `REMEDIATOR_<DATABASE>_...` the name stands in capitals, with `_` for all but letters and
digits.

**Passwords** stand in one of `password_file`, `REMEDIATOR_<DATABASE>_PASSWORD_FILE`, `password`, the DSN or
`PGPASSWORD`. A file that others than its owner, its group included, can read draws a warning, unless its
directory is meant to guard it, whose mode is not looked at: `$CREDENTIALS_DIRECTORY`, where a bare name is
looked for, and a container's `/run/secrets`. No output ever shows a password.

**A level's conditions** have their defaults one by one: a condition that is not written keeps its default,
and `none` (or `false`) switches it off. What a condition means is said with the first level.

## Keys

| key | kind | default | meaning |
|---|---|---|---|
"""


def reference() -> str:
    """The page, in Markdown."""
    said: dict[str, _Row] = {}
    return _HEAD + "".join(f"| {' | '.join(_once(row, said))} |\n" for row in _rows(schema(), ""))


def _once(row: _Row, said: dict[str, _Row]) -> _Row:
    """A row, without the meaning where the same condition of a level before has it; `said` keeps those."""
    name, kind, default, meaning = row
    _, _, condition = name.strip("`").partition(".levels.")[2].partition(".")
    first = said.setdefault(condition, row) if condition else row
    return row if first is row or first[3] != meaning else (name, kind, default, "As for monitor.")


def _rows(node: dict[str, Any], path: str) -> Iterator[_Row]:
    required = node.get("required", [])
    for key, child in node["properties"].items():
        name = f"{path}.{key}" if path else key
        inner = section(child)
        items = section(inner["items"]) if inner.get("type") == "array" else None
        if items is not None:
            name += "[]"
        default = "required" if key in required else _default(child)
        # pydantic leaves out a description that is the section's own.
        meaning = child.get("description", inner.get("description", "")).replace("\n", " ")
        yield f"`{name}`", _kind(child, inner, items), default, meaning
        for nested in (inner, items):
            if nested is not None and "properties" in nested:
                yield from _rows(nested, name)


def _kind(child: dict[str, Any], inner: dict[str, Any], items: dict[str, Any] | None) -> str:
    if items is not None:
        return "list" if "properties" in items else f"list of {items['x-kind']}"
    if "properties" in inner:
        bare = "section or none" if {"const": "none"} in child.get("anyOf", []) else "section"
        return str(child.get("x-kind", bare))
    return str(child["x-kind"])


def _default(child: dict[str, Any]) -> str:
    if "default" not in child:
        return ""
    value = child["default"]
    if isinstance(value, list):
        return f"`[{', '.join(str(item) for item in value)}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
