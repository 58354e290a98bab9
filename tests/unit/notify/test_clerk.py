"""Who is sent what and when, with a clock that is moved and receivers that do as they are told."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remediator.adapters.notify.clerk import Clerk
from remediator.adapters.notify.digest import Digest
from remediator.adapters.notify.message import Message
from remediator.adapters.notify.outbox import Outbox
from remediator.adapters.notify.sender import Sent
from remediator.adapters.notify.target import DEADLINE, KEPT, LONGEST_WAIT, Result, Target
from remediator.adapters.notify.told import Told
from remediator.adapters.notify.wording import Writer
from remediator.core.events import Event
from remediator.core.notice import Kind
from remediator.testing.clock import FakeClock

USUAL = frozenset({Kind.STARTED, Kind.LOCKED})


OFFICES: list[Office] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OFFICES:
        OFFICES.pop().close()


class Office:
    """A clerk whose attempts end when the test says so.

    Attributes:
        clock: Moved by the test.
        sent: What was sent to whom, in order; each attempt hangs until `answer`.
        said: What was told of sending.
    """

    def __init__(self, directory: Path, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.sent: list[tuple[str, str]] = []
        self.said: list[tuple[Event, dict[str, object]]] = []
        self._begun = threading.Semaphore(0)
        self._answers: deque[tuple[threading.Event, list[Sent]]] = deque()
        self._results: deque[Result] = deque()
        self._reported = threading.Semaphore(0)
        self.outbox = Outbox(directory, lambda _: None)
        self.clerk = Clerk(
            outbox=self.outbox,
            digest=Digest(Writer(dry_run=False, origin="db-1")),
            observer=self,
            clock=self.clock,
            send=self._send,
            report=self._report,
        )

        OFFICES.append(self)

    def close(self) -> None:
        """Let every attempt end."""
        for gate, _ in self._answers:
            gate.set()

    def emit(self, event: Event, **fields: object) -> None:
        """Take note of what is told."""
        self.said.append((event, fields))

    def _send(self, target: Target, message: Message) -> Sent:
        gate: tuple[threading.Event, list[Sent]] = (threading.Event(), [])
        self._answers.append(gate)
        self.sent.append((target.name, message.title))
        self._begun.release()
        gate[0].wait(20.0)
        return gate[1][0] if gate[1] else Sent(delivered=False, because="the test is over")

    def _report(self, result: Result) -> None:
        self._results.append(result)
        self._reported.release()

    def tend(self, begins: int = 0) -> None:
        """Do what is due, and wait for the attempts that begin with it."""
        self.clerk.tend()
        for _ in range(begins):
            assert self._begun.acquire(timeout=20.0)

    def answer(self, because: str = "", number: int = 0) -> None:
        """End an attempt, the oldest unless told otherwise; it failed if there is a reason."""
        gate = self._answers[number]
        del self._answers[number]
        gate[1].append(Sent(delivered=not because, because=because))
        gate[0].set()
        assert self._reported.acquire(timeout=20.0)
        self.clerk.ended(self._results.popleft())

    def lock(self, scope: str, database: str = "shop") -> None:
        """Something that is news each time."""
        now = self.clock.now()
        fields = {"database": database, "scope": scope, "because": "of hunter2"}
        self.clerk.hear([Told(Event.LOCKED, fields, now.at, now.mono)])

    def events(self, event: Event) -> list[dict[str, object]]:
        """What was told of one kind."""
        return [fields for said, fields in self.said if said is event]


def to(name: str, **more: Any) -> Target:
    """Somebody who hears of locks."""
    return Target(name, f"json://{name}", USUAL, **more)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """A clerk with one target."""
    office = Office(tmp_path)
    office.clerk.appoint([to("a")])
    return office


def title(scope: str) -> str:
    """How a lock is told."""
    return f"shop: LOCKED, {scope} stays untouched [enforce]"


def test_messages_go_one_after_the_other(office: Office) -> None:
    """The next once the one before is delivered."""
    office.lock("x")
    office.lock("y")
    office.tend(begins=1)
    office.tend()
    assert office.sent == [("a", title("x"))]
    office.answer()
    office.tend(begins=1)
    office.answer()
    office.tend()
    assert office.sent == [("a", title("x")), ("a", title("y"))]
    assert (office.said, office.clerk.next_due) == ([], float("inf"))


def test_one_that_hangs_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """Each target has its own way."""
    office = Office(tmp_path)
    office.clerk.appoint([to("a"), to("b")])
    office.lock("x")
    office.tend(begins=2)
    office.answer(number=[name for name, _ in office.sent].index("b"))
    office.lock("y")
    office.tend(begins=1)
    assert [t for name, t in office.sent if name == "b"] == [title("x"), title("y")]
    assert [t for name, t in office.sent if name == "a"] == [title("x")]


def test_a_failure_is_tried_again_ever_more_rarely_and_said_once(office: Office) -> None:
    """And its end is said too, with how long it took."""
    office.lock("x")
    waits = []
    for _ in range(12):
        office.tend(begins=1)
        office.answer("refused")
        wait = office.clerk.next_due - office.clock.now().mono
        waits.append(wait)
        office.clock.advance(wait - 0.01)
        office.tend()
        office.clock.advance(0.02)
    assert [round(wait) for wait in waits] == [*(2**n for n in range(9)), *[LONGEST_WAIT] * 3]
    assert office.events(Event.NOTIFICATION_FAILED) == [{"target": "a", "because": "refused", "waiting": 1}]
    office.tend(begins=1)
    office.answer()
    (ended,) = office.events(Event.NOTIFICATION_DELIVERED)
    assert ended == {"target": "a", "seconds": pytest.approx(sum(waits), abs=1.0)}
    assert not office.outbox.queue("a")


def test_an_attempt_that_takes_too_long_counts_as_failed(office: Office) -> None:
    """Its message is tried again; what then comes late is not sent a third time."""
    office.lock("x")
    office.tend(begins=1)
    office.clock.advance(DEADLINE)
    office.tend()
    assert office.events(Event.NOTIFICATION_FAILED)[0]["because"] == "no answer within 20s"
    office.clock.advance(1.0)
    office.tend(begins=1)
    assert len(office.sent) == 2
    office.answer()  # the first, late
    assert not office.outbox.queue("a")
    office.answer("refused")
    office.clock.advance(600)
    office.tend()
    assert len(office.sent) == 2


def test_few_attempts_may_hang_at_once(office: Office) -> None:
    """A service that never answers does not get a thread for each try."""
    office.lock("x")
    for _ in range(3):
        office.tend(begins=1)
        office.clock.advance(DEADLINE)
        office.tend()
        office.clock.advance(LONGEST_WAIT)
    office.tend()
    assert len(office.sent) == 3
    office.answer("refused")
    office.tend(begins=1)
    assert len(office.sent) == 4


def test_what_is_too_old_is_given_up_and_said(office: Office) -> None:
    """After a day; what is younger goes on."""
    office.lock("x")
    office.tend(begins=1)
    office.answer("refused")
    office.clock.advance(KEPT.total_seconds() - 10)
    office.lock("y")
    office.clock.advance(11)
    office.tend(begins=1)
    assert office.sent[-1] == ("a", title("y"))
    (given_up,) = office.events(Event.NOTIFICATION_GIVEN_UP)
    assert given_up == {"target": "a", "number": 1, "because": "could not be delivered for 1d"}


def test_a_crash_sends_a_message_once_more_and_a_second_one_not_again(tmp_path: Path) -> None:
    """Whoever crashes us by being told shall not do so for ever."""
    clock = FakeClock()
    lives = []
    for life in range(3):
        office = Office(tmp_path, clock)
        lives.append(office)
        office.clerk.appoint([to("a")])
        if life == 0:
            office.lock("x")
            office.lock("y")
        office.tend(begins=1)
        assert office.sent == [("a", title("y" if life == 2 else "x"))]
    (given_up,) = lives[-1].events(Event.NOTIFICATION_GIVEN_UP)
    assert given_up["because"] == "we ended 2 times while it was sent"


def test_an_end_on_purpose_is_no_crash(tmp_path: Path) -> None:
    """However often it comes while a service hangs."""
    clock = FakeClock()
    for life in range(4):
        office = Office(tmp_path, clock)
        office.clerk.appoint([to("a")])
        if life == 0:
            office.lock("x")
        office.tend(begins=1)
        assert office.sent == [("a", title("x"))]
        office.clerk.close()


def test_last_words_wait_for_those_who_can_be_reached_only(tmp_path: Path) -> None:
    """An outage does not hold up the end."""
    office = Office(tmp_path)
    office.clerk.appoint([to("a")])
    assert office.clerk.last_words() is False
    office.lock("x")
    assert office.clerk.last_words() is True
    assert office._begun.acquire(timeout=20.0)  # noqa: SLF001  our own helper
    assert office.clerk.last_words() is True
    office.answer("refused")
    assert office.clerk.last_words() is False
    assert len(office.outbox.queue("a")) == 1


def test_who_is_no_longer_in_the_config_is_told_nothing_more(office: Office) -> None:
    """What waited is given up and said; others keep their place in the queue and their outage."""
    office.clerk.appoint([to("a"), to("b")])
    office.lock("x")
    office.tend(begins=2)
    office.answer("refused")
    office.answer("refused")
    office.clerk.appoint([to("b")])
    (given_up,) = office.events(Event.NOTIFICATION_GIVEN_UP)
    assert given_up == {"target": "a", "number": 1, "because": "it is no longer in the config"}
    office.tend()
    assert len(office.sent) == 2  # b has to wait still
    office.clock.advance(1.0)
    office.tend(begins=1)
    assert office.sent[-1] == ("b", title("x"))


def test_events_that_were_left_out_are_counted(office: Office) -> None:
    """Of whom they were for nobody knows."""
    office.clerk.missed(0)
    office.clerk.missed(5)
    (given_up,) = office.events(Event.NOTIFICATION_GIVEN_UP)
    assert given_up["number"] == 5
