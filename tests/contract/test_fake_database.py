"""What tests can make a `FakeDatabase` do beyond what a healthy server does."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from remediator.core.model import (
    ProbeResult,
    Session,
)
from remediator.core.trouble import Trouble, TroubleKind
from remediator.errors import UnavailableError
from remediator.ports import Receipt
from remediator.testing import FakeClock, FakeDatabase, FakeSession

AGE = timedelta(minutes=10)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that only the test moves."""
    return FakeClock()


@pytest.fixture
def server(clock: FakeClock) -> FakeDatabase:
    """A server without clients."""
    return FakeDatabase(clock, max_connections=20)


async def _choose(server: FakeDatabase, *sessions: FakeSession) -> list[Session]:
    found = {session.id: session for session in await server.sessions()}
    return [found[session.id] for session in sessions]


async def test_trouble_is_in_the_sample_and_fails_all_else(server: FakeDatabase, clock: FakeClock) -> None:
    """Nothing is read or done while the server gives no answer, and everything once it does again."""
    session = server.open()
    clock.advance(AGE)
    chosen = await _choose(server, session)
    server.trouble = Trouble(TroubleKind.TIMEOUT, "no answer")
    sample = await server.sample(clock.now())
    assert sample.trouble == server.trouble
    assert sample.slots is None
    assert sample.probe is not None
    assert sample.probe.result is ProbeResult.UNAVAILABLE
    with pytest.raises(UnavailableError, match="no answer"):
        await server.sessions()
    with pytest.raises(UnavailableError, match="no answer"):
        await server.alive([session.id], AGE)
    assert await server.terminate(chosen, AGE) == (Receipt.UNKNOWN,)
    server.trouble = None
    assert server.exists(session)
    assert (await server.sample(clock.now())).slots is not None


async def test_full_before_we_got_in(server: FakeDatabase, clock: FakeClock) -> None:
    """A server that has no slot for us is refusing."""
    server.trouble = Trouble(TroubleKind.FULL, "too many clients")
    probe = (await server.sample(clock.now())).probe
    assert probe is not None
    assert (probe.result, probe.sqlstate) == (ProbeResult.REFUSING, "53300")


async def test_half_open_clients_are_in_no_view(server: FakeDatabase, clock: FakeClock) -> None:
    """They take slots that only the probe can see."""
    server.half_open = 17
    sample = await server.sample(clock.now())
    assert sample.slots is not None
    assert sample.slots.used == 1
    assert sample.probe is not None
    assert sample.probe.result is ProbeResult.REFUSING


@pytest.mark.parametrize("lingers", [timedelta(seconds=5), None])
async def test_a_session_can_ignore_its_termination(
    server: FakeDatabase, clock: FakeClock, lingers: timedelta | None
) -> None:
    """For a while or for ever; it was signalled once each time."""
    session = server.open()
    session.lingers = lingers
    clock.advance(AGE)
    chosen = await _choose(server, session)
    assert await server.terminate(chosen, AGE) == (Receipt.SENT,)
    assert await server.alive([session.id], timedelta(seconds=4)) == {session.id}
    clock.advance(timedelta(seconds=5))
    assert server.exists(session) is (lingers is None)
    assert server.signals == [session.id]


async def test_a_session_can_flip_before_every_attempt(server: FakeDatabase, clock: FakeClock) -> None:
    """It is never as it was when it was chosen, even in the same instant of virtual time."""
    session = server.open()
    session.flips = True
    clock.advance(AGE)
    assert await server.terminate(await _choose(server, session), timedelta(0)) == (Receipt.CHANGED,)
    assert server.exists(session)
    assert server.signals == []


async def test_the_connection_can_break_in_the_middle(server: FakeDatabase, clock: FakeClock) -> None:
    """What the server did last is not known, although it was done."""
    sessions = [server.open() for _ in range(3)]
    clock.advance(AGE)
    server.break_after = 1
    receipts = await server.terminate(await _choose(server, *sessions), AGE)
    assert receipts == (Receipt.SENT, Receipt.UNKNOWN, Receipt.UNKNOWN)
    assert [server.exists(session) for session in sessions] == [False, False, True]
    with pytest.raises(UnavailableError):
        await server.sessions()


async def test_a_slow_server_answers_when_the_gate_opens(server: FakeDatabase, clock: FakeClock) -> None:
    """A call waits for as long as the test wants."""
    server.gate = asyncio.Event()
    call = asyncio.create_task(server.sample(clock.now()))
    await asyncio.sleep(0)
    assert not call.done()
    server.gate.set()
    assert (await call).trouble is None


async def test_a_restart_ends_every_session(server: FakeDatabase, clock: FakeClock) -> None:
    """The server says that it began anew, and a reused pid is a session of its own."""
    before = (await server.sample(clock.now())).server
    session = server.open()
    server.leave(session)
    successor = server.open(pid=session.id.pid)
    assert successor.id != session.id
    clock.advance(1)
    server.restart()
    assert not server.exists(successor)
    after = (await server.sample(clock.now())).server
    assert before is not None
    assert after is not None
    assert after.started_at - before.started_at >= timedelta(seconds=1)


async def test_a_wrong_wall_clock_is_not_the_servers(server: FakeDatabase, clock: FakeClock) -> None:
    """Idle ages are the server's own."""
    session = server.open()
    clock.jump(timedelta(days=1))
    [read] = await _choose(server, session)
    assert read.idle_for == 0
    assert (await server.sample(clock.now())).idle_older_than(AGE) == 0


async def test_hidden_activity_is_never_idle(server: FakeDatabase, clock: FakeClock) -> None:
    """A session with `track_activities` off shows neither state nor age."""
    session = server.open()
    session.hide_activity()
    clock.advance(AGE)
    [read] = await _choose(server, session)
    assert (read.state, read.state_change, read.idle_for) == ("disabled", None, 0)
    assert await server.terminate([read], timedelta(0)) == (Receipt.CHANGED,)


async def test_closing_is_noted(server: FakeDatabase) -> None:
    """Whether the connection was let go can be asked."""
    await server.close()
    assert server.closed
