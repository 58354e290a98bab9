"""What waits to be sent, in its order: in memory, and as a copy in a file that outlives us."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from remediator.adapters.notify import file
from remediator.adapters.notify.damper import Facts
from remediator.adapters.notify.file import Content, OutboxFile
from remediator.adapters.notify.message import Message

MOST = 200
"""Messages that may wait for one target."""


class Outbox:
    """Messages by target; all methods must be called from one thread.

    Args:
        state_dir: Where the file is.
        tell: Told once why the file cannot be used, and with an empty text that it can be again.
    """

    def __init__(self, state_dir: Path, tell: Callable[[str], None]) -> None:
        self._queues: dict[str, deque[Message]] = {}
        self._facts: dict[str, Facts] = {}
        self._last_id = 0
        self._file = OutboxFile(state_dir, self._learn, self._content, tell)

    def load(self, mono: float) -> None:
        """Read what an earlier run left."""
        self._file.write(lambda _: None, mono)

    def queue(self, target: str) -> deque[Message]:
        """What waits for a target, oldest first; to be looked at only."""
        return self._queues.setdefault(target, deque())

    def facts(self, target: str) -> Facts:
        """What a target was told; changes are kept with the next `put`."""
        return self._facts.setdefault(target, {})

    @property
    def targets(self) -> list[str]:
        """Those for whom something waits or is remembered."""
        return sorted({*(name for name, queue in self._queues.items() if queue), *self._facts})

    def put(self, target: str, messages: Iterable[Message], mono: float) -> list[Message]:
        """Add messages, and keep what the target was told together with them.

        Args:
            target: For whom.
            messages: Their ids do not matter.
            mono: Now, on the monotonic clock.

        Returns:
            The oldest ones, given up for want of room.
        """
        queue, added, excess = self.queue(target), [], []
        for message in messages:
            self._last_id += 1
            added.append(replace(message, id=self._last_id))
        queue.extend(added)
        while len(queue) > MOST:
            excess.append(queue[1])  # the first may be on its way just now
            del queue[1]

        def work(db: file.Connection) -> None:
            file.insert(db, added)
            file.delete(db, excess)
            file.keep_facts(db, {target: self.facts(target)})

        self._file.write(work, mono)
        return excess

    def mark(self, message: Message, mono: float, *, begun: bool) -> None:
        """Note of a message whether sending it has begun."""
        self._replace(message, [replace(message, begun=begun)], mono)

    def remove(self, message: Message, mono: float) -> None:
        """Remove a message: it is delivered, or given up."""
        self._replace(message, [], mono)

    def forget(self, target: str, mono: float) -> int:
        """Forget a target that is not in the config any more; tell how many messages waited."""
        waiting = len(self._queues.pop(target, ()))
        self._facts.pop(target, None)
        self._file.write(lambda db: file.forget(db, target), mono)
        return waiting

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _replace(self, message: Message, others: list[Message], mono: float) -> None:
        queue = self.queue(message.target)
        kept = [one for before in queue for one in (others if before.id == message.id else [before])]
        if kept == list(queue):
            return
        queue.clear()
        queue.extend(kept)

        def work(db: file.Connection) -> None:
            file.delete(db, [message])
            file.insert(db, others)

        self._file.write(work, mono)

    def _learn(self, content: Content) -> None:
        """Take in what an earlier run left: older than all that we have by now, and so before it."""
        messages, facts = content
        newest = max((message.id for message in messages), default=0)
        shift = newest if self._last_id else 0
        for message in reversed(messages):
            crashes = message.crashes + message.begun
            again = replace(message, id=message.id - shift, begun=False, crashes=crashes)
            self.queue(message.target).appendleft(again)
        for target, told in facts.items():
            ours = self.facts(target)
            ours |= {about: known for about, known in told.items() if about not in ours}
        self._last_id = self._last_id or newest

    def _content(self) -> Content:
        return [message for queue in self._queues.values() for message in queue], self._facts
