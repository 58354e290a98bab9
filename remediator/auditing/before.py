"""The kept audits that a new one is compared with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from remediator.adapters.audits import AuditFiles, Unreadable
from remediator.core.audit.compare import Snapshot
from remediator.render.audit import read_snapshots


def last_audits(
    files: AuditFiles, databases: Collection[str]
) -> tuple[dict[str, Snapshot], tuple[Unreadable, ...]]:
    """Find what each database is to be compared with: its last audit that could read the server.

    Args:
        files: The kept audits.
        databases: Whose are wanted. One that the newest audit does not know is not looked for any further.

    Returns:
        The last audit of each, which is one that could not read the server where there is no other; and
        the files that were passed over.

    Raises:
        LedgerError: The directory cannot be read.
    """

    def enough(found: Sequence[Mapping[str, Snapshot]]) -> bool:
        wanted = [name for name in databases if name in found[0]]
        return all(any(name in one and one[name].readable for one in found) for name in wanted)

    found, passed = files.newest(read_snapshots, enough)
    return {name: last for name in databases if (last := _last(found, name)) is not None}, passed


def _last(found: Sequence[Mapping[str, Snapshot]], name: str) -> Snapshot | None:
    if not found or name not in found[0]:
        return None
    its = [one[name] for one in found if name in one]
    blind = next((number for number, one in enumerate(its) if one.readable), None)
    return its[0] if blind is None else replace(its[blind], blind_since=blind)
