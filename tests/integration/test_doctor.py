"""What `doctor` finds, against real servers, a real engine and real state directories."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger import SqliteLedger
from remediator.config import load
from remediator.core.clock import ClockMark
from remediator.core.ledger import Lock, Pause
from remediator.core.model import Mode, Moment
from remediator.doctor import Finding, Grade, examine
from tests.testbed.daemon import Daemon, LeakingService
from tests.testbed.engine import BUSYBOX_IMAGE, ComposeProject, DockerEngine
from tests.testbed.haproxy import HAProxy
from tests.testbed.namespaces import Tunnel
from tests.testbed.postgres import PostgresServer
from tests.testbed.roles import PASSWORD, create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from tests.conftest import MakePostgres, MakeProject

COMPOSE = f"""
services:
  patient: {{image: "{BUSYBOX_IMAGE}", command: [sleep, "3600"], init: true, stop_grace_period: 2m}}
  hasty: {{image: "{BUSYBOX_IMAGE}", command: [sleep, "3600"], init: true, stop_grace_period: 1s}}
  careless: {{image: "{BUSYBOX_IMAGE}", command: [sleep, "3600"], init: true}}
  frozen: {{image: "{BUSYBOX_IMAGE}", command: [sleep, "3600"], init: true, stop_grace_period: 2m}}
