"""One observer, and one follower, that stand for several, none of which can harm another."""

from __future__ import annotations

from remediator.core.events import Event
from remediator.core.policy import Policy
from remediator.core.turn import Turn
from remediator.ports import Follower, Observer


class Everyone:
    """Tells each of several observers, in the order in which they joined.

    They promise not to raise. Should one do so all the same, the others hear of the event nevertheless,
    and that it failed: once for each kind of event that it fails at.

    Args:
        observers: Those who are told from the beginning.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        self._failed: set[tuple[int, Event]] = set()

    def join(self, observer: Observer) -> None:
        """Tell this one too from now on; from any thread."""
        self._observers = (*self._observers, observer)

    def emit(self, event: Event, **fields: object) -> None:
        """Pass an event on to everyone, from any thread; never raises."""
        for observer in self._observers:
            try:
                observer.emit(event, **fields)
            except Exception as error:  # noqa: BLE001  the other observers, and whoever tells us, must not suffer
                self._note(observer, event, error)

    def _note(self, observer: Observer, event: Event, error: Exception) -> None:
        failure = id(observer), event
        if failure in self._failed:
            return
        self._failed.add(failure)
        because = f"{type(error).__name__}: {error}"
        self.emit(
            Event.OBSERVER_FAILED, observer=type(observer).__name__, about=event.event_name, because=because
        )


class Followers:
    """Shows each completed cycle to several followers, in the order in which they joined.

    They promise not to raise. Should one do so all the same, the others see the cycle nevertheless, and it is
    told once of each of them.

    Args:
        observer: Told of one that failed.
        followers: Those who follow from the beginning.
    """

    def __init__(self, observer: Observer, *followers: Follower) -> None:
        self._observer = observer
        self._followers = followers
        self._failed: set[int] = set()

    def join(self, follower: Follower) -> None:
        """Show this one too what comes from now on."""
        self._followers = (*self._followers, follower)

    def completed(self, database: str, policy: Policy, turn: Turn) -> None:
        """Pass a completed cycle on to everyone; never raises."""
        for follower in self._followers:
            try:
                follower.completed(database, policy, turn)
            except Exception as error:  # noqa: BLE001  the other followers, and the cycle, must not suffer
                self._note(follower, error)

    def _note(self, follower: Follower, error: Exception) -> None:
        if id(follower) in self._failed:
            return
        self._failed.add(id(follower))
        because, about = f"{type(error).__name__}: {error}", Event.CYCLE.event_name
        self._observer.emit(
            Event.OBSERVER_FAILED, observer=type(follower).__name__, about=about, because=because
        )
