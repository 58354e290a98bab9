"""What is published about the configuration, and what it shows of itself, is true."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from remediator.config import Settings, load, schema, show
from remediator.config.reference import reference
from remediator.core.model import Mode
from remediator.errors import ConfigError

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "config.example.yaml"
PAGES = ROOT / "docs" / "reference"
VALIDATOR = Draft202012Validator(schema())


def sections() -> Iterator[tuple[str, dict[str, Any]]]:
    """The schema's sections, the root being nameless."""
    yield "", schema()
    yield from schema()["$defs"].items()


def test_the_schema_is_a_schema_and_explains_every_key() -> None:
    """Strict, with a title and a description everywhere."""
    Draft202012Validator.check_schema(schema())
    for name, section in sections():
        assert section["additionalProperties"] is False, name
        for key, child in section["properties"].items():
            described = child
            if "description" not in child:
                described = schema()["$defs"][child["$ref"].rpartition("/")[2]]
            assert child["title"], f"{name}.{key}"
            assert described["description"].endswith((".", "`.")), f"{name}.{key}"


def test_the_schema_is_nobody_elses() -> None:
    """Who changes it changes a copy."""
    schema().clear()
    assert schema()


def test_the_published_schema_and_page_are_up_to_date() -> None:
    """When this fails: scripts/config-reference."""
    assert json.loads((PAGES / "config.schema.json").read_text()) == schema()
    assert (PAGES / "config.md").read_text() == reference()


def test_the_script_writes_the_published_files(tmp_path: Path) -> None:
    """Into the checkout it stands in."""
    for name in ("remediator", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    script = tmp_path / "copy" / "config-reference"
    script.parent.mkdir()
    script.write_bytes((ROOT / "scripts" / "config-reference").read_bytes())
    subprocess.run([sys.executable, script], check=True)
    for name in ("config.md", "config.schema.json"):
        written = tmp_path / "docs" / "reference" / name
        assert written.read_bytes() == (PAGES / name).read_bytes()


def test_the_example_is_valid_and_only_watches() -> None:
    """For the program and for editors."""
    settings = load(EXAMPLE, {})
    assert settings.mode is Mode.DRY_RUN
    assert settings.warnings == ()
    VALIDATOR.validate(yaml.safe_load(EXAMPLE.read_text()))


def test_the_example_points_editors_at_the_schema() -> None:
    """By a path that exists."""
    first = EXAMPLE.read_text().splitlines()[0]
    path = first.removeprefix("# yaml-language-server: $schema=")
    assert path != first
    assert (EXAMPLE.parent / path) == PAGES / "config.schema.json"


def test_the_example_has_every_key() -> None:
    """At least in a comment."""
    text = EXAMPLE.read_text()
    for name, section in sections():
        for key in section["properties"]:
            assert re.search(rf"(?:^|[\s{{-]){key}:(?:\s|$)", text, re.MULTILINE), f"{name}.{key}"


def test_the_examples_comments_are_valid_too(tmp_path: Path) -> None:
    """Whoever takes the # away gets a valid file."""
    text = EXAMPLE.read_text()
    start = text.index("  # - name: reports")
    block = text[start : text.index("\n\n", start)]
    path = tmp_path / "config.yaml"
    path.write_text(text.replace(block, re.sub("^  # ", "  ", block, flags=re.MULTILINE)))
    assert [service.service.name for service in load(path, {}).services] == [
        "celery_worker",
        "api",
        "reports",
    ]


def test_the_example_says_the_defaults(tmp_path: Path) -> None:
    """Where it shows a value without calling it an example."""
    (tmp_path / "config.yaml").write_text("")
    bare = load(tmp_path / "config.yaml", {"PGHOST": "db"})
    example = load(EXAMPLE, {})
    assert (example.log, example.state_dir, example.docker_host) == (
        bare.log,
        bare.state_dir,
        bare.docker_host,
    )
    shown, default = example.databases[0], bare.databases[0]
    assert shown.connect == default.connect
    assert (
        replace(
            shown.policy,
            name="default",
            spare=default.policy.spare,
            maintenance=(),
            remediate=replace(shown.policy.remediate, steps=default.policy.remediate.steps),
        )
        == default.policy
    )


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("mode: enforce", True),
        ("mode: ${MODE}", True),
        ("mode: enforced", False),
        ("mod: enforce", False),
        ("databases: [{dsn: host=h, connect: {probe_every: 1h 30m, keepalives_count: 3}}]", True),
        ("databases: [{connect: {timeout: 5}}]", False),
        ("databases: [{connect: {timeout: 5m5h}}]", False),
        ("databases: [{connect: {keepalives_count: 0}}]", False),
        ("databases: []", False),
        ("services: [{name: a, compose: {project: p, service: s}}]", True),
        ("services: [{name: a}]", False),
        ("policies: [{name: default, levels: {monitor: {idle: none, utilization: 12.5%}}}]", True),
        ("policies: [{name: default, levels: {monitor: {idle: nope}}}]", False),
        ("policies: [{name: default, levels: {monitor: {idle: {count: 20%}}, alert: {idle: none}}}]", True),
        ("policies: [{name: default, levels: {alert: {never_used: 20}}}]", True),
        ("policies: [{name: default, levels: {alert: {never_used: 20%, idle_in_transaction: 12}}}]", True),
        ("policies: [{name: default, levels: {alert: {never_used: {older_than: 5m, count: 3}}}}]", True),
        ("policies: [{name: default, levels: {monitor: {idle_in_transaction: {older_than: 5m}}}}]", True),
        ("policies: [{name: default, levels: {monitor: {idle_in_transaction: none}}}]", True),
        ("policies: [{name: default, levels: {alert: {never_used: {older_than: 5m}}}}]", False),
        ("policies: [{name: default, levels: {alert: {never_used: 10m}}}]", False),
        ("policies: [{name: default, levels: {alert: {never_used: 0}}}]", False),
        ("policies: [{name: default, limits: {terminate: {per_step: 5}}}]", True),
        ("policies: [{name: default, limits: {terminate: {per_step: 50%}}}]", True),
        ("policies: [{name: default, limits: {terminate: {per_step: half}}}]", False),
        ("policies: [{name: default, limits: {restart: {per_service: 2 per 30m}}}]", True),
        ("policies: [{name: default, limits: {restart: {per_service: 2 per 30}}}]", False),
        ("policies: [{name: default, limits: {restart: {per_service: [2 per 30m, 9 per 1d]}}}]", True),
        ("policies: [{name: default, limits: {restart: {per_service: []}}}]", False),
        ("policies: [{name: default, limits: {restart: {backoff: none, rates: []}}}]", True),
        ("policies: [{name: default, limits: {terminate: {per_step: [50%, 100]}}}]", True),
        ("policies: [{name: default, limits: {terminate: {per_step: [50%, many]}}}]", False),
        (
            "policies: [{name: default, remediate: {steps: [{restart: {service: a}, terminate_idle: {}}]}}]",
            False,
        ),
        (
            (
                "{services: [{name: a, compose: {project: b, service: c}}], policies: [{name: default,"
                " remediate: {steps: [{restart: {service: culprit, among: [a], otherwise: in_order}}]}}]}"
            ),
            True,
        ),
    ],
)
def test_editor_and_program_agree(tmp_path: Path, text: str, valid: bool) -> None:
    """On what is valid and what is not."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert VALIDATOR.is_valid(yaml.safe_load(text)) is valid
    if valid:
        assert load(path, {"PGHOST": "db", "MODE": "enforce"}).source == path
    else:
        with pytest.raises(ConfigError):
            load(path, {"PGHOST": "db"})


def reloaded(settings: Settings, directory: Path) -> Settings:
    """The settings that the shown configuration amounts to."""
    path = directory / "shown.yaml"
    path.write_text(show(settings))
    return replace(load(path, {}), source=settings.source)


def test_what_is_shown_is_what_is_in_force(tmp_path: Path) -> None:
    """It loads again, to the same settings."""
    example = load(EXAMPLE, {})
    assert reloaded(example, tmp_path) == example
    VALIDATOR.validate(yaml.safe_load(show(example)))


def test_every_turn_of_the_schema_is_shown_so_that_it_loads(tmp_path: Path) -> None:
    """Text that looks like something else, dollar signs, `none`, fractions."""
    (tmp_path / "pw").write_text("hunter2")
    path = tmp_path / "config.yaml"
    path.write_text(
        """\
