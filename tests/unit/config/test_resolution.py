"""What becomes of the file, the environment and the secrets: defaults, precedence, warnings."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from remediator.config import (
    MASK,
    CommandTarget,
    ComposeTarget,
    ConnectSettings,
    DatabaseSettings,
    LogSettings,
    Secret,
    Settings,
    load,
)
from remediator.core.model import Level, Mode
from remediator.core.policy import (
    Backoff,
    ClearRule,
    Conditions,
    IdleCount,
    LevelRule,
    Limits,
    Rate,
    Remediate,
    RestartService,
    TerminateIdle,
    When,
)
from remediator.core.service import Verification
from remediator.errors import ConfigError

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def loaded(directory: Path, text: str = "", **env: str) -> Settings:
    """The settings from this text in a file of one's own."""
    path = directory / "config.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    path.chmod(0o600)
    return load(path, {"PGHOST": "db"} | env)


def database(directory: Path, text: str = "", **env: str) -> DatabaseSettings:
    """The only database's settings."""
    (only,) = loaded(directory, text, **env).databases
    return only


def test_limits_may_be_lists_and_the_short_forms_stay(tmp_path: Path) -> None:
    """Each rate holds; what is not written keeps its default, so that a list never loosens another limit."""
    path = tmp_path / "config.yaml"
    path.write_text(
        """\
databases: [{dsn: host=db}]
policies:
  - name: default
    limits:
      terminate: {per_step: [40%, 100], rates: [600 per 2h, 2000 per 1d]}
      restart: {per_service: [3 per 1h, 7 per 1d], rates: 2 per 1h, backoff: none}
"""
    )
    limits = load(path, {}).databases[0].policy.limits
    hour, day = timedelta(hours=1), timedelta(days=1)
    assert limits.terminate_per_step == (0.4, 100)
    assert limits.terminate == (Rate(500, hour), Rate(600, 2 * hour), Rate(2000, day))
    assert limits.restart_per_service == (Rate(3, hour), Rate(7, day))
    assert limits.restart == (Rate(3, day), Rate(2, hour))
    assert limits.backoff is None


def test_an_empty_file_gives_the_documented_defaults(tmp_path: Path) -> None:
    """As long as the environment names a database."""
    settings = loaded(tmp_path)
    assert settings.mode is Mode.DRY_RUN
    assert settings.state_dir == Path("/var/lib/remediator")
    assert settings.docker_host == "unix:///var/run/docker.sock"
    assert settings.services == ()
    assert settings.log == LogSettings("info", "auto")
    assert settings.warnings == ()
    (only,) = settings.databases
    assert (only.name, only.dsn, only.password, only.connect) == ("default", "", None, ConnectSettings())


def test_the_default_policy(tmp_path: Path) -> None:
    """The runbook's thresholds."""
    policy = database(tmp_path).policy
    assert policy.check_every == {
        Level.NORMAL: 30 * SECOND,
        Level.MONITOR: 15 * SECOND,
        Level.ALERT: 5 * SECOND,
        Level.CRITICAL: 2 * SECOND,
    }
    assert policy.levels == {
        Level.MONITOR: LevelRule(
            Conditions(
                0.2,
                IdleCount(10 * MINUTE, 1),
                churn=Rate(50, SECOND),
                connect_latency=2 * SECOND,
                idle_in_transaction=IdleCount(MINUTE, 0.1),
            )
        ),
        Level.ALERT: LevelRule(
            Conditions(0.5, IdleCount(10 * MINUTE, 10), exhausted_within=10 * MINUTE), 30 * SECOND
        ),
        Level.CRITICAL: LevelRule(Conditions(0.9, None, refusing_connections=True), 5 * SECOND),
    }
    assert policy.clear == ClearRule(0.05, 5 * MINUTE)
    assert policy.remediate == Remediate(0.5, 15 * SECOND, 5 * MINUTE, (TerminateIdle(10 * MINUTE),))
    assert policy.spare.users == ()
    assert policy.spare.spares_application("pgbackrest restore")
    assert policy.limits == Limits(
        terminate_per_step=(0.5, 500),
        terminate=(Rate(500, timedelta(hours=1)),),
        restart_per_service=(Rate(1, 30 * MINUTE), Rate(3, timedelta(days=1))),
        restart=(Rate(3, timedelta(days=1)),),
        failed_rounds=3,
        min_uptime=MINUTE,
        backoff=Backoff(30 * MINUTE, timedelta(hours=8)),
        terminate_abort_above=(0.8, 2000),
        restart_per_step=(0.75, 10),
    )


