"""What a world is made of: databases, services, and configs in which chance departs from the defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from remediator.config import Settings, load

_SIZES = {30: 300, 60: 300, 100: 330, 300: 55, 1000: 8, 5000: 7}
_LARGE = 1000
"""`max_connections`, and how often there are so many."""
_DATABASES = ("shop", "blog", "stats")
_SERVICES = ("celery", "api", "web", "cron")


@dataclass(frozen=True, slots=True)
class ServiceScene:
    """One service: how many replicas, and which databases they hold sessions of.

    Attributes:
        vanishes: Its processes may end without a word to the server.
    """

    name: str
    replicas: int
    databases: tuple[str, ...]
    checked: bool
    vanishes: bool


@dataclass(frozen=True, slots=True)
class Scenery:
    """What there is; it stays for the whole simulation, while the policies may be edited.

    Attributes:
        told_by: How sessions can be told to be a service's: by `addresses`, by `names`, or not at all.
    """

    sizes: dict[str, int]
    services: tuple[ServiceScene, ...]
    mode: str
    told_by: str

    def config(self, chance: Random) -> str:
        """A config for this world."""
        return yaml.safe_dump(
            {
                "version": 1,
                "mode": self.mode,
                "state_dir": "/var/lib/remediator",
                "databases": [
                    {"name": name, "dsn": f"postgresql://remediator@{name}/{name}", "policy": name}
                    for name in self.sizes
                ],
                "services": [_service(service.name, self.told_by) for service in self.services],
                "policies": [self._policy(name, chance) for name in self.sizes],
            },
            sort_keys=False,
        )

    def _policy(self, name: str, chance: Random) -> dict[str, Any]:
        policy: dict[str, Any] = {"name": name}
        large = self.sizes[name] >= _LARGE
        if large or chance.random() < 0.9:
            policy["check_every"] = _pace(chance, large=large)
        if chance.random() < 0.2:
            policy["maintenance"] = [_window(chance)]
        for section, make in (
            ("levels", _levels),
            ("clear", _clear),
            ("spare", _spare),
            ("limits", _limits),
        ):
            if chance.random() < 0.6:  # else the defaults
                policy[section] = make(chance)
        policy["remediate"] = self._remediate(name, chance)
        return policy

    def _remediate(self, name: str, chance: Random) -> dict[str, Any]:
        remediate: dict[str, Any] = {}
        if chance.random() < 0.5:
            remediate["until"] = {"utilization": chance.choice(["30%", "50%", "80%"])}
        if chance.random() < 0.5:
            remediate |= {"settle": chance.choice(["5s", "15s", "1m"]), "retry": chance.choice(["1m", "10m"])}
        if chance.random() < 0.8:
            remediate["steps"] = self._steps(name, chance)
        return remediate

    def _steps(self, name: str, chance: Random) -> list[dict[str, Any]]:
        """Steps in any order; most restart those who hold sessions, some an innocent."""
        steps: list[dict[str, Any]] = []
        if chance.random() < 0.8:
            steps.append({"terminate_idle": {"older_than": chance.choice(["2m", "10m", "30m"])}})
        if chance.random() < 0.6:
            steps.append({"restart": self._culprit(chance)})
            return steps
        for service in self.services:
            if name in service.databases or chance.random() < 0.2:
                step: dict[str, Any] = {"service": service.name}
                if chance.random() < 0.2:
                    step["when"] = "always"
                steps.append({"restart": step})
        if chance.random() < 0.3:
            chance.shuffle(steps)
        return steps or [{"terminate_idle": {"older_than": "5m"}}]

    def _culprit(self, chance: Random) -> dict[str, Any]:
        """Only who leaks, of all services or of some."""
        step: dict[str, Any] = {
            "service": "culprit",
            "share": chance.choice(["30%", "50%", "80%"]),
            "older_than": chance.choice(["1m", "2m", "10m"]),
            "least": chance.choice(["2%", "10%"]),
            "otherwise": chance.choice(["hold", "hold", "in_order"]),
        }
        if chance.random() < 0.5:
            names = [service.name for service in self.services]
            step["among"] = chance.sample(names, chance.randint(1, len(names)))
        if chance.random() < 0.2:
            step["when"] = "always"
        return step


def draw_scenery(chance: Random) -> Scenery:
    """Draw a world's parts."""
    names = _DATABASES[: chance.choice((1, 1, 2, 2, 3))]
    sizes = dict(zip(names, chance.choices(list(_SIZES), list(_SIZES.values()), k=len(names)), strict=True))
    told_by = chance.choice(("addresses", "addresses", "addresses", "names", "nothing"))
    services = tuple(
        ServiceScene(
            name,
            chance.choice((1, 1, 2, 3)),
            tuple(chance.sample(list(sizes), chance.randint(1, len(sizes)))),
            chance.random() < 0.5,
            told_by != "names",  # by its name a session looks alive
        )
        for name in _SERVICES[: chance.randint(1, 4)]
    )
    return Scenery(sizes, services, "dry-run" if chance.random() < 0.15 else "enforce", told_by)


