"""The unit as the how-to installs it, under a real systemd, watching a real PostgreSQL.

The tests share one machine and one server; each starts from the unit and a config of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.testbed.bridge import postgres_on_bridge
from tests.testbed.distribution import ROOT, distributions
from tests.testbed.engine import BUSYBOX_IMAGE, SYSTEMD_IMAGE
from tests.testbed.images import build_image
from tests.testbed.missing import missing
from tests.testbed.roles import PASSWORD, create_app_role, create_watch_role
from tests.testbed.sessions import open_idle
from tests.testbed.systemd import SystemdContainer
from tests.testbed.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.conftest import MakeProject
    from tests.testbed.engine import DockerEngine
    from tests.testbed.postgres import PostgresServer

UNIT = ROOT / "systemd" / "remediator.service"
ADDRESS_LIST = ROOT / "systemd" / "address-list.conf"
UNIX_SOCKETS = ROOT / "systemd" / "unix-sockets.conf"
IMAGE = "remediator-test/service:latest"
VERSION = 16
DOCKER_SOCKET = Path("/var/run/docker.sock")

PROGRAM = "/opt/remediator/bin/remediator"
CONFIG = "/etc/remediator/config.yaml"
CREDENTIALS = "/etc/remediator/credentials"
DROP_INS = "/etc/systemd/system/remediator.service.d"
STATE = "/var/lib/remediator"
POSTGRES_SOCKETS = "/srv/postgresql"

POLICY = """\
policies:
  - name: default
    check_every: {normal: 1s, monitor: 1s, alert: 1s, critical: 1s}
"""
# Ten idle sessions are too many, and those of a second ago old enough.
EAGER = """\
policies:
  - name: default
    check_every: {normal: 1s, monitor: 1s, alert: 1s, critical: 1s}
    levels:
      monitor: {utilization: 2%}
      alert: {utilization: 3%}
      critical: {utilization: 6%, for: 0s}
    clear: {margin: 1%}
    remediate:
      until: {utilization: 5%}
      settle: 1s
      steps: [{terminate_idle: {older_than: 1s}}]
    limits: {terminate: {per_step: 100%}}
"""
SERVICE = """
services:
  worker:
    image: {image}
    command: sleep 3600