def test_what_is_written_arrives(tmp_path: Path) -> None:
    """In the values that the core and the adapters take."""
    settings = loaded(
        tmp_path,
        """\
        mode: enforce
        state_dir: state
        docker: {host: "tcp://proxy:2375"}
        databases: [{name: app, dsn: "host=h", policy: web, connect: {timeout: 1m30s, keepalives_count: "7"}}]
        services:
          - {name: api, compose: {project: p, service: s}, verify: {within: 5s, steady_for: 0s}}
          - {name: w, command: {restart: [a, "1"], inspect: [b, no], deadline: 3s}}
        policies:
          - name: web
            levels:
              monitor: {utilization: none}
              alert: {idle: none}
              critical: {idle: {count: 5}, refusing_connections: false, for: 0s}
            remediate:
              steps:
                - restart: {service: w, when: always}
                - terminate_idle: {older_than: 500ms}
            spare: {users: [a, a], applications: [barman*, "0123"]}
            limits:
              terminate: {per_step: 7}
              restart: {per_service: 2 per 1h30m, per_day: 0, min_uptime: 5s}
        log: {level: debug, format: json}
        """,
    )
    assert (settings.mode, settings.state_dir) == (Mode.ENFORCE, tmp_path / "state")
    assert settings.docker_host == "tcp://proxy:2375"
    assert settings.log == LogSettings("debug", "json")
    api, worker = settings.services
    assert api.runtime == ComposeTarget("p", "s")
    assert api.service.verification == Verification(5 * SECOND, timedelta(0))
    assert worker.runtime == CommandTarget(("a", "1"), ("b", "no"), 3 * SECOND)
    policy = settings.databases[0].policy
    assert policy.levels[Level.MONITOR].conditions == Conditions(
        None,
        IdleCount(10 * MINUTE, 1),
        churn=Rate(50, SECOND),
        connect_latency=2 * SECOND,
        idle_in_transaction=IdleCount(MINUTE, 0.1),
    )
    assert policy.levels[Level.ALERT].conditions == Conditions(0.5, exhausted_within=10 * MINUTE)
    assert policy.levels[Level.CRITICAL] == LevelRule(Conditions(0.9, IdleCount(10 * MINUTE, 5)))
    assert policy.remediate.steps == (RestartService("w", When.ALWAYS), TerminateIdle(SECOND / 2))
    assert policy.spare.users == ("a",)
    assert policy.spare.applications[-2:] == ("wal-g*", "0123")
    assert policy.limits.min_uptime == 5 * SECOND
    assert policy.limits.terminate_per_step == (7,)
    assert policy.limits.restart_per_service == (Rate(2, 90 * MINUTE),)
    assert policy.limits.restart == (Rate(0, timedelta(days=1)),)
    assert settings.databases[0].connect == ConnectSettings(timeout=90 * SECOND, keepalives_count=7)


def test_the_default_ladder_restarts_the_services_in_their_order(tmp_path: Path) -> None:
    """After the idle sessions."""
    text = """\
        services:
          - {name: b, compose: {project: p, service: b}}
          - {name: a, compose: {project: p, service: a}}
        """
    steps = database(tmp_path, text).policy.remediate.steps
    assert steps == (TerminateIdle(10 * MINUTE), RestartService("b"), RestartService("a"))
    known = [step.known_by for step in steps if isinstance(step, RestartService)]
    assert known == ["Compose project p, service b", "Compose project p, service a"]


def test_an_empty_ladder_stays_empty(tmp_path: Path) -> None:
    """Written so, it is meant so."""
    assert (
        database(tmp_path, "policies: [{name: default, remediate: {steps: []}}]").policy.remediate.steps == ()
    )


