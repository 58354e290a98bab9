"""Help, usage and config errors, and what becomes of errors that reach the command line."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import click
import pytest

from remediator import cli
from remediator.cli.exits import Exit
from remediator.errors import BusyError, ConfigError, LedgerError, RejectedError, UnavailableError

COMMANDS = {
    "run": "Watch, and once critical is confirmed relieve.",
    "check": "Take one sample of each database and say its level and why.",
    "plan": "Say what would happen if critical were confirmed now, and why.",
    "history": "Show incidents, what was done in each and what came of it",
    "doctor": "Check privileges, reachability, Docker's scope, stop grace periods",
    "pause": "Observe only: nothing is terminated or restarted until the pause ends.",
    "resume": "End a pause.",
    "ack": "Acknowledge: unlock what was locked after remediation failed.",
    "health": "Tell whether the daemon's last completed cycle is recent",
    "config": "Validate, describe and show the configuration.",
}
EXITS = {
    "run": ("0", "74", "75", "78"),
    "check": ("0", "1", "2", "3", "78"),
    "plan": ("0", "3", "78"),
    "doctor": ("0", "1", "2", "78"),
    "health": ("0", "1"),
    "config check": ("0", "78"),
}
READING = [
    *(["run"], ["run", "--once"], ["check"], ["plan"], ["history"], ["doctor"], ["pause"], ["resume"]),
    *(["ack"], ["health"], ["config", "check"], ["config", "show"]),
]


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_main_help_lists_every_command(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And says what to do at 3 a.m."""
    assert cli.run([flag]) == Exit.OK
    shown = capsys.readouterr().out
    assert "At 3 a.m." in shown
    assert set(COMMANDS) <= set(cli.cli.commands)
    for name in cli.cli.commands:
        assert f"\n  {name} " in shown


def test_every_command_has_help_and_every_option_explains_itself() -> None:
    """Those of groups too, whatever is added later."""

    def walk(command: click.Command, name: str) -> None:
        assert command.help, name
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.help, f"{name} {param.opts}"
        if isinstance(command, click.Group):
            for child, sub in command.commands.items():
                walk(sub, f"{name} {child}")

    walk(cli.cli, "remediator")


