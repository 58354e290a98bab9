"""YAML as a tree of text with positions.

Scalars stay the text that was written: no `no` becomes a boolean, no `010` an eight. What a value means
is the schema's business. Anchors, tags, merge keys and everything else that makes YAML surprising is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml import events

from remediator.config.problems import Place, Problems, key_name
from remediator.config.tree import Mapping, Node, Scalar, Sequence, sweep

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # pragma: no cover  # PyYAML built without libyaml: the same, slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_DEPTH = 32
MAX_NODES = 10_000

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_NOT_NUMBERS = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_SECRET_KEY = re.compile(r"passw|secret|token|dsn|credential", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_QUOTED = re.compile(r"""(['"])(.*?)\1""", re.DOTALL)


def parse(text: str, problems: Problems, loader: Any = _Loader) -> Mapping:
    """Read YAML into a tree whose root is a mapping; what is wrong in it is noted and left out.

    Args:
        text: The document.
        problems: Where mistakes are noted; its source names the document.
        loader: The PyYAML loader class whose parser is used.

    Raises:
        ConfigError: It cannot be read at all: not YAML, nested too deeply, too many values, no mapping.
    """
    control = _CONTROL.search(text)
    if control:
        line = text.count("\n", 0, control.start()) + 1
        column = control.start() - text.rfind("\n", 0, control.start())
        problems.add(Place(problems.source, line, column), "", "control characters are not allowed")
        raise problems.error()
    try:
        return _Builder(yaml.parse(text, Loader=loader), problems).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(problems.source, mark.line + 1, mark.column + 1) if mark else None
        problems.add(place, "", f"not valid YAML: {_in_words(error, text)}")
    except (yaml.YAMLError, ValueError, RecursionError):
        problems.add(None, "", "not valid YAML")
    raise problems.error() from None


def _in_words(error: yaml.MarkedYAMLError, document: str) -> str:
    """What the parser says, without the words of the document that it repeats."""
    text = error.problem or error.context or "unreadable"
    mark = error.problem_mark
    if mark and document[mark.index : mark.index + 1] == "\t":
        return "a tab; indent with spaces"
    if "cannot start any token" in text:
        return "a value cannot begin with this character; put the value in quotes"
    if "mapping values are not allowed" in text:
        return "a second colon on the line; put the value in quotes, or mind the indentation"

    def mask(match: re.Match[str]) -> str:
        word = match[2]
        grammar = word.startswith("<") or (len(word) == 1 and not word.isalnum())
        return f"'{word}'" if grammar else "something"

    return _QUOTED.sub(mask, text)


class _Builder:
    """Turns the parser's events into the tree."""

    def __init__(self, stream: Iterator[events.Event], problems: Problems) -> None:
        self._events = stream
        self._problems = problems
        self._nodes = 0

    def document(self) -> Mapping:
        next(self._events)
        event = next(self._events)
        if isinstance(event, events.StreamEndEvent):
            return Mapping(Place(self._problems.source, 1, 1), "")
        first = next(self._events)
        if isinstance(first, events.ScalarEvent) and first.value == "" and not first.style:
            root: Node | None = Mapping(self._place(first), "")
        else:
            root = self._node(first, "", 1, hidden=False)
        next(self._events)
        after = next(self._events)
        if not isinstance(after, events.StreamEndEvent):
            self._add(after, "", "a second document; only one is allowed")
        if not isinstance(root, Mapping):
            self._add(first, "", "must be keys and values, such as 'mode: dry-run'")
            raise self._problems.error()
        sweep(root)
        return root

    def _node(self, event: Any, where: str, depth: int, *, hidden: bool) -> Node:
        """Build the node that starts with this event.

        Args:
            event: Its first event.
            where: Its path.
            depth: How deeply it is nested, the root being 1.
            hidden: It stands under a key that holds secrets, so that not even its keys may be shown.
        """
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._add(event, "", f"more than {MAX_NODES} values, the most that is allowed")
            raise self._problems.error()
        node: Node
        if isinstance(event, events.MappingStartEvent | events.SequenceStartEvent):
            if depth > MAX_DEPTH:
                self._add(event, "", f"nested more than {MAX_DEPTH} deep, the most that is allowed")
                raise self._problems.error()
            if isinstance(event, events.MappingStartEvent):
                node = self._mapping(event, where, depth, hidden=hidden)
            else:
                node = self._sequence(event, where, depth, hidden=hidden)
        else:
            node = Scalar(self._place(event), where, getattr(event, "value", ""))
        fault = _fault(event)
        if fault:
            self._add(event, where, fault)
            node.dead = True
        return node

    def _sequence(self, start: events.Event, where: str, depth: int, *, hidden: bool) -> Sequence:
        node = Sequence(self._place(start), where)
        while not isinstance(event := next(self._events), events.SequenceEndEvent):
            path = where if hidden else f"{where}[{len(node.items)}]"
            node.items.append(self._node(event, path, depth + 1, hidden=hidden))
        return node

    def _mapping(self, start: events.Event, where: str, depth: int, *, hidden: bool) -> Mapping:
        node = Mapping(self._place(start), where)
        while not isinstance(event := next(self._events), events.MappingEndEvent):
            key = self._key(event, where, depth, hidden=hidden)
            name = key_name(key or "")
            path = where if hidden else f"{where}.{name}".lstrip(".")
            value = self._node(
                next(self._events), path, depth + 1, hidden=hidden or bool(_SECRET_KEY.search(key or ""))
            )
            if key is None:
                continue
            if key in node.entries:
                self._add(event, path, f"given twice; first on line {node.keys[key].line}")
                continue
            node.entries[key] = value
            node.keys[key] = self._place(event)
        return node

    def _key(self, event: Any, where: str, depth: int, *, hidden: bool) -> str | None:
        """The text of a key, None (and noted) when it cannot be one."""
        if not isinstance(event, events.ScalarEvent):
            self._add(event, where, "a key must be a single word")
            if not isinstance(event, events.AliasEvent):
                self._node(event, where, depth + 1, hidden=hidden)
            return None
        if event.value == "<<":
            self._add(event, where, "merge keys (<<) are not allowed; write the values out")
            return None
        if event.anchor or event.tag:
            self._add(event, where, "a key can have neither anchor nor tag")
            return None
        return str(event.value)

    def _place(self, event: events.Event) -> Place:
        mark = event.start_mark
        if mark is None:
            return Place(self._problems.source)
        return Place(self._problems.source, mark.line + 1, mark.column + 1)

    def _add(self, event: events.Event, where: str, text: str) -> None:
        self._problems.add(self._place(event), where, text)


def _fault(event: Any) -> str:
    """What is wrong with a value by itself, whatever its key; empty when nothing is."""
    fault = ""
    if isinstance(event, events.AliasEvent) or event.anchor:
        fault = "anchors and aliases (& and *) are not allowed; write the value out"
    elif event.tag:
        fault = "tags (!) are not allowed; write the value without"
    elif isinstance(event, events.ScalarEvent) and not event.style:
        if event.value in _NULLS:
            fault = "is empty; give a value, or remove the key to get the default"
        elif _NOT_NUMBERS.fullmatch(event.value):
            fault = "neither infinity nor not-a-number is allowed"
    elif isinstance(event, events.ScalarEvent) and "\0" in event.value:
        fault = "a NUL is not allowed"
    return fault