def test_variables_are_filled_in_after_parsing(tmp_path: Path) -> None:
    """No variable becomes YAML."""
    text = """\
        mode: ${MODE:-enforce}
        state_dir: /x/${A}/$${B}/${C:-a$$b}
        """
    settings = loaded(tmp_path, text, A="y: [&", MODE="")
    assert settings.mode is Mode.ENFORCE
    assert settings.state_dir == Path("/x/y: [&/${B}/a$b")


def test_variables_do_not_multiply_memory(tmp_path: Path) -> None:
    """Neither within a value nor over all of them."""
    users = ", ".join(["'${BIG}'"] * 3000)
    with pytest.raises(ConfigError, match="variables add up to more than 256 KiB"):
        loaded(tmp_path, f"policies: [{{name: default, spare: {{users: [{users}]}}}}]", BIG="x" * 60000)
    with pytest.raises(ConfigError, match="too long once its variables are filled in"):
        loaded(tmp_path, "state_dir: " + "${BIG}" * 3000, BIG="x" * 60000)


def test_a_variable_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """An environment may hold any bytes."""
    with pytest.raises(ConfigError, match=r":1:12: state_dir: needs \$X, which is not UTF-8 text$"):
        loaded(tmp_path, "state_dir: ${X}", X="\udcff")


def test_environment_over_file_over_dsn_over_default(tmp_path: Path) -> None:
    """And the variable for one database over that for all."""
    text = """\
        databases:
          - name: my-app
            dsn: postgresql://h/d?connect_timeout=1&keepalives_idle=2&tcp_user_timeout=3000
            connect: {keepalives_idle: 4s, query_timeout: 5s, probe_every: 6s}
        """
    connect = database(
        tmp_path,
        text,
        REMEDIATOR_CONNECT_QUERY_TIMEOUT="7s",
        REMEDIATOR_CONNECT_PROBE_EVERY="8s",
        REMEDIATOR_MY_APP_CONNECT_PROBE_EVERY="9s",
        REMEDIATOR_MY_APP_CONNECT_APPLICATION_NAME="x",
    ).connect
    assert connect == ConnectSettings(
        timeout=1 * SECOND,
        keepalives_idle=4 * SECOND,
        tcp_user_timeout=3 * SECOND,
        query_timeout=7 * SECOND,
        probe_every=9 * SECOND,
        application_name="x",
    )


def test_every_scalar_of_connect_comes_from_the_environment(tmp_path: Path) -> None:
    """Without exception."""
    keys = [name for name in ConnectSettings.__dataclass_fields__ if name != "application_name"]
    values = {key: "42" if key == "keepalives_count" else "42s" for key in keys}
    env = {f"REMEDIATOR_DEFAULT_CONNECT_{key.upper()}": value for key, value in values.items()}
    connect = database(tmp_path, **env).connect
    assert {getattr(connect, key) for key in keys} == {42, 42 * SECOND}


def test_a_database_may_be_called_connect(tmp_path: Path) -> None:
    """Its variables are still its own."""
    text = "databases: [{name: connect}]"
    assert database(tmp_path, text, REMEDIATOR_CONNECT_CONNECT_TIMEOUT="9s").connect.timeout == 9 * SECOND


def test_database_url_in_djangos_form(tmp_path: Path) -> None:
    """Percent-encoded password included."""
    only = database(tmp_path, DATABASE_URL="postgres://u:p%40ss@h:1/d?sslmode=require")
    assert only.dsn == "postgresql://u@h:1/d?sslmode=require"
    assert only.password == Secret("p@ss")


def test_a_dsn_of_the_file_goes_before_database_url(tmp_path: Path) -> None:
    """That is for whoever writes none."""
    assert database(tmp_path, "databases: [{dsn: host=x}]", DATABASE_URL="postgres://h/d").dsn == "host=x"


@pytest.mark.parametrize(
    ("value", "secret"), [("0123", "0123"), ("no", "no"), ("1e3", "1e3"), ("'~'", "~"), ('"${PW}"', "x$${y}")]
)
def test_a_password_is_what_was_written(tmp_path: Path, value: str, secret: str) -> None:
    """Not the number, boolean or null it looks like."""
    assert database(tmp_path, f"databases: [{{password: {value}}}]", PW="x$${y}").password == Secret(secret)