@pytest.mark.parametrize(("command", "words"), COMMANDS.items())
def test_the_help_of_a_command(command: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It begins with what the command does."""
    assert cli.run([command, "--help"]) == Exit.OK
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith(f"Usage: remediator {command}")
    assert words in shown


@pytest.mark.parametrize(("command", "codes"), EXITS.items())
def test_the_help_tells_exit_codes(
    command: str, codes: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a command has more than 0 to tell."""
    assert cli.run([*command.split(), "--help"]) == Exit.OK
    shown = " ".join(capsys.readouterr().out.split())
    told = shown.split("Exit codes: ")[1]
    for code in codes:
        assert f"{code} " in told


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """As a person and a script expect it."""
    assert cli.run(["--version"]) == Exit.OK
    assert capsys.readouterr().out.startswith("remediator, version ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chekc"], "No such command 'chekc'"),
        (["check", "--fromat", "json"], "--fromat"),
        (["check", "--format", "xml"], "'xml' is not one of 'text', 'json', 'nagios'"),
        (["plan", "--format", "nagios"], "'nagios' is not one of"),
        (["run", "--mode", "force"], "'force' is not one of 'dry-run', 'enforce'"),
        (["pause", "--for", "2"], "'2': has no unit; write numbers with units"),
        (["pause", "--for", "soon"], "is not a length of time"),
        (["pause", "--for", "0s"], "leave it out for a pause without end"),
        (["history", "--since", "10y"], "is not a length of time"),
        (["check", "surplus"], "unexpected extra argument"),
        (["config", "chek"], "No such command 'chek'"),
    ],
)
def test_usage_errors(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 64, the mistake on standard error, nothing on standard output."""
    assert cli.run(arguments) == 64
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err
    assert "Traceback" not in shown.err


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody who types only the name wants to know more."""
    assert cli.run([]) == 64
    shown = capsys.readouterr()
    assert "At 3 a.m." in shown.out + shown.err


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_config_errors(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 78 and one line for each mistake, with its place, from every command that reads the config."""
    config = tmp_path / "config.yaml"
    config.write_text("version: 1\nmode: maybe\nstate_dri: /tmp\ndatabases: [{dsn: postgresql://db/x}]\n")
    assert cli.run([*command, "--config", str(config)]) == 78
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert len(lines) == 2
    assert {line.split(": ")[1] for line in lines} == {f"{config}:2:7", f"{config}:3:1"}
    assert all(line.startswith("remediator: ") for line in lines)


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_no_config(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says where it was looked for."""
    monkeypatch.chdir(tmp_path)
    assert cli.run(command) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert "no configuration file: neither --config nor $REMEDIATOR_CONFIG, nor ./config.yaml" in line


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_config_that_is_a_directory(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends like one that is missing."""
    assert cli.run([*command, "--config", str(tmp_path)]) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"remediator: {tmp_path}: is a directory, not a regular file"


def test_the_schema_needs_no_config(capsys: pytest.CaptureFixture[str]) -> None:
    """Editors and CI ask for it anywhere."""
    assert cli.run(["config", "schema"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["type"] == "object"


def test_check_and_show_a_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A valid file, whose password is masked and whose unused policy is a warning."""
    config = tmp_path / "config.yaml"
    config.write_text(
        "version: 1\nstate_dir: .\ndatabases: [{dsn: 'postgresql://db/x', password: hunter22}]\n"
        "policies: [{name: default}, {name: spare}]\n"
    )
    config.chmod(0o600)
    assert cli.run(["config", "check", "--config", str(config)]) == Exit.OK
    shown = capsys.readouterr()
    assert shown.out == f"{config}: valid (dry-run, 1 database, 0 services)\n"
    assert shown.err == f"warning: {config}: no database uses the policy spare\n"
    assert cli.run(["config", "show", "--config", str(config)]) == Exit.OK
    shown = capsys.readouterr()
    assert "hunter22" not in shown.out + shown.err
    assert "critical: 2s" in shown.out


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (ConfigError(("a:1:1: x: wrong", "a:2:1: y: wrong")), 78, 2),
        (BusyError("in use"), 75, 1),
        (LedgerError("no space left"), 74, 1),
        (UnavailableError("no answer"), 69, 1),
        (RejectedError("refused"), 69, 1),
        (KeyboardInterrupt(), 130, 0),
        (click.Abort(), 130, 0),
    ],
)
def test_errors_become_a_line_and_a_code(
    error: BaseException,
    code: int,
    lines: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each class of error has its code; none shows a traceback."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.cli, "main", fail)
    assert cli.run(["check"]) == code
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == lines
    assert shown.out == ""


def test_a_mistake_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only errors raised on purpose become a line."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.cli, "main", fail)
    with pytest.raises(ZeroDivisionError):
        cli.run(["check"])


def test_a_config_that_may_not_be_read_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """As one that is missing is: a wrong config, not a wrong command line."""
    user = os.getuid()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "config.yaml")
        path.write_text("mode: dry-run\n")
        path.chmod(0)
        if user == 0:
            Path(directory).chmod(0o755)
            os.setresuid(65534, 65534, 0)  # root may read everything
        try:
            code = cli.run(["check", "--config", str(path)])
        finally:
            os.setresuid(user, user, user)
    said = capsys.readouterr().err
    assert code == Exit.CONFIG
    assert said.startswith(f"remediator: {path}: cannot be read: permission denied")
    assert len(said.splitlines()) == 1


def test_a_replay_of_no_time_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """Not a recording that is empty."""
    assert cli.run(["replay", "--since", "1h", "--until", "1h"]) == Exit.USAGE
    assert "--until is how long ago to stop: it must be shorter than --since" in capsys.readouterr().err


def test_a_replay_says_whom_only_one_config_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that was mistyped must not pass for a policy that decides the same."""
    tmp_path.chmod(0o700)
    paths = []
    for number, names in enumerate((("shop", "crm"), ("shop", "crn"))):
        dsns = ", ".join(f"{{name: {name}, dsn: 'postgresql://{name}/x'}}" for name in names)
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(f"version: 1\nstate_dir: .\ndatabases: [{dsns}]\n")
        paths[-1].chmod(0o600)
    assert cli.run(["replay", "--config", str(paths[0]), "--policy", str(paths[1])]) == Exit.UNKNOWN
    said = capsys.readouterr().err
    assert "crm: not replayed, the other config has no database of this name" in said
    assert "crn: only in the other config; recorded are shop, crm" in said
    assert cli.run(["replay", "--config", str(paths[0])]) == Exit.UNKNOWN
    assert capsys.readouterr().err == ""
