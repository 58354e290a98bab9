"""What the status page shows, put together from cycles in memory."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from remediator.adapters.web import Board, Sources, make_app
from remediator.core.assess import Assessment, Watch, assess
from remediator.core.events import Event
from remediator.core.ledger import Lock, Pause
from remediator.core.maintenance import Recurrence
from remediator.core.model import Level, Mode
from remediator.core.policy import RestartService
from remediator.core.scene import Kind, Scene
from remediator.core.turn import Turn
from remediator.cycle import read_standing
from remediator.errors import LedgerError, RecordingError
from remediator.render import Gathering
from remediator.status import Desk, Facts, Memory, told_by
from remediator.status.chart import bands, chart
from remediator.status.doing import Doing
from remediator.status.memory import Point
from remediator.status.stories import Story
from remediator.status.views import View, owners
from remediator.testing import Reaction
from remediator.testing.recording import MemoryRecording
from tests.builders import START, UNREACHABLE, make_group, make_policy, make_sample, moment
from tests.unit.cycle_world import OLD, RESTART, USABLE, World


class Viewed:
    """A world in memory with a desk that follows it.

    Args:
        world: The world.
        mode: What the page says it is.
        recording: What an earlier life of the daemon has recorded.
    """

    def __init__(
        self, world: World, mode: Mode = Mode.ENFORCE, recording: MemoryRecording | None = None
    ) -> None:
        self.world = world
        self.name = world.cycles[0].database.name
        self.broken = False
        self.memory = Memory([self.name], mode)
        self.recording = recording or MemoryRecording(mode, "one")
        self.asked: list[object] = []
        facts = Facts(mode, "1.2.3", "config.yaml", "version: 1\n")
        self.desk = Desk(
            lambda: facts,
            self.memory,
            world.store,
            self._standings,
            self._foresee,
            self._recall,
            self._recount,
            world.clock,
        )
        self._told = 0

    async def turns(self, number: int = 1) -> None:
        """Let the world go on, and show it."""
        for _ in range(number):
            turn = await self.world.turn()
            for event, fields in self.world.told.lines[self._told :]:
                self.desk.emit(event, **fields)
            self._told = len(self.world.told.lines)
            self.desk.completed(self.name, self.world.policy, turn)
            self.recording.completed(self.name, self.world.policy, turn)

    async def until(self, event: Event) -> None:
        """Let the world go on until an event was told."""
        for _ in range(500):
            await self.turns()
            if self.world.told.of(event):
                return
        raise AssertionError(f"{event} was never told")

    async def view(self) -> View:
        """The database as it is shown."""
        shown: View = (await self.desk.page())["databases"][0]
        return shown

    async def _standings(self) -> dict[str, Any]:
        if self.broken:
            raise LedgerError("the disk is full")
        world = self.world
        return {self.name: await read_standing(world.store, self.name, world.policy, world.clock.now())}

    async def _recall(self, _: str, until: datetime) -> list[Point]:
        if self.broken:
            raise RecordingError("the disk is full")
        return [Point(until - timedelta(minutes=m), 40 + m, 97, Level.NORMAL) for m in range(30, 0, -1)]

    async def _recount(self, incident: str) -> Sequence[Scene]:
        self.asked.append(incident)
        if self.broken:
            raise RecordingError("the disk is full")
        return await told_by(self.recording.story(incident, surveys=False))

    async def _foresee(self, _: str, assessment: Assessment) -> Turn:
        return await self.world.cycles[0].foresee(assessment)


async def test_an_incident_is_told_from_its_evidence_to_its_end() -> None:
    """Opened, planned, done with each session, relieved, closed, in that order; before and after."""
    viewed = Viewed(World())
    viewed.world.fill()
    await viewed.until(Event.INCIDENT_CLOSED)
    viewed.world.clock.advance(5)
    page = await viewed.desk.page()
    (story,) = page["stories"]
    titles = [chapter.title for chapter in story.chapters]
    assert titles[0] == "Level monitor, was normal"
    wanted = [
        "Critical is confirmed",
        "Plan",
        "Terminate 48 sessions",
        "Wait for the effect",
        "Relieved",
        "Closed",
    ]
    assert [title for title in dict.fromkeys(titles) if title in wanted] == wanted
    assert story.before == "96 of 97"
    assert story.after == "48 of 97"
    assert story.state.startswith("closed, relieved after")
    assert story.summary == "48 sessions terminated (48 confirmed)"
    (done,) = (chapter for chapter in story.chapters if chapter.title.startswith("Terminate"))
    assert len(done.lines) + done.more == 48
    own = await viewed.desk.incident(story.id)
    assert own is not None
    (done,) = (chapter for chapter in own["story"].chapters if chapter.title.startswith("Terminate"))
    assert (len(done.lines), done.more) == (48, 0)
    assert "idle for" in done.lines[0].because
    assert done.lines[0].outcome == "confirmed"
    assert await viewed.desk.incident("another") is None


async def test_a_restart_is_shown_while_it_is_under_way_and_with_its_outcome() -> None:
    """Acting, to be verified; then what came of it."""
    viewed = Viewed(World(make_policy(steps=(RESTART, RestartService("api")))))
    viewed.world.fill()
    await viewed.until(Event.ACTION_INTENDED)
    viewed.world.clock.advance(2)
    assert (await viewed.view()).doing.title == "Acting: restarting celery-1"
    await viewed.until(Event.ACTION_FINISHED)
    viewed.world.clock.advance(2)
    (story,) = (await viewed.desk.page())["stories"]
    (restart,) = (chapter for chapter in story.chapters if chapter.title == "Restart celery-1")
    assert "1 confirmed after" in restart.text


async def test_a_dry_run_never_says_that_something_was_done() -> None:
    """Neither in the sentence, nor in the story, nor in its sum."""
    viewed = Viewed(World(mode=Mode.DRY_RUN), Mode.DRY_RUN)
    viewed.world.fill()
    await viewed.until(Event.INCIDENT_RELIEVED)
    viewed.world.clock.advance(2)
    page = await viewed.desk.page()
    assert page["dry"] is True
    (story,) = page["stories"]
    assert story.summary == "48 sessions would have been terminated"
    assert "no longer critical (as simulated, or in fact) after" in story.state
    assert page["databases"][0].doing.title == "Would be relieved; watching whether it lasts"


@pytest.mark.parametrize(
    ("until", "end"),
    [(None, "until `resume`"), (START + timedelta(hours=9), "until 2030-01-01 09:00:00 UTC")],
)
async def test_a_hold_by_people_says_which_and_until_when(until: datetime | None, end: str) -> None:
    """A pause in the headline and in how the incident stands, and before it is critical, too."""
    viewed = Viewed(World())
    await viewed.world.store.pause(Pause(START, until, "a Deploy"))
    viewed.world.fill(10, age=timedelta(0))
    await viewed.turns(2)
    assert (await viewed.view()).doing == Doing("wait", f"Paused {end}", "a Deploy")
    viewed.world.fill()
    await viewed.until(Event.INCIDENT_SUSPENDED)
    viewed.world.clock.advance(2)
    page = await viewed.desk.page()
    assert page["databases"][0].doing.title == f"Paused {end}"
    assert "a Deploy" in page["databases"][0].doing.text
    assert page["stories"][0].state == f"open, held by a pause {end}"


async def test_a_maintenance_window_is_named_in_the_headline() -> None:
    """And in how the incident stands."""
    weekly = Recurrence("0 0 * * *", timedelta(hours=12), reason="a deploy")
    viewed = Viewed(World(replace(make_policy(), maintenance=(weekly,))))
    viewed.world.fill()
    await viewed.until(Event.INCIDENT_SUSPENDED)
    viewed.world.clock.advance(2)
    page = await viewed.desk.page()
    until = "until 2030-01-01 12:00:00 UTC"
    assert page["databases"][0].doing.title == f"Maintenance window {until}"
    assert page["stories"][0].state == f"open, held by a maintenance window {until}"


async def test_all_is_not_well_while_something_stays_locked() -> None:
    """A restart that went wrong may have freed the slots: critical is over, and a person is needed still."""
    viewed = Viewed(World(make_policy(steps=(RESTART,))))
    database = viewed.world.database
    viewed.world.runtimes["celery"].script("celery-1", Reaction.STAY_DOWN)
    leaked = [database.open(application="celery") for _ in range(95)]
    viewed.world.clock.advance(OLD)
    await viewed.until(Event.LOCKED)
    for session in leaked:
        database.leave(session)
    await viewed.until(Event.INCIDENT_RELIEVED)
    viewed.world.clock.advance(2)
    doing = (await viewed.view()).doing
    assert (doing.tone, doing.title) == ("bad", "No longer critical, but a person is needed")
    await viewed.until(Event.INCIDENT_CLOSED)
    await viewed.turns(20)
    viewed.world.clock.advance(2)
    page = await viewed.desk.page()
    assert page["databases"][0].level == "normal"
    doing = page["databases"][0].doing
    assert (doing.tone, doing.title) == ("bad", "Slots are free, but a person is needed")
    assert doing.text.startswith(
        "service:celery stays locked until `remediator ack`: celery-1 was restarted: "
    )
    (story,) = page["stories"]
    assert story.tone == "bad"
    assert story.state.startswith("closed, no longer critical after ")
    assert story.state.endswith(", but the restart of celery-1 was refuted")
    await viewed.world.store.acknowledge()
    viewed.world.clock.advance(2)
    assert (await viewed.view()).doing.title == "All is well"


@pytest.mark.parametrize(
    ("lock", "tone", "title"),
    [(True, "bad", "Held: a person is needed"), (False, "wait", "Paused until `resume`")],
)
async def test_a_hold_says_why_and_whether_a_person_is_needed(lock: bool, tone: str, title: str) -> None:
    """In the sentence, in the notices and in the story; identities are told as they are written."""
    viewed = Viewed(World())
    why = "2 rounds without relief in incident 20261122T151304.672-shop"
    if lock:
        await viewed.world.store.lock(Lock(f"database:{viewed.name}", START, why))
    else:
        await viewed.world.store.pause(Pause(START, None, why))
    viewed.world.fill()
    await viewed.until(Event.INCIDENT_HELD if lock else Event.INCIDENT_SUSPENDED)
    viewed.world.clock.advance(2)
    page = await viewed.desk.page()
    doing = page["databases"][0].doing
    assert (doing.tone, doing.title) == (tone, title)
    assert ("locked" if lock else "paused") in doing.text.lower()
    assert why in doing.text
    assert (page["locks"] != (), page["pause"] is not None) == (lock, not lock)
    kinds = {chapter.kind for chapter in page["stories"][0].chapters}
    assert ("bad" if lock else "hold") in kinds


async def test_what_would_be_done_is_worked_out_only_while_somebody_looks() -> None:
    """After a look, with the next check; a minute without any ends it, and what is old is not shown."""
    viewed = Viewed(World())
    viewed.world.fill(30)
    await viewed.turns(3)
    assert (await viewed.view()).ahead is None
    await viewed.turns(2)
    viewed.world.clock.advance(2)
    ahead = (await viewed.view()).ahead
    assert ahead is not None
    assert ahead.assumed
    assert ahead.steps[0].label.startswith("terminate sessions idle for 10m")
    first = ahead.at
    await viewed.turns(12)
    shown = (await viewed.view()).ahead
    assert shown is not None
    assert first < shown.at
    await viewed.turns(60)
    assert (await viewed.view()).ahead is None
    await viewed.turns(2)
    viewed.world.clock.advance(2)
    assert (await viewed.view()).ahead is not None


async def test_nothing_would_be_done_while_the_state_is_not_known() -> None:
    """What was worked out before the server went away is not shown any more."""
    viewed = Viewed(World())
    viewed.world.fill(30)
    await viewed.turns(3)
    await viewed.view()
    await viewed.turns(2)
    viewed.world.clock.advance(2)
    assert (await viewed.view()).ahead is not None
    viewed.world.database.trouble = UNREACHABLE
    await viewed.turns(2)
    assert (await viewed.view()).ahead is None
    assert "Nothing: the state of the database is not known." in (await html(viewed))[1]


async def test_a_ledger_that_cannot_be_read_is_said_and_the_rest_is_shown() -> None:
    """The state of the database does not depend on it."""
    viewed = Viewed(World())
    viewed.world.fill(10, age=timedelta(0))
    await viewed.turns(2)
    viewed.broken = True
    page = await viewed.desk.page()
    assert page["trouble"] == "the disk is full"
    assert page["databases"][0].used == 10


async def test_critical_without_a_ledger_is_never_called_watching() -> None:
    """No incident can be opened: the sentence, the plan and the list of incidents say why nothing is done."""
    viewed = Viewed(World())
    viewed.broken, viewed.world.store.broken = True, "No space left on /var"
    viewed.world.fill()
    await viewed.turns(20)
    await viewed.desk.page()
    await viewed.turns()
    shown = (await viewed.desk.page())["databases"][0]
    assert (shown.level, shown.doing.tone) == ("critical", "bad")
    assert shown.doing.title == "Critical, and held: a person is needed"
    assert shown.doing.text == "The ledger cannot be written (No space left on /var). Nothing is done."
    assert shown.ahead is not None
    assert "No space left on /var" in shown.ahead.stopped
    assert "Not known: the ledger cannot be read." in (await html(viewed))[1]


async def html(viewed: Viewed, path: str = "/") -> tuple[int, str]:
    """What a browser gets, without a server between."""

    async def nothing() -> bytes:
        return b""

    desk = viewed.desk
    board = Board(desk.page, desk.incident, desk.series)
    sources = Sources(nothing, "text/plain", lambda: "", lambda: "", board)
    app = make_app(sources, (), viewed.world.told, viewed.world.clock)
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]).decode()


async def test_every_state_can_be_shown() -> None:
    """Not looked at yet, calm, not known, held by a lock, without a ledger; and an incident on its own."""
    viewed = Viewed(World())
    assert "was not looked at yet" in (await html(viewed))[1]
    viewed.world.fill(10, age=timedelta(0))
    await viewed.turns(3)
    assert 'class="hero normal"' in (await html(viewed))[1]
    viewed.world.database.trouble = UNREACHABLE
    await viewed.turns(3)
    status, body = await html(viewed)
    assert (status, 'class="hero unknown"' in body, "<b>?</b>" in body) == (200, True, True)
    viewed.world.database.trouble = None
    await viewed.world.store.lock(Lock(f"database:{viewed.name}", START, "<b>3 rounds</b>"))
    viewed.world.fill()
    await viewed.until(Event.INCIDENT_HELD)
    viewed.world.clock.advance(2)
    status, body = await html(viewed)
    assert "Held: a person is needed" in body
    assert "&lt;b&gt;3 rounds&lt;/b&gt;" in body
    (story,) = (await viewed.desk.page())["stories"]
    status, body = await html(viewed, f"/incidents/{story.id}")
    assert (status, "Critical is confirmed" in body) == (200, True)
    viewed.broken = True
    viewed.world.clock.advance(2)
    assert "The ledger cannot be read." in (await html(viewed))[1]
    assert not viewed.world.told.of(Event.WEB_FAILED)


async def test_before_the_first_check_it_says_so() -> None:
    """No database is shown as if it were known."""
    page = await Viewed(World()).desk.page()
    assert page["databases"] == []
    assert len(page["waiting"]) == 1


async def test_what_was_recorded_before_the_start_is_on_the_chart() -> None:
    """In front of what was seen since; where it cannot be read, the page is as good without."""
    for broken in (False, True):
        viewed = Viewed(World())
        viewed.broken = broken
        viewed.world.fill(10, age=timedelta(0))
        await viewed.turns(2)
        await viewed.view()
        await asyncio.sleep(0)
        viewed.world.clock.advance(2)
        numbers = await viewed.desk.series(viewed.name)
        assert numbers is not None
        assert numbers["at"] == sorted(numbers["at"])
        assert numbers["used"] == ([] if broken else list(range(70, 40, -1))) + [10, 10]


async def story_of(viewed: Viewed) -> Story:
    """The newest incident as it is shown, once what was recorded has been looked up."""
    await viewed.desk.page()
    for _ in range(50):
        await asyncio.sleep(0)
    viewed.world.clock.advance(2)
    story: Story = (await viewed.desk.page())["stories"][0]
    return story


@pytest.mark.parametrize("after", [Event.INCIDENT_HELD, Event.INCIDENT_CLOSED])
async def test_a_restart_of_the_daemon_costs_nothing_of_a_story(after: Event) -> None:
    """Plans, holds and waits of before are told from the recording; where that is lost, from the ledger."""
    viewed = Viewed(World())
    held = after is Event.INCIDENT_HELD
    if held:
        await viewed.world.store.lock(Lock(f"database:{viewed.name}", START, "3 rounds"))
    viewed.world.fill()
    await viewed.until(after)
    before = await story_of(viewed)
    assert not viewed.asked, "what is in memory is not looked up"
    viewed.world.fresh_cycles()
    reborn = Viewed(viewed.world, recording=viewed.recording)
    reborn.world.clock.advance(2)
    await reborn.turns(2)
    again = await story_of(reborn)
    assert reborn.asked == [before.id]
    assert [c for c in again.chapters if c.at <= before.chapters[-1].at] == list(before.chapters)
    kinds = {chapter.kind for chapter in again.chapters}
    assert kinds >= ({"bad"} if held else {"plan", "wait", "act", "good"})
    lost = Viewed(viewed.world)
    lost.broken = True
    await lost.turns(2)
    lost.broken = False
    told = [chapter.title for chapter in (await story_of(lost)).chapters]
    assert told[0] == "Critical is confirmed"
    assert held or told[-1] == "Closed"


async def test_the_page_and_the_history_tell_the_same() -> None:
    """One storyteller: the same things happen at the same times."""
    viewed = Viewed(World())
    viewed.world.fill()
    await viewed.until(Event.INCIDENT_CLOSED)
    await viewed.turns(3)
    page = await story_of(viewed)
    (incident,) = viewed.world.store.incidents.values()
    gathering = Gathering(incident)
    async for reading in viewed.recording.story(incident.id):
        gathering.read(reading)
    bundle = gathering.bundle(viewed.world.entries, Mode.ENFORCE)
    opened = next(scene.at for scene in bundle.scenes if scene.kind is Kind.OPENED)
    scenes = [s.at for s in bundle.scenes if not (s.kind is Kind.LEVEL and s.at == opened)]
    assert [c.at for c in page.chapters if c.kind != "plan"] == scenes
    plans = {c.at.isoformat() for c in page.chapters if c.kind == "plan"}
    assert plans
    assert plans <= {decision["at"] for decision in bundle.decisions}


async def test_a_full_server_has_no_time_left_to_tell() -> None:
    """While slots are free it is said when none will be; then no more."""
    viewed = Viewed(World(make_policy(steps=())))
    said: list[tuple[int | None, int]] = []
    for used in range(20, USABLE + 1, 7):
        viewed.world.leak(used)
        await viewed.turns()
        (database,) = (await viewed.desk.page())["databases"]
        said.append((database.free, sum("if this goes on" in line for line in database.because)))
    assert said[-1] == (0, 0)
    assert {told for free, told in said[-4:-1] if free} == {1}, "once, be it a reason for the level or not"


async def test_the_ledger_is_asked_again_only_when_something_happened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often somebody looks; and for what was done in the newest incidents only."""
    viewed = Viewed(World())
    viewed.world.fill()
    await viewed.until(Event.INCIDENT_CLOSED)
    asked: list[tuple[int | None, str]] = []
    history = viewed.world.store.history

    async def counted(since: datetime, newest: int | None = None, also: str = "") -> Any:
        asked.append((newest, also))
        return await history(since, newest, also)

    monkeypatch.setattr(viewed.world.store, "history", counted)
    story = await story_of(viewed)
    for _ in range(20):
        viewed.world.clock.advance(2)
        await viewed.desk.page()
    assert asked == [(10, "")]
    for _ in range(5):
        viewed.world.clock.advance(2)
        assert await viewed.desk.incident(story.id) is not None
    assert asked == [(10, ""), (10, story.id)]
    viewed.desk.emit(Event.ACTION_INTENDED, database=viewed.name)
    viewed.world.clock.advance(2)
    await viewed.desk.page()
    assert asked[2:] == [(10, story.id)]
    viewed.world.clock.advance(100)
    await viewed.desk.page()
    assert len(asked) == 4, "by the clock too: other processes write as well"