"""


@pytest.fixture(scope="module")
def server(postgres_versions: Mapping[int, Path]) -> Iterator[PostgresServer]:
    """A server that keeps slots for roles that may use them."""
    settings = {"max_connections": 20, "reserved_connections": 2}
    with PostgresServer(16, postgres_versions[16], settings) as running:
        yield running


@pytest.fixture
def project(compose_project: MakeProject) -> ComposeProject:
    """A project with one service."""
    return compose_project(f"""services: {{api: {{image: "{BUSYBOX_IMAGE}", command: [sleep, "3600"]}}}}""")


def written(directory: Path, dsn: str, *services: dict[str, Any], **more: Any) -> Daemon:
    """A configuration with one database, as `Daemon` writes it."""
    return Daemon(directory, dsn, config={"services": list(services), **more})


async def found_by(daemon: Daemon, mode: Mode = Mode.ENFORCE) -> list[Finding]:
    """What the doctor says of a configuration."""
    return await examine(load(daemon.config_file, {}), mode)


def about(findings: list[Finding], words: str) -> Finding:
    """The one finding whose text holds these words."""
    (found,) = [finding for finding in findings if words in finding.text]
    return found


def compose_service(project: str, service: str) -> dict[str, Any]:
    """The configuration of a Compose service."""
    return {"name": service, "compose": {"project": project, "service": service}}


async def test_everything_is_fine(server: PostgresServer, tmp_path: Path) -> None:
    """Each thing that was looked at is named; nothing needs doing; the exit code is 0."""
    worker = LeakingService("worker", tmp_path / "worker", create_app_role(server), limit=0)
    worker.start()
    try:
        daemon = written(tmp_path / "d", create_watch_role(server, reserved=True), worker.config)
        findings = await found_by(daemon)
        assert {finding.grade for finding in findings} == {Grade.OK}
        subjects = [finding.subject for finding in findings]
        assert set(subjects) == {"database shop", "service worker", f"state_dir {daemon.state_dir}"}
        about(findings, "sees all sessions")
        about(findings, "may terminate sessions")
        about(findings, "a slot is kept for us")
        about(findings, "PostgreSQL 16")
        about(findings, "worker is running")

        as_json = daemon.run("doctor")
        assert (as_json.returncode, as_json.stderr) == (0, "")
        assert [json.loads(line)["grade"] for line in as_json.stdout.splitlines()] == ["ok"] * len(findings)
        as_text = daemon.run("doctor", "--format", "text")
        assert all(line.startswith("ok ") for line in as_text.stdout.splitlines())
    finally:
        worker.stop()


async def test_missing_rights(server: PostgresServer, tmp_path: Path) -> None:
    """Each with the statement that grants it; what only enforcing needs is a warning in a dry run."""
    dsn = create_watch_role(server, name="weak", stats=False, signal=False)
    daemon = written(tmp_path, dsn)
    findings = await found_by(daemon)
    assert about(findings, "GRANT pg_read_all_stats TO weak").grade is Grade.PROBLEM
    assert about(findings, "GRANT pg_signal_backend TO weak").grade is Grade.PROBLEM
    assert about(findings, "GRANT pg_use_reserved_connections TO weak").grade is Grade.WARNING
    simulating = await found_by(daemon, Mode.DRY_RUN)
    assert about(simulating, "GRANT pg_signal_backend TO weak").grade is Grade.WARNING
    assert about(simulating, "GRANT pg_read_all_stats TO weak").grade is Grade.PROBLEM
    assert daemon.run("doctor", "--mode", "dry-run").returncode == 2


async def test_only_unwise(server: PostgresServer, tmp_path: Path) -> None:
    """A warning alone is exit 1; a superuser has every right, which is more than is needed."""
    done = written(tmp_path / "own", create_watch_role(server, reserved=False)).run("doctor")
    assert done.returncode == 1
    findings = await found_by(written(tmp_path / "super", server.dsn()))
    assert about(findings, "is a superuser").grade is Grade.WARNING
    assert {finding.grade for finding in findings} == {Grade.OK, Grade.WARNING}


async def test_a_role_that_may_hardly_connect(server: PostgresServer, tmp_path: Path) -> None:
    """One session and one probe is what we need."""
    dsn = create_watch_role(server, name="single", reserved=True)
    server.rows("ALTER ROLE single CONNECTION LIMIT 1")
    findings = await found_by(written(tmp_path, dsn))
    assert about(findings, "has CONNECTION LIMIT 1").grade is Grade.PROBLEM


async def test_databases_that_cannot_be_reached(server: PostgresServer, tmp_path: Path) -> None:
    """Down, a wrong password, no such database: the reason, and no further guesses."""
    good = create_watch_role(server)
    cases = {
        "refused": "postgresql://nobody@127.0.0.1:9/none",
        "password authentication failed": server.dsn("remediator", PASSWORD + "x"),
        "does not exist": good.replace("/postgres", "/nowhere"),
    }
    for number, (reason, dsn) in enumerate(cases.items()):
        (found, _) = await found_by(written(tmp_path / str(number), dsn))
        assert found.subject == "database shop"
        assert found.grade is Grade.PROBLEM
        assert reason in found.text


async def test_a_database_that_refuses_us(server: PostgresServer, tmp_path: Path) -> None:
    """Which server, why, and what to do: the file of the password, the database's name, a right, a line."""
    create_watch_role(server)
    for name in ("barred", "crowded", "unwelcome"):
        create_watch_role(server, name=name)
    server.rows("ALTER ROLE barred NOLOGIN")
    server.rows("ALTER ROLE crowded CONNECTION LIMIT 0")
    server.rows("CREATE DATABASE members")
    server.rows("REVOKE CONNECT ON DATABASE members FROM public")
    here = f"{server.host}:{server.port} refuses us: "
    cases = {
        server.dsn("remediator", PASSWORD + "x"): (here, "the password, which is from the config, the role"),
        server.dsn("barred", PASSWORD): (here, "check the role and the server's pg_hba.conf"),
        server.dsn("crowded", PASSWORD): (here, "raise the role's CONNECTION LIMIT"),
        server.dsn("remediator", PASSWORD, "shopp"): (
            here,
            '"shopp" does not exist; check the database\'s name',
        ),
        server.dsn("unwelcome", PASSWORD, "members"): (here, "grant the role CONNECT on the database"),
        server.dsn("remediator", None): (f"port {server.port} failed: ", "password_file names the file that"),
        "postgresql://me@shop.invalid/shop": ("the address of shop.invalid: ", "check the dsn's host, and"),
    }
    for number, (dsn, wanted) in enumerate(cases.items()):
        (found, _) = await found_by(written(tmp_path / str(number), dsn))
        assert found.grade is Grade.PROBLEM
        assert all(part in found.text for part in wanted), found.text
        assert "\n" not in found.text
        assert PASSWORD not in found.text


