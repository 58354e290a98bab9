"""Reading what the engine and the system say: containers, addresses, our own id, failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import APIError, DockerException
from hypothesis import given
from hypothesis import strategies as st
from requests import Response
from requests.exceptions import ConnectionError as HttpConnectionError
from requests.exceptions import ReadTimeout

from remediator.adapters.compose.containers import PROJECT, SERVICE, Surroundings, canonical, read_containers
from remediator.adapters.compose.directory import read_directory, remembered, unchanged
from remediator.adapters.compose.failure import shown, translate
from remediator.adapters.compose.own import own_ids, read_own_ids
from remediator.core.directory import Tenant
from remediator.core.model import Exempt, Health, ReplicaState
from remediator.errors import RejectedError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

OURS = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
OWN, OTHER = "ab" * 32, "cd" * 32
NOWHERE = Surroundings()
HOST = "unix:///run/docker.sock"


def container(number: int = 1, status: str = "running", **labels: str) -> dict[str, Any]:
    """An answer of the engine, as small as can be."""
    named = {f"com.docker.compose.{name}": value for name, value in labels.items()}
    return {
        "Id": f"{number:064x}",
        "Name": f"/shop-web-{number}",
        "State": {"Status": status, "StartedAt": "2030-01-01T00:00:00Z"},
        "Config": {"Labels": {**OURS, "com.docker.compose.container-number": str(number), **named}},
    }


def exempt(*containers: dict[str, Any], around: Surroundings = NOWHERE) -> list[Exempt | None]:
    """Why each container is exempt."""
    return [found.replica.exempt for found in read_containers("web", OURS, containers, around)]


def test_a_container_with_other_labels_is_ignored_though_the_engine_named_it() -> None:
    """The filter is not trusted alone."""
    lying = [
        container(),
        container(2, project="bank"),
        container(3, service="webs"),
        {"Id": "x", "Config": None},
    ]
    assert [found.number for found in read_containers("web", OURS, lying, NOWHERE)] == [1]


def test_a_replaced_container_shares_its_number_with_its_replacement() -> None:
    """The label of a replacement that is done means nothing."""
    assert exempt(container(replace="old")) == [None]
    assert exempt(container(), container(2, replace="old")) == [None, None]
    assert exempt(container(), container(replace="old", status="created")) == [Exempt.REPLACED] * 2
    assert exempt(container(), container(oneoff="True")) == [None, Exempt.ONE_OFF]
    first, its_successor, second = container(), container(replace="old", status="created"), container(2)
    assert exempt(first, its_successor, second) == [Exempt.REPLACED] * 3


@pytest.mark.parametrize(("oneoff", "service"), [("False", "web"), ("True", None)])
def test_a_one_off_container_is_not_its_services_tenant(oneoff: str, service: str | None) -> None:
    """What `docker compose run` leaks is no reason to restart the service: that would not end it."""
    here = read_directory([container(oneoff=oneoff)], {(OURS[PROJECT], OURS[SERVICE]): "web"})
    assert [tenant.service for tenant in here.tenants] == [service]


def gone(name: str, address: str, service: str | None = None) -> Tenant:
    """A container that is gone."""
    return Tenant(name, service, frozenset({address}))


def test_who_starts_again_and_again_pushes_nobody_out_of_memory() -> None:
    """Neither one container, nor a service's replicas, nor those that belong to no service."""
    crashing = [gone("crashing", f"172.18.1.{n}") for n in range(200)]
    service = [gone(f"shop-web-{n}", f"172.18.2.{n}", "web") for n in range(200)]
    strangers = [gone(f"job-{n}", f"172.18.3.{n}") for n in range(200)]
    api = gone("shop-api-1", "172.18.0.5", "api")
    kept = remembered([*crashing, *service, *strangers, api])
    assert api in kept
    assert kept[0] == crashing[0], "the latest"
    assert strangers[0] in kept
    assert len(kept) < 100


def test_of_those_who_lived_at_one_address_the_last_is_remembered() -> None:
    """It is whose sessions are there still; others tell nothing more."""
    lived = [gone(f"job-{n}", "172.18.0.5") for n in range(200)]
    assert remembered(lived) == (lived[0],)
    assert remembered([Tenant("nowhere", None, frozenset())]) == ()


NETWORK = {"EndpointID": "e1", "IPAddress": "172.18.0.5", "GlobalIPv6Address": "", "Gateway": "172.18.0.1"}