def test_memory_is_bounded_and_keeps_the_peaks() -> None:
    """Hours of checks: the newest whole, of the rest the fullest of each minute."""
    memory = Memory(["shop"], Mode.ENFORCE)
    policy = make_policy()
    watch = Watch()
    for second in range(0, 20_000, 3):
        used = 95 if second == 7_500 else 20
        assessment = assess(policy, watch, make_sample(used=used, at=moment(second)))
        level = Level.ALERT if second % 2 else Level.NORMAL
        memory.completed("shop", policy, Turn(replace(assessment, level=level)))
    known = memory.databases["shop"]
    assert len(known.points) < 1500
    assert max(reading.used or 0 for reading in known.points) == 95
    assert [r.at for r in known.points] == sorted(r.at for r in known.points)
    assert len(known.scenes) == 400
    assert known.whole_since == known.scenes[0].at


def test_the_chart_runs_forward_although_the_clock_was_set_back() -> None:
    """No line runs back over itself: of a time that comes twice what was seen last is shown."""
    known = Memory(["shop"], Mode.ENFORCE).databases["shop"]
    minutes = [*range(30), *range(20, 40)]
    for number, minute in enumerate(minutes):
        known.read(Point(START + timedelta(minutes=minute), number, 97, Level.NORMAL))
    assert [(p.at - START).total_seconds() / 60 for p in known.points] == list(range(40))
    assert [p.used for p in known.points] == [*range(21), *range(31, 50)]
    now = START + timedelta(minutes=39)
    (line,) = chart(known.points, (), make_policy(), now).lines
    places = [float(place.split(",")[0]) for place in line.split()]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] <= 960
    late = known.points[0].at - timedelta(minutes=1)
    known.recall([Point(late - timedelta(minutes=m), 1, 97, Level.NORMAL) for m in (3, 1, 2)])
    assert [p.at for p in known.points] == sorted(p.at for p in known.points)


def test_strangers_names_cannot_fill_the_page() -> None:
    """However many there are, the table ends."""
    groups = [make_group(count=1, application=f"made up {number}") for number in range(500)]
    rows = owners(make_sample(used=500, usable=600, groups=groups))
    assert len(rows) < 30
    assert sum(row.total for row in rows) == 500


def test_the_chart_leaves_gaps_where_nothing_was_known() -> None:
    """What lies between two known stretches is not made up."""
    readings = [
        Point(moment(second).at, None if 20 <= second < 40 else 50, 100, Level.NORMAL)
        for second in range(0, 60, 5)
    ]
    drawn = chart(readings, [], make_policy(), moment(60).at)
    assert len(drawn.lines) == 2
    assert [band.level for band in bands(make_policy())] == ["normal", "monitor", "alert", "critical"]
    assert sum(height for _, _, height in drawn.bands) == pytest.approx(drawn.height)
    assert chart([], [], None, START).lines == []
