"""Text from outside in Markdown."""

from __future__ import annotations

import re

from remediator.core.text import visible

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$])")


def as_text(text: str) -> str:
    """Write a text so that it is shown as it is: no link, no image, no markup, nothing unseen."""
    escaped = _SPECIAL.sub(r"\\\1", visible(text))
    return escaped.replace("://", ":\\//").replace("www.", "www\\.")
