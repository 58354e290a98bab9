"""Whose sessions are whose: by address and start first, by what the operator says second, else not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from time import process_time
from typing import Any

import pytest

from remediator.core.attribution import Attribution, Claim
from remediator.core.directory import SKEW, Directory, Tenant
from remediator.core.model import SessionId
from remediator.core.owner import Owner, OwnerKind
from tests.builders import START, make_group, make_sample, make_session

API = Owner(OwnerKind.SERVICE, "api")
METABASE = Owner(OwnerKind.CLIENT, "metabase")
LATER = START + timedelta(minutes=5)


def tenant(
    name: str = "shop-api-1", service: str | None = "api", *addresses: str, pooler: bool = False
) -> Tenant:
    """A container that was started at the tests' beginning."""
    return Tenant(name, service, frozenset(addresses), START, pooler)


def owner(
    attribution: Attribution, address: str | None, begun: datetime | None = LATER, *, user: str = "shop"
) -> Owner:
    """The owner of a session of `psql`."""
    return attribution.owner(address, user, "psql", begun)


DIRECTORY = Directory(
    tenants=(
        tenant("shop-api-1", "api", "172.18.0.5", "172.19.0.5", "fd00::5"),
        tenant("shop-api-2", "api", "172.18.0.6"),
        tenant("shop-bouncer-1", None, "172.18.0.7", pooler=True),
        tenant("grafana", None, "172.18.0.8"),
    ),
    former=(tenant("shop-celery-1", "celery", "172.18.0.9"),),
    gateways=frozenset({"172.18.0.1"}),
    networks=frozenset({"172.18.0.0/16", "fd00::/64"}),
)
HERE = Attribution(DIRECTORY)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("172.18.0.5", API),
        ("172.19.0.5", API),
        ("fd00::5", API),
        ("172.18.0.6", API),
        ("172.18.0.7", Owner(OwnerKind.POOLER, "shop-bouncer-1")),
        ("172.18.0.8", Owner(OwnerKind.CONTAINER, "grafana")),
        ("172.18.0.9", Owner(OwnerKind.ORPHAN, "celery")),
        ("172.18.0.77", Owner(OwnerKind.ORPHAN)),
        ("172.18.0.1", Owner(OwnerKind.HOST)),
        ("127.0.0.1", Owner(OwnerKind.LOCAL)),
        ("::1", Owner(OwnerKind.LOCAL)),
        (None, Owner(OwnerKind.LOCAL)),
        ("203.0.113.9", Owner()),
        ("not an address", Owner()),
    ],
)
def test_an_address_tells_the_owner(address: str | None, expected: Owner) -> None:
    """On every network, for every replica; what an address cannot tell is said."""
    assert owner(HERE, address) == expected


def test_a_session_from_before_its_container_was_started_is_an_orphan() -> None:
    """Whoever has the address now did not open it."""
    assert owner(HERE, "172.18.0.5", START - timedelta(minutes=1)) == Owner(OwnerKind.ORPHAN, "api")


@pytest.mark.parametrize("begun", [START, START - timedelta(seconds=1), None])
def test_clocks_that_differ_a_little_make_no_orphans(begun: datetime | None) -> None:
    """A server in another machine's clock; or a server that does not tell when a session began."""
    assert owner(HERE, "172.18.0.5", begun) == API


def test_a_container_whose_start_is_not_known_has_all_sessions_of_its_address() -> None:
    """Nothing speaks against it."""
    attribution = Attribution(replace(DIRECTORY, tenants=(replace(DIRECTORY.tenants[0], started_at=None),)))
    assert owner(attribution, "172.18.0.5", START - timedelta(days=1)) == API


def test_claims_decide_where_an_address_does_not() -> None:
    """The first that fits counts."""
    claims = (
        Claim(METABASE, users=("reports",), applications=("psql",)),
        Claim(API, addresses=("172.18.0.7/32", "203.0.113.0/24")),
    )
    attribution = Attribution(DIRECTORY, claims)
    assert owner(attribution, "203.0.113.9") == API
    assert owner(attribution, "203.0.114.9") == Owner()
    assert owner(attribution, "172.18.0.7") == API, "the operator knows who is behind this pooler"
    assert owner(attribution, None, user="reports") == METABASE
    assert owner(attribution, "172.18.0.1", user="reports") == METABASE
    assert owner(attribution, "172.18.0.8", user="reports") == METABASE


