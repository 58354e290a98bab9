"""Every recording keeps the same promises: the one in a file and the one in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from remediator.adapters.recording import Keep, Recorder, SqliteRecording
from remediator.core.assess import Watch, assess
from remediator.core.decide import Situation, decide
from remediator.core.ledger import Incident, Ledger, Lock, Pause
from remediator.core.maintenance import Window
from remediator.core.model import (
    Exempt,
    Level,
    Mode,
    Probe,
    ProbeResult,
    Sample,
    Session,
    SessionId,
)
from remediator.core.owner import Owner, OwnerKind
from remediator.core.plan import Survey
from remediator.core.reading import Reading, fingerprint
from remediator.core.server import Counters
from remediator.core.story import another_plan
from remediator.core.trouble import Trouble, TroubleKind
from remediator.core.turn import Orders, Turn
from remediator.ports import Follower, Recording
from remediator.testing.recording import MemoryRecording
from tests.builders import (
    DATABASE,
    START,
    make_group,
    make_incident,
    make_policy,
    make_replica,
    make_sample,
    make_session,
    moment,
)
from tests.replaying import finish
from tests.unit.cycle_world import Told

POLICY = make_policy()
KEEP = Keep(timedelta(days=90), timedelta(days=90), 10_000_000)
DAY = timedelta(days=1)


@dataclass
class Kept:
    """A recording with both its sides."""

    follower: Follower
    recording: Recording
    flush: Callable[[], None]

    def take(self, seconds: float, *, incident: Incident | None = None, used: int = 50) -> None:
        """Record a plain cycle this long after the beginning."""
        sample = make_sample(used=used, at=moment(seconds))
        self.follower.completed(DATABASE, POLICY, Turn(assess(POLICY, Watch(), sample), incident=incident))

    async def all(self) -> tuple[Reading, ...]:
        """Everything there is."""
        self.flush()
        return tuple([r async for r in self.recording.whole(DATABASE, START - DAY, START + 400 * DAY)])

    async def story(self, incident: str) -> tuple[Reading, ...]:
        """Everything there is of an incident."""
        self.flush()
        return tuple([r async for r in self.recording.story(incident)])


def _sqlite(state_dir: Path) -> Kept:
    recorder = Recorder(state_dir, Mode.ENFORCE, "one", KEEP, Told())
    return Kept(recorder, SqliteRecording(state_dir, Mode.ENFORCE), lambda: finish(recorder))


def _memory(_: Path) -> Kept:
    memory = MemoryRecording(Mode.ENFORCE, "one")
    return Kept(memory, memory, lambda: None)


@pytest.fixture(params=[_sqlite, _memory], ids=["sqlite", "memory"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """An empty recording of each kind."""
    make: Callable[[Path], Kept] = request.param
    return make(tmp_path)


def full_sample() -> Sample:
    """A sample in which everything has a value of its own."""
    owner = Owner(OwnerKind.ORPHAN, "api")
    group = replace(make_group(count=40), unused=True, oldest=START - DAY, owner=owner)
    refused = Probe(ProbeResult.REFUSING, "53300", "sorry", 0.123456789, own_limit=True)
    sample = make_sample(groups=(group, make_group(count=2, state="active")), probe=refused)
    stamped = replace(sample.moment, boot="this", uptime=12.5, stamp=START + timedelta(microseconds=1))
    return replace(
        sample,
        moment=stamped,
        replaced="timeline 2, was 1",
        clock_set=-3.5,
        recent=7,
        counters=Counters(1, 2, 3, 4),
        signalled=5,
    )


def sessions() -> tuple[Session, ...]:
    """Sessions of which some are spared."""
    old = [replace(make_session(pid=n), id=SessionId(n, START - DAY)) for n in range(1, 40)]
    spared = make_session(pid=100, advisory_lock=True, user=None, address=None, idle_for=0.1)
    return (*old, replace(spared, owner=Owner(OwnerKind.SERVICE, "api")))


async def test_nothing_is_in_it_before_something_is_recorded(kept: Kept) -> None:
    """Absence is no trouble."""
    assert await kept.all() == ()
    assert await kept.story("none") == ()
    assert await kept.recording.readings(DATABASE, START, START + DAY, 10) == ()


async def test_a_reading_comes_back_as_it_was(kept: Kept) -> None:
    """All that a decision needs, with what was decided."""
    sample = full_sample()
    assessment = assess(POLICY, Watch(), sample)
    incident = make_incident()
    replicas = (make_replica(exempt=Exempt.OWN, started_at=START), make_replica(number=2))
    trouble = Trouble(TroubleKind.TIMEOUT, "no answer")
    survey = Survey(sessions(), {"celery": replicas, "api": trouble})
    calm = replace(sample, replaced="")
    plan = decide(Situation(DATABASE, POLICY, calm, incident, Ledger(), survey))
    orders = Orders(Pause(START, START + DAY, "busy"), (Lock("service:api", START, "failed"),))
    window = Window(START + DAY, "deploy")
    turn = Turn(assessment, plan, incident, 3, window, survey=survey, renewed=assessment, orders=orders)
    kept.follower.completed(DATABASE, POLICY, turn)
    (reading,) = await kept.all()
    assert reading.sample == reading.renewed == sample
    assert (reading.survey, reading.orders, reading.maintenance) == (survey, orders, window)
    assert (reading.incident, reading.in_flight, reading.run) == (incident, 3, "one")
    assert (reading.level, reading.pending) == (assessment.level, Level.CRITICAL)
    assert reading.findings == assessment.findings
    assert (reading.policy, reading.fingerprint) == ("web", fingerprint(POLICY))
    assert reading.cutoffs == POLICY.cutoffs
    assert plan.next_step is not None
    assert reading.plan is not None
    assert reading.plan.next_rung is not None
    assert len(reading.plan.next_rung.acts) == len(plan.next_step.acts) > 0
    held = [v for v in reading.plan.rungs[0].verdicts if "advisory_lock" in v.objections]
    assert [v.targets for v in held] == [(100,)]


async def test_trouble_comes_back_as_it_was(kept: Kept) -> None:
    """A sample without slots, a survey without sessions."""
    sample = make_sample(used=None, probe=None)
    survey = Survey(Trouble(TroubleKind.UNREACHABLE, "gone"), {})
    kept.follower.completed(DATABASE, POLICY, Turn(assess(POLICY, Watch(), sample), survey=survey))
    (reading,) = await kept.all()
    assert (reading.sample, reading.survey, reading.unknown) == (sample, survey, True)


def in_trouble(second: float, there: Sequence[Session]) -> Turn:
    """A cycle of an incident in which nothing can be done, this long after the beginning."""
    incident, sample = make_incident(opened_at=START), make_sample(at=moment(second))
    survey = Survey(tuple(there), {"celery": (make_replica(exempt=Exempt.OWN),)})
    plan = decide(Situation(DATABASE, POLICY, sample, incident, Ledger(), survey))
    return Turn(assess(POLICY, Watch(), sample), plan, incident, survey=survey)


async def test_whatever_is_seen_in_an_endless_incident_comes_back_as_it_was(kept: Kept) -> None:
    """For hours nothing can be done: who was there at each look, in which order, idle for how long."""
    taken = []
    there = [replace(s, advisory_lock=True) for s in sessions()]
    for number, second in enumerate(range(0, 2 * 3600, 20)):
        idle = [s if n % 7 else turned(s, second) for n, s in enumerate(there)]
        there = [replace(s, idle_for=s.idle_for and 0.1 + second + n * 1e-6) for n, s in enumerate(idle)]
        if number % 5 == 0:
            there = [*there[3:], replace(there[0], id=SessionId(1000 + number, START), user=f"u{number}")]
        taken.append(in_trouble(second, there))
        kept.follower.completed(DATABASE, POLICY, taken[-1])
        if number % 100 == 0:
            kept.flush()
    everything = await kept.all()
    assert [r.survey for r in everything] == [turn.survey for turn in taken]
    (incident,) = {r.incident.id for r in everything if r.incident}
    story = await kept.story(incident)
    assert [replace(r, survey=None) for r in story] == [replace(r, survey=None) for r in everything]
    plans = zip((None, *everything), everything, strict=False)
    changed = [another_plan(before.plan if before else None, after.plan) for before, after in plans]
    assert any(changed)
    for told, reading, is_another in zip(story, everything, changed, strict=True):
        assert told.survey == (reading.survey if is_another else None)
    assert all(turn.plan is not None and turn.plan.next_step is None for turn in taken)


def turned(session: Session, second: float) -> Session:
    """A session that began a statement."""
    at = START + timedelta(seconds=second)
    return replace(session, state="active", state_change=at, idle_for=0.0, in_transaction=True)


async def test_the_quick_answer_leaves_out_surveys(kept: Kept) -> None:
    """Charts do not need them, and they are large."""
    sample = make_sample()
    turn = Turn(assess(POLICY, Watch(), sample), survey=Survey(sessions(), {}))
    kept.follower.completed(DATABASE, POLICY, turn)
    (reading,) = await kept.all()
    assert reading.survey == turn.survey
    assert await kept.recording.readings(DATABASE, START, START + DAY) == (replace(reading, survey=None),)


async def test_readings_are_of_the_time_and_the_database_that_are_asked_for(kept: Kept) -> None:
    """From `since` on, and before `until`."""
    for seconds in (0, 10, 20, 30):
        kept.take(seconds)
    kept.flush()
    since, until = START + timedelta(seconds=10), START + timedelta(seconds=30)
    found = await kept.recording.readings(DATABASE, since, until)
    assert [(r.at - START).total_seconds() for r in found] == [10, 20]
    assert await kept.recording.readings("other", since, until) == ()


async def test_of_many_readings_the_peaks_are_shown(kept: Kept) -> None:
    """At most as many as asked for, over all of the time, and no peak gets lost."""
    for second in range(0, 600, 5):
        kept.take(second, used=97 if second == 305 else 40)
    kept.flush()
    found = await kept.recording.readings(DATABASE, START, START + timedelta(minutes=10), 20)
    assert len(found) == 20
    assert [
        (r.at - START).total_seconds() for r in found if r.sample.slots and r.sample.slots.used == 97
    ] == [305]
    assert found == tuple(sorted(found, key=lambda reading: reading.at))


async def test_a_story_begins_before_its_incident_and_ends_after_it(kept: Kept) -> None:
    """Ten minutes on both sides; another incident's readings are not among them."""
    first, second = make_incident(id="first"), make_incident(id="second")
    for minute in range(-20, 0):
        kept.take(60 * minute)
    kept.take(0, incident=first)
    kept.take(60, incident=first)
    for minute in range(2, 40):
        kept.take(60 * minute)
    kept.take(60 * 40, incident=second)
    kept.flush()
    minutes = [round((r.at - START).total_seconds() / 60) for r in await kept.story("first")]
    assert minutes == list(range(-10, 12))
    minutes = [round((r.at - START).total_seconds() / 60) for r in await kept.story("second")]
    assert minutes == list(range(30, 41))