def read_config(text: str) -> Settings:
    """Read a config as the daemon does, from a file."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "config.yaml"
        path.write_text(text)
        path.chmod(0o600)
        return load(path, {})


def _service(name: str, told_by: str) -> dict[str, Any]:
    told = {"sessions": {"applications": [name, f"etl_{name}"]}} if told_by == "names" else {}
    return told | {
        "name": name,
        "compose": {"project": "simulated", "service": name},
        "verify": {"within": "90s", "steady_for": "10s"},
    }


def _window(chance: Random) -> dict[str, str]:
    """A daily window, or several a day; `rules` knows no others."""
    hours = chance.choice(["3", "1,9,17", "0,4,8,12,16,20", "23"])
    return {
        "cron": f"{chance.choice([0, 30])} {hours} * * *",
        "for": chance.choice(["10m", "1h", "3h"]),
        "timezone": chance.choice(["UTC", "Asia/Kolkata"]),
    }


def _pace(chance: Random, *, large: bool) -> dict[str, str]:
    critical = chance.choice(["20s", "1m"] if large else ["3s", "10s", "10s", "20s"])
    return {"normal": "5m", "monitor": "2m", "alert": "30s", "critical": critical}


def _levels(chance: Random) -> dict[str, Any]:
    critical: dict[str, Any] = {
        "utilization": chance.choice(["85%", "90%", "95%"]),
        "refusing_connections": chance.random() < 0.7,
        "for": chance.choice(["0s", "5s", "1m"]),
    }
    if chance.random() < 0.2:
        critical["idle"] = {"older_than": "30m", "count": 15}
    return {"critical": critical}


def _clear(chance: Random) -> dict[str, str]:
    return {"margin": chance.choice(["1%", "5%", "10%"]), "for": chance.choice(["0s", "30s", "5m"])}


def _spare(chance: Random) -> dict[str, list[str]]:
    return {
        "users": chance.choice([[], ["migrator"]]),
        "applications": chance.choice([["etl_*"], ["etl_*", "report?"]]),
    }


def _limits(chance: Random) -> dict[str, Any]:
    return {
        "terminate": {
            "per_step": chance.choice(["10%", "50%", 5, 40, ["30%", 20]]),
            "abort_above": chance.choice([[], "80%", "80%", "25%", ["60%", 12]]),
            "per_hour": chance.choice([10, 50, 500]),
            "rates": chance.choice([[], ["30 per 6h"], ["5 per 10m", "100 per 1d"]]),
        },
        "restart": {
            "per_service": chance.choice(["1 per 30m", ["2 per 1h", "3 per 1d"], "1 per 5m"]),
            "per_day": chance.choice([1, 3, 10]),
            "rates": chance.choice([[], ["2 per 1h"]]),
            "backoff": chance.choice(["none", {"base": "5m", "cap": "1h"}, {"base": "30m", "cap": "8h"}]),
            "min_uptime": chance.choice(["0s", "1m"]),
            "per_step": chance.choice(["100%", "50%", 1, ["75%", 10]]),
        },
        "failed_rounds": chance.choice([1, 2, 3]),
    }