def test_pgpassword_is_known_as_a_secret(tmp_path: Path) -> None:
    """Since libpq would use it, output must be kept clear of it."""
    settings = loaded(tmp_path, PGPASSWORD="hunter2")
    assert [secret.reveal() for secret in settings.secrets] == ["hunter2"]


class TestPasswordFiles:
    """`password_file` and the variable that overrides it."""

    def test_an_absolute_or_relative_path(self, tmp_path: Path) -> None:
        """Relative to the configuration file."""
        file = tmp_path / "pw"
        file.write_text("hunter2\n")
        file.chmod(0o400)
        for written in (str(file), "./pw"):
            only = database(tmp_path, f"databases: [{{password_file: {written}}}]")
            assert only.password == Secret("hunter2")
            assert only.password_file is not None
            assert only.password_file.samefile(file)

    def test_only_one_line_end_is_dropped(self, tmp_path: Path) -> None:
        """The rest belongs to the password."""
        (tmp_path / "pw").write_bytes(b" a\nb \n\r\n")
        assert database(tmp_path, "databases: [{password_file: ./pw}]").password == Secret(" a\nb \n")

    def test_a_bare_name_is_a_credential_of_systemd(self, tmp_path: Path) -> None:
        """By `LoadCredential=`, without a warning."""
        credentials = tmp_path / "credentials"
        credentials.mkdir()
        (credentials / "pw").write_text("hunter2")
        (credentials / "pw").chmod(0o440)
        settings = loaded(
            tmp_path, "databases: [{password_file: pw}]", CREDENTIALS_DIRECTORY=str(credentials)
        )
        assert settings.databases[0].password == Secret("hunter2")
        # systemd's access control list shows as permissions of the group.
        assert settings.warnings == ()

    def test_a_credential_from_a_whole_directory_has_the_units_name_before_its_own(
        self, tmp_path: Path
    ) -> None:
        """As `LoadCredential=remediator:DIRECTORY` gives it; one of just this name goes before it."""
        (tmp_path / "remediator_pw").write_text("hunter2")
        text = "databases: [{password_file: pw}]"
        assert database(tmp_path, text, CREDENTIALS_DIRECTORY=str(tmp_path)).password == Secret("hunter2")
        (tmp_path / "pw").write_text("just this")
        assert database(tmp_path, text, CREDENTIALS_DIRECTORY=str(tmp_path)).password == Secret("just this")

    def test_the_environment_goes_before_the_file(self, tmp_path: Path) -> None:
        """Also before the DSN's password."""
        (tmp_path / "pw").write_text("from file")
        only = database(
            tmp_path,
            "databases: [{name: app, dsn: 'postgresql://u:x@h/d'}]",
            REMEDIATOR_APP_PASSWORD_FILE=str(tmp_path / "pw"),
        )
        assert only.password == Secret("from file")

    @pytest.mark.parametrize("mode", [0o440, 0o404, 0o644])
    def test_a_warning_when_others_can_read_it(self, tmp_path: Path, mode: int) -> None:
        """Group or world."""
        file = tmp_path / "pw"
        file.write_text("hunter2")
        file.chmod(mode)
        (warning,) = loaded(tmp_path, "databases: [{password_file: ./pw}]").warnings
        assert warning == f"{file}: others than its owner can read this secret; chmod 0400 it"

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (None, "cannot be read: no such file or directory"),
            (b"", "is empty"),
            (b"\n", "is empty"),
            (b"\0", "is binary, not UTF-8 text"),
            (b"\xff", "is not UTF-8 text (line 1)"),
            (b"x" * 70000, "is larger than 64 KiB, the most that is allowed"),
        ],
    )
    def test_a_file_that_holds_no_password(self, tmp_path: Path, content: bytes | None, text: str) -> None:
        """Named by the path that was tried, without its content."""
        if content is not None:
            (tmp_path / "pw").write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            loaded(tmp_path, "databases: [{password_file: ./pw}]")
        line = f"{tmp_path / 'config.yaml'}:1:29: databases[0].password_file: {tmp_path / 'pw'} {text}"
        assert caught.value.problems == (line,)

    @pytest.mark.parametrize(
        ("written", "named"),
        [
            ("/none/pw", "/none/pw"),
            ("../none/pw", "{}/../none/pw"),
            ("secrets/pw", "{}/secrets/pw"),
            # May be a password by mistake, or is not the file's own text.
            ("hunter2/x", "the file"),
            ("hunter2/", "the file"),
            ("${PLACE}/hunter2", "the file"),
        ],
    )
    def test_a_path_is_told_and_what_may_be_a_password_is_not(
        self, tmp_path: Path, written: str, named: str
    ) -> None:
        """A path starts like one, or with a directory that exists."""
        (tmp_path / "secrets").mkdir()
        with pytest.raises(ConfigError) as caught:
            loaded(tmp_path, f"databases: [{{password_file: '{written}'}}]", PLACE="/none")
        (line,) = caught.value.problems
        text = f"{named.format(tmp_path)} cannot be read: no such file or directory"
        assert line == f"{tmp_path / 'config.yaml'}:1:29: databases[0].password_file: {text}"

    def test_a_path_that_no_file_can_have(self, tmp_path: Path) -> None:
        """One line, as for any other."""
        with pytest.raises(ConfigError) as caught:
            loaded(tmp_path, f"databases: [{{password_file: {'x' * 300}/hunter2}}]")
        text = "the file cannot be read: file name too long"
        line = f"{tmp_path / 'config.yaml'}:1:29: databases[0].password_file: {text}"
        assert caught.value.problems == (line,)

    def test_a_credential_that_is_not_there(self, tmp_path: Path) -> None:
        """It says where it was looked for."""
        with pytest.raises(ConfigError) as caught:
            loaded(tmp_path, "databases: [{password_file: pw}]", CREDENTIALS_DIRECTORY="/none")
        assert str(caught.value).endswith(
            ": the file of this name in /none cannot be read: no such file or directory"
        )

    def test_a_credential_that_systemd_did_not_give(self, tmp_path: Path) -> None:
        """It says which unit lacks it and what gives it to the unit, and not what may be a password."""
        with pytest.raises(ConfigError) as caught:
            loaded(
                tmp_path,
                "databases: [{password_file: hunter2}]",
                CREDENTIALS_DIRECTORY="/run/credentials/mine.service",
            )
        (line,) = caught.value.problems
        assert "; systemd gave mine.service none when it started: put it, " in line
        assert "LoadCredential=NAME:FILE" in line
        assert "hunter2" not in line

    def test_a_bare_name_without_credentials(self, tmp_path: Path) -> None:
        """It says what is missing, and both ways out."""
        with pytest.raises(ConfigError) as caught:
            loaded(tmp_path, "databases: [{password_file: pw}]")
        assert str(caught.value).endswith(
            ": databases[0].password_file: is a bare name, which is looked for in $CREDENTIALS_DIRECTORY,"
            " which is not set; write a path with a /, or export"
            " CREDENTIALS_DIRECTORY=/etc/remediator/credentials on a systemd host"
        )

    @pytest.mark.parametrize(
        "text",
        [
            "databases: [{password: a, password_file: ./b}]",
            "databases: [{password: a, dsn: 'postgresql://u:b@h/d'}]",
            "databases: [{password_file: ./a, dsn: 'host=h password=b'}]",
        ],
    )
    def test_two_passwords_are_one_too_many(self, tmp_path: Path, text: str) -> None:
        """Nobody knows which is meant."""
        (tmp_path / "b").write_text("x")
        (tmp_path / "a").write_text("x")
        with pytest.raises(ConfigError, match="keep one") as caught:
            loaded(tmp_path, text)
        assert len(caught.value.problems) == 1


