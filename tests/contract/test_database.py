"""What the cycle may rely on of any `Database`: of the real one and of the fake that stands in for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from remediator.core.directory import SKEW, Directory, Tenant
from remediator.core.model import (
    IDLE,
    ProbeResult,
    Session,
    SessionId,
)
from remediator.core.server import Endings, Server, replaced, restarted
from remediator.core.trend import NO_TREND
from remediator.core.trouble import TroubleKind
from remediator.errors import UnavailableError
from remediator.ports import Receipt
from tests.contract.database_worlds import (
    LONG,
    MAX_CONNECTIONS,
    SHORT,
    SUPERUSER_RESERVED,
    Client,
    FakeWorld,
    RealWorld,
    World,
)
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import RESERVED_SINCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

PATIENCE = timedelta(seconds=10)


def _small_server(versions: Mapping[int, Path], version: int) -> PostgresServer:
    settings: dict[str, str | int] = {"max_connections": MAX_CONNECTIONS}
    if version >= RESERVED_SINCE:
        settings["reserved_connections"] = 2
    return PostgresServer(version, versions[version], settings)


@pytest.fixture(
    scope="module",
    params=[
        "fake",
        pytest.param(15, marks=pytest.mark.postgres),
        pytest.param(16, marks=pytest.mark.postgres),
        pytest.param(18, marks=pytest.mark.postgres),
    ],
)
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer | None]:
    """A small real server of each version, and none for the fake."""
    if request.param == "fake":
        yield None
        return
    with _small_server(request.getfixturevalue("postgres_versions"), request.param) as real:
        yield real


@pytest.fixture
async def world(server: PostgresServer | None) -> AsyncIterator[World]:
    """A world in which nobody but the watcher has a session."""
    if server is None:
        fake = FakeWorld()
        await fake.database.sample(fake.moment())  # as a cycle does before anything else
        yield fake
        return
    real = RealWorld(server)
    await real.database.sample(real.moment())
    yield real
    await real.database.close()
    real.leave()


async def _choose(world: World, *clients: Client) -> list[Session]:
    """Read the sessions of these clients, in this order."""
    found = {session.id.pid: session for session in await world.database.sessions()}
    return [found[client.pid] for client in clients]


async def _gone(world: World, sessions: list[Session]) -> bool:
    return not await world.database.alive([session.id for session in sessions], PATIENCE)


async def test_slots_are_counted_over_what_an_ordinary_role_can_get(world: World) -> None:
    """Used slots are client sessions, ours included; usable ones leave out both kinds of reserve."""
    for _ in range(4):
        world.open()
    sample = await world.database.sample(world.moment())
    assert sample.trouble is None
    assert sample.slots is not None
    assert sample.slots.used == 5
    assert sample.slots.max_connections == MAX_CONNECTIONS
    assert sample.slots.superuser_reserved == SUPERUSER_RESERVED
    assert sample.slots.reserved == world.reserved
    assert sample.slots.usable == MAX_CONNECTIONS - SUPERUSER_RESERVED - world.reserved
    assert sample.slots.utilization == pytest.approx(5 / sample.slots.usable)


async def test_a_sample_carries_its_moment_and_the_server(world: World) -> None:
    """Who answered is known, and stays the same from one sample to the next."""
    moment = world.moment()
    first = await world.database.sample(moment)
    second = await world.database.sample(world.moment())
    assert first.moment == moment
    assert first.server is not None
    assert first.server == second.server
    assert first.server.can_signal
    assert not first.server.in_recovery


async def test_sessions_alike_are_one_group(world: World) -> None:
    """Groups tell user, application and state, and add up to the used slots."""
    for application in ("web", "web", "worker"):
        world.open(application)
    world.open("worker").begin()
    sample = await world.database.sample(world.moment())
    of_app = {(g.application, g.state): g.count for g in sample.groups if g.user == "app"}
    assert of_app == {("web", "idle"): 2, ("worker", "idle"): 1, ("worker", "idle in transaction"): 1}
    assert sample.slots is not None
    assert sum(group.count for group in sample.groups) == sample.slots.used


async def test_sessions_from_before_a_known_start_are_a_group_of_their_own(world: World) -> None:
    """So that those of a container's earlier life are told from those of its present one."""
    old = world.open("web")
    world.age()
    sample = await world.database.sample(world.moment())
    (group,) = [g for g in sample.groups if g.application == "web"]
    assert group.oldest is not None
    assert group.address is not None
    world.open("web")
    starts = {group.address: group.oldest + SHORT}
    sample = await world.database.sample(world.moment(), starts)
    (former, present) = sorted(g.oldest for g in sample.groups if g.application == "web" and g.oldest)
    assert former == group.oldest < starts[group.address] <= present
    assert old.lives()