async def test_a_wrong_password_is_told_by_its_file(server: PostgresServer, tmp_path: Path) -> None:
    """Whoever has to mend it knows where; what is in it is told nowhere."""
    create_watch_role(server)
    daemon = written(tmp_path, server.dsn("remediator", None))
    file = tmp_path / "password"
    file.write_text("hunter22\n")
    file.chmod(0o600)
    daemon.config["databases"][0]["password_file"] = str(file)
    daemon.write_config()
    (found, _) = await found_by(daemon)
    assert found.text == (
        f'{server.host}:{server.port} refuses us: password authentication failed for user "remediator"; '
        f"check the password, which is from {file}, the role and the server's pg_hba.conf"
    )
    for command in ("doctor", "check", "plan"):
        done = daemon.run(command)
        assert str(file) in done.stdout, command
        assert "hunter22" not in done.stdout + done.stderr


async def test_a_database_that_never_answers(tmp_path: Path) -> None:
    """The doctor does not wait for ever either."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        (found, _) = await found_by(written(tmp_path, f"postgresql://x@127.0.0.1:{hole.getsockname()[1]}/x"))
    assert found.grade is Grade.PROBLEM
    assert "no answer" in found.text


async def test_a_full_server(make_postgres: MakePostgres, tmp_path: Path) -> None:
    """It says how to keep a slot for next time."""
    server = make_postgres(16, max_connections=10)
    app, watch = create_app_role(server), create_watch_role(server)
    with open_idle(app, 7):
        (found, _) = await found_by(written(tmp_path, watch))
    assert found.grade is Grade.PROBLEM
    assert "reserved_connections keeps a slot" in found.text


@pytest.mark.parametrize("trouble", ["missing", "deaf"])
async def test_docker_unreachable(server: PostgresServer, tmp_path: Path, trouble: str) -> None:
    """That is one problem; no service is looked at for it, and the database is looked at all the same."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as deaf:
        if trouble == "deaf":
            deaf.bind(str(path))
        daemon = written(
            tmp_path,
            create_watch_role(server, reserved=True),
            compose_service("shop", "api"),
            compose_service("shop", "worker"),
            docker={"host": f"unix://{path}"},
        )
        findings = await found_by(daemon)
        done = daemon.run("doctor", "--format", "text")
    said = {"missing": "there is no such socket", "deaf": "nobody listens there"}[trouble]
    wrong = [(f.subject, f.grade) for f in findings if f.grade is not Grade.OK]
    skipped = [(f"service {name}", Grade.WARNING) for name in ("api", "worker")]
    assert wrong == [("docker", Grade.PROBLEM), *skipped]
    assert about(findings, said).subject == "docker"
    about(findings, "sees all sessions")
    assert (done.returncode, done.stdout.count("problem ")) == (2, 1)


async def test_a_mistyped_name_is_told_what_there_is(
    server: PostgresServer, docker_engine: DockerEngine, project: ComposeProject, tmp_path: Path
) -> None:
    """The project's services; of a project that is not there, the projects, and no more than a few."""
    watch, docker = create_watch_role(server, reserved=True), {"host": docker_engine.url}
    slips = [compose_service(project.name, "apii"), compose_service("nowhere", "api")]
    findings = await found_by(written(tmp_path, watch, *slips, docker=docker))
    assert about(findings, "service=apii").text.endswith(f"the services of project {project.name}: api")
    (there,) = about(findings, "project=nowhere").text.split("; ")[1:]
    assert there.startswith("the projects that are there: ")
    assert project.name in there or " more" in there


