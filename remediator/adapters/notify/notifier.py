"""The observer that tells people: it takes events at once, and everything else is done in threads."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from remediator.adapters.notify.clerk import Clerk, Send, tone_of
from remediator.adapters.notify.digest import HEARD, Digest
from remediator.adapters.notify.inbox import Inbox
from remediator.adapters.notify.message import Message
from remediator.adapters.notify.outbox import Outbox
from remediator.adapters.notify.sender import Sent, send
from remediator.adapters.notify.target import Result, Target
from remediator.adapters.notify.told import Told
from remediator.adapters.notify.wording import Writer
from remediator.core.events import Event
from remediator.ports import Clock, Observer

_BACKLOG = 2000
_LONGEST_NAP = 30.0
_AFTER_A_FAULT = 0.2
_LAST_WRITE = 0.5

_Appointed = tuple[Target, ...]


class Notifications:
    """Tells people what happens, and never holds up whoever tells it.

    Nothing is done before `appoint` has named somebody.

    Args:
        state_dir: Where the outbox is.
        observer: Told how it goes with sending; must not be ourselves alone.
        clock: The time.
        dry_run: Nothing is really done, and every message says so.
        mask: Masks secrets in messages.
        sending: Sends a message; through Apprise unless given.
    """

    def __init__(
        self,
        state_dir: Path,
        observer: Observer,
        clock: Clock,
        *,
        dry_run: bool,
        mask: Callable[[str], str] = str,
        sending: Send | None = None,
    ) -> None:
        self._observer = observer
        self._clock = clock
        self._inbox: Inbox[Told | Result | _Appointed | None] = Inbox(_BACKLOG)
        self._awaited: set[str] = set()
        self._seen: set[str] = set()
        self._thread: threading.Thread | None = None
        self._end: float | None = None
        self._faults: set[str] = set()

        def by_apprise(target: Target, message: Message) -> Sent:
            return send(target.url, message.title, message.body, tone_of(message), mask)

        self._clerk = Clerk(
            outbox=Outbox(state_dir, self._tell_of_outbox),
            digest=Digest(Writer(dry_run=dry_run, origin=socket.gethostname(), mask=mask)),
            observer=observer,
            clock=clock,
            send=sending or by_apprise,
            report=lambda result: self._inbox.put(result, always=True),
        )

    def appoint(self, targets: Sequence[Target]) -> None:
        """Tell these from now on."""
        if targets or self._thread is not None:
            self._inbox.put(tuple(targets), always=True)
        if targets and self._thread is None:
            # A daemon thread: a disk that hangs must not keep the process alive.
            self._thread = threading.Thread(target=self._work, name="notify", daemon=True)
            self._thread.start()

    def emit(self, event: Event, **fields: object) -> None:
        """Take an event, at once; what is no news to anybody is passed over."""
        if self._thread is None or not self._concerns(event, str(fields.get("database", ""))):
            return
        now = self._clock.now()
        self._inbox.put(Told(event, fields, now.at, now.mono))

    def close(self, within: float) -> bool:
        """Send what can be sent, for so many seconds; the rest is kept. Tell whether we came to an end."""
        if self._thread is None:
            return True
        self._end = self._clock.now().mono + within
        self._inbox.put(None, always=True)
        self._thread.join(within + _LAST_WRITE)
        return not self._thread.is_alive()

    def _concerns(self, event: Event, database: str) -> bool:
        """Whether an event may lead to a notice: of cycles the first, and the first after another event."""
        if event in HEARD:
            self._awaited.add(database)
            return True
        if event is not Event.CYCLE or (database in self._seen and database not in self._awaited):
            return False
        self._seen.add(database)
        self._awaited.discard(database)
        return True

    def _work(self) -> None:
        while True:
            try:
                if self._turn():
                    self._clerk.close()
                    return
            except Exception as error:  # noqa: BLE001  one message that fails us must not be the last one
                self._tell_of_fault(error)
                time.sleep(_AFTER_A_FAULT)

    def _turn(self) -> bool:
        """Do what there is to do; tell whether that was all."""
        mono = self._clock.now().mono
        nap = min(self._clerk.next_due - mono, _LONGEST_NAP)
        if self._end is not None:
            nap = min(nap, self._end - mono)
        self._take(self._inbox.get(max(0.0, nap)))
        self._clerk.missed(self._inbox.left_out())
        if self._end is None:
            self._clerk.tend()
            return False
        busy = self._inbox.waits or self._clerk.last_words()
        return not busy or self._clock.now().mono >= self._end

    def _take(self, items: Sequence[Told | Result | _Appointed | None]) -> None:
        """Do what was asked for; a fault in one must not cost the others."""
        told = [item for item in items if isinstance(item, Told)]
        for item in items:
            if isinstance(item, tuple):
                self._guarded(partial(self._clerk.appoint, item))
            elif isinstance(item, Result):
                self._guarded(partial(self._clerk.ended, item))
        if told:
            self._guarded(partial(self._clerk.hear, told))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  told, and the daemon goes on telling
            self._tell_of_fault(error)

    def _tell_of_outbox(self, trouble: str) -> None:
        if trouble:
            self._observer.emit(Event.OUTBOX_UNUSABLE, because=trouble)
        else:
            self._observer.emit(Event.OUTBOX_USABLE)

    def _tell_of_fault(self, error: Exception) -> None:
        where = traceback.extract_tb(error.__traceback__)[-1]
        because = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno} of {where.filename})"
        if because not in self._faults:
            self._faults.add(because)
            self._observer.emit(
                Event.OBSERVER_FAILED, observer=type(self).__name__, about="several", because=because
            )