"""


class Machine:
    """A Debian server on which remediator is installed, and the PostgreSQL server that it watches."""

    def __init__(self, system: SystemdContainer, server: PostgresServer) -> None:
        self.system = system
        self.server = server
        self._since = datetime.now(UTC)

    def config(self, rest: str = POLICY, *, dsn: str | None = None, password: bool = True) -> str:
        """A config for the server."""
        dsn = dsn or f"postgresql://remediator@{self.server.host}:{self.server.port}/postgres"
        secret = "\n    password_file: remediator_password" if password else ""
        database = f"  - dsn: {dsn}{secret}\n    connect: {{timeout: 1s, query_timeout: 1s}}\n"
        return f"version: 1\ndatabases:\n{database}{rest}"

    def write(self, path: str, text: str) -> None:
        """Write a file as root."""
        self.system.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && printf %s "$2" >"$1"', "-", path, text)

    def begin(self, config: str, *drop_ins: str) -> None:
        """Bring the unit back to how it is delivered, with a config and drop-ins; nothing runs yet."""
        self.systemctl("stop", "remediator", check=False)
        self.systemctl("reset-failed", "remediator", check=False)
        self.system.run("rm", "-rf", DROP_INS)
        for number, text in enumerate(drop_ins):
            self.write(f"{DROP_INS}/{number}.conf", text)
        self.write(CONFIG, config)
        self.systemctl("daemon-reload")
        self._since = datetime.now(UTC)

    def give_back(self) -> None:
        """Let systemd remove the unit's control groups, with the packet filter that hangs on them.

        They are in the host's hierarchy and outlive the container: left there by an earlier run, they would
        cut off the first daemon of this one.
        """
        self.begin(self.config())
        self.systemctl("start", "remediator")
        self.systemctl("stop", "remediator")

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        """Run systemctl."""
        return self.system.run("systemctl", *arguments, check=check)

    def shown(self, *properties: str) -> tuple[str, ...]:
        """Read properties of the unit, in the order asked for."""
        names = [f"--property={name}" for name in properties]
        lines = self.systemctl("show", "remediator", "--timestamp=us+utc", *names).splitlines()
        found = dict(line.split("=", 1) for line in lines)
        return tuple(found[name] for name in properties)

    def journal(self) -> list[dict[str, Any]]:
        """The unit's entries since `begin`."""
        return self._entries("--unit=remediator")

    def _entries(self, *options: str) -> list[dict[str, Any]]:
        self.system.run("journalctl", "--sync")
        since = f"--since=@{self._since.timestamp():.6f}"
        text = self.system.run("journalctl", "--output=json", since, *options)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def said(self, *options: str) -> list[dict[str, Any]]:
        """The program's own lines since `begin`, not systemd's about it."""
        return self._entries("SYSLOG_IDENTIFIER=remediator", *options)

    def events(self, name: str) -> list[tuple[dict[str, Any], int]]:
        """What the daemon said of one event, with the journal's priority."""
        lines = [(entry["MESSAGE"], int(entry["PRIORITY"])) for entry in self.said()]
        # What is no event is a line of Python's own, from a process that was made to end.
        events = [(json.loads(line), priority) for line, priority in lines if line.startswith("{")]
        return [(event, priority) for event, priority in events if event["event"] == name]

    def await_event(self, name: str, within: float = 30) -> tuple[dict[str, Any], int]:
        """Wait until the daemon has said something, and return the first time it did."""
        wait_until(lambda: bool(self.events(name)), what=f"event {name}", within=within, every=0.2)
        return self.events(name)[0]

    def await_look(self) -> dict[str, Any]:
        """Wait for a cycle that knows how the database is."""

        def known() -> list[dict[str, Any]]:
            return [event for event, _ in self.events("cycle") if not event["unknown"]]

        wait_until(lambda: bool(known()), what="a look at the database", every=0.2)
        return known()[0]

    def remediator(self, *arguments: str, check: bool = True) -> str:
        """Run a command as the how-to tells operators to."""
        return self.system.run(
            *("env", f"CREDENTIALS_DIRECTORY={CREDENTIALS}", PROGRAM, *arguments), check=check
        )


def _install(system: SystemdContainer) -> None:
    """Do what the how-to says."""
    wheel = distributions().wheel
    system.copy_in(wheel, "/root")
    system.run(
        "/opt/remediator/bin/pip", "install", "--quiet", "--no-deps", "--no-index", f"/root/{wheel.name}"
    )
    system.copy_in(ROOT / "systemd", "/root")
    system.run("install", "-m", "0644", "/root/systemd/remediator.service", "/etc/systemd/system/")
    sysusers = "/etc/sysusers.d/remediator.conf"
    system.run("install", "-D", "-m", "0644", "/root/systemd/remediator.sysusers.conf", sysusers)
    system.run("systemd-sysusers", sysusers)
    system.run("install", "-d", "-m", "0755", "/etc/remediator")
    system.run("install", "-d", "-m", "0700", CREDENTIALS)
    secret = 'umask 077 && printf "%s\\n" "$1" >"$2"'
    system.run("sh", "-c", secret, "-", PASSWORD, f"{CREDENTIALS}/remediator_password")
    group = DOCKER_SOCKET.stat().st_gid
    system.run("groupadd", "--force", "--gid", str(group), "docker")


@pytest.fixture(scope="module")
def machine(docker_engine: DockerEngine, postgres_versions: Mapping[int, Path]) -> Iterator[Machine]:
    """The server with everything installed and nothing started."""
    build_image(IMAGE, ROOT, SYSTEMD_IMAGE, dockerfile=ROOT / "tests" / "images" / "systemd" / "Dockerfile")
    server = postgres_on_bridge(docker_engine, VERSION, postgres_versions[VERSION])
    server.directory.chmod(0o711)  # its socket is for other users too
    try:
        server.start()
        create_watch_role(server)
        volumes = [f"{server.directory}:{POSTGRES_SOCKETS}", f"{DOCKER_SOCKET}:{DOCKER_SOCKET}"]
        system = SystemdContainer(docker_engine, IMAGE, volumes)
        try:
            _install(system)
            machine = Machine(system, server)
            machine.give_back()
            yield machine
            machine.give_back()
        finally:
            system.remove()
    finally:
        server.destroy()


