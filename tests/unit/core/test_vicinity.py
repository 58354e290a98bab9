"""When the addresses that a server sees are shown to be those of the engine's containers, and when not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import inf

import pytest

from remediator.core.attribution import Attribution, Claim
from remediator.core.culprit import blame
from remediator.core.directory import Directory, Tenant
from remediator.core.ledger import Ledger
from remediator.core.owner import UNATTRIBUTED, Owner, OwnerKind
from remediator.core.server import Route
from remediator.core.suspicion import Suspicion
from remediator.core.trouble import Trouble, TroubleKind
from remediator.core.vicinity import LASTS, believable
from tests.builders import START, make_group, make_incident, make_policy, make_sample, make_server

API, METABASE = Owner(OwnerKind.SERVICE, "api"), Owner(OwnerKind.CLIENT, "metabase")
DIRECTORY = Directory(
    tenants=(
        Tenant("shop-db-1", None, frozenset({"172.18.0.2"}), START, published=frozenset({5432})),
        Tenant("shop-api-1", "api", frozenset({"172.18.0.5"}), START),
        Tenant("shop-remediator-1", None, frozenset({"172.18.0.9", "fd00::9"}), START),
    ),
    gateways=frozenset({"172.18.0.1"}),
    networks=frozenset({"172.18.0.0/16", "fd00::/64"}),
)
SERVER = make_server()


def way(dialled: str, ours: str, seen: str = "", *, port: int = 5432, direct: bool = True) -> Route:
    """How a server is reached; it sees us by our own address unless told."""
    return Route(dialled, port, ours, seen or ours, direct)


def told(address: str | None, route: Route | None) -> bool:
    """Whether sessions of a server are told by containers' addresses."""
    directory, untold = believable(DIRECTORY, replace(SERVER, address=address, route=route))
    assert (directory == DIRECTORY) is not bool(untold)
    return not untold


@pytest.mark.parametrize(
    ("address", "route"),
    [
        pytest.param(None, None, id="a unix socket"),
        pytest.param("127.0.0.1", way("127.0.0.1", "127.0.0.1"), id="loopback"),
        pytest.param("10.0.0.7", way("10.0.0.7", "10.0.0.7"), id="the host's own address"),
        pytest.param("172.18.0.2", way("172.18.0.2", "172.18.0.9"), id="a container's view"),
        pytest.param("fd00::2", way("fd00::2", "fd00::9"), id="a container's view, IPv6"),
        pytest.param("10.0.0.7", way("10.0.0.7", "172.18.0.9"), id="host, from a container"),
        pytest.param("172.18.0.2", way("172.18.0.2", "172.18.0.1"), id="from the host"),
        pytest.param("172.17.0.1", way("172.17.0.1", "172.17.0.1", "10.0.0.7"), id="masqueraded"),
        pytest.param("172.18.0.2", way("127.0.0.1", "127.0.0.1", direct=False), id="a published port"),
        pytest.param("172.18.0.2", way("10.0.0.7", "10.0.0.7", direct=False), id="on the host's address"),
        pytest.param("172.18.0.2", way("172.18.0.1", "172.18.0.9", direct=False), id="on a gateway"),
    ],
)
def test_a_server_beside_the_engine_sees_its_addresses(address: str | None, route: Route | None) -> None:
    """From wherever we look at it."""
    assert told(address, route)


@pytest.mark.parametrize(
    ("address", "route"),
    [
        pytest.param("10.0.0.8", way("10.0.0.8", "10.0.0.7"), id="another machine"),
        pytest.param("10.0.0.8", way("10.0.0.8", "172.18.0.9", "10.0.0.7"), id="from a container"),
        pytest.param("10.0.0.8", way("10.0.0.8", "172.18.0.9", "10.0.0.7", direct=False), id="and its port"),
        pytest.param("172.18.0.2", way("10.0.0.8", "10.0.0.7", direct=False), id="its container"),
        pytest.param("172.18.0.2", way("10.0.0.8", "172.18.0.9", direct=False), id="its, from ours"),
        pytest.param("127.0.0.1", way("127.0.0.1", "127.0.0.1", direct=False), id="a tunnel"),
        pytest.param(
            "172.18.0.2", way("127.0.0.1", "127.0.0.1", port=15432, direct=False), id="to a container"
        ),
        pytest.param("172.18.0.5", way("127.0.0.1", "127.0.0.1", direct=False), id="another's port"),
        pytest.param("172.18.0.2", way("172.18.0.5", "172.18.0.9", port=6432, direct=False), id="a proxy"),
        pytest.param("172.18.0.2", None, id="a way that was not told"),
    ],
)
def test_a_server_elsewhere_may_mean_other_containers_by_the_same_addresses(
    address: str | None, route: Route | None
) -> None:
    """Every engine hands out the same private addresses."""
    assert not told(address, route)


def test_of_a_server_elsewhere_only_patterns_tell() -> None:
    """All of them, as if there were no engine."""
    elsewhere = replace(SERVER, address="10.0.0.8", route=way("10.0.0.8", "10.0.0.7"))
    directory, untold = believable(DIRECTORY, elsewhere)
    assert "10.0.0.8" in untold
    attribution = Attribution(directory, (Claim(API, applications=("gunicorn*",)),))
    assert attribution.owner("172.18.0.5", "shop", "", None) == UNATTRIBUTED
    assert attribution.owner("172.18.0.5", "shop", "gunicorn", None) == API


BESIDE = replace(SERVER, route=way("172.18.0.2", "172.18.0.9"))
GROUP = replace(make_group(count=40), oldest=START)


@pytest.mark.parametrize(("age", "culprit"), [(0.0, "api"), (LASTS, "api"), (LASTS + 1, None), (inf, None)])
def test_nobody_is_blamed_by_an_old_directory(age: float, culprit: str | None) -> None:
    """An address may be another container's by now; why there is no culprit is said."""
    trouble = Trouble(TroubleKind.UNREACHABLE, "is the engine hung?") if age else None
    directory, untold = believable(replace(DIRECTORY, age=age, trouble=trouble), BESIDE)
    sample = Attribution(directory).of_sample(replace(make_sample(groups=(GROUP,)), untold=untold))
    suspicion = Suspicion(("api",), older_than=timedelta(minutes=1))
    blamed = blame(make_policy(), suspicion, sample, make_incident(), Ledger(()))
    assert blamed.service == culprit
    assert ("is the engine hung?" in blamed.text) is (culprit is None)


def test_while_it_is_forgotten_who_lives_where_a_name_makes_no_service() -> None:
    """A container that calls itself like a service is not blamed for that when the engine is silent."""
    directory, _ = believable(replace(DIRECTORY, age=LASTS + 1), BESIDE)
    claims = (Claim(API, applications=("gunicorn*",)), Claim(METABASE, users=("reports",)))
    attribution = Attribution(directory, claims)
    assert attribution.owner("172.18.0.5", "shop", "gunicorn", START) == UNATTRIBUTED
    assert attribution.owner("172.18.0.5", "reports", "", START) == METABASE
    assert attribution.owner("172.18.0.1", "shop", "gunicorn", START) == API, "through the host, as before"
    assert attribution.owner("203.0.113.9", "shop", "gunicorn", START) == API
    assert attribution.owner("127.0.0.1", "shop", "", START).kind is OwnerKind.LOCAL
