"""Text from outside, such as names of roles and applications, without what cannot be seen."""

from __future__ import annotations


def shown(text: str) -> str:
    """Put a mark in place of what could steer a terminal, break a line or turn the direction of writing."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