async def test_groups_are_told_apart_where_single_sessions_are(world: World) -> None:
    """A session that began a little before its container's start is the container's, alone and in a group."""
    world.open("web")
    world.age()
    young = world.open("web")
    world.age()  # else they would be apart by their age
    (session,) = await _choose(world, young)
    assert session.address is not None
    tenant = Tenant("web-1", "web", frozenset({session.address}), session.id.backend_start + SKEW)
    sample = await world.database.sample(world.moment(), Directory((tenant,)).starts)
    begun = sorted(g.oldest for g in sample.groups if g.application == "web" and g.oldest)
    assert begun[1:] == [session.id.backend_start]
    assert tenant.since is not None
    assert begun[0] < tenant.since


async def test_sessions_that_never_ran_anything_are_told(world: World) -> None:
    """As a child process has them that inherited a connection it does not use."""
    used, fresh = world.open("web"), world.open("web", unused=True)
    used.query()
    sample = await world.database.sample(world.moment())
    unused = {g.unused: g.count for g in sample.groups if g.application == "web"}
    assert unused == {False: 1, True: 1}
    told = [session for session in await world.database.sessions() if session.application == "web"]
    assert {s.id.pid: s.unused for s in told} == {used.pid: False, fresh.pid: True}


async def test_a_session_that_a_pool_has_tested_is_not_taken_for_one_never_used(world: World) -> None:
    """The last statement of both has nothing in it; one ran others before."""
    used, tested = world.open("web"), world.open("web", unused=True)
    for client in (used, tested):
        client.ping()
    sample = await world.database.sample(world.moment())
    assert {g.unused: g.count for g in sample.groups if g.application == "web"} == {False: 2}
    told = [session for session in await world.database.sessions() if session.application == "web"]
    assert {s.id.pid: s.unused for s in told} == {used.pid: False, tested.pid: False}


async def test_young_sessions_are_counted(world: World) -> None:
    """What began within the last minute."""
    for _ in range(3):
        world.open()
    sample = await world.database.sample(world.moment())
    assert sample.slots is not None
    assert 3 <= sample.recent <= sample.slots.used


async def test_how_sessions_end_is_counted_and_by_whom(world: World) -> None:
    """By the server; those that we end count as told to end when they do, not before."""
    leaving, vanishing, killed, ours = (world.open() for _ in range(4))
    world.age()
    chosen = await _choose(world, ours)
    before = await world.database.sample(world.moment())
    told = before.signalled
    assert told is not None
    assert await world.database.terminate(chosen, SHORT) == (Receipt.SENT,)
    assert await _gone(world, chosen)
    leaving.leave()
    vanishing.vanish()
    killed.be_killed()
    world.age()
    after = await world.database.sample(world.moment())
    assert before.counters is not None
    assert after.counters is not None
    assert after.counters.abandoned - before.counters.abandoned == 1
    assert after.counters.fatal == before.counters.fatal
    assert after.counters.killed - before.counters.killed == 2
    assert (before.signalled, after.signalled) == (told, told + 1)
    trend = NO_TREND.tell(before).tell(after)
    assert trend.endings() == Endings(abandoned=1, killed=1)


async def test_a_session_that_changed_was_not_told_to_end(world: World) -> None:
    """Only what the server was asked to signal counts as ours."""
    client = world.open()
    world.age()
    chosen = await _choose(world, client)
    client.query()
    before = (await world.database.sample(world.moment())).signalled
    assert await world.database.terminate(chosen, SHORT) == (Receipt.CHANGED,)
    assert (await world.database.sample(world.moment())).signalled == before


async def test_idle_sessions_are_counted_by_cutoff(world: World) -> None:
    """A session counts from the moment its state has not changed for the cutoff."""
    old = [world.open(), world.open()]
    world.open().begin()
    world.age()
    old[0].query()
    world.open()
    sample = await world.database.sample(world.moment())
    assert sample.idle_older_than(timedelta(0)) == 3
    assert sample.idle_older_than(SHORT) == 1
    assert sample.idle_older_than(LONG) == 0


async def test_a_server_with_free_slots_accepts(world: World) -> None:
    """The probe of a server with room for more is accepted."""
    probe = (await world.database.sample(world.moment())).probe
    assert probe is not None
    assert probe.result is ProbeResult.ACCEPTED
    assert probe.sqlstate is None


