"""The configuration as it was written: text in a tree, each part knowing its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from remediator.config.problems import Place


@dataclass(slots=True)
class Node:
    """A value and where it was written.

    Attributes:
        where: The path of keys that leads to it.
        dead: It was found wrong and reported; the next `sweep` removes it.
    """

    place: Place
    where: str
    dead: bool = field(default=False, init=False)


@dataclass(slots=True)
class Scalar(Node):
    """A single value, as text.

    Attributes:
        foreign: The text is not the file's own, so that it must not be repeated in a message.
    """

    text: str = field(repr=False)
    foreign: bool = False


@dataclass(slots=True)
class Sequence(Node):
    """A list.

    Attributes:
        thinned: Entries were found wrong and removed.
    """

    items: list[Node] = field(default_factory=list)
    thinned: bool = False


@dataclass(slots=True)
class Mapping(Node):
    """Keys and values.

    Attributes:
        keys: Where each key was written.
        lost: Keys whose values were found wrong and removed.
    """

    entries: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)

    def put(self, key: str, value: Node) -> None:
        """Set a key that the file did not write here."""
        self.entries[key] = value
        self.keys[key] = value.place
        self.lost.discard(key)


Loc = tuple[int | str, ...]


def at(node: Node, loc: Loc) -> Node | None:
    """The node that a path leads to, None when there is none."""
    found: Node | None = node
    for part in loc:
        if isinstance(found, Mapping) and isinstance(part, str):
            found = found.entries.get(part)
        elif isinstance(found, Sequence) and isinstance(part, int) and part < len(found.items):
            found = found.items[part]
        else:
            return None
    return found


def near(node: Node, loc: Loc) -> Node:
    """The node that a path leads to, or else the closest one above it that was written."""
    for length in range(len(loc), 0, -1):
        found = at(node, loc[:length])
        if found is not None:
            return found
    return node


def lost(node: Node, loc: Loc) -> bool:
    """Tell whether something on this path was found wrong and removed."""
    for length, part in enumerate(loc):
        parent = at(node, loc[:length])
        if isinstance(parent, Mapping) and part in parent.lost:
            return True
    return False


def plain(node: Node) -> Any:
    """The tree as dicts, lists and strings."""
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.text if isinstance(node, Scalar) else None


def scalars(node: Node) -> Iterator[Scalar]:
    """All single values of the tree."""
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Mapping):
        for value in node.entries.values():
            yield from scalars(value)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from scalars(item)


def sweep(node: Node) -> None:
    """Remove what is dead, and remember in each mapping which keys went."""
    if isinstance(node, Mapping):
        node.lost |= {key for key, value in node.entries.items() if value.dead}
        node.entries = {key: value for key, value in node.entries.items() if not value.dead}
        for value in node.entries.values():
            sweep(value)
    elif isinstance(node, Sequence):
        alive = [item for item in node.items if not item.dead]
        node.thinned |= len(alive) < len(node.items)
        node.items = alive
        for item in node.items:
            sweep(item)