def connected(**network: str) -> dict[str, Any]:
    """A container that runs, on one network."""
    one = container()
    one["State"] |= {"Running": True, "Restarting": False}
    one["NetworkSettings"] = {"Networks": {"shop_default": {**NETWORK, **network}}, "Ports": {}}
    return one


def listed(one: dict[str, Any]) -> dict[str, Any]:
    """What the list says of a container."""
    return {"Id": one["Id"], "Names": [one["Name"]], "NetworkSettings": one["NetworkSettings"]}


@pytest.mark.parametrize(
    ("now", "same"),
    [
        (connected(), True),
        (connected(Gateway="172.18.0.99"), True),
        (connected(EndpointID="e2"), False),
        (connected(EndpointID=""), False),
        (connected(IPAddress="172.18.0.6"), False),
        (connected(GlobalIPv6Address="fd00::5"), False),
        ({**connected(), "NetworkSettings": {"Networks": {}}}, False),
        ({**connected(), "NetworkSettings": None}, False),
        ({**connected(), "Name": "/renamed"}, False),
    ],
)
def test_a_container_is_inspected_again_once_the_list_shows_a_change(now: dict[str, Any], same: bool) -> None:
    """A start gives it new endpoints, also where its addresses stay the same."""
    assert unchanged(connected(), listed(now)) is same


def test_what_the_list_does_not_identify_is_always_inspected() -> None:
    """An engine that tells no endpoint's id; a container that was between two starts."""
    nameless, restarting = connected(EndpointID=""), connected()
    restarting["State"]["Restarting"] = True
    assert not unchanged(nameless, listed(nameless))
    assert not unchanged(restarting, listed(restarting))


def test_published_ports_are_known() -> None:
    """On whichever of the host's addresses; what is merely exposed is not published."""
    one = connected()
    bound = [{"HostIp": "127.0.0.1", "HostPort": "15432"}, {"HostIp": "::1", "HostPort": "15432"}]
    one["NetworkSettings"]["Ports"] = {"5432/tcp": bound, "8080/tcp": None, "9/tcp": [{"HostPort": ""}]}
    assert read_directory([one], {}).tenants[0].published == {15432}


@pytest.mark.parametrize(
    ("value", "out"),
    [
        *((word, True) for word in ("false", "False", "0", "no", "flase")),
        *((word, False) for word in ("true", "True ", "1", "", None)),
    ],
)
def test_a_label_opts_out(value: str | None, out: bool) -> None:
    """What is no clear yes does."""
    one = container()
    if value is not None:
        one["Config"]["Labels"]["remediator.enable"] = value
    assert exempt(one) == [Exempt.OPTED_OUT if out else None]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2030-01-01T00:00:00.123456789Z", datetime(2030, 1, 1, microsecond=123456, tzinfo=UTC)),
        ("2030-01-01T02:00:00+02:00", datetime(2030, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("2030-01-01T00:00:00", None),
        ("", None),
        ("soon", None),
    ],
)
def test_the_start_is_a_time_too(text: str, at: datetime | None) -> None:
    """One that was never started has none."""
    one = container()
    one["State"]["StartedAt"] = text
    [found] = read_containers("web", OURS, [one], NOWHERE)
    assert found.replica.started_at == at


def test_our_own_container_comes_first_among_the_reasons() -> None:
    """What matters most is told."""
    one = container(oneoff="True")
    assert exempt(one, around=Surroundings(own=frozenset({one["Id"]}))) == [Exempt.OWN]


@pytest.mark.parametrize(
    ("given_timeout", "waits", "sent"), [(None, 10, 10), (0, 0, 0), (45, 45, 45), (-1, 600, -1)]
)
def test_the_stop_timeout_is_the_containers_own(given_timeout: int | None, waits: int, sent: int) -> None:
    """None at all is Docker's ten seconds; a container that is never killed is not waited for without end."""
    one = container()
    one["Config"]["StopTimeout"] = given_timeout
    [found] = read_containers("web", OURS, [one], NOWHERE)
    assert (found.replica.stop_timeout, found.grace) == (timedelta(seconds=waits), sent)


def test_unknown_words_are_no_good_news() -> None:
    """An engine may have states and verdicts that are not known yet."""
    one = container(status="hibernating")
    one["State"]["Health"] = {"Status": "quite well"}
    [found] = read_containers("web", OURS, [one], NOWHERE)
    assert (found.replica.state, found.replica.health) == (ReplicaState.UNKNOWN, Health.UNHEALTHY)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("FE80:0::1%eth0", "fe80::1"),
        ("db.example", None),
        ("", None),
    ],
)
def test_an_address_is_written_in_one_way(written: str, read: str | None) -> None:
    """So that two spellings of one address are equal."""
    assert canonical(written) == read


