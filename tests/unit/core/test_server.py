"""Telling a restart from another server."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remediator.core.server import replaced, restarted
from tests.builders import START, make_server

BEFORE = replace(make_server(), system=77, timeline=3, position=5000)
LATER = START + timedelta(minutes=1)


def test_the_same_server_is_the_same() -> None:
    """Log that was written, and rights that changed, make no other server of it."""
    now = replace(BEFORE, position=9000, can_signal=False)
    assert not restarted(BEFORE, now)
    assert replaced(BEFORE, now) == ""


def test_a_restart_makes_no_other_server_of_it() -> None:
    """A minor upgrade neither."""
    now = replace(BEFORE, started_at=LATER, position=5000, version=160005)
    assert restarted(BEFORE, now)
    assert replaced(BEFORE, now) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"started_at": LATER, "timeline": 4, "position": 6000}, "timeline 4, was 3"),
        ({"started_at": LATER, "system": 78, "timeline": 1}, "system identifier 78, was 77"),
        ({"started_at": LATER, "in_recovery": True, "timeline": None, "position": None}, "a standby now"),
        ({"started_at": LATER, "position": 4000}, "1000 bytes of write-ahead log behind"),
        ({"started_at": LATER, "address": "172.18.0.9"}, "address 172.18.0.9, was 172.18.0.2"),
        ({"started_at": LATER, "address": None}, "address local, was 172.18.0.2"),
    ],
)
def test_another_server_is_told_by_what_differs(changes: dict[str, Any], words: str) -> None:
    """A promoted standby, another cluster, a standby, an older copy, a copy elsewhere."""
    assert words in replaced(BEFORE, replace(BEFORE, **changes))


def test_a_standby_that_is_promoted_in_place_counts_as_another() -> None:
    """Its sessions live on, but what it is for has changed."""
    standby = replace(BEFORE, in_recovery=True, timeline=None, position=None)
    assert replaced(standby, BEFORE) == "a primary now, was a standby"


def test_one_server_may_have_several_addresses() -> None:
    """Another connection can lead to another of them."""
    assert replaced(BEFORE, replace(BEFORE, address="::1")) == ""


def test_what_is_not_told_is_not_compared() -> None:
    """A server that keeps it to itself is known by its start and address only."""
    silent = make_server()
    assert replaced(silent, replace(BEFORE, started_at=LATER)) == ""
    assert replaced(BEFORE, replace(silent, started_at=LATER)) == ""
    assert replaced(None, BEFORE) == ""
    assert replaced(BEFORE, None) == ""
    assert not restarted(None, BEFORE)


def test_an_identity_outlives_a_restart_and_no_failover() -> None:
    """It is empty rather than half known."""
    assert BEFORE.identity == "77/3"
    assert replace(BEFORE, started_at=LATER, position=1).identity == "77/3"
    assert replace(BEFORE, timeline=4).identity != BEFORE.identity
    assert replace(BEFORE, in_recovery=True, timeline=None).identity == "77/standby"
    assert make_server().identity == ""
    assert replace(BEFORE, timeline=None).identity == ""
