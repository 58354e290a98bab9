"""Keys that were mistyped: what is missing for that reason alone is not said as well."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from remediator.config.problems import closest
from remediator.config.schema import keys_at
from remediator.config.tree import Loc, Mapping, Node, Sequence

_MOST = 20


def excuse(root: Node) -> None:
    """Take the keys that were probably meant by unknown ones for lost, not for missing.

    Args:
        root: What was written. The unknown keys themselves are noted when it is validated.
    """
    for mapping, key, allowed in islice(_unknown(root, ()), _MOST):
        meant = closest(key, allowed)
        if meant and meant not in mapping.entries:
            mapping.lost.add(meant)


def _unknown(node: Node, loc: Loc) -> Iterator[tuple[Mapping, str, list[str]]]:
    if isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            yield from _unknown(item, (*loc, index))
    if not isinstance(node, Mapping):
        return
    try:
        allowed = keys_at(loc)
    except KeyError:  # a single value, or a list, belongs here
        return
    for key, value in node.entries.items():
        if key in allowed:
            yield from _unknown(value, (*loc, key))
        else:
            yield node, key, allowed