async def test_compose_services(
    server: PostgresServer, docker_engine: DockerEngine, compose_project: MakeProject, tmp_path: Path
) -> None:
    """Labels that nothing carries, graces that are unset or short, a paused container, and Docker's scope."""
    project = compose_project(COMPOSE)
    names = ("patient", "hasty", "careless", "frozen", "absent")
    daemon = written(
        tmp_path / "d",
        create_watch_role(server, reserved=True),
        *(compose_service(project.name, name) for name in names),
        docker={"host": docker_engine.url},
    )
    frozen = project.container("frozen")
    frozen.pause()
    try:
        findings = await found_by(daemon)
    finally:
        frozen.unpause()
    grades = {name: max(f.grade for f in findings if f.subject == f"service {name}") for name in names}
    assert grades == {
        "patient": Grade.OK,
        "hasty": Grade.WARNING,
        "careless": Grade.WARNING,
        "frozen": Grade.WARNING,
        "absent": Grade.PROBLEM,
    }
    assert "set stop_grace_period" in about(findings, "stop grace period of 1s").text
    assert "own, so Docker's 10s" in about(findings, "careless-1 has no stop grace period").text
    assert "it is paused" in about(findings, "would not be restarted").text
    assert "com.docker.compose.service=absent" in about(findings, "no container").text
    assert about(findings, "API 1.").grade is Grade.OK
    assert about(findings, "whoever holds it is root").grade is Grade.WARNING
    assert daemon.run("doctor").returncode == 2


CULPRIT = {"remediate": {"steps": [{"restart": {"service": "culprit", "among": ["api"]}}]}}
BY_NAME = {"sessions": {"applications": ["gunicorn*"]}}


async def test_whether_addresses_tell_whose_sessions_are_whose(
    server: PostgresServer, docker_engine: DockerEngine, project: ComposeProject, tmp_path: Path
) -> None:
    """It matters where a culprit is to be found and no pattern says what its sessions look like."""
    watch = create_watch_role(server, reserved=True)
    api = compose_service(project.name, "api")
    docker = {"host": docker_engine.url}
    here = await found_by(written(tmp_path / "here", watch, api, docker=docker))
    assert about(here, "told by container").grade is Grade.OK
    assert about(here, "with addresses").grade is Grade.OK
    with Tunnel(None, server.host, server.port) as tunnel:
        beyond = watch.replace(f":{server.port}/", f":{tunnel.port}/")
        dull = Daemon(tmp_path / "dull", beyond, config={"services": [api], "docker": docker})
        blind = Daemon(
            tmp_path / "blind", beyond, policy=CULPRIT, config={"services": [api], "docker": docker}
        )
        told = Daemon(
            tmp_path / "told", beyond, policy=CULPRIT, config={"services": [api | BY_NAME], "docker": docker}
        )
        grades = [about(await found_by(d), "a way that is not known").grade for d in (dull, blind, told)]
    assert grades == [Grade.OK, Grade.WARNING, Grade.OK]


async def test_an_engine_that_does_not_tell_who_lives_where(
    server: PostgresServer, docker_engine: DockerEngine, project: ComposeProject, tmp_path: Path
) -> None:
    """A proxy that shows the services' own containers only, so that addresses have no owners."""
    text = (Path(__file__).parents[2] / "examples" / "compose" / "haproxy.cfg").read_text()
    denial = "http-request deny if { path_end /containers/json } !{ query -m sub filters }"
    config = tmp_path / "haproxy.cfg"
    config.write_text(text.replace("    http-request allow", f"    {denial}\n    http-request allow", 1))
    with HAProxy(config, tmp_path / "docker.sock", Path(docker_engine.url.removeprefix("unix://"))):
        daemon = written(
            tmp_path / "d",
            create_watch_role(server, reserved=True),
            compose_service(project.name, "api"),
            docker={"host": f"unix://{tmp_path}/docker.sock"},
        )
        findings = await found_by(daemon, Mode.DRY_RUN)
    silent = about(findings, "sessions cannot be told by container")
    assert (silent.grade, silent.subject) == (Grade.PROBLEM, "docker")
    assert "list running containers" in silent.text
    assert "api-1 is running" in about(findings, "is running").text