def _unit_tree(directory: Path, drop_in: Path | None = None) -> Path:
    """Lay out a file system that holds the unit and what it refers to."""
    units = directory / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    shutil.copy(UNIT, units)
    shutil.copytree("/usr/lib/systemd/system", directory / "usr/lib/systemd/system", symlinks=True)
    for program in (PROGRAM, "/bin/kill", "/usr/bin/env"):
        stub = directory / program[1:]
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text("#!/bin/sh\n")
        stub.chmod(0o755)
    if drop_in is not None:
        (units / "remediator.service.d").mkdir()
        shutil.copy(drop_in, units / "remediator.service.d")
    return directory


def _analyze(*arguments: str) -> str:
    if shutil.which("systemd-analyze") is None:
        missing("no systemd-analyze (Debian: systemd)")
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("drop_in", [None, ADDRESS_LIST, UNIX_SOCKETS])
def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path, drop_in: Path | None) -> None:
    """No unknown directive, no wrong value, no missing program."""
    tree = _unit_tree(tmp_path, drop_in)
    assert "remediator" not in _analyze("verify", f"--root={tree}", "remediator.service")


@pytest.mark.parametrize(
    ("drop_in", "limit"), [(None, 1.3), (ADDRESS_LIST, 0.9), (UNIX_SOCKETS, 0.4)], ids=["tcp", "list", "unix"]
)
def test_exposure(tmp_path: Path, drop_in: Path | None, limit: float) -> None:
    """The unit and its variants are as closed as the how-to says."""
    tree = _unit_tree(tmp_path, drop_in)
    report = _analyze("security", "--offline=true", f"--root={tree}", "--no-pager", "remediator.service")
    exposure = report.split("Overall exposure level for remediator.service:")[1].split()[0]
    assert float(exposure) <= limit


def test_started_means_ready(machine: Machine) -> None:
    """`systemctl start` returns once the daemon has begun to check, not once a process exists."""
    machine.begin(machine.config())
    machine.systemctl("start", "remediator")
    state, since = machine.shown("ActiveState", "ActiveEnterTimestamp")
    assert state == "active"
    event, _ = machine.await_event("daemon_started")
    active = datetime.strptime(since, "%a %Y-%m-%d %H:%M:%S.%f %Z").replace(tzinfo=UTC)
    assert datetime.fromisoformat(event["at"]) <= active
    assert machine.await_look()["level"] == "normal"


def test_every_line_is_an_event_with_its_priority(machine: Machine) -> None:
    """With `journalctl -p` one finds what is wrong, and a program can read every line."""
    machine.begin(machine.config())
    machine.systemctl("start", "remediator")
    machine.await_look()
    machine.server.stop()
    try:
        _, lost = machine.await_event("evidence_lost")
    finally:
        machine.server.start()
    _, regained = machine.await_event("evidence_regained")
    assert (lost, regained) == (3, 6)
    priorities = {"error": "3", "warning": "4", "info": "6", "debug": "7"}
    for line in machine.said():
        assert line["PRIORITY"] == priorities[json.loads(line["MESSAGE"])["severity"]]
    urgent = machine.said("--priority=err")
    events = [json.loads(line["MESSAGE"])["event"] for line in urgent]
    assert events[0] == "evidence_lost"
    # A server that is slow to start is away for long, and may be slow once more when it is back.
    assert set(events[1:]) <= {"evidence_lost", "evidence_overdue"}


