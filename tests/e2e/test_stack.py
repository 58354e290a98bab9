"""The example stack leaks for real, and the sidecar heals it, or in a dry run says how it would."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.engine import BUSYBOX_IMAGE, ComposeProject, DockerEngine
from tests.testbed.stack import ExampleStack
from tests.testbed.waiting import wait_until

pytestmark = pytest.mark.timeout(600)  # several leaks, each as slow as people wait for it

USABLE = 47
UNTIL = USABLE // 2
OLDER_THAN = 4

BYSTANDERS = f"""
services:
  api: {{image: "{BUSYBOX_IMAGE}", command: [sleep, "3600"], init: true}}
  celery_worker: {{image: "{BUSYBOX_IMAGE}", command: [sleep, "3600"], init: true}}
"""

MakeStack = Callable[..., ExampleStack]


@pytest.fixture
def stack(docker_engine: DockerEngine, tmp_path: Path) -> Iterator[MakeStack]:
    """Bring up the example; it is removed with the test."""
    stacks: list[ExampleStack] = []

    def make(**variables: str) -> ExampleStack:
        made = ExampleStack(docker_engine, tmp_path / f"stack{len(stacks)}", **variables)
        stacks.append(made)
        made.up("--wait")
        return made

    yield make
    for made in stacks:
        made.remove()


@pytest.fixture
def bystander(docker_engine: DockerEngine, tmp_path: Path) -> Iterator[ComposeProject]:
    """Another project on the same engine, with services of the same names."""
    project = ComposeProject(docker_engine, tmp_path / "bystander", BYSTANDERS)
    project.up()
    yield project
    project.remove()


def started(project: ComposeProject) -> dict[str, str]:
    """When each container of a project was started."""
    return {str(c.id): c.attrs["State"]["StartedAt"] for c in project.containers()}


def test_enforce_heals_the_leak(stack: MakeStack, bystander: ComposeProject) -> None:
    """With the leak on, used slots go under `until`; only the leaking service is restarted."""
    shop = stack(REMEDIATOR_MODE="enforce", IDLE_OLDER_THAN=f"{OLDER_THAN}s")
    others = started(bystander)
    before = {name: shop.replica(name) for name in ("api", "celery_worker", "db", "redis")}

    shop.leak("celery_worker", "4", "--until-restart")
    wait_until(lambda: bool(shop.said("incident_opened")), what="the incident", within=90)
    wait_until(lambda: bool(shop.said("incident_relieved")), what="relief", within=180, every=0.5)

    assert shop.used() <= UNTIL
    after = {name: shop.replica(name) for name in before}
    assert after["celery_worker"].id == before["celery_worker"].id
    assert after["celery_worker"].started_at > before["celery_worker"].started_at
    for untouched in ("api", "db", "redis"):
        assert after[untouched] == before[untouched]
    assert started(bystander) == others

    incident, _standing = (json.loads(x) for x in shop.remediator("history", "--format", "json").splitlines())
    done = [(e["action"]["kind"], e["outcome"]["result"]) for e in incident["entries"]]
    assert ("restart_replica", "confirmed") in done
    assert ("terminate_session", "confirmed") in done
    assert {result for _, result in done} <= {"confirmed", "changed", "dropped"}
    restarted = [
        e["action"]["replica"]["service"]
        for e in incident["entries"]
        if e["action"]["kind"] == "restart_replica"
    ]
    assert restarted == ["celery_worker"]

    finished = shop.said("action_finished")
    assert len(finished) == len(incident["entries"])
    assert {line["incident"] for line in finished} == {incident["id"]}
    story = [
        line["event"] for line in shop.events() if line["event"].startswith(("level", "incident", "action"))
    ]
    wanted = ["level_changed", "incident_opened", "action_intended", "action_finished", "incident_relieved"]
    assert [name for name in dict.fromkeys(story) if name in wanted] == wanted


def test_only_the_culprit_is_restarted_and_in_a_peak_nobody(stack: MakeStack) -> None:
    """The worker leaks, then the API: that one is named and restarted; then comes a rush, and none is."""
    shop = stack(REMEDIATOR_MODE="enforce", IDLE_OLDER_THAN="1h", CULPRIT_OLDER_THAN="3s")
    services = ("celery_worker", "api")
    for culprit, innocent in (services, services[::-1]):
        before = {name: shop.replica(name) for name in services}
        closed = len(shop.said("incident_closed"))
        shop.leak(culprit, "1", "--until-restart")
        wait_until(lambda: shop.used() > USABLE // 2 + 2, what="a leak", within=90)
        shop.leak(culprit, "off")
        everybody_names(shop, culprit)

        shop.leak(culprit, "4", "--until-restart")
        wait_until(lambda: len(shop.said("incident_closed")) > closed, what="the end", within=180, every=0.5)  # noqa: B023
        assert shop.replica(culprit).started_at > before[culprit].started_at
        assert shop.replica(innocent) == before[innocent]
        (restart,) = [line for line in shop.said("action_finished") if line["service"] == culprit]
        assert f"{culprit} " in restart["because"]
        assert restart["outcome"] == "confirmed"
        assert f"Restart {restart['replica']}" in shop.page()
        first = shop.said("incident_opened")[-1]
        assert first["diagnosis"] == "leak"
        assert f"of them of {culprit}" in first["evidence"]

    before = {name: shop.replica(name) for name in services}
    opened = len(shop.said("incident_opened"))
    shop.compose("exec", "-T", "-d", "api", "python", "manage.py", "peak", "43", "45")
    wait_until(lambda: len(shop.said("incident_opened")) > opened, what="the rush", within=50, every=0.5)
    everybody_says(shop, "peak")
    assert not leaks_found(audited(shop))
    wait_until(lambda: len(shop.said("incident_closed")) == opened + 1, what="its end", within=150, every=0.5)
    assert {name: shop.replica(name) for name in services} == before
    (held, *_) = [line for line in shop.said("incident_held") if "no service is shown" in line["because"]]
    rush = [line for line in shop.said("cycle") if line.get("incident") == held["incident"]]
    assert max(line["owners"].get("api", 0) for line in rush) >= 40, "it is told whose the sessions are"
    told = {line.get("diagnosis") for line in [*rush, shop.said("incident_opened")[-1]]}
    assert "peak" in told
    assert "leak" not in told
    a_stricter_policy_would_have_acted_earlier(shop)


STRICTER = """
text = open("/etc/remediator/config.yaml").read()
for before, after in (("90%", "45%"), ("utilization: 50%, idle", "utilization: 40%, idle"), ("50%}", "30%}")):
    assert before in text, before
    text = text.replace(before, after)
