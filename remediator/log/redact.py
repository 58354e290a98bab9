"""Masking of secrets in what is about to be written."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

from structlog.typing import EventDict, WrappedLogger

_MASK = "********"
_SECRET_KEY = re.compile(r"passw|secret|token|dsn|authorization|credential", re.IGNORECASE)
# Each part is bounded, or a long text without blanks would take minutes.
_PASSWORD_IN_URL = re.compile(r"(?P<before>\w{1,32}://[^\s:/@]{0,256}:)[^\s@]{1,1024}(?=@)")
_SHORTEST_SECRET = 4
_SHORTEST_ENCODED = 8
# What those who cut a long text put in place of the rest.
_CUT, _MOST_CUTS = "...", 64
_SHORTEST_BEGINNING = 6
# What different libraries leave as it is when they write a path, besides a slash.
_KEPT_IN_URLS = ("@", "/@", "/:@", "!#$%&'()*+,/:;=?@[]~")


class Redactor:
    """Masks secrets wherever they turn up: by key, inside URLs, and by value.

    Args:
        secrets: Known secret values; very short ones are masked by key only, since they would
            blacken innocent text.
    """

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._secrets: tuple[str, ...] = ()
        self.learn(secrets)

    def learn(self, secrets: Collection[str]) -> None:
        """Mask these too from now on."""
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST_SECRET}
        self._secrets = tuple(sorted(forms.union(self._secrets), key=len, reverse=True))

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Act as a structlog processor; must be the last one before the renderer."""
        return {key: _MASK if _names_secret(key) else self.clean(value) for key, value in event.items()}

    def clean(self, value: Any) -> Any:
        """Mask secrets in a value, however deep."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {
                    self.clean(k): _MASK if _names_secret(str(k)) else self.clean(v) for k, v in value.items()
                }
            case list() | tuple():
                return [self.clean(item) for item in value]
            case _:
                return value

    def text(self, text: str) -> str:
        """Mask secrets in a text."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        if _CUT in text:
            text = self._without_beginnings(text)
        return _PASSWORD_IN_URL.sub(rf"\g<before>{_MASK}", text) if "://" in text else text

    def _without_beginnings(self, text: str) -> str:
        """Mask the beginning of a secret where a text was cut in the middle of it."""
        cuts = [match.start() for match in re.finditer(re.escape(_CUT), text)][-_MOST_CUTS:]
        for cut in reversed(cuts):
            found = (_beginning(secret, text, cut) for secret in self._secrets)
            begin = next((begin for begin in found if begin is not None), cut)
            text = text if begin == cut else text[:begin] + _MASK + text[cut:]
        return text


def _beginning(secret: str, text: str, cut: int) -> int | None:
    """Where a text, cut there, begins with a part of a secret that is long enough to tell something."""
    if len(secret) < _SHORTEST_ENCODED:
        return None
    start = max(0, cut - len(secret))
    while (begin := text.find(secret[:_SHORTEST_BEGINNING], start, cut)) >= 0:
        if secret.startswith(text[begin:cut]):
            return begin
        start = begin + 1
    return None


def _forms(secret: str) -> set[str]:
    """A secret as others may repeat it: as it is, quoted by Python, JSON or SQL, in a URL, in a header."""
    encoded = secret.encode(errors="surrogateescape")
    # In base64 a secret looks different behind one or two other bytes, and its ends mix with its neighbours.
    shifted = [b64encode(bytes(n) + encoded).rstrip(b"=")[skip:-1] for n, skip in enumerate((0, 2, 3))]
    return {
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        secret.replace("'", "''"),
        secret.replace("\\", r"\\").replace("'", r"\'"),
        quote(encoded),
        quote(encoded, safe=""),
        quote_plus(encoded),
        *(quote(encoded, safe=kept) for kept in _KEPT_IN_URLS),
        encoded.hex(),
        b64encode(encoded).decode(),
        *(form.decode() for form in shifted if len(form) >= _SHORTEST_ENCODED),
    }


@lru_cache(maxsize=1024)
def _names_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None