@pytest.mark.parametrize(
    ("asked", "allowed", "said", "unsaid"),
    [
        (False, False, [], ["root", "diagnose"]),
        (False, True, ["exec, which nothing here needs: whoever holds it is root"], ["diagnose"]),
        (True, True, ["(api) needs", "whoever holds it is root on that host, whatever else"], ["refuses to"]),
        (
            True,
            False,
            ["whoever holds it is root", "refuses to run programs in containers"],
            ["nothing here"],
        ),
    ],
)
async def test_an_endpoint_that_runs_programs_in_containers(
    server: PostgresServer,
    docker_engine: DockerEngine,
    project: ComposeProject,
    tmp_path: Path,
    *,
    asked: bool,
    allowed: bool,
    said: list[str],
    unsaid: list[str],
) -> None:
    """It is as good as root, whatever the proxy refuses: who asks for a diagnostic is told."""
    service = compose_service(project.name, "api")
    if asked:
        service["diagnose"] = {"run": ["true"]}
    config = Path(__file__).parents[2] / "examples" / "compose" / "haproxy.cfg"
    env = {"DOCKER_PROXY_EXEC": "yes"} if allowed else {}
    upstream = Path(docker_engine.url.removeprefix("unix://"))
    with HAProxy(config, tmp_path / "docker.sock", upstream, env):
        watch = create_watch_role(server, reserved=True)
        docker = {"host": f"unix://{tmp_path}/docker.sock"}
        findings = await found_by(written(tmp_path / "d", watch, service, docker=docker))
    for words in said:
        assert about(findings, words).grade is Grade.WARNING
    for words in unsaid:
        assert not [finding for finding in findings if words in finding.text]


async def test_a_command_that_is_wrong(server: PostgresServer, tmp_path: Path) -> None:
    """A program that is not there, and a service that does not run."""
    gone = {"restart": ["/nonexistent"], "inspect": ["/nonexistent"]}
    stopped = {"restart": ["true"], "inspect": ["false"]}
    findings = await found_by(
        written(
            tmp_path,
            create_watch_role(server, reserved=True),
            {"name": "gone", "command": gone},
            {"name": "stopped", "command": stopped},
        )
    )
    assert about(findings, "/nonexistent cannot be run: No such file or directory").grade is Grade.PROBLEM
    assert about(findings, "would not be restarted: it is exited").grade is Grade.WARNING


async def test_maintenance_windows(server: PostgresServer, tmp_path: Path) -> None:
    """One that is in force is worth knowing; of others it is told when they begin, so that a slip shows."""
    windows = [
        {"cron": "* * * * *", "for": "1h", "reason": "weekly deploy"},
        {"cron": "0 3 29 2 *", "for": "2h", "timezone": "Europe/Berlin"},
    ]
    dsn = create_watch_role(server, reserved=True)
    findings = await found_by(written(tmp_path, dsn, maintenance=windows))
    in_force = about(findings, "weekly deploy")
    assert in_force.grade is Grade.WARNING
    assert in_force.text.startswith("in force until ")
    later = about(findings, "02-29 02:00 UTC, for 2h")
    assert (later.grade, later.subject) == (Grade.OK, "maintenance 0 3 29 2 * Europe/Berlin")


async def test_a_pause_that_is_over_is_not_in_force(server: PostgresServer, tmp_path: Path) -> None:
    """It stays in the ledger until it is replaced."""
    daemon = written(tmp_path, create_watch_role(server, reserved=True))
    store = SqliteLedger.open(daemon.state_dir, Mode.ENFORCE)
    now = datetime.now(UTC)
    await store.pause(Pause(now - timedelta(hours=2), now - timedelta(hours=1), ""))
    await store.close()
    assert about(await found_by(daemon), "recent entries").grade is Grade.OK


