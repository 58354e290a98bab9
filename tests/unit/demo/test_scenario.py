"""The demo's config is one that the daemon takes, and means what the picture shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.config import CommandTarget, load
from remediator.core.model import Level, Mode
from remediator.demo import scenario
from remediator.demo.worker import NO_LEAK


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("place", ["/demo", '/it\'s ${HOME} "here": {a}, #b'])
def test_the_config_is_valid_wherever_it_is(tmp_path: Path, mode: Mode, place: str) -> None:
    """Paths are data, whatever they look like."""
    python, socket = f"{place}/python", Path(place, "socket")
    config = tmp_path / "config.yaml"
    config.write_text(scenario.config_text(mode, "host=h user=u", python, socket))
    settings = load(config, {})
    assert settings.mode is mode
    assert not settings.warnings
    celery, api = settings.services
    assert (celery.service.name, api.service.name) == scenario.LEAKING
    assert isinstance(celery.runtime, CommandTarget)
    assert celery.runtime.restart == (
        *(python, "-m", "remediator.demo.service", "restart"),
        *("celery_worker", str(socket)),
    )


def test_the_policy_is_what_the_picture_shows(tmp_path: Path) -> None:
    """Bands of the gauge are the levels' thresholds."""
    config = tmp_path / "config.yaml"
    config.write_text(scenario.config_text(Mode.DRY_RUN, "host=h user=u", "python", Path("socket")))
    policy = load(config, {}).databases[0].policy
    assert {
        level: rule.conditions.utilization for level, rule in policy.levels.items()
    } == scenario.THRESHOLDS
    assert policy.remediate.until == scenario.UNTIL
    assert policy.levels[Level.CRITICAL].conditions.refusing_connections
    assert policy.clear.hold_for > policy.remediate.settle


def test_a_restart_heals_unless_it_is_made_not_to() -> None:
    """The second start leaks nothing."""
    cured = {spec.name: spec for spec in scenario.services("dsn", cured=True)}["celery_worker"]
    hopeless = {spec.name: spec for spec in scenario.services("dsn", cured=False)}["celery_worker"]
    assert cured.later[-3:] == tuple(NO_LEAK.arguments())
    assert cured.first == hopeless.first
    assert int(hopeless.later[-3]) > scenario.USABLE