async def test_a_full_server_refuses_and_is_still_read(world: World) -> None:
    """The probe is refused with the server's code while our session goes on reading, while it is full."""
    await world.database.sample(world.moment())
    usable = MAX_CONNECTIONS - SUPERUSER_RESERVED - world.reserved
    clients = [world.open() for _ in range(usable - 1)]
    sample = await world.database.sample(world.moment())
    assert sample.slots is not None
    assert sample.slots.free == 0
    probe = sample.probe
    assert probe is not None
    assert (probe.result, probe.sqlstate) == (ProbeResult.REFUSING, "53300")
    clients[0].leave()
    async with asyncio.timeout(PATIENCE.total_seconds()):
        while probe is not None and probe.result is not ProbeResult.ACCEPTED:
            probe = (await world.database.sample(world.moment())).probe
            await asyncio.sleep(0)
    assert probe is not None


async def test_sessions_tell_what_decides(world: World) -> None:
    """Each fact that spares a session is read right, and no other."""
    plain, locker, listener, transaction = (world.open() for _ in range(4))
    superuser = world.open(superuser=True)
    locker.lock()
    listener.listen()
    transaction.begin()
    world.age()
    clients = (plain, locker, listener, transaction, superuser)
    sessions = await _choose(world, *clients)
    assert [s.advisory_lock for s in sessions] == [False, True, False, False, False]
    assert [s.listening for s in sessions] == [False, False, True, False, False]
    assert [s.in_transaction for s in sessions] == [False, False, False, True, False]
    assert [s.superuser for s in sessions] == [False, False, False, False, True]
    assert [s.state for s in sessions] == [IDLE, IDLE, IDLE, "idle in transaction", IDLE]
    assert [s.idle_for >= SHORT.total_seconds() for s in sessions] == [True, True, True, False, True]
    assert not any(s.own or s.hidden for s in sessions)


async def test_our_own_session_is_marked(world: World) -> None:
    """Exactly our session is our own."""
    client = world.open()
    own = [session for session in await world.database.sessions() if session.own]
    assert len(own) == 1
    assert own[0].id.pid != client.pid


async def test_old_idle_sessions_are_terminated(world: World) -> None:
    """They are told to go, and they go; the others stay."""
    leaks = [world.open() for _ in range(3)]
    other = world.open()
    world.age()
    chosen = await _choose(world, *leaks)
    assert await world.database.terminate(chosen, SHORT) == (Receipt.SENT,) * 3
    assert await _gone(world, chosen)
    assert not any(client.lives() for client in leaks)
    assert other.lives()


async def test_a_session_used_since_it_was_chosen_lives(world: World) -> None:
    """It is idle again, and as old as asked for, but it is not as it was."""
    client = world.open()
    world.age()
    chosen = await _choose(world, client)
    client.query()
    world.age()
    assert await world.database.terminate(chosen, SHORT) == (Receipt.CHANGED,)
    assert client.lives()


async def test_a_session_that_began_a_transaction_lives(world: World) -> None:
    """An open transaction is never ended."""
    client = world.open()
    world.age()
    chosen = await _choose(world, client)
    client.begin()
    assert await world.database.terminate(chosen, timedelta(0)) == (Receipt.CHANGED,)
    assert client.lives()


async def test_a_transaction_is_spared_even_when_it_was_chosen(world: World) -> None:
    """The guard does not trust the choice."""
    client = world.open()
    client.begin()
    world.age()
    chosen = await _choose(world, client)
    assert await world.database.terminate(chosen, timedelta(0)) == (Receipt.CHANGED,)
    assert client.lives()


async def test_a_session_that_is_too_young_lives(world: World) -> None:
    """The age is looked at again when it is to be terminated."""
    client = world.open()
    chosen = await _choose(world, client)
    assert await world.database.terminate(chosen, LONG) == (Receipt.CHANGED,)
    assert client.lives()


async def test_the_next_owner_of_a_pid_lives(world: World) -> None:
    """A session is its pid and its start, not its pid."""
    client = world.open()
    world.age()
    [session] = await _choose(world, client)
    start = session.id.backend_start - timedelta(microseconds=1)
    former = replace(session, id=SessionId(client.pid, start))
    assert await world.database.terminate([former], SHORT) == (Receipt.CHANGED,)
    assert await world.database.alive([former.id], timedelta(0)) == frozenset()
    assert client.lives()


async def test_superusers_and_ourselves_are_spared_between_others(world: World) -> None:
    """One receipt for each session, in their order, whatever became of the one before."""
    first, last = world.open(), world.open()
    gone, superuser = world.open(), world.open(superuser=True)
    busy = world.open()
    world.age()
    sessions = await world.database.sessions()
    [own] = [session for session in sessions if session.own]
    chosen = [own, *await _choose(world, first, superuser, gone, busy, last)]
    gone.leave()
    busy.query()
    receipts = await world.database.terminate(chosen, SHORT)
    assert receipts == (
        Receipt.CHANGED,
        Receipt.SENT,
        Receipt.CHANGED,
        Receipt.CHANGED,
        Receipt.CHANGED,
        Receipt.SENT,
    )
    assert await _gone(world, [chosen[1], chosen[5]])
    assert superuser.lives()
    assert busy.lives()
    assert (await world.database.sample(world.moment())).trouble is None