def test_claims_do_not_overrule_a_services_own_address() -> None:
    """A name can be set to anything by anybody; an address cannot."""
    attribution = Attribution(DIRECTORY, (Claim(METABASE, users=("*",)),))
    assert owner(attribution, "172.18.0.5") == API
    assert owner(attribution, "172.18.0.9") == Owner(OwnerKind.ORPHAN, "celery")


def test_a_container_cannot_pass_for_a_service_by_a_name() -> None:
    """A name can be set to anything; only where an address is shared by several it is all there is."""
    claims = (Claim(API, applications=("psql",)), Claim(METABASE, users=("reports",)))
    attribution = Attribution(DIRECTORY, claims)
    assert owner(attribution, "172.18.0.8") == Owner(OwnerKind.CONTAINER, "grafana")
    only_metabase = Attribution(DIRECTORY, claims[::-1])
    assert owner(only_metabase, "172.18.0.8", user="reports") == METABASE
    shared = replace(DIRECTORY.tenants[3], shared=True)
    assert owner(Attribution(replace(DIRECTORY, tenants=(shared,)), claims), "172.18.0.8") == API


@pytest.mark.parametrize(("service", "name"), [("api", "api"), (None, "shop-api-1")])
def test_an_address_that_containers_share_is_none_of_theirs_and_that_is_said(
    service: str | None, name: str
) -> None:
    """Whose a session is there, of a service or of another container, cannot be told."""
    shared = replace(tenant("shop-api-1", service, "172.18.0.5"), shared=True)
    found = owner(Attribution(replace(DIRECTORY, tenants=(shared,))), "172.18.0.5")
    assert found == Owner(OwnerKind.SHARED, name)
    assert found.label == f"shared network of {name}"


def test_samples_and_sessions_are_attributed_alike() -> None:
    """Groups by the oldest of their members, sessions by their own start."""
    group = replace(make_group(count=7), oldest=LATER)
    old = replace(make_group(count=2), oldest=START - timedelta(hours=1))
    sample = HERE.of_sample(make_sample(groups=(group, old)))
    assert [g.owner for g in sample.groups] == [API, Owner(OwnerKind.ORPHAN, "api")]
    (session,) = HERE.of_sessions([make_session()])
    assert session.owner == Owner(OwnerKind.ORPHAN, "api"), "it began two hours before the container"


def test_starts_are_known_by_address() -> None:
    """For the server, to count apart what is from before them: by the same measure as a single session."""
    since = DIRECTORY.starts["172.19.0.5"]
    assert since == START - SKEW
    assert owner(HERE, "172.19.0.5", since) == API
    assert owner(HERE, "172.19.0.5", since - timedelta(microseconds=1)) == Owner(OwnerKind.ORPHAN, "api")
    assert "172.18.0.9" not in DIRECTORY.starts


def test_thousands_of_addresses_are_told_quickly() -> None:
    """As many as a large server has sessions; by the processor's time, of which a busy machine takes none."""
    networks = frozenset(f"10.{n}.0.0/16" for n in range(100)) | {f"fd00:{n:x}::/64" for n in range(100)}
    services = tuple(tenant(f"api-{n}", "api", f"10.99.{n}.7") for n in range(200))
    claims = tuple(Claim(METABASE, addresses=(f"192.168.{n}.0/24",)) for n in range(20))
    attribution = Attribution(Directory(services, networks=networks), claims)
    sessions = [
        replace(make_session(), address=f"203.{n // 65536}.{n // 256 % 256}.{n % 256}") for n in range(20_000)
    ]
    begun = process_time()
    owned = attribution.of_sessions(sessions)
    assert process_time() - begun < 5.0
    assert {session.owner for session in owned} == {Owner()}


def test_sessions_that_are_alike_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And each as if it were alone, also those that began at the very border of two containers' lives."""
    since, tick = START - SKEW, timedelta(microseconds=1)
    kinds = [
        replace(make_session(), id=SessionId(n, since + n % 3 * tick - tick), address=address, user=user)
        for n, (address, user) in enumerate(
            product(["172.18.0.5", "172.18.0.9", "172.18.0.7", None], ["shop", None, "reports"])
        )
    ]
    attribution = Attribution(DIRECTORY, (Claim(METABASE, users=("reports",)),))
    alone = [attribution.owner(s.address, s.user or "", s.application, s.id.backend_start) for s in kinds]
    asked = []
    judge = Attribution.owner

    def counting(self: Attribution, *about: Any) -> Owner:
        asked.append(about)
        return judge(self, *about)

    monkeypatch.setattr(Attribution, "owner", counting)
    owned = attribution.of_sessions(kinds * 100)
    assert [session.owner for session in owned] == alone * 100
    assert len(asked) <= len(kinds)