open("/tmp/stricter.yaml", "w").write(text)
"""


def a_stricter_policy_would_have_acted_earlier(shop: ExampleStack) -> None:
    """What was recorded is replayed by a policy that is critical at half as much, side by side."""
    sidecar = shop.container("remediator")
    code, said = sidecar.exec_run(["python", "-c", STRICTER])
    assert code == 0, said
    asked = ["remediator", "replay", "--policy", "/tmp/stricter.yaml", "--since", "1h", "--format"]  # noqa: S108
    code, said = sidecar.exec_run([*asked, "json"])
    assert isinstance(said, bytes)
    assert code == 1, said.decode()
    found = json.loads(said)
    assert found["differs"] is True
    opened = {side: [m["at"] for m, _ in scenes(found, side, "opened")] for side in ("then", "now")}
    assert len(opened["then"]) == 3
    assert opened["now"][0] < opened["then"][0]

    done = [(e["service"], e["replica"]) for e in shop.said("action_finished")]
    assert [service for service, _ in done] == ["celery_worker", "api"]
    then = [(m["at"], scene["targets"]) for m, scene in scenes(found, "then", "acted")]
    assert [targets for _, targets in then] == [[replica] for _, replica in done], (
        "then: what was really done"
    )
    # Where its replicas were not read before the policy of then acted, they go by the service's name.
    now = [(m["at"], scene["targets"]) for m, scene in scenes(found, "now", "acted")]
    services = {replica: service for service, replica in done}
    culprits = [[services.get(target, target) for target in targets] for _, targets in now]
    assert culprits == [["celery_worker"], ["api"]], "the same culprits"
    assert all(sooner < later for (sooner, _), (later, _) in zip(now, then, strict=True)), (
        "each of them sooner"
    )
    peak = [m for m in found["moments"] if m["at"] == opened["then"][-1]]
    assert [(m["same"], m["now"][-1]["kind"]) for m in peak] == [(True, "held")], "in the peak both hold"
    (first, scene), *_ = scenes(found, "now", "acted")
    assert (first["same"], first["at"], scene["targets"]) == (False, *now[0]), "on one line, and marked"
    assert not [other for other in first["then"] if other["kind"] == "acted"]
    assert "celery_worker" in scene["because"]

    code, said = sidecar.exec_run([*asked, "text"])
    assert isinstance(said, bytes)
    lines = said.decode().splitlines()
    (line, *_) = [line for line in lines if "incident opened" in line]
    assert "! " in line[:18], line
    assert "incident opened" in line[60:], "nothing was opened then, in the left column; it would be now"
    assert "decide differently" in lines[-1]


def scenes(found: dict[str, Any], side: str, kind: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What happened on one side, with the moment it stands at."""
    return [(m, scene) for m in found["moments"] for scene in m[side] if scene["kind"] == kind]


