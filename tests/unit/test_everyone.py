"""One observer, one follower for several: each is told, whatever the others do."""

from __future__ import annotations

from remediator.adapters.everyone import Everyone, Followers
from remediator.core.assess import Watch, assess
from remediator.core.events import Event
from remediator.core.policy import Policy
from remediator.core.turn import Turn
from tests.builders import make_policy, make_sample


class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.heard: list[tuple[Event, dict[str, object]]] = []

    def emit(self, event: Event, **fields: object) -> None:
        """Take note."""
        self.heard.append((event, fields))


class Broken:
    """Cannot stand any event."""

    def emit(self, event: Event, **fields: object) -> None:
        """Fail."""
        raise RuntimeError(f"no {event.event_name} with {sorted(fields)}")


def test_each_is_told_in_order_with_all_fields() -> None:
    """Whoever joins later hears what comes later."""
    first, second = Listener(), Listener()
    everyone = Everyone(first)
    everyone.emit(Event.CYCLE, database="shop", seconds=0.1)
    everyone.join(second)
    everyone.emit(Event.LOCKED, database="shop")
    assert first.heard == [
        (Event.CYCLE, {"database": "shop", "seconds": 0.1}),
        (Event.LOCKED, {"database": "shop"}),
    ]
    assert second.heard == [(Event.LOCKED, {"database": "shop"})]


def test_one_that_fails_harms_nobody_and_is_told_of_once_for_each_kind_of_event() -> None:
    """The log says who failed at what; a fault at each cycle does not fill it."""
    before, after = Listener(), Listener()
    everyone = Everyone(before, Broken(), after)
    for event in (Event.CYCLE, Event.CYCLE, Event.LOCKED):
        everyone.emit(event, database="shop")
    for listener in (before, after):
        assert [event for event, _ in listener.heard if event is not Event.OBSERVER_FAILED] == [
            Event.CYCLE,
            Event.CYCLE,
            Event.LOCKED,
        ]
    failures = [fields for event, fields in before.heard if event is Event.OBSERVER_FAILED]
    assert [(f["observer"], f["about"]) for f in failures if f["about"] != "observer_failed"] == [
        ("Broken", "cycle"),
        ("Broken", "locked"),
    ]
    assert failures[0]["because"] == "RuntimeError: no cycle with ['database']"


def test_when_all_fail_nobody_else_notices() -> None:
    """Not even telling of the failure may raise, or go on for ever."""
    Everyone(Broken(), Broken()).emit(Event.CYCLE)


class Watcher:
    """Remembers which cycles it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Policy, Turn]] = []

    def completed(self, database: str, policy: Policy, turn: Turn) -> None:
        """Take note."""
        self.seen.append((database, policy, turn))


class Blind:
    """Cannot stand any cycle."""

    def completed(self, database: str, policy: Policy, turn: Turn) -> None:
        """Fail."""
        raise RuntimeError(f"nothing of {database} by {policy.name}, {turn.in_flight} in flight")


def test_a_follower_that_fails_harms_nobody_and_is_told_of_once() -> None:
    """Neither the other followers nor the cycle notice; the log does."""
    listener, before, after = Listener(), Watcher(), Watcher()
    followers = Followers(listener, before, Blind())
    followers.join(after)
    policy = make_policy()
    turn = Turn(assess(policy, Watch(), make_sample()))
    followers.completed("shop", policy, turn)
    followers.completed("blog", policy, turn)
    assert before.seen == after.seen == [("shop", policy, turn), ("blog", policy, turn)]
    because = "RuntimeError: nothing of shop by web, 0 in flight"
    fields = {"observer": "Blind", "about": "cycle", "because": because}
    assert listener.heard == [(Event.OBSERVER_FAILED, fields)]