def test_a_warning_when_others_can_read_a_file_with_a_password_in_it(tmp_path: Path) -> None:
    """The configuration is then a secret file too."""
    path = tmp_path / "config.yaml"
    for text in ("databases: [{password: x}]", "databases: [{dsn: 'postgresql://u:x@h/d'}]"):
        path.write_text(text)
        path.chmod(0o644)
        (warning,) = load(path, {"PGHOST": "db"}).warnings
        assert warning == f"{path}: holds a password and can be read by others than its owner"
        path.chmod(0o600)
        assert load(path, {"PGHOST": "db"}).warnings == ()


def test_a_warning_when_a_policy_decides_for_nothing(tmp_path: Path) -> None:
    """Likely a database was meant to use it."""
    (warning,) = loaded(tmp_path, "policies: [{name: default}, {name: web}]").warnings
    assert warning == f"{tmp_path / 'config.yaml'}: no database uses the policy web"


def test_a_warning_when_a_suspect_can_never_be_the_culprit(tmp_path: Path) -> None:
    """It has no containers whose addresses are its own, and nobody said what its sessions look like."""
    text = """
    services:
      - {name: api, compose: {project: shop, service: api}}
      - {name: unit, command: {restart: [a], inspect: [b]}}
      - {name: known, command: {restart: [a], inspect: [b]}, sessions: {users: [shop]}}
    policies:
      - name: default
        remediate: {steps: [{restart: {service: culprit}}]}
    """
    (warning,) = loaded(tmp_path, text).warnings
    assert warning.startswith("policy default: unit can never be the culprit: ")
    assert "services[].sessions" in warning
    assert loaded(tmp_path, text.replace("{service: culprit}", "{service: unit}")).warnings == ()


