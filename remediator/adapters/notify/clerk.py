"""Deciding what is sent to whom and when, in one thread; what blocks is done in others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from remediator.adapters.notify.damper import Damper, Verdict
from remediator.adapters.notify.digest import Digest
from remediator.adapters.notify.message import Message
from remediator.adapters.notify.outbox import Outbox
from remediator.adapters.notify.sender import Sent
from remediator.adapters.notify.target import DEADLINE, KEPT, Attempt, Result, Route, Target
from remediator.adapters.notify.told import Told
from remediator.core.events import Event
from remediator.core.notice import Notice, Tone
from remediator.core.text import count, duration
from remediator.ports import Clock, Observer

_CRASHES = 2

Send = Callable[[Target, Message], Sent]


class Clerk:
    """Turns events into messages, and sees to it that they are sent; every method in the same thread.

    Args:
        outbox: What waits.
        digest: Makes notices of events.
        observer: Told how it goes with sending.
        clock: The time.
        send: Sends a message, in whatever thread it is called.
        report: Takes what came of an attempt, from its thread, to be given to `ended`.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        digest: Digest,
        observer: Observer,
        clock: Clock,
        send: Send,
        report: Callable[[Result], object],
    ) -> None:
        self._outbox = outbox
        self._digest = digest
        self._observer = observer
        self._clock = clock
        self._send = send
        self._report = report
        self._routes: dict[str, Route] = {}

    def appoint(self, targets: Sequence[Target]) -> None:
        """Send to these from now on; what waits for one that is no longer among them is given up."""
        mono = self._clock.now().mono
        self._outbox.load(mono)
        routes = {}
        for target in targets:
            damper = Damper(
                target.kinds, target.databases, target.remind_every, self._outbox.facts(target.name)
            )
            old = self._routes.get(target.name)
            same = old is not None and old.target.url == target.url
            routes[target.name] = (
                replace(old, target=target, damper=damper) if old and same else Route(target, damper)
            )
        self._routes = routes
        for name in set(self._outbox.targets) - set(routes):
            self._give_up(name, self._outbox.forget(name, mono), "it is no longer in the config")

    def hear(self, told: Sequence[Told]) -> None:
        """Take events; what follows from them is kept in one go, however many they are."""
        notices: list[Notice] = []
        faults: list[Exception] = []
        for one in told:
            try:
                notices += self._digest.take(one)
            except Exception as fault:  # noqa: BLE001  one event that fails us must not cost the others
                faults.append(fault)
        self._tell_all(notices)
        if faults:
            raise faults[0]

    def missed(self, number: int) -> None:
        """Note events that were left out because too many came at once."""
        if number:
            self._give_up("", number, "too many events at once; they are in the log")

    def ended(self, result: Result) -> None:
        """Note what came of an attempt."""
        route = self._routes.get(result.target)
        attempt = result.attempt
        if route is None or attempt not in route.attempts:
            return
        route.attempts.remove(attempt)
        mono = self._clock.now().mono
        if result.sent.delivered:
            self._outbox.remove(attempt.message, mono)  # unless another attempt got through before it
            self._recovered(route, mono)
        elif not attempt.late:
            self._outbox.mark(attempt.message, mono, begun=False)
            self._failed(route, result.sent.because, mono)

    def tend(self) -> None:
        """Do all that is due."""
        now = self._clock.now()
        self._tell_all(self._digest.due(now.mono))
        for route in self._routes.values():
            for notice in route.damper.due(now.mono):
                self._post(route, [notice])
            self._expire(route, now.at.timestamp(), now.mono)
            self._attempt(route, now.mono)

    def last_words(self) -> bool:
        """Send what is still being gathered; tell whether there is anything left to wait for."""
        self._tell_all(self._digest.flush())
        self.tend()
        return any(
            route.current is not None or (self._outbox.queue(name) and not route.failures)
            for name, route in self._routes.items()
        )

    def close(self) -> None:
        """Keep the rest for the next start; what is on its way is sent once more then."""
        mono = self._clock.now().mono
        for route in self._routes.values():
            if route.current is not None:
                self._outbox.mark(route.current.message, mono, begun=False)
        self._outbox.close()

    @property
    def next_due(self) -> float:
        """When `tend` has something to do, on the monotonic clock."""
        return min([self._digest.next_due, *(self._route_due(route) for route in self._routes.values())])

    def _route_due(self, route: Route) -> float:
        current = route.current
        if current is not None:
            return min(current.deadline, route.damper.next_due)
        waits = self._outbox.queue(route.target.name) and route.free
        return min(route.next_try if waits else float("inf"), route.damper.next_due)

    def _tell_all(self, notices: Sequence[Notice]) -> None:
        for route in self._routes.values():
            self._post(route, [self._judged(route, notice) for notice in notices])

    def _judged(self, route: Route, notice: Notice) -> Notice | None:
        match route.damper.judge(notice, self._clock.now().mono):
            case Verdict.NEWS:
                return notice
            case Verdict.REMINDER:
                return replace(notice, title=f"Reminder: {notice.title}")
            case Verdict.KNOWN:
                return None

    def _post(self, route: Route, notices: Sequence[Notice | None]) -> None:
        messages = [
            Message(
                id=0,
                target=route.target.name,
                title=notice.title,
                body=notice.body,
                tone=notice.tone.value,
                at=notice.at.timestamp(),
            )
            for notice in notices
            if notice is not None
        ]
        if messages or route.damper.changed:
            route.damper.changed = False
            excess = self._outbox.put(route.target.name, messages, self._clock.now().mono)
            self._give_up(route.target.name, len(excess), "too many wait")

    def _expire(self, route: Route, now: float, mono: float) -> None:
        queue, name, current = self._outbox.queue(route.target.name), route.target.name, route.current
        waiting = [m for m in queue if current is None or m.id != current.message.id]
        old = [m for m in waiting if now - m.at > KEPT.total_seconds()]
        crashed = [m for m in waiting if m.crashes >= _CRASHES and m not in old]
        for message in (*old, *crashed):
            self._outbox.remove(message, mono)
        self._give_up(name, len(old), f"could not be delivered for {duration(KEPT)}")
        self._give_up(name, len(crashed), f"we ended {count(_CRASHES, 'time')} while it was sent")

    def _attempt(self, route: Route, mono: float) -> None:
        current = route.current
        if current is not None:
            if mono >= current.deadline:
                current.late = True
                self._outbox.mark(current.message, mono, begun=False)
                self._failed(route, f"no answer within {duration(DEADLINE)}", mono)
            return
        queue = self._outbox.queue(route.target.name)
        if not queue or mono < route.next_try or not route.free:
            return
        attempt = Attempt(queue[0], mono + DEADLINE)
        self._outbox.mark(attempt.message, mono, begun=True)
        route.attempts.append(attempt)
        # A daemon thread: one that hangs must not keep the process alive.
        threading.Thread(
            target=partial(self._try, route.target, attempt), name=f"notify {route.target.name}", daemon=True
        ).start()

    def _try(self, target: Target, attempt: Attempt) -> None:
        self._report(Result(target.name, attempt, self._send(target, attempt.message)))

    def _failed(self, route: Route, because: str, mono: float) -> None:
        if route.failed(mono):
            self._observer.emit(
                Event.NOTIFICATION_FAILED,
                target=route.target.name,
                because=because,
                waiting=len(self._outbox.queue(route.target.name)),
            )

    def _recovered(self, route: Route, mono: float) -> None:
        lasted = route.delivered(mono)
        if lasted is not None:
            self._observer.emit(
                Event.NOTIFICATION_DELIVERED, target=route.target.name, seconds=round(lasted, 3)
            )

    def _give_up(self, target: str, number: int, because: str) -> None:
        if number:
            self._observer.emit(
                Event.NOTIFICATION_GIVEN_UP, target=target or None, number=number, because=because
            )


def tone_of(message: Message) -> Tone:
    """How a message is to be taken."""
    return Tone(message.tone)
