"""`${VAR}` in values, filled in after parsing, so that a variable can never become YAML of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from remediator.config.problems import printable

LIMIT = 64 * 1024
"""Characters that one value may have at most once its variables are filled in."""

_REFERENCE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)([^}]*))?\})?")
_HOW = "write ${NAME}, ${NAME:-default} or ${NAME:?message}, and $$ for a dollar sign"


def interpolate(text: str, env: Mapping[str, str]) -> str:
    """Fill in the variables of one value. As in a shell, `:-` and `:?` treat an empty one as not set.

    Raises:
        ValueError: A variable is not set, or a `$` is neither doubled nor part of a reference. The message
            names the variable and shows no value.
    """
    parts: list[str] = []
    length = end = 0
    for match in _REFERENCE.finditer(text):
        value = _value(match, env)
        parts += (text[end : match.start()], value)
        end = match.end()
        length += len(value)
        if length > LIMIT:
            raise ValueError(f"is too long once its variables are filled in; at most {LIMIT // 1024} KiB")
    parts.append(text[end:])
    return "".join(parts)


def _value(match: re.Match[str], env: Mapping[str, str]) -> str:
    dollar, name, operator, rest = match.groups()
    if dollar:
        return "$"
    if not name:
        raise ValueError(f"has a $ that refers to nothing; {_HOW}")
    value = env.get(name)
    if operator and not value:
        if operator == ":?":
            raise ValueError(f"needs ${name}: {printable(rest) or 'it is not set or empty'}")
        if "$" in rest.replace("$$", ""):
            raise ValueError(f"has a $ in the default of ${name}; {_HOW}")
        return rest.replace("$$", "$")
    if value is None:
        raise ValueError(f"needs ${name}, which is not set")
    if not _is_text(value):
        raise ValueError(f"needs ${name}, which is not UTF-8 text")
    return value


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value