def test_a_secret_shows_only_when_asked(tmp_path: Path) -> None:
    """In no repr, string, copy or pickle."""
    secret = Secret("hunter2")
    assert f"{secret} {secret!r} {secret!s} {[secret]}" == f"{MASK} {MASK} {MASK} [{MASK}]"
    assert copy.deepcopy(secret).reveal() == "hunter2"
    assert {Secret("hunter2")} == {secret}
    assert secret != "hunter2"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    settings = loaded(tmp_path, "databases: [{dsn: 'postgresql://u:hunter2@h/d'}]")
    assert "hunter2" not in repr(settings)
    assert settings.databases[0].password == secret


def test_secrets_are_left_alone_where_none_is_needed(tmp_path: Path) -> None:
    """All else is validated; a secret that was not read is never taken for an empty one."""
    text = (
        "databases: [{name: shop, dsn: postgresql://me@db, password_file: pw}]\n"
        "notify: [{name: oncall, url_file: ./missing}]\n"
    )
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load(path, {})
    settings = load(path, {}, secrets=False)
    assert settings.secrets == ()
    password, url = settings.databases[0].password, settings.notify[0].url
    assert password is not None
    for secret in (password, url):
        with pytest.raises(RuntimeError, match="was not read"):
            secret.reveal()
    path.write_text(text + "polices: []")
    with pytest.raises(ConfigError, match="polices"):
        load(path, {}, secrets=False)


def test_a_warning_when_everyone_can_write_the_config(tmp_path: Path) -> None:
    """Whoever can write it can name programs to run."""
    path = tmp_path / "config.yaml"
    path.write_text("databases: [{dsn: 'postgresql://u@h/d'}]")
    path.chmod(0o666)
    (warning,) = load(path, {}).warnings
    assert warning.startswith(f"{path}: everyone may write to it")
    path.chmod(0o664)
    assert load(path, {}).warnings == ()


def test_maintenance_without_an_end_draws_a_warning(tmp_path: Path) -> None:
    """As when a window that was meant to begin every hour begins with every minute."""
    text = "policies: [{name: default, maintenance: [{cron: '* * * * *', for: 1m}]}]"
    (warning,) = loaded(tmp_path, text).warnings
    assert "policy default: its maintenance windows follow each other without an end" in warning
    assert loaded(tmp_path, text.replace("* * * * *", "0 * * * *")).warnings == ()


def test_two_databases_of_one_server_are_warned_of(tmp_path: Path) -> None:
    """They would both act on all of its sessions; two servers, or two on one machine, draw no warning."""
    text = """
        databases:
          - {{name: shop, dsn: "postgresql://me@db/shop"}}
          - {{name: orders, dsn: "{other}"}}
        """
    (warning,) = loaded(tmp_path, text.format(other="host=db port=5432 dbname=orders")).warnings
    assert warning.startswith("databases shop and orders are on one server, by their dsn: both would act")
    for other in ("host=db port=5433 dbname=orders", "postgresql://me@db2/orders"):
        assert loaded(tmp_path, text.format(other=other)).warnings == ()
