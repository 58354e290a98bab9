"""What `docker inspect` says of a service's containers, read as replicas."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from remediator.core.model import Exempt, Health, Replica, ReplicaState
from remediator.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
_NUMBER = "com.docker.compose.container-number"
_ONE_OFF = "com.docker.compose.oneoff"
_HOOK = "com.docker.compose.hook"
_REPLACE = "com.docker.compose.replace"
_SWARM = "com.docker.swarm."
_ENABLE = "remediator.enable"

# Anything else opts out: a word that is misspelt must not get a container restarted.
_YES = frozenset({"", "true", "1", "yes", "on"})

_DEFAULT_STOP_TIMEOUT = 10
# A container that is never killed is not waited for any longer than this.
_LONGEST_STOP = timedelta(minutes=10)
_LONGEST_ERROR = 500  # what is wrong with a mount stands at the very end
_UNNUMBERED = 1 << 31


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides which containers are out of bounds.

    Attributes:
        own: Ids of the containers we may be in.
        database: Addresses of the databases' servers.
    """

    own: frozenset[str] = frozenset()
    database: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Container:
    """A replica, and the stop timeout it was given.

    Attributes:
        stop_timeout: Seconds; None when it was given none, negative when it is never killed.
    """

    replica: Replica
    stop_timeout: int | None
    number: int

    @property
    def grace(self) -> int:
        """What to send as the stop timeout, in seconds."""
        return _DEFAULT_STOP_TIMEOUT if self.stop_timeout is None else self.stop_timeout


def read_containers(
    service: str,
    labels: Mapping[str, str],
    inspected: Iterable[Mapping[str, Any]],
    around: Surroundings,
) -> tuple[Container, ...]:
    """Read the containers that really have these labels, ordered by number, then name.

    Args:
        service: Our name of the service.
        labels: What a container must be labelled with.
        inspected: Answers of `GET /containers/ID/json`.
        around: What is out of bounds.
    """
    ours = [one for one in inspected if labels.items() <= labels_of(one).items()]
    changing = _being_replaced(ours)
    containers = [_read(service, one, around, changing) for one in ours]
    return tuple(sorted(containers, key=lambda c: (c.number, c.replica.name)))


def canonical(address: str) -> str | None:
    """Write an IP address the one way it can be compared; None when it is not one."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(parsed)


def _read(service: str, one: Mapping[str, Any], around: Surroundings, changing: bool) -> Container:
    state, labels = section(one, "State"), labels_of(one)
    given = section(one, "Config").get("StopTimeout")
    stop_timeout = None if given is None else int(given)
    replica = Replica(
        service=service,
        id=str(one["Id"]),
        name=str(one["Name"]).removeprefix("/"),
        state=_state(state.get("Status")),
        started=str(state.get("StartedAt", "")),
        restarts=int(one.get("RestartCount") or 0),
        health=_health(section(state, "Health").get("Status")),
        stop_timeout=_stops_within(stop_timeout),
        addresses=addresses(one),
        exempt=_exempt(one, around, changing),
        started_at=started_at(one),
        error=one_line(str(state.get("Error") or ""), _LONGEST_ERROR),
    )
    return Container(replica, stop_timeout, _number(labels))


def _stops_within(stop_timeout: int | None) -> timedelta:
    if stop_timeout is None:
        return timedelta(seconds=_DEFAULT_STOP_TIMEOUT)
    return _LONGEST_STOP if stop_timeout < 0 else timedelta(seconds=stop_timeout)


def _exempt(one: Mapping[str, Any], around: Surroundings, changing: bool) -> Exempt | None:
    labels = labels_of(one)
    reasons = {
        Exempt.OWN: _is_own(one, around.own),
        Exempt.DATABASE: bool(addresses(one) & around.database) or _keeps_a_cluster(one),
        Exempt.SWARM: any(name.startswith(_SWARM) for name in labels),
        Exempt.ONE_OFF: _is_one_off(labels),
        Exempt.HOOK: _HOOK in labels,
        Exempt.REPLACED: changing,
        Exempt.OPTED_OUT: labels.get(_ENABLE, "").strip().lower() not in _YES,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _is_own(one: Mapping[str, Any], own: frozenset[str]) -> bool:
    # Whoever shares another container's network also gets its files, by which we found our id:
    # then we cannot tell which of the two we are in.
    shared = str(section(one, "HostConfig").get("NetworkMode", "")).removeprefix("container:")
    return any(str(one["Id"]).startswith(mine) or shared.startswith(mine) for mine in own)


def _keeps_a_cluster(one: Mapping[str, Any]) -> bool:
    return any(str(entry).startswith("PGDATA=") for entry in section(one, "Config").get("Env") or ())


def _being_replaced(containers: Iterable[Mapping[str, Any]]) -> bool:
    """Whether two containers share a number, one of them made to replace the other.

    The label alone says nothing: the new container keeps it for life. Compose does not make all of a
    service's new containers at the same moment, so one of them speaks for those that will follow.
    """
    regular = [
        labels
        for labels in map(labels_of, containers)
        if not _is_one_off(labels) and _HOOK not in labels and _NUMBER in labels
    ]
    shared = Counter(_number(labels) for labels in regular)
    return any(_REPLACE in labels and shared[_number(labels)] > 1 for labels in regular)


def is_no_replica(labels: Mapping[str, str]) -> bool:
    """Tell whether a container has a service's labels and is none of its replicas: a one-off, a hook's."""
    return _is_one_off(labels) or _HOOK in labels


def _is_one_off(labels: Mapping[str, str]) -> bool:
    return labels.get(_ONE_OFF, "False").lower() != "false"


def _number(labels: Mapping[str, str]) -> int:
    text = labels.get(_NUMBER, "")
    return int(text) if text.isdecimal() else _UNNUMBERED


def labels_of(one: Mapping[str, Any]) -> dict[str, str]:
    """A container's labels."""
    return section(one, "Config", "Labels")


def networks_of(one: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a container has on each of its networks: addresses, gateways, prefixes."""
    return [network for network in section(one, "NetworkSettings", "Networks").values() if network]


def addresses(one: Mapping[str, Any]) -> frozenset[str]:
    """A container's addresses on all of its networks."""
    found = (
        canonical(str(network.get(key) or ""))
        for network in networks_of(one)
        for key in ("IPAddress", "GlobalIPv6Address")
    )
    return frozenset(address for address in found if address)


def started_at(one: Mapping[str, Any]) -> datetime | None:
    """When a container was started; None for one that never was, which Docker dates to the year 1."""
    try:
        at = datetime.fromisoformat(str(section(one, "State").get("StartedAt")))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None and at.year > 1 else None


def _state(word: object) -> ReplicaState:
    try:
        return ReplicaState(str(word))
    except ValueError:
        return ReplicaState.UNKNOWN


def _health(word: object) -> Health:
    if not word:
        return Health.NONE
    try:
        return Health(str(word))
    except ValueError:
        return Health.UNHEALTHY


def section(one: Mapping[str, Any], *path: str) -> dict[str, Any]:
    """A part of the answer; what is absent or null is empty."""
    for key in path:
        one = one.get(key) or {}
    return dict(one)
