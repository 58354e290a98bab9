"""What the demo has seen with its own eyes, apart from what the daemon says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from remediator.core.model import Level, Mode
from remediator.core.text import count
from remediator.demo import honest
from remediator.demo.scenario import LEAKING, THRESHOLDS, UNTIL, USABLE
from remediator.demo.sessions import Look
from remediator.demo.story import Story

_SHOW_WITHIN = 40.0


@dataclass(slots=True)
class Scene:
    """The state of the stage, for the view.

    Attributes:
        story: What the daemon says.
        look: Who takes the slots now.
        now: Seconds since the start.
        history: Used slots by time, oldest first.
        leaked: Every session of a leaking service that was ever seen.
        starts: How often each service has been started.
    """

    story: Story
    look: Look = field(default_factory=Look)
    now: float = 0.0
    history: list[tuple[float, int]] = field(default_factory=list)
    leaked: frozenset[tuple[int, datetime]] = frozenset()
    starts: Mapping[str, int] = field(default_factory=dict)

    def note(self, now: float, look: Look, starts: Mapping[str, int]) -> None:
        """Take one more look."""
        self.now = now
        self.look = look
        self.history.append((now, look.used))
        self.leaked |= look.of(LEAKING)
        self.starts = starts

    @property
    def mode(self) -> Mode:
        """Whether the daemon acts."""
        return self.story.mode

    @property
    def peak(self) -> int:
        """The most slots that were ever used; those kept for others (our probe gets one) do not count."""
        return min(USABLE, max((used for _, used in self.history), default=0))

    @property
    def span(self) -> float:
        """How many seconds a picture of the history should have room for."""
        return max(_SHOW_WITHIN, self.now)


def band(used: float) -> Level:
    """In which level's band so many used slots are."""
    return max((level for level, share in THRESHOLDS.items() if used > share * USABLE), default=Level.NORMAL)


@dataclass(frozen=True, slots=True)
class Finale:
    """The world after the daemon has had its turn, as the demo itself finds it.

    Attributes:
        look: Who takes the slots.
        accepts: An application gets a connection.
        running: Every service runs.
        pids_before: Each service's process at the start.
        pids_after: The same now.
        because: Why the demo ended before the daemon had come to an end; empty if it had not.
    """

    look: Look
    accepts: bool
    running: bool
    pids_before: Mapping[str, int]
    pids_after: Mapping[str, int]
    because: str = ""

    @property
    def restarted(self) -> tuple[str, ...]:
        """The services that have another process now."""
        return tuple(name for name, pid in self.pids_after.items() if pid != self.pids_before[name])

    def honest_alive(self) -> tuple[str, ...]:
        """The sessions that had to survive and did."""
        found = {session.application for session in self.look.sessions}
        return tuple(each.application for each in honest.ALL if each.application in found)


def failures(scene: Scene, finale: Finale) -> list[str]:
    """What speaks against calling the demo a success; nothing in the daemon's log can speak for it."""
    found = [finale.because] if finale.because else []
    if scene.peak < USABLE:
        found.append(f"the slots never ran out: {scene.peak} of {USABLE} used at most")
    dead = len(honest.ALL) - len(finale.honest_alive())
    if dead:
        found.append(f"{dead} of the sessions that had to survive did not")
    if not finale.running:
        found.append("a service does not run")
    if scene.mode is Mode.DRY_RUN:
        return found + _changes(scene, finale)
    if finale.look.used > UNTIL * USABLE:
        found.append(f"no relief: {finale.look.used} of {USABLE} slots are used")
    if not finale.accepts:
        found.append("no relief: the server still refuses connections")
    return found


def _changes(scene: Scene, finale: Finale) -> list[str]:
    """What a dry run has changed, or not done."""
    found = [] if scene.story.planned else ["no plan was made"]
    gone = len(scene.leaked - finale.look.of(LEAKING))
    if gone:
        found.append(f"the dry run changed something: {count(gone, 'session')} gone")
    if finale.restarted:
        found.append(f"the dry run changed something: {', '.join(finale.restarted)} restarted")
    return found
