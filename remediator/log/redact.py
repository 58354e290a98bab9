"""Masking of secrets in what is about to be written."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from structlog.typing import EventDict, WrappedLogger

_MASK = "********"
_SECRET_KEY = re.compile(r"passw|secret|token|dsn|authorization|credential", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"(?P<before>\w+://[^\s:/@]*:)[^\s@]+(?=@)")
_SHORTEST_SECRET = 4


class Redactor:
    """Masks secrets wherever they turn up: by key, inside URLs, and by value.

    Args:
        secrets: Known secret values; very short ones are masked by key only, since they would
            blacken innocent text.
    """

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._secrets = sorted((s for s in secrets if len(s) >= _SHORTEST_SECRET), key=len, reverse=True)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Act as a structlog processor; must be the last one before the renderer."""
        return {key: _MASK if _names_secret(key) else self.clean(value) for key, value in event.items()}

    def clean(self, value: Any) -> Any:
        """Mask secrets in a value, however deep."""
        match value:
            case str():
                return self._text(value)
            case Mapping():
                return {k: _MASK if _names_secret(str(k)) else self.clean(v) for k, v in value.items()}
            case list() | tuple():
                return [self.clean(item) for item in value]
            case _:
                return value

    def _text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return _PASSWORD_IN_URL.sub(rf"\g<before>{_MASK}", text) if "://" in text else text


@lru_cache(maxsize=1024)
def _names_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None
