"""A world made of readings: it answers as it did then, and nothing that is done to it changes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from remediator.core.model import Moment, Replica, Sample, Session, SessionId
from remediator.core.reading import Reading
from remediator.core.trouble import Trouble
from remediator.cycle.timekeeping import Timekeeper
from remediator.errors import UnavailableError
from remediator.ports import NO_STARTS, Receipt
from remediator.replay.guesses import Guesses

_NOT_KNOWN = "not known: nobody read it then"


@dataclass(slots=True)
class Past:
    """One database at the moment that is being replayed.

    Attributes:
        reading: What was seen then.
        length: How long after it the next reading was.
        own: The policy of then is replayed. All that it wanted to know was read, and nothing is guessed.
        looked: Sessions or replicas have been read, so that a sample that had grown old was renewed after it.
    """

    reading: Reading
    length: timedelta
    own: bool
    looked: bool = False
    guesses: Guesses = field(default_factory=Guesses)

    def go_to(self, reading: Reading, length: timedelta, *, own: bool) -> None:
        """Go on to the next reading."""
        self.reading, self.length, self.own, self.looked = reading, length, own, False

    def knows(self, at: datetime) -> bool:
        """Tell whether something of that time on the wall clock was known before the next look."""
        return at - self.reading.at < self.length

    @property
    def sample(self) -> Sample:
        """What a look at the database shows now."""
        reading = self.reading
        return reading.renewed if self.looked and reading.renewed is not None else reading.sample

    def sessions(self) -> tuple[Session, ...]:
        """The sessions as they were read then, else guessed from the groups that were counted.

        Raises:
            UnavailableError: They could not be read then either, or are not known and not to be guessed.
        """
        survey = self.reading.survey
        sessions = survey.sessions if survey is not None else ()
        sample, self.looked = self.sample, True
        if isinstance(sessions, Trouble):
            raise UnavailableError(sessions.detail)
        if survey is None and self.own:
            raise UnavailableError(_NOT_KNOWN)
        # A policy without a step for sessions had them not read.
        return sessions if self.own else sessions or self.guesses.sessions(sample)

    def replicas(self, service: str) -> tuple[Replica, ...]:
        """A service's replicas as they were read then, else as they were last seen, else a guess.

        Raises:
            UnavailableError: They could not be read then either, or are not known and not to be guessed.
        """
        survey = self.reading.survey
        seen = survey.services.get(service) if survey is not None else None
        self.looked = True
        if isinstance(seen, Trouble):
            raise UnavailableError(seen.detail)
        if seen is None and self.own:
            raise UnavailableError(_NOT_KNOWN)
        return self.guesses.replicas(service, seen)


@dataclass(frozen=True, slots=True)
class PastClock:
    """Stands still while a cycle runs."""

    past: Past

    def now(self) -> Moment:
        """When the newest look was."""
        return self.past.sample.moment


@dataclass(frozen=True, slots=True)
class PastDatabase:
    """A database as it was."""

    name: str
    past: Past

    async def sample(
        self,
        moment: Moment,  # noqa: ARG002  the port's signature
        starts: Mapping[str, datetime] = NO_STARTS,  # noqa: ARG002  the port's signature
    ) -> Sample:
        """What was read then; that another server answered is for the cycle to notice."""
        return replace(self.past.sample, replaced="")

    async def sessions(self) -> tuple[Session, ...]:
        """The sessions of then."""
        return self.past.sessions()

    async def terminate(
        self,
        sessions: Sequence[Session],
        older_than: timedelta,  # noqa: ARG002  the port's signature
    ) -> tuple[Receipt, ...]:
        """Do nothing; what came of it is known with hindsight."""
        return (Receipt.SENT,) * len(sessions)

    async def may_act(self) -> bool:
        """Whoever does nothing may always do so."""
        return True

    async def alive(
        self,
        ids: Sequence[SessionId],
        patience: timedelta,  # noqa: ARG002  the port's signature
    ) -> frozenset[SessionId]:
        """All of them, as far as this world is concerned."""
        return frozenset(ids)

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class PastRuntime:
    """A service as it was."""

    service: str
    past: Past

    async def replicas(self) -> tuple[Replica, ...]:
        """The replicas of then."""
        return self.past.replicas(self.service)

    async def restart(self, replica: Replica) -> Receipt:  # noqa: ARG002  the port's signature
        """Do nothing."""
        return Receipt.SIMULATED


class PastTimekeeper(Timekeeper):
    """Every moment was stamped when it was recorded."""

    async def stamp(self, moment: Moment) -> Moment:
        """The moment as it is."""
        return moment

    async def keep(self, moment: Moment) -> None:
        """Nothing outlives a replay."""


def runtimes_of(services: Collection[str], past: Past) -> dict[str, PastRuntime]:
    """Each service as one database's cycle sees it."""
    return {name: PastRuntime(name, past) for name in services}
