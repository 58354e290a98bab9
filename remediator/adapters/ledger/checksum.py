"""Checksums of records: SQLite notices damage to its own structure, not to what is stored in it."""

from __future__ import annotations

from zlib import crc32

_SUM = ', "sum": "'


def sealed(text: str) -> str:
    """Add its checksum to a record, a JSON object as text; one that has its checksum stays as it is."""
    if unsealed(text) is not None:
        return text
    body = text.removesuffix("}")
    return f'{body}{_SUM}{crc32(body.encode()):08x}"}}'


def unsealed(text: str) -> str | None:
    """The record as it was before its checksum was added; None when it is not as it was written."""
    body, separator, found = text.rpartition(_SUM)
    if not separator or found != f'{crc32(body.encode()):08x}"}}':
        return None
    return f"{body}}}"