MOUNTS = f"""
613 608 0:53 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/XX
624 613 8:1 /var/lib/docker/containers/{OWN}/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw
625 613 8:1 /var/lib/docker/containers/{OWN}/hostname /etc/hostname rw - ext4 /dev/sda1 rw
626 613 8:1 /var/lib/docker/containers/{OWN}/hosts /etc/hosts rw - ext4 /dev/sda1 rw
"""
PODMAN = f"9 8 0:5 /containers/overlay-containers/{OWN}/userdata/hostname /etc/hostname rw - tmpfs tmpfs rw"
HOSTS_VIEW = f"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
90 22 0:61 / /var/lib/docker/containers/{OTHER}/mounts/shm rw - tmpfs shm rw
91 22 8:1 /var/lib/docker/containers/{OTHER}/hostname /mnt/hostname rw - ext4 /dev/sda1 rw
"""


@pytest.mark.parametrize(
    ("mountinfo", "cgroup", "hostname", "ids"),
    [
        (MOUNTS, "0::/", "anything", {OWN}),
        (PODMAN, "0::/", "anything", {OWN}),
        (HOSTS_VIEW, "0::/system.slice/docker.service", "server", set()),
        ("", f"12:cpu:/docker/{OWN}\n11:pids:/docker/{OWN}\n0::/", "anything", {OWN}),
        ("", f"0::/system.slice/docker-{OWN}.scope", "anything", {OWN}),
        (MOUNTS, f"0::/docker/{OTHER}", "anything", {OWN, OTHER}),
        ("", "0::/", OWN[:12], {OWN[:12]}),
        (MOUNTS, "0::/", OTHER[:12], {OWN}),
        ("", f"0::/{OWN}0", "my-server", set()),
        ("\n\x00 a b c /etc/hostname\n1 2 3", ":::", "", set()),
    ],
    ids=["docker", "podman", "host", "cgroup 1", "systemd", "shared", "hostname", "set", "none", "odd"],
)
def test_our_own_id_is_found(mountinfo: str, cgroup: str, hostname: str, ids: set[str]) -> None:
    """Mounts and control groups tell; the hostname is only believed when they do not."""
    assert own_ids(mountinfo, cgroup, hostname) == ids


def test_a_system_without_these_files_has_no_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a closed `/proc` stop us."""
    monkeypatch.setattr("socket.gethostname", lambda: "server")
    assert read_own_ids(tmp_path) == frozenset()
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert read_own_ids(tmp_path) == {OWN}


@given(st.text(), st.text(), st.text())
def test_no_text_makes_us_fail_or_select_everything(mountinfo: str, cgroup: str, hostname: str) -> None:
    """An id is never so short that it fits many containers."""
    assert all(len(found) in {12, 64} for found in own_ids(mountinfo, cgroup, hostname))


def answered(status: int, text: str) -> APIError:
    """An error as the SDK raises it."""
    response = Response()
    response.status_code = status
    return APIError("refused", response=response, explanation=text)


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (answered(403, "<html><h1>403</h1>"), RejectedError, "HTTP 403; allow"),
        (answered(400, "client version 1.99 is too new"), RejectedError, "too new"),
        (answered(409, "is marked\nfor removal"), RejectedError, "is marked for removal"),
        (answered(429, ""), UnavailableError, "HTTP 429"),
        (answered(500, "driver failed"), UnavailableError, "driver failed"),
        (answered(503, "<html>"), UnavailableError, "HTTP 503"),
        (HttpConnectionError(PermissionError(13, "denied")), RejectedError, "socket's group"),
        (HttpConnectionError(ConnectionRefusedError(111, "refused")), UnavailableError, "nobody listens"),
        (ReadTimeout("x" * 5000), UnavailableError, "no answer in time"),
        (DockerException("install paramiko"), RejectedError, "install paramiko"),
        (KeyError("ApiVersion"), UnavailableError, "not one of a Docker Engine"),
    ],
)
def test_a_failure_is_classed_by_what_can_be_done_about_it(
    error: Exception, kind: type[Exception], says: str
) -> None:
    """In one line of bearable length."""
    told = translate(error, HOST, "list containers")
    assert type(told) is kind
    assert says in str(told)
    assert str(told).startswith(f"Docker Engine at {HOST}: cannot list containers: ")
    assert "\n" not in str(told)
    assert len(str(told)) < 400


def test_an_address_is_shown_without_its_credentials() -> None:
    """They belong in no message."""
    assert shown("https://user:secret@engine:2376") == "https://engine:2376"
