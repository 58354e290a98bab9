"""The observer: taking an event never waits, whatever becomes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remediator.adapters.clock import SystemClock
from remediator.adapters.notify import Notifications, Target
from remediator.adapters.notify.inbox import Inbox
from remediator.adapters.notify.message import Message
from remediator.adapters.notify.sender import Sent
from remediator.core.events import Event
from remediator.core.notice import Kind
from tests.testbed.waiting import wait_until

ALL = Target("a", "json://a", frozenset(Kind))


class Listener:
    """Remembers what it was told, and what was sent.

    Attributes:
        gate: Sending waits for it.
    """

    def __init__(self) -> None:
        self.said: list[Event] = []
        self.sent: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def emit(self, event: Event, **_: object) -> None:
        """Take note."""
        self.said.append(event)

    def send(self, _target: Target, message: Message) -> Sent:
        """Send, once the gate is open."""
        self.gate.wait(30.0)
        self.sent.append(message.title)
        return Sent(delivered=True)


@contextmanager
def telling(directory: Path, listener: Listener, *targets: Target) -> Iterator[Notifications]:
    """Notifications to a listener."""
    notifications = Notifications(directory, listener, SystemClock(), dry_run=False, sending=listener.send)
    notifications.appoint(targets)
    try:
        yield notifications
    finally:
        listener.gate.set()
        notifications.close(0.1)


def threads() -> list[str]:
    """Our threads."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("notify")]


def test_nobody_to_tell_costs_nothing(tmp_path: Path) -> None:
    """Not even a file."""
    with telling(tmp_path, Listener()) as notifications:
        notifications.emit(Event.LOCKED, database="shop", scope="x")
    assert list(tmp_path.iterdir()) == []


def test_a_receiver_that_hangs_holds_up_no_event(tmp_path: Path) -> None:
    """Thousands are taken while not one message got through; too many are left out, and that is said."""
    listener = Listener()
    listener.gate.clear()
    with telling(tmp_path, listener, ALL) as notifications:
        begin = time.monotonic()
        for number in range(20_000):
            notifications.emit(Event.LOCKED, database="shop", scope=f"service:{number}")
        assert time.monotonic() - begin < 10.0  # a lock and an append each
        assert listener.sent == []
        wait_until(lambda: Event.NOTIFICATION_GIVEN_UP in listener.said, what="what was left out is said")


def test_of_cycles_only_those_that_matter_are_taken(tmp_path: Path) -> None:
    """There may be a hundred for each event that leads to a message."""
    notifications = Notifications(tmp_path, Listener(), SystemClock(), dry_run=False)
    concerns = notifications._concerns  # noqa: SLF001  what is left out cannot be seen from outside
    assert [concerns(Event.CYCLE, "shop") for _ in range(3)] == [True, False, False]
    assert concerns(Event.CYCLE, "crm")
    assert concerns(Event.INCIDENT_RELIEVED, "shop")
    assert [concerns(Event.CYCLE, name) for name in ("crm", "shop", "shop")] == [False, True, False]
    assert not concerns(Event.LOG_GAP, "")
    assert not concerns(Event.NOTIFICATION_FAILED, "")


def test_what_the_end_is_worth_telling_is_told(tmp_path: Path) -> None:
    """Also what was still being gathered."""
    listener = Listener()
    with telling(tmp_path, listener, ALL) as notifications:
        notifications.emit(Event.INCIDENT_OPENED, database="shop", incident="i", because="full")
        notifications.emit(Event.DAEMON_STOPPING, because="SIGTERM")
        assert notifications.close(10.0)
    assert [title.split(" [")[0] for title in listener.sent] == [
        "shop: slots run out",
        "remediator: stops (SIGTERM)",
    ]
    wait_until(lambda: threads() == [], what="the end of our threads")


def test_the_end_does_not_wait_for_one_that_hangs(tmp_path: Path) -> None:
    """For no longer than it was told to."""
    listener = Listener()
    listener.gate.clear()
    with telling(tmp_path, listener, ALL) as notifications:
        notifications.emit(Event.LOCKED, database="shop", scope="x")
        wait_until(lambda: "notify a" in threads(), what="an attempt")
        begin = time.monotonic()
        assert notifications.close(0.2)
        assert time.monotonic() - begin < 10.0
        assert listener.sent == []


def test_a_fault_of_ours_is_said_and_the_next_event_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message that fails us must not be the last one."""
    listener = Listener()
    with telling(tmp_path, listener, ALL) as notifications:
        hear = notifications._clerk.hear  # noqa: SLF001  the fault is put where none is known

        def once(told: object) -> None:
            monkeypatch.setattr(notifications._clerk, "hear", hear)  # noqa: SLF001
            raise RuntimeError(str(told)[:5])

        monkeypatch.setattr(notifications._clerk, "hear", once)  # noqa: SLF001
        notifications.emit(Event.LOCKED, database="shop", scope="x")
        wait_until(lambda: listener.said == [Event.OBSERVER_FAILED], what="the fault")
        notifications.emit(Event.LOCKED, database="shop", scope="y")
        wait_until(lambda: len(listener.sent) == 1, what="the other message")
    assert listener.said == [Event.OBSERVER_FAILED]


def test_the_inbox_keeps_what_must_not_be_left_out() -> None:
    """However many items there are."""
    inbox: Inbox[int] = Inbox(2)
    assert [inbox.put(1), inbox.put(2), inbox.put(3), inbox.put(4, always=True)] == [True, True, False, True]
    assert (inbox.left_out(), inbox.left_out()) == (1, 0)
    assert (inbox.get(0.0), inbox.get(0.0)) == ([1, 2, 4], [])