def test_the_daemon_has_no_more_rights_than_said(machine: Machine) -> None:
    """An ordinary user without capabilities, behind a system call filter, with the password in a file."""
    machine.begin(machine.config())
    machine.systemctl("start", "remediator")
    (pid,) = machine.shown("MainPID")
    status = machine.system.run("cat", f"/proc/{pid}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    uid = machine.system.run("id", "-u", "remediator").strip()
    assert fields["Uid"].split() == [uid] * 4
    assert uid != "0"
    assert {fields[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    environment = machine.system.run("cat", f"/proc/{pid}/environ")
    assert "CREDENTIALS_DIRECTORY" in environment
    assert PASSWORD not in environment
    assert PASSWORD not in "".join(line["MESSAGE"] for line in machine.journal())


def test_it_does_its_job_behind_its_walls(machine: Machine) -> None:
    """Nothing the unit forbids is needed to record, terminate and verify."""
    machine.begin("mode: enforce\n" + machine.config(EAGER))
    with open_idle(create_app_role(machine.server), 10) as pids:
        machine.systemctl("start", "remediator")
        machine.await_event("incident_relieved")
        left = machine.server.alive(pids)
    # One of a hundred slots is our own; five are `until`.
    assert 0 < len(left) <= 4
    assert left == set(pids[-len(left) :])
    assert {event["outcome"] for event, _ in machine.events("action_finished")} == {"confirmed"}
    assert "incident" in machine.remediator("history", "--format=json")


def test_docker_is_reached_through_the_group(machine: Machine, compose_project: MakeProject) -> None:
    """With the user's own rights and behind the same walls, containers are found."""
    project = compose_project(SERVICE.format(image=BUSYBOX_IMAGE))
    services = f"services:\n  - {{name: worker, compose: {{project: {project.name}, service: worker}}}}\n"
    plan = f"[Service]\nExecStartPre={PROGRAM} plan --format=json --config={CONFIG}\n"
    machine.begin(machine.config(POLICY + services), plan)
    machine.systemctl("start", "remediator")
    said = "".join(line["MESSAGE"] for line in machine.journal())
    assert str(project.container("worker").name) in said


def test_operators_can_look_while_it_runs(machine: Machine) -> None:
    """The commands of the how-to work beside the daemon and leave it in possession of its files."""
    machine.begin(machine.config())
    machine.systemctl("start", "remediator")
    machine.await_event("cycle")
    assert machine.remediator("health").startswith("fresh")
    assert json.loads(machine.remediator("check", "--format=json"))["level"] == "normal"
    assert machine.remediator("pause", "--for=1h").startswith("paused")
    machine.systemctl("restart", "remediator")
    machine.await_event("cycle")
    assert machine.remediator("resume").strip() == "resumed"
    owners = machine.system.run("find", STATE, "-printf", "%u\n").split()
    assert set(owners) == {"remediator"}


def test_the_state_directory_is_private_and_stays(machine: Machine) -> None:
    """Nobody else can read the ledger, and a restart finds it as it was."""
    machine.begin(machine.config())
    machine.systemctl("start", "remediator")
    look = ("stat", "--format=%a %U %i", STATE, f"{STATE}/ledger.db")
    before = machine.system.run(*look)
    assert before.startswith("700 remediator ")
    machine.systemctl("restart", "remediator")
    assert machine.system.run(*look) == before


def test_a_frozen_daemon_is_restarted(machine: Machine) -> None:
    """Without completed cycles the watchdog ends the process, and a new one takes over."""
    machine.begin(machine.config(), "[Service]\nWatchdogSec=5s\n")
    machine.systemctl("start", "remediator")
    machine.await_event("cycle")
    pid, watchdog = machine.shown("MainPID", "WatchdogUSec")
    assert watchdog == "19s"  # as long as a healthy daemon may need with this config, not five seconds
    machine.system.run("kill", "-STOP", pid)

    def taken_over() -> bool:
        return machine.shown("NRestarts", "ActiveState") == ("1", "active")

    wait_until(taken_over, what="a new daemon", within=90, every=0.5)
    assert machine.shown("MainPID") != (pid,)
    assert "in run_forever" in "".join(line["MESSAGE"] for line in machine.said())  # where it stood
    assert "Watchdog timeout" in "".join(line["MESSAGE"] for line in machine.journal())
    assert len(machine.events("daemon_started")) == 2


def test_stop_is_quick_and_clean(machine: Machine) -> None:
    """The daemon ends by itself, long before systemd would lose patience."""
    machine.begin(machine.config())
    machine.systemctl("start", "remediator")
    machine.await_event("cycle")
    machine.systemctl("stop", "remediator")
    assert machine.shown("ActiveState", "Result", "ExecMainStatus") == ("inactive", "success", "0")
    event, _ = machine.await_event("daemon_stopping")
    assert event["because"] == "SIGTERM"


def test_reload_takes_a_good_config_and_refuses_a_bad_one(machine: Machine) -> None:
    """`systemctl reload` says what is wrong; the daemon goes on with the config it has."""
    machine.begin(machine.config())
    machine.systemctl("start", "remediator")
    before = machine.shown("MainPID", "NRestarts")
    machine.write(CONFIG, machine.config(EAGER))
    machine.systemctl("reload", "remediator")
    machine.await_event("config_reloaded")
    machine.write(CONFIG, machine.config("polices: []\n"))
    with pytest.raises(RuntimeError, match="Job for remediator"):
        machine.systemctl("reload", "remediator")
    assert f"{CONFIG}:6:1" in "".join(line["MESSAGE"] for line in machine.journal())
    machine.systemctl("kill", "--kill-who=main", "--signal=HUP", "remediator")
    rejected, priority = machine.await_event("config_rejected")
    assert priority == 3
    assert any("polices" in problem for problem in rejected["because"])
    assert machine.shown("MainPID", "NRestarts") == before
    assert machine.shown("ActiveState") == ("active",)


def test_a_wrong_config_is_not_tried_again(machine: Machine) -> None:
    """Exit 78 is final: no restarts, and the mistake is in the journal."""
    machine.begin(machine.config("polices: []\n"))
    with pytest.raises(RuntimeError, match="Job for remediator"):
        machine.systemctl("start", "remediator")
    wanted = ("failed", "failed", "exit-code", "78", "0")
    assert machine.shown("ActiveState", "SubState", "Result", "ExecMainStatus", "NRestarts") == wanted
    assert f"{CONFIG}:6:1" in "".join(line["MESSAGE"] for line in machine.journal())


def test_every_credential_of_the_directory_reaches_the_daemon(machine: Machine) -> None:
    """A second password needs a file and a restart; what is not there is said with what to do about it."""
    more = "  - name: other\n    dsn: {}\n    password_file: other_password\n"
    dsn = f"postgresql://remediator@{machine.server.host}:{machine.server.port}/template1"
    machine.begin(machine.config(more.format(dsn) + POLICY))
    with pytest.raises(RuntimeError, match="Job for remediator"):
        machine.systemctl("start", "remediator")
    assert machine.shown("Result", "ExecMainStatus") == ("exit-code", "78")
    (said,) = [line["MESSAGE"] for line in machine.said()]
    assert (
        ": databases[1].password_file: the file of this name in /run/credentials/remediator.service " in said
    )
    assert "; systemd gave remediator.service none when it started: put it, " in said
    other = f"{CREDENTIALS}/other_password"
    machine.system.run("install", "-m", "600", f"{CREDENTIALS}/remediator_password", other)
    try:
        machine.systemctl("reset-failed", "remediator")
        machine.systemctl("start", "remediator")

        def known() -> set[str]:
            return {event["database"] for event, _ in machine.events("cycle") if not event["unknown"]}

        wait_until(lambda: known() == {"default", "other"}, what="a look at both databases", every=0.2)
    finally:
        machine.system.run("rm", other)


def test_doctor_sees_what_the_daemon_will(machine: Machine) -> None:
    """Before the first start, by the how-to's one command, as the unit's user and with its directory."""
    machine.begin(machine.config())
    machine.system.run("rm", "-r", STATE)
    with pytest.raises(RuntimeError, match="StateDirectory= does at the first start"):
        machine.remediator("doctor", "--format=text")
    seen = _doctor(machine)
    assert f"ok       state_dir {STATE}: usable, 0 recent entries" in seen
    assert "problem" not in seen
    assert machine.system.run("stat", "--format=%a %U", STATE, f"{STATE}/ledger.db").split() == [
        *("700", "remediator"),
        *("600", "remediator"),
    ]
    machine.systemctl("start", "remediator")
    assert machine.await_look()["level"] == "normal"


def test_doctor_and_daemon_fail_alike_where_root_would_not(machine: Machine) -> None:
    """A config for root alone; a state directory that the unit keeps read-only until told otherwise."""
    elsewhere = "/srv/remediator"
    machine.begin(f"state_dir: {elsewhere}\n" + machine.config())
    machine.system.run("chmod", "600", CONFIG)
    try:
        assert "config.yaml: cannot be read: permission denied" in _doctor(machine)
    finally:
        machine.system.run("chmod", "644", CONFIG)
    machine.system.run("install", "-d", "-m", "700", "-o", "remediator", elsewhere)
    try:
        wanted = "read-only file system; check the directory, its file system and its owner; under systemd, "
        assert wanted in _doctor(machine)
        machine.systemctl("start", "remediator")
        event, _ = machine.await_event("ledger_unavailable")
        assert wanted in event["because"]
        assert "ReadWritePaths=" in event["because"]
        writable = f"ReadWritePaths={elsewhere}"
        assert f"state_dir {elsewhere}: usable" in _doctor(machine, writable)
        machine.begin(f"state_dir: {elsewhere}\n" + machine.config(), f"[Service]\n{writable}\n")
        machine.systemctl("start", "remediator")
        machine.await_look()
        assert machine.events("ledger_unavailable") == []
    finally:
        machine.systemctl("stop", "remediator")
        machine.system.run("rm", "-r", elsewhere)


def _doctor(machine: Machine, *properties: str) -> str:
    """Have doctor look as the how-to says, with these properties besides."""
    page = (ROOT / "docs" / "how-to" / "systemd.md").read_text()
    (command,) = re.findall(r"^systemd-run .*?^```$", page, re.MULTILINE | re.DOTALL)
    more = "".join(f" --property={one}" for one in properties)
    command = command.removesuffix("```").replace("systemd-run", f"systemd-run{more}").rstrip()
    return machine.system.run("sh", "-c", f"{command} --format text", check=False)


def test_the_address_list_lets_its_addresses_through(machine: Machine) -> None:
    """With the drop-in and the database's address, the database is reached; without the address it is not."""
    drop_in = ADDRESS_LIST.read_text()
    machine.begin(machine.config(), drop_in)
    machine.systemctl("start", "remediator")
    machine.await_event("evidence_lost")
    machine.begin(machine.config(), drop_in, f"[Service]\nIPAddressAllow={machine.server.host}\n")
    machine.systemctl("start", "remediator")
    assert machine.await_look()["level"] == "normal"
    assert machine.events("evidence_lost") == []


def test_unix_sockets_alone_are_enough(machine: Machine) -> None:
    """Without any network, and without a password, the database is watched through its socket."""
    dsn = f"'host={POSTGRES_SOCKETS} port={machine.server.port} user=remediator dbname=postgres'"
    machine.begin(machine.config(dsn=dsn, password=False), UNIX_SOCKETS.read_text())
    machine.systemctl("start", "remediator")
    assert machine.await_look()["level"] == "normal"
    (pid,) = machine.shown("MainPID")
    interfaces = machine.system.run("cat", f"/proc/{pid}/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


def test_an_upgrade_goes_on_where_it_was_and_a_removal_leaves_nothing(machine: Machine) -> None:
    """The how-to's own lines, as far as they need neither a checkout nor a package index."""
    machine.begin(machine.config())
    machine.systemctl("start", "remediator")
    machine.await_event("cycle")
    machine.remediator("pause", "--for=1h")
    before = machine.shown("MainPID")
    machine.system.run("sh", "-c", "mkdir -p /root/dist && cp /root/remediator-*.whl /root/dist/")
    _follow(machine, "Upgrade", "make wheel", "--requirement requirements")
    machine.await_event("daemon_stopping")
    wait_until(lambda: len(machine.events("daemon_started")) == 2, what="the upgraded daemon", every=0.2)
    assert machine.shown("MainPID") != before
    assert machine.remediator("resume").strip() == "resumed"
    machine.system.run("cp", "-a", "/opt/remediator", "/root/kept")
    try:
        _follow(machine, "Remove")
        assert machine.shown("LoadState", "ActiveState") == ("not-found", "inactive")
        everywhere = ("find", "/etc", "/opt", "/var/lib", "/usr/local", "-name", "*remediator*")
        assert machine.system.run(*everywhere) == ""
        assert "no such user" in machine.system.run("id", "remediator", check=False)
    finally:
        machine.system.run("mv", "/root/kept", "/opt/remediator")
        _install(machine.system)


def _follow(machine: Machine, heading: str, *without: str) -> None:
    """Run a section's commands, each with its errors, in root's home directory."""
    page = (ROOT / "docs" / "how-to" / "systemd.md").read_text()
    (block,) = re.findall(rf"^## {heading}\n.*?^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    lines = [line for line in block.splitlines() if not any(part in line for part in without)]
    assert len(lines) >= 5
    machine.system.run("sh", "-ec", "cd /root\n" + "\n".join(lines))