async def test_a_pause_ends_by_the_ledgers_clock(server: PostgresServer, tmp_path: Path) -> None:
    """The wall clock was set a day ahead since: by it the pause would be over."""
    daemon = written(tmp_path, create_watch_role(server, reserved=True))
    store = SqliteLedger.open(daemon.state_dir, Mode.ENFORCE)
    now = SystemClock().now()
    behind = now.at - timedelta(days=1)
    await store.keep_clock(replace(ClockMark.of(now), steady=behind))
    hour = timedelta(hours=1)
    await store.pause(Pause(behind, behind + hour, "", behind + hour))
    await store.close()
    assert about(await found_by(daemon), "paused; see `remediator history`").grade is Grade.WARNING


async def test_the_state_directory(server: PostgresServer, tmp_path: Path) -> None:
    """Missing is a problem; what is in force is worth knowing."""
    daemon = written(tmp_path, create_watch_role(server, reserved=True))
    subject = f"state_dir {daemon.state_dir}"
    store = SqliteLedger.open(daemon.state_dir, Mode.ENFORCE)
    now = datetime.now(UTC)
    await store.lock(Lock("service:api", now, "it crashed"))
    await store.pause(Pause(now, None, ""))
    await store.close()
    findings = await found_by(daemon)
    assert about(findings, "locked until `remediator ack`: service:api; paused; see").grade is Grade.WARNING
    for path in daemon.state_dir.iterdir():
        path.unlink()
    daemon.state_dir.rmdir()
    (found,) = [finding for finding in await found_by(daemon) if finding.subject == subject]
    assert found.grade is Grade.PROBLEM


async def test_warnings_of_the_config_are_findings(server: PostgresServer, tmp_path: Path) -> None:
    """Valid but unwise."""
    create_watch_role(server, reserved=True)
    daemon = written(tmp_path, server.dsn("remediator", None))
    daemon.config["databases"][0]["password"] = PASSWORD
    daemon.write_config()
    daemon.config_file.chmod(0o644)
    findings = await found_by(daemon)
    assert about(findings, "can be read by others than its owner").subject == "config"
    assert max(finding.grade for finding in findings) is Grade.WARNING


async def test_a_standby(make_postgres: MakePostgres, tmp_path: Path) -> None:
    """Nothing would be done on one."""
    server = make_postgres(16)
    dsn = create_watch_role(server)
    server.stop()
    (server.directory / "data" / "standby.signal").touch()
    server.settings |= {"primary_conninfo": "", "restore_command": "false", "hot_standby": "on"}
    server.start()
    wait_until(lambda: server.rows("SELECT pg_is_in_recovery()") == [(True,)], what="recovery")
    findings = await found_by(written(tmp_path, dsn))
    assert about(findings, "it is a standby").grade is Grade.PROBLEM


class _Fast(SystemClock):
    def now(self) -> Moment:
        now = super().now()
        return Moment(now.at + timedelta(minutes=1), now.mono)


async def test_clocks_that_differ(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By more than a person would overlook when reading two logs side by side."""
    monkeypatch.setattr("remediator.doctor.examination.SystemClock", _Fast)
    findings = await found_by(written(tmp_path, create_watch_role(server, reserved=True)))
    assert about(findings, "its clock differs from ours by 1m").grade is Grade.WARNING


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("NEWEST", 15, "is not one of those supported, 13 to 15"),
        ("_SAFE_MINORS", {16: 99}, "CVE-2023-5870"),
    ],
)
async def test_versions(
    name: str,
    value: object,
    words: str,
    server: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that is too new, and one without a security fix that matters to us."""
    monkeypatch.setattr(f"remediator.doctor.examination.{name}", value)
    findings = await found_by(written(tmp_path, create_watch_role(server, reserved=True)))
    assert about(findings, words).grade is Grade.WARNING
