"""Replaying what a real daemon saw of a real leak, by the policy of then and by others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.daemon import Daemon, LeakingService, ladder, merged
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import create_app_role, create_watch_role


@pytest.fixture(scope="module", params=["enforce", "dry-run"])
def lived(
    request: pytest.FixtureRequest, server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Daemon:
    """A daemon that has lived through an incident, in each mode."""
    directory = tmp_path_factory.mktemp(request.param)
    mode = request.param
    app, watch = create_app_role(server), create_watch_role(server)
    worker = LeakingService("worker", directory / "worker", app)
    daemon = Daemon(directory / "daemon", watch, worker, mode=mode, policy=ladder("worker"))
    with daemon:
        daemon.wait_for("incident_closed" if mode == "enforce" else "incident_relieved")
        assert daemon.terminate() == 0
        assert daemon.said("recording_unavailable") == []
    return daemon


def replay(daemon: Daemon, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command; its exit code and what it says in JSON."""
    command = [sys.executable, "-m", "remediator", "replay", "--config", str(daemon.config_file), *arguments]
    done = subprocess.run(
        [*command, "--format", "json"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    record: dict[str, Any] = json.loads(line)
    return done.returncode, record


def other(daemon: Daemon, tmp_path: Path, **changes: Any) -> str:
    """Write a config with another policy."""
    policy = merged(daemon.config["policies"][0], changes)
    path = tmp_path / "other.yaml"
    path.write_text(json.dumps(daemon.config | {"policies": [policy]}))
    path.chmod(0o600)
    return str(path)


def kinds(moments: list[dict[str, Any]], side: str) -> list[str]:
    """What happened on one side, in order."""
    return [scene["kind"] for moment in moments for scene in moment[side]]


def test_the_same_policy_decides_the_same(lived: Daemon) -> None:
    """Given a real incident, when its policy is replayed, then every level, act and hold is what it was."""
    code, found = replay(lived)
    assert found["differs"] is False, found
    assert code == 0
    assert all(moment["same"] for moment in found["moments"]), found
    happened = kinds(found["moments"], "then")
    assert {"level", "opened", "acted"} <= set(happened)
    acted = [s for m in found["moments"] for s in m["now"] if s["kind"] == "acted"]
    assert len(acted) == sum(1 for s in happened if s == "acted")


def test_a_stricter_policy_acts_earlier(lived: Daemon, tmp_path: Path) -> None:
    """Given the same incident, a policy that is critical at half as much acts earlier, and tells on whom."""
    strict = other(
        lived,
        tmp_path,
        levels={
            "monitor": {"utilization": "10%"},
            "alert": {"utilization": "30%"},
            "critical": {"utilization": "40%"},
        },
        remediate={"until": {"utilization": "20%"}},
    )
    code, found = replay(lived, "--policy", strict, "--since", "1h")
    assert (code, found["differs"]) == (1, True)
    opened = {
        side: [m["at"] for m in found["moments"] for s in m[side] if s["kind"] == "opened"]
        for side in ("then", "now")
    }
    assert opened["now"][0] < opened["then"][0]
    acted = [s for m in found["moments"] for s in m["now"] if s["kind"] == "acted"]
    assert "worker" in acted[0]["text"]
    assert any(s["about"] for s in acted)
    assert any("did not react" in note for note in found["notes"])


def test_a_policy_that_never_acts_shows_what_it_leaves_undone(lived: Daemon, tmp_path: Path) -> None:
    """Nothing is opened on its side."""
    lax = other(
        lived,
        tmp_path,
        levels={
            "critical": {
                "utilization": "none",
                "refusing_connections": False,
                "idle": {"older_than": "1d", "count": 1},
            }
        },
    )
    code, found = replay(lived, "--policy", lax)
    assert code == 1
    assert "opened" in kinds(found["moments"], "then")
    assert not {"opened", "acted"} & set(kinds(found["moments"], "now"))


def test_people_see_two_columns(lived: Daemon) -> None:
    """Time, then, now; and a verdict."""
    command = [
        sys.executable,
        "-m",
        "remediator",
        "replay",
        "--config",
        str(lived.config_file),
        "--format",
        "text",
    ]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    lines = out.splitlines()
    assert lines[0].startswith("shop: ")
    assert "then: quick" in lines[1]
    assert "now: quick" in lines[1]
    assert any("incident opened" in line and "=" in line for line in lines)
    assert lines[-1] == "shop: the policies decide the same"
    assert max(map(len, lines)) <= 110


def test_nothing_recorded_is_said(lived: Daemon) -> None:
    """Exit 3: not known."""
    code, found = replay(lived, "--since", "2d", "--until", "1d")
    assert (code, found["readings"]) == (3, 0)
    assert found["notes"] == [], "what was not recorded was not counted wrongly"


def test_the_whole_story_of_an_incident_is_shown(lived: Daemon) -> None:
    """Who held what before and after, each act and hold with its reason, what came of it; in every form."""
    (incident,) = lived.history()
    shown = lived.run("history", "show", incident["id"], "--format", "json")
    record = json.loads(shown.stdout)
    assert record["id"] == incident["id"]
    assert record["entries"] == incident["entries"]
    looks = {look["when"]: look for look in record["looks"]}
    assert {"before", "when it opened", "at the worst"} <= looks.keys()
    worst = looks["at the worst"]
    assert worst["slots"]["used"] > record["samples"][0]["used"]
    most = worst["holders"][0]
    assert (most["who"], most["state"]) == ("worker", "idle")
    acts = [act for d in record["decisions"] for step in d["steps"] for act in step["acts"]]
    assert any(act.get("application") == "worker" and "idle for" in act["because"] for act in acts)
    assert {"opened", "acted", "relieved"} <= {scene["kind"] for scene in record["scenes"]}
    assert len(record["samples"]) > 5
    for form, heading in (("md", "# Incident "), ("text", "Incident ")):
        text = lived.run("history", "show", "last", "--format", form).stdout
        assert text.startswith(f"{heading}{incident['id']}")
        assert "Who held what, at the worst" in text
        assert "What was decided, and why" in text
        assert "terminate" in text
    assert lived.run("history", "show", "nothing").returncode == 1