def everybody_names(shop: ExampleStack, culprit: str) -> None:
    """The log, the page, `check` and the audit say who holds most of the slots."""

    def settled() -> bool:
        *_, before, now = (line["owners"].get(culprit, 0) for line in shop.said("cycle"))
        return bool(before == now >= USABLE // 2 - 4)

    wait_until(settled, what="checks after the leak", every=0.5)
    owners = shop.said("cycle")[-1]["owners"]
    assert max(owners, key=owners.__getitem__) == culprit
    assert f"of them of {culprit}" in everybody_says(shop, "leak")
    page = shop.page()
    assert re.search(rf"{culprit}\D+{owners[culprit]}\b", re.sub(r"<[^>]*>", " ", page)), page
    code, said = shop.container("remediator").exec_run(["remediator", "check", "--format", "text"])
    assert isinstance(said, bytes)
    text = said.decode()
    assert code in (1, 2), text
    assert re.search(rf"^ +{owners[culprit]} +{culprit} ", text, re.MULTILINE), text
    audit = audited(shop)
    held = {s["service"]: s["there"] for s in audit["budget"]["services"]}
    assert held[culprit] == owners[culprit]
    found = leaks_found(audit)
    assert max(found, key=found.__getitem__) == culprit
    assert found[culprit] >= owners[culprit] - 4


def everybody_says(shop: ExampleStack, kind: str) -> str:
    """The log, `check` and the page call it a leak, or a peak; what `check` has to say for it."""

    def told() -> bool:
        return bool(shop.said("cycle")[-1].get("diagnosis") == kind)

    wait_until(told, what=f"the log to say {kind}", every=0.5)
    code, said = shop.container("remediator").exec_run(["remediator", "check", "--format", "json"])
    assert isinstance(said, bytes)
    assert code in (1, 2), said.decode()
    diagnosis = json.loads(said)["diagnosis"]
    assert diagnosis["kind"] == kind
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", shop.page()))
    words = {"leak": "a leak: ", "peak": "a load peak: "}[kind]
    assert words in page
    evidence = str(diagnosis["text"])
    whose = re.search(r"of them of (\w+)", evidence)
    assert whose is None or re.search(rf"{words}[^;]*of them of {whose[1]}\b", page), page
    return evidence


def audited(shop: ExampleStack) -> dict[str, Any]:
    """What an audit finds, without watching sessions come and go."""
    record = json.loads(shop.remediator("audit", "--format", "json", "--fail-on", "never", "--watch", "0s"))
    found: dict[str, Any] = record["databases"][0]
    return found


def leaks_found(audit: dict[str, Any]) -> dict[str, int]:
    """How many leaked sessions an audit finds of whom."""
    findings = (f for f in audit["findings"] if f["id"] == "leaked_sessions")
    return {str(f["subject"]): int(f["evidence"].split()[0]) for f in findings}


def test_dry_run_changes_nothing_and_plans_the_same(stack: MakeStack, bystander: ComposeProject) -> None:
    """In a dry run no session goes and nothing starts anew; the plan names what enforcing would do."""
    shop = stack(REMEDIATOR_MODE="dry-run", IDLE_OLDER_THAN=f"{OLDER_THAN}s")
    others = started(bystander)
    before = started(shop)

    shop.leak("celery_worker", "4", "--until-restart")
    wait_until(lambda: bool(shop.said("incident_opened")), what="the incident", within=90)
    wait_until(lambda: bool(shop.said("action_finished")), what="a simulated action", within=60)
    leaked = (
        "select string_agg(pid || '@' || backend_start, ',' order by pid)"
        " from pg_stat_activity where application_name = 'celery_worker'"
    )
    wait_until(lambda: shop.used() >= USABLE, what="a full server", within=60)
    sessions = shop.sql(leaked)
    wait_until(
        lambda: bool(shop.said("incident_relieved") or shop.said("incident_held")),
        what="the end of the ladder",
        within=120,
        every=0.5,
    )

    assert shop.sql(leaked) == sessions
    assert started(shop) == before
    assert started(bystander) == others
    outcomes = {line["outcome"] for line in shop.said("action_finished")}
    assert outcomes == {"simulated"}
    incident, _standing = (json.loads(x) for x in shop.remediator("history", "--format", "json").splitlines())
    planned = [
        e["action"]["session"] for e in incident["entries"] if e["action"]["kind"] == "terminate_session"
    ]
    leaking = {int(item.split("@")[0]) for item in sessions.split(",")}
    assert planned
    assert {session["pid"] for session in planned} <= leaking
    ages = [session["idle_for"] for session in planned]
    assert ages == sorted(ages, reverse=True)
    assert min(ages) >= OLDER_THAN


def test_a_restart_on_paper_closes_sessions_on_paper(stack: MakeStack) -> None:
    """Where nobody may be terminated yet, the dry run restarts the culprit in its mind, and sees relief."""
    shop = stack(REMEDIATOR_MODE="dry-run", IDLE_OLDER_THAN="600s")
    before = started(shop)
    shop.leak("celery_worker", "4", "--until-restart")
    wait_until(lambda: bool(shop.said("incident_relieved")), what="relief on paper", within=180, every=0.5)
    # Before the leaked sessions are old enough there is no culprit yet; after the restart there is relief.
    (acted,) = shop.said("action_finished")
    assert not [held for held in shop.said("incident_held") if held["at"] > acted["at"]]
    assert {line["service"] for line in shop.said("action_finished")} == {"celery_worker"}
    assert {line["outcome"] for line in shop.said("action_finished")} == {"simulated"}
    assert shop.used() >= USABLE
    assert started(shop) == before
    story = shop.remediator("history", "show", "last", "--format", "text")
    assert "no longer critical (as simulated, or in fact)" in story
    assert "held by api" not in story