databases:
  - {name: "0x1", dsn: "host=h user='a$$b'", password_file: ./pw, policy: "null", connect: {timeout: 1.5s}}
  - {name: "no", dsn: "host=i", policy: "010"}
  - {name: "n", dsn: "host=j", policy: "never"}
  - {name: "o", dsn: "host=k", policy: "empty"}
services:
  - name: "1"
    sessions: {users: ["*"], addresses: ["::/0"]}
    command: {restart: [echo, "~", "a\\nb", $$HOME], inspect: [b], deadline: 9m0.5s}
policies:
  - name: "null"
    levels:
      monitor: {utilization: none, idle: {count: 0.5%}, never_used: 7}
      alert: {idle_in_transaction: 33.3%}
      critical: {idle: {count: 99}, never_used: {older_than: 1.5s, count: 8}, idle_in_transaction: none}
    limits:
      terminate: {per_step: [12, 0.5%], rates: 7 per 1d}
      restart: {per_service: [0 per 1d12h, 1 per 2d], rates: [3 per 1h], backoff: none}
    spare: {users: ["a,b", "yes"]}
  - {name: "010", remediate: {steps: [{restart: {service: culprit, share: 0.5%}}]}, clear: {margin: 0.0125%}}
  - {name: "empty", remediate: {steps: []}}
  - {name: "never", maintenance: [{cron: 1 2 * * 7, for: 90m}]}
clients: [{name: n, addresses: [10.1.2.3, "10.0.0.0/8"], applications: ["x[0-9]"], pooler: true}]
maintenance: [{cron: "*/5 0-6 1,15 jan-mar sun", for: 1h30m, timezone: Asia/Kathmandu, reason: "$$: 'x'"}]
"""
    )
    settings = load(path, {})
    assert reloaded(settings, tmp_path) == settings
    assert "hunter2" not in show(settings)


def test_a_password_among_a_commands_arguments_is_masked(tmp_path: Path) -> None:
    """Other arguments stay as they are."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "databases: [{dsn: 'postgresql://u:hunter2@h/d'}]\n"
        "services: [{name: a, command: {restart: [r, --to=hunter2], inspect: [i, hunter]}}]\n"
    )
    shown = show(load(path, {}))
    assert "hunter2" not in shown
    command = yaml.safe_load(shown)["services"][0]["command"]
    assert (command["restart"], command["inspect"]) == (["r", "--to=********"], ["i", "hunter"])


def test_a_password_is_shown_as_a_mask(tmp_path: Path) -> None:
    """Taken out of the DSN as well."""
    path = tmp_path / "config.yaml"
    path.write_text("databases: [{dsn: 'postgresql://u:hunter2@h/d'}]")
    shown = show(load(path, {}))
    assert "hunter2" not in shown
    assert yaml.safe_load(shown)["databases"][0]["password"] == "********"
    (tmp_path / "shown.yaml").write_text(shown)
    assert load(tmp_path / "shown.yaml", {}).databases[0].dsn == "postgresql://u@h/d"
