"""The machine's clocks, as they are read."""

from __future__ import annotations

import sys
import time

from remediator.adapters.clock import SystemClock
from remediator.core.clock import jump
from tests.testbed.missing import missing


def test_the_time_since_boot_goes_on_and_belongs_to_this_boot() -> None:
    """Two clocks of one machine agree on both; what passes between them is no jump."""
    if sys.platform != "linux":
        missing("this is not Linux, and only Linux tells which boot it is")
    first, second = SystemClock().now(), SystemClock().now()
    assert first.boot == second.boot != ""
    assert len(first.boot) == len("00000000-0000-0000-0000-000000000000")
    assert 0 < first.uptime <= second.uptime
    assert first.uptime >= time.clock_gettime(time.CLOCK_MONOTONIC) - 60
    assert not jump(first, second)
    assert (first.stamp, first.steady) == (None, first.at)
