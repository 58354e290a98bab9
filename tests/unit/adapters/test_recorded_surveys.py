"""Surveys that are rebuilt of changes take no more sessions than there were."""

from __future__ import annotations

import pytest

from remediator.adapters.recording.surveys import Later, Run, Turned, rebuilt
from remediator.core.plan import Survey
from tests.builders import make_session

THOUSAND = Survey(tuple(make_session(pid=pid, idle_for=0.0) for pid in range(1_000)), {})
TURNED: Turned = (7, "idle", None, 0.0, False)


@pytest.mark.parametrize(
    "parts",
    [
        ((0, 1_000), (0, -1_000)) * 300,
        ((0, 600), (400, 600)),
        ((0, 1_000), TURNED),
        (TURNED,) * 1_001,
        ((0, -1),),
        ((-1, 1),),
        ((1_000, 1),),
    ],
)
def test_no_session_is_taken_more_often_than_it_was_there(parts: tuple[Run | Turned, ...]) -> None:
    """However a damaged or forged recording counts them."""
    with pytest.raises(ValueError, match="session"):
        rebuilt(THOUSAND, Later(1, {}, parts))


@pytest.mark.parametrize("drift", [10**16, -(10**16)])
def test_nobody_is_idle_for_centuries(drift: int) -> None:
    """What is reckoned from it stays a time."""
    idle = Survey((make_session(pid=1, idle_for=5.0),), {})
    with pytest.raises(ValueError, match="longer than can be"):
        rebuilt(idle, Later(1, {}, ((0, 1),), drift=(drift,)))


def test_all_of_them_can_be_as_they_were() -> None:
    """In the order in which they are told."""
    later = Later(1, {}, ((500, 500), (0, 500)))
    assert isinstance(THOUSAND.sessions, tuple)
    assert rebuilt(THOUSAND, later).sessions == THOUSAND.sessions[500:] + THOUSAND.sessions[:500]