async def test_nothing_to_terminate(world: World) -> None:
    """No sessions, no receipts."""
    assert await world.database.terminate([], SHORT) == ()


async def test_alive_tells_the_living_from_the_gone(world: World) -> None:
    """Those that are there are told apart by pid and start together."""
    stays, goes = world.open(), world.open()
    staying, going = await _choose(world, stays, goes)
    goes.leave()
    assert await world.database.alive([staying.id, going.id], timedelta(0)) == {staying.id}
    assert await world.database.alive([], timedelta(0)) == frozenset()


async def test_without_the_right_to_signal_nothing_is_terminated(world: World) -> None:
    """It is known beforehand, and said of each session."""
    client = world.open()
    world.age()
    world.grant(signal=False)
    try:
        sample = await world.database.sample(world.moment())
        assert sample.server is not None
        assert not sample.server.can_signal
        chosen = await _choose(world, client)
        assert await world.database.terminate(chosen, SHORT) == (Receipt.DENIED,)
        assert client.lives()
    finally:
        world.grant()


async def test_hidden_sessions_are_no_reading(world: World) -> None:
    """A right that is taken away is trouble, never few sessions; nothing is terminated or counted as gone."""
    client = world.open()
    world.age()
    chosen = await _choose(world, client)
    world.grant(stats=False)
    try:
        sample = await world.database.sample(world.moment())
        assert sample.slots is None
        assert sample.groups == ()
        assert sample.trouble is not None
        assert sample.trouble.kind is TroubleKind.HIDDEN
        hidden = {s.id.pid for s in await world.database.sessions() if s.hidden}
        assert client.pid in hidden
        assert await world.database.terminate(chosen, SHORT) == (Receipt.CHANGED,)
        assert await world.database.alive([chosen[0].id], timedelta(0)) == {chosen[0].id}
        assert client.lives()
    finally:
        world.grant()
    assert (await world.database.sample(world.moment())).trouble is None


async def test_what_follows_a_sample_is_asked_of_the_server_it_is_of(world: World) -> None:
    """After a restart nothing is read or done before the next sample, which knows it for the same server."""
    client = world.open()
    world.age()
    before = (await world.database.sample(world.moment())).server
    chosen = await _choose(world, client)
    world.restart()
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await world.database.sessions()
        with pytest.raises(UnavailableError):
            await world.database.alive([chosen[0].id], timedelta(0))
        assert await world.database.terminate(chosen, SHORT) == (Receipt.UNKNOWN,)
    now = (await world.database.sample(world.moment())).server
    assert before is not None
    assert now is not None
    assert restarted(before, now)
    assert replaced(before, now) == ""
    assert now.identity == before.identity != ""
    assert await world.database.alive([chosen[0].id], timedelta(0)) == frozenset()


async def _read_again(world: World) -> Server:
    """Read until there is an answer, after the server was restarted."""
    async with asyncio.timeout(PATIENCE.total_seconds()):
        sample = await world.database.sample(world.moment())
        while sample.trouble is not None:
            await asyncio.sleep(0)
            sample = await world.database.sample(world.moment())
    assert sample.server is not None
    return sample.server


async def test_while_another_remediator_may_act_we_may_not(world: World) -> None:
    """It is known from the sample, and the server itself refuses; once the other is gone it is our turn."""
    assert not world.rival()
    world.restart()
    assert world.rival()
    client = world.open()
    world.age()
    assert (await _read_again(world)).rival
    assert not await world.database.may_act()
    chosen = await _choose(world, client)
    assert await world.database.terminate(chosen, SHORT) == (Receipt.CHANGED,)
    assert client.lives()

    world.rival_leaves()
    assert await world.database.terminate(chosen, SHORT) == (Receipt.CHANGED,)
    assert not (await _read_again(world)).rival
    assert await world.database.may_act()
    assert not world.rival()
    assert await world.database.terminate(chosen, SHORT) == (Receipt.SENT,)
    assert await _gone(world, chosen)


async def test_the_right_to_act_is_lost_with_our_session(world: World) -> None:
    """A decision made before is not carried out, whoever has the right now."""
    assert await world.database.may_act()
    world.restart()
    assert not await world.database.may_act()
    assert not (await _read_again(world)).rival
    assert await world.database.may_act()
