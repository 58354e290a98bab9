"""What the unit's way of stopping means for a restart command that is under way."""

from __future__ import annotations

import re
from pathlib import Path

from tests.testbed.systemd import SystemdContainer

UNIT = Path(__file__).parents[2] / "systemd" / "remediator.service"
COMMAND_LINES = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null; echo; done"
COUNT = f"{COMMAND_LINES} | grep -c '^sleep 4242' || true"


def test_a_command_under_way_outlives_the_stop_of_the_unit(systemd_container: SystemdContainer) -> None:
    """With the shipped KillMode the child goes on when the main process is stopped."""
    (mode,) = re.findall(r"^KillMode=(\w+)$", UNIT.read_text(), re.MULTILINE)
    run = systemd_container.run
    run(
        "systemd-run",
        "--unit=stopped",
        f"--property=KillMode={mode}",
        "sh",
        "-c",
        "sleep 4242 & exec sleep 100",
    )
    run("sh", "-c", f'until [ "$({COUNT})" = 1 ]; do sleep 0.1; done')
    run("systemctl", "stop", "stopped")
    assert run("sh", "-c", COUNT).strip() == "1"
