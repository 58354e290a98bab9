"""Each kind of mistake, with the exact line that a person gets to read."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from remediator.config import load
from remediator.errors import ConfigError

DSN = "postgresql://remediator@db/app"


def mistakes(directory: Path, text: str, env: dict[str, str] | None = None) -> list[str]:
    """What is reported for a file, without the file's path."""
    path = directory / "config.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path, {"DATABASE_URL": DSN} if env is None else env)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [line.removeprefix(f"{path}:") for line in caught.value.problems]


KEYS = (
    "version, mode, state_dir, docker, databases, services, clients, policies, maintenance, notify, "
    "recording, log, web, audit"
)
UNITS = "write numbers with units d, h, m, s or ms, such as 500ms, 10s, 5m or 1h30m"

ONE_LINE = {
    "unknown key": ("mod: enforce", f'1:1: mod: unknown key; allowed: {KEYS}; did you mean "mode"?'),
    "unknown key unlike any": ("zzz: 1", f"1:1: zzz: unknown key; allowed: {KEYS}"),
    "unknown key deep down": (
        "log: {levle: info}",
        '1:7: log.levle: unknown key; allowed: level, format; did you mean "level"?',
    ),
    "address": (
        "clients: [{name: a, addresses: [10.0.0.300]}]",
        (
            '1:33: clients[0].addresses[0]: "10.0.0.300" is neither an IP address nor a network such as'
            " 10.1.0.0/16"
        ),
    ),
    "client that would be everybody": (
        "clients: [{name: a}]",
        (
            "1:11: clients[0]: would mean every session; at least one of applications, users and addresses"
            " is needed"
        ),
    ),
    "client that is a service": (
        """\
        services: [{name: a, compose: {project: b, service: c}}]
        clients: [{name: a, users: [b]}]
        """,
        (
            "2:18: clients[0].name: is the name of a service, too; write its patterns as that service's"
            " `sessions`"
        ),
    ),
    "culprit among nobody": (
        "policies: [{name: default, remediate: {steps: [{restart: {service: culprit}}]}}]",
        "1:68: policies[0].remediate.steps[0].restart.service: there is no service that could be it",
    ),
    "culprit among none": (
        """\
        services: [{name: api, compose: {project: b, service: c}}]
        policies: [{name: default, remediate: {steps: [{restart: {service: culprit, among: []}}]}}]
        """,
        (
            "2:84: policies[0].remediate.steps[0].restart.among: names nobody; leave it out if any of"
            " services may be it"
        ),
    ),
    "culprit among strangers": (
        """\
        services: [{name: api, compose: {project: b, service: c}}]
        policies: [{name: default, remediate: {steps: [{restart: {service: culprit, among: [apis]}}]}}]
        """,
        (
            "2:85: policies[0].remediate.steps[0].restart.among[0]: no entry of services has this name;"
            ' defined: api; did you mean "api"?'
        ),
    ),
    "culprit's key without culprit": (
        """\
        services: [{name: api, compose: {project: b, service: c}}]
        policies: [{name: default, remediate: {steps: [{restart: {service: api, share: 60%}}]}}]
        """,
        "2:80: policies[0].remediate.steps[0].restart.share: only goes with service: culprit",
    ),
    "service called culprit": (
        "services: [{name: culprit, compose: {project: b, service: c}}]",
        "1:19: services[0].name: has a meaning of its own in steps; choose another name",
    ),
    "crontab": (
        "maintenance: [{cron: 0 25 * * sun, for: 2h}]",
        (
            "1:22: maintenance[0].cron: is not a crontab expression, for its hour is none;"
            " five fields are needed (minute, hour, day of the month, month, weekday), such as 0 3 * * sun"
        ),
    ),
    "crontab with too few fields": (
        "maintenance: [{cron: sunday, for: 2h}]",
        (
            '1:22: maintenance[0].cron: "sunday" is not a crontab expression; five'
            " fields are needed (minute, hour, day of the month, month, weekday), such as 0 3 * * sun"
        ),
    ),
    "day that never comes": (
        "maintenance: [{cron: 0 0 31 2 *, for: 2h}]",
        "1:22: maintenance[0].cron: names a day that never comes",
    ),
    "time zone": (
        "maintenance: [{cron: 0 3 * * *, for: 2h, timezone: Berlin}]",
        (
            '1:52: maintenance[0].timezone: "Berlin" is not a time zone; write a name such as UTC or'
            " Europe/Berlin"
        ),
    ),
    "audits that come never": (
        "audit: {cron: 0 0 30 2 *}",
        "1:15: audit.cron: names a day that never comes",
    ),
    "no audit is kept": (
        "audit: {keep: 0}",
        '1:15: audit.keep: "0" is not a whole number from 1 to 1000',
    ),
    "connections told twice": (
        "services: [{name: a, compose: {project: p, service: s}, connections: {processes: 2, normal: 4}}]",
        "1:93: services[0].connections.normal: is given besides processes; keep one of them",
    ),
    "threads of nothing": (
        "services: [{name: a, compose: {project: p, service: s}, connections: {threads: 2}}]",
        "1:80: services[0].connections.threads: is of one process; processes is needed",
    ),
    "a peak of nothing": (
        "services: [{name: a, compose: {project: p, service: s}, connections: {peak: 4}}]",
        "1:77: services[0].connections.peak: is the most; normal is needed, too",
    ),
    "a peak below normal": (
        "services: [{name: a, compose: {project: p, service: s}, connections: {normal: 5, peak: 4}}]",
        "1:88: services[0].connections.peak: must not be below normal, 5",
    ),
    "window that is too short": (
        "maintenance: [{cron: 0 3 * * *, for: 5s}]",
        '1:38: maintenance[0].for: "5s" is out of range; 1m to 31d is allowed',
    ),
    "target without a URL": (
        "notify: [{name: a}]",
        "1:10: notify[0]: has neither of url and url_file; exactly one is allowed",
    ),
    "target with two URLs": (
        "notify: [{name: a, url: json://h, url_file: ./config.yaml}]",
        "1:10: notify[0]: has both of url and url_file; exactly one is allowed",
    ),
    "target with a misspelt URL": (
        "notify: [{name: a, ulr: 'json://h/hunter2'}]",
        (
            "1:20: notify[0].ulr: unknown key; allowed: name, url, url_file, events, databases, modes,"
            ' remind_every; did you mean "url"?'
        ),
    ),
    "target whose URL is a list": (
        "notify: [{name: a, url: [json://h/hunter2]}]",
        "1:25: notify[0].url: must be a single value, not a list or keys and values",
    ),
    "target whose file is missing": (
        "notify: [{name: a, url_file: /nope/hunter2}]",
        "1:30: notify[0].url_file: /nope/hunter2 cannot be read: no such file or directory",
    ),
    "target that wants nothing": (
        "notify: [{name: a, url: json://h, events: []}]",
        "1:43: notify[0].events: is empty; at least one value is needed",
    ),
    "target of an unknown database": (
        "notify: [{name: a, url: json://h, databases: [defautl]}]",
        (
            "1:47: notify[0].databases[0]: no entry of databases has this name;"
            ' defined: default; did you mean "default"?'
        ),
    ),
    "target that reminds all the time": (
        "notify: [{name: a, url: json://h, remind_every: 5s}]",
        '1:49: notify[0].remind_every: "5s" is out of range; 1m to 31d is allowed',
    ),
    "two targets of one name": (
        "notify:\n- {name: a, url: json://h}\n- {name: a, url: json://i}",
        "3:10: notify[1].name: this name is taken already, on line 2; each is allowed once",
    ),
    "target with an event that is none": (
        "notify: [{name: a, url: json://h, events: [helt]}]",
        (
            '1:44: notify[0].events[0]: "helt" is not allowed; one of opened, acted, relieved, relapsed,'
            " closed, held, suspended, locked, evidence_lost, evidence_overdue, evidence_regained,"
            " ledger_unavailable, ledger_available, cycle_failed, level_changed, server_changed, standing_by,"
            ' taking_over, config_rejected, started, stopping; did you mean "held"?'
        ),
    ),
    "window without end": (
        "maintenance: [{cron: 0 3 * * *}]",
        "1:15: maintenance[0].for: is missing; a value is needed",
    ),
    "key that may be a value": (
        "log: {level:hunter2}",
        # Flow YAML reads this as one key without a value.
        "1:20: log.?: is empty; give a value, or remove the key to get the default",
    ),
    "unknown word": (
        "mode: dryrun",
        '1:7: mode: "dryrun" is not allowed; one of dry-run, enforce; did you mean "dry-run"?',
    ),
    "unknown version": (
        "version: 2",
        '1:10: version: "2" is not a version of this file format that is known here; only 1 is',
    ),
    "section is a word": ("docker: here", "1:9: docker: must be keys and values, not a single value"),
    "section is a list": ("docker: [a]", "1:9: docker: must be keys and values, not a list"),
    "list is a section": ("services: {a: b}", "1:11: services: must be a list, not keys and values"),
    "value is a list": ("mode: [a]", "1:7: mode: must be a single value, not a list or keys and values"),
    "no value": ("mode:", "1:6: mode: is empty; give a value, or remove the key to get the default"),
    "null": ("mode: ~", "1:7: mode: is empty; give a value, or remove the key to get the default"),
    "nan": ("state_dir: .nan", "1:12: state_dir: neither infinity nor not-a-number is allowed"),
    "infinity": ("state_dir: -.Inf", "1:12: state_dir: neither infinity nor not-a-number is allowed"),
    "home directory": ("state_dir: ~/x", "1:12: state_dir: must be a path; ~ has no meaning here"),
    "no databases": ("databases: []", "1:12: databases: is empty; at least one entry is needed"),
    "docker by ssh": (
        "docker: {host: 'ssh://root@h'}",
        (
            "1:16: docker.host: is not an address of Docker; unix:///path, tcp://host:port"
            " or http(s)://host:port"
            " is allowed"
        ),
    ),
    "anchor": (
        "mode: &a enforce",
        "1:7: mode: anchors and aliases (& and *) are not allowed; write the value out",
    ),
    "alias": ("mode: *a", "1:7: mode: anchors and aliases (& and *) are not allowed; write the value out"),
    "tag": ("mode: !!str enforce", "1:7: mode: tags (!) are not allowed; write the value without"),
    "merge key": (
        "log: {<<: {level: info}}",
        "1:7: log: merge keys (<<) are not allowed; write the values out",
    ),
    "duplicate key": ("log: {level: info, level: debug}", "1:20: log.level: given twice; first on line 1"),
    "key that is a list": ("[a, b]: c", "1:1: a key must be a single word"),
    "list as a whole": ("- a", "1:1: must be keys and values, such as 'mode: dry-run'"),
    "text as a whole": ("hello", "1:1: must be keys and values, such as 'mode: dry-run'"),
    "second document": ("mode: enforce\n---\nmode: dry-run", "2:1: a second document; only one is allowed"),
    "two colons": (
        "mode: a: b",
        "1:8: not valid YAML: a second colon on the line; put the value in quotes, or mind the indentation",
    ),
    "reserved character": (
        "mode: @x",
        "1:7: not valid YAML: a value cannot begin with this character; put the value in quotes",
    ),
    "control character": ("mode: \x07", "1:7: control characters are not allowed"),
    "NUL": (r'mode: "\0"', "1:7: mode: a NUL is not allowed"),
    "key with an anchor": ("&a mode: enforce", "1:1: a key can have neither anchor nor tag"),
    "default with a dollar sign": (
        "mode: ${NOPE:-$HOME}",
        (
            "1:7: mode: has a $ in the default of $NOPE; write ${NAME}, ${NAME:-default} or ${NAME:?message},"
            " and $$ for a dollar sign"
        ),
    ),
    "variable not set": ("mode: ${NOPE}", "1:7: mode: needs $NOPE, which is not set"),
    "variable demanded": ("mode: '${NOPE:?say how}'", "1:7: mode: needs $NOPE: say how"),
    "dollar sign": (
        "state_dir: $HOME/x",
        (
            "1:12: state_dir: has a $ that refers to nothing; write ${NAME},"
            " ${NAME:-default} or ${NAME:?message},"
            " and $$ for a dollar sign"
        ),
    ),
    "command without words": (
        "services: [{name: a, command: {restart: [], inspect: [b]}}]",
        "1:41: services[0].command.restart: is empty; at least one entry is needed",
    ),
    "empty selector": (
        "services: [{name: a, compose: {project: '', service: a}}]",
        (
            "1:41: services[0].compose.project: is not a name; A to Z, a to z, 0 to 9,"
            " '.', '_' and '-' are allowed, 63 at most"
        ),
    ),
    "missing key": (
        "services: [{name: a, compose: {project: b}}]",
        "1:31: services[0].compose.service: is missing; a value is needed",
    ),
    "no runtime": (
        "services: [{name: a}]",
        "1:12: services[0]: has neither of compose and command; exactly one is allowed",
    ),
    "two runtimes": (
        "services: [{name: a, compose: {project: b, service: c}, command: {restart: [d], inspect: [e]}}]",
        "1:12: services[0]: has both of compose and command; exactly one is allowed",
    ),
    "misspelt runtime": (
        "services: [{name: a, compse: {project: b, service: c}}]",
        (
            "1:22: services[0].compse: unknown key; allowed: name, compose, command, sessions, connections,"
            ' verify, diagnose; did you mean "compose"?'
        ),
    ),
    "command is a word": (
        "services: [{name: a, command: {restart: reports, inspect: [a]}}]",
        (
            "1:41: services[0].command.restart: must be a list, such as"
            " [systemctl, restart, reports.service], not a single value"
        ),
    ),
    "port is a word": (
        "databases: [{dsn: 'postgresql://u@h:port/d'}]",
        (
            "1:19: databases[0].dsn: has a port that is not a number;"
            " postgresql://user@host:5432/database is the form"
        ),
    ),
    "fraction of a second for TCP": (
        "databases: [{connect: {keepalives_idle: 1.5s}}]",
        (
            '1:41: databases[0].connect.keepalives_idle: "1.5s" is not in whole'
            " seconds, which is all that TCP"
            " can do"
        ),
    ),
    "policy neither written nor defined": (
        "policies: [{name: web}]\ndatabases: [{name: a}]",
        (
            '2:13: databases[0].policy: "default" (not written) is not among policies; defined: web;'
            " write policy: web"
        ),
    ),
    "policy not written, several defined": (
        "policies: [{name: web}, {name: batch}]",
        '1:1: databases[0].policy: "default" (not written) is not among policies; defined: batch, web',
    ),
    "policy not defined": (
        "policies: [{name: web}]\ndatabases: [{policy: wbe}]",
        '2:22: databases[0].policy: no entry of policies has this name; defined: web; did you mean "web"?',
    ),
}

IN_POLICY = {
    "no unit": ("clear: {for: 5}", f'3:18: policies[0].clear.for: "5" has no unit; {UNITS}'),
    "wrong unit": (
        "clear: {for: 5min}",
        f'3:18: policies[0].clear.for: "5min" is not a length of time; {UNITS}',
    ),
    "sexagesimal": (
        "clear: {for: 1:30}",
        f'3:18: policies[0].clear.for: "1:30" is not a length of time; {UNITS}',
    ),
    "too long": (
        "clear: {for: 366d}",
        '3:18: policies[0].clear.for: "366d" is too long; at most 365d is allowed',
    ),
    "zero": (
        "check_every: {normal: 0s}",
        '3:27: policies[0].check_every.normal: "0s" is out of range; 1ms to 365d is allowed',
    ),
    "ratio": (
        "clear: {margin: 0.05}",
        (
            '3:21: policies[0].clear.margin: "0.05" is not a percentage; write a number and %, such as 50%;'
            ' did you mean "5%"?'
        ),
    ),
    "no percent sign": (
        "clear: {margin: 5}",
        (
            '3:21: policies[0].clear.margin: "5" is not a percentage; write a number and %, such as 50%;'
            ' did you mean "5%"?'
        ),
    ),
    "more than all": (
        "clear: {margin: 101%}",
        '3:21: policies[0].clear.margin: "101%" is out of range; more than 0% and at most 100% is allowed',
    ),
    "boolean": (
        "levels: {alert: {refusing_connections: yes}}",
        (
            '3:44: policies[0].levels.alert.refusing_connections: "yes" is neither true nor false;'
            ' did you mean "true"?'
        ),
    ),
    "octal": (
        "limits: {restart: {per_day: 010}}",
        (
            '3:33: policies[0].limits.restart.per_day: "010" has leading zeros, which some read as octal;'
            ' did you mean "10"?'
        ),
    ),
    "exponent": (
        "limits: {restart: {per_day: 1e3}}",
        '3:33: policies[0].limits.restart.per_day: "1e3" is not a whole number from 0 to 1000000',
    ),
    "rate": (
        "limits: {restart: {per_service: 1/h}}",
        (
            '3:37: policies[0].limits.restart.per_service: "1/h" is not a rate; write a'
            ' number, "per" and a length'
            " of time, such as 1 per 30m"
        ),
    ),
    "rate without time": (
        "limits: {restart: {per_service: 1 per 0s}}",
        (
            '3:37: policies[0].limits.restart.per_service: "1 per 0s" is not a rate;'
            " the length of time must be"
            " above 0s"
        ),
    ),
    "rate's unit": (
        "limits: {restart: {per_service: 1 per 30}}",
        (
            '3:37: policies[0].limits.restart.per_service: "1 per 30" is not a rate: a part'
            " of it has no unit;"
            f" {UNITS}"
        ),
    ),
    "rate in a list": (
        "limits: {restart: {per_service: [1 per 30m, 3 a day]}}",
        (
            '3:49: policies[0].limits.restart.per_service[1]: "3 a day" is not a rate; write a'
            ' number, "per" and a length of time, such as 1 per 30m'
        ),
    ),
    "rate beyond what is kept": (
        "limits: {terminate: {rates: [1 per 31d, 9 per 32d]}}",
        (
            '3:45: policies[0].limits.terminate.rates[1]: "9 per 32d" looks back too far; at most 31d is'
            " allowed, since older records may be gone"
        ),
    ),
    "no rate": (
        "limits: {restart: {per_service: []}}",
        "3:37: policies[0].limits.restart.per_service: is empty; at least one value is needed",
    ),
    "backoff beyond what is kept": (
        "limits: {restart: {backoff: {cap: 32d}}}",
        '3:39: policies[0].limits.restart.backoff.cap: "32d" is out of range; 1ms to 31d is allowed',
    ),
    "per step": (
        "limits: {terminate: {per_step: half}}",
        (
            '3:36: policies[0].limits.terminate.per_step: "half" is neither a percentage,'
            " such as 50%, nor a whole"
            " number"
        ),
    ),
    "levels do not rise": (
        "levels: {alert: {utilization: 15%}}",
        (
            "3:35: policies[0].levels.alert.utilization: levels must rise, but go from 20%"
            " of monitor to 15% of alert"
        ),
    ),
    "levels do not rise, seen from below": (
        "levels: {monitor: {utilization: 60%}}",
        (
            "3:37: policies[0].levels.monitor.utilization: levels must rise, but go from 60%"
            " of monitor to 50% of"
            " alert"
        ),
    ),
    "idle does not rise": (
        "levels: {monitor: {idle: {count: 20}}}",
        "3:30: policies[0].levels.monitor.idle: levels must rise, but idle of alert holds earlier",
    ),
    "no condition": (
        (
            "levels: {monitor: {utilization: none, idle: none, churn: none, connect_latency: none,"
            " idle_in_transaction: none}}"
        ),
        "3:23: policies[0].levels.monitor: has no condition left, so it would never hold; one is needed",
    ),
    "a count in words": (
        "levels: {alert: {never_used: many}}",
        (
            '3:34: policies[0].levels.alert.never_used: "many" is neither a percentage, such as 50%,'
            " nor a whole number"
        ),
    ),
    "an age instead of a count": (
        "levels: {alert: {idle_in_transaction: 10m}}",
        (
            '3:43: policies[0].levels.alert.idle_in_transaction: "10m" is neither a percentage, such as 50%,'
            " nor a whole number; how many and for how long is written {older_than: 10m, count: 20}"
        ),
    ),
    "an age without a count": (
        "levels: {alert: {never_used: {older_than: 5m}}}",
        "3:34: policies[0].levels.alert.never_used.count: is missing; a value is needed",
    ),
    "none at all": (
        "levels: {alert: {never_used: {count: 0}}}",
        ('3:42: policies[0].levels.alert.never_used.count: "0" is not a whole number from 1 to 1000000'),
    ),
    "a list of counts": (
        "levels: {alert: {never_used: [1, 2]}}",
        (
            "3:34: policies[0].levels.alert.never_used: must be keys and values, such as"
            " {older_than: 1m, count: 20}, not a list"
        ),
    ),
    "idle in a transaction misspelt": (
        "levels: {alert: {idle_in_transactions: 5}}",
        (
            "3:22: policies[0].levels.alert.idle_in_transactions: unknown key; allowed: utilization, idle,"
            " refusing_connections, exhausted_within, churn, connect_latency, never_used,"
            ' idle_in_transaction, for; did you mean "idle_in_transaction"?'
        ),
    ),
    "idle in a transaction does not rise": (
        "levels: {alert: {idle_in_transaction: 5%}}",
        (
            "3:43: policies[0].levels.alert.idle_in_transaction: levels must rise, but this holds earlier"
            " than idle_in_transaction of monitor"
        ),
    ),
    "margin": (
        "clear: {margin: 20%}",
        (
            "3:21: policies[0].clear.margin: must be below the lowest utilization of a"
            " level, 20%, or that level is"
            " never left"
        ),
    ),
    "until": (
        "remediate: {until: {utilization: 90%}}",
        (
            "3:38: policies[0].remediate.until.utilization: must be below critical's"
            " utilization, 90%, or nothing is"
            " ever done"
        ),
    ),
    "restart is a word": (
        "remediate: {steps: [{restart: web}]}",
        (
            "3:35: policies[0].remediate.steps[0].restart: must be keys and values,"
            " such as {service: celery_worker}, not a single value"
        ),
    ),
    "terminate_idle is a word": (
        "remediate: {steps: [{terminate_idle: 10m}]}",
        (
            "3:42: policies[0].remediate.steps[0].terminate_idle: must be keys and values,"
            " such as {older_than: 10m}, not a single value"
        ),
    ),
    "check_every is a word": (
        "check_every: 30s",
        ("3:18: policies[0].check_every: must be keys and values, such as {normal: 30s}, not a single value"),
    ),
    "users is a word": (
        "spare: {users: postgres}",
        "3:20: policies[0].spare.users: must be a list, such as [migrator], not a single value",
    ),
    "step without a kind": (
        "remediate: {steps: [{}]}",
        (
            "3:25: policies[0].remediate.steps[0]: has neither of terminate_idle and"
            " restart; exactly one is allowed"
        ),
    ),
    "service not defined": (
        "remediate: {steps: [{restart: {service: api}}]}",
        (
            "3:45: policies[0].remediate.steps[0].restart.service: no entry of services has"
            " this name; none is"
            " defined"
        ),
    ),
}


@pytest.mark.parametrize(("text", "line"), ONE_LINE.values(), ids=ONE_LINE)
def test_a_mistake_is_one_line_that_says_where_and_what(tmp_path: Path, text: str, line: str) -> None:
    """Word for word."""
    assert mistakes(tmp_path, text) == [line]


@pytest.mark.parametrize(("text", "line"), IN_POLICY.values(), ids=IN_POLICY)
def test_a_mistake_in_a_policy(tmp_path: Path, text: str, line: str) -> None:
    """Word for word, and pointing at the value."""
    assert mistakes(tmp_path, f"policies:\n  - name: default\n    {text}\n") == [line]


def test_a_level_that_only_a_probe_can_see_needs_one(tmp_path: Path) -> None:
    """Without it critical would never hold, and nothing would ever be done."""
    text = """\
        databases: [{dsn: host=h, policy: p, connect: {probe_every: 0s}}]
        policies:
          - name: p
            levels: {critical: {utilization: none, refusing_connections: %s}}
        """
    line = (
        "1:61: databases[0].connect.probe_every: 0s leaves critical of policy p without a condition that can"
        " ever hold"
    )
    assert mistakes(tmp_path, text % "true") == [line]
    (with_probe,) = mistakes(tmp_path, (text % "false").replace("0s", "1s"))
    assert "has no condition left" in with_probe
    variable = {"REMEDIATOR_CONNECT_PROBE_EVERY": "0s"}
    (by_variable,) = mistakes(tmp_path, (text % "true").replace("0s", "1s"), variable)
    assert by_variable.startswith("environment: REMEDIATOR_CONNECT_PROBE_EVERY: 0s leaves critical")
    (tmp_path / "config.yaml").write_text(dedent(text % "true").replace("0s", "1s"))
    assert load(tmp_path / "config.yaml", {}).databases[0].policy.name == "p"


def test_all_mistakes_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Those of the document, of the schema and between keys alike."""
    text = """\
        mod: enforce
        databases:
          - name: main
            dsn: postgresql://u:p@ss@h/db
            pasword: hunter2
            connect: {timeout: 5, timeout: 6s}
            policy: wbe
        services:
          - {name: api, compose: {project: "", service: api}}
        policies:
          - name: web
            levels: {alert: {utilization: 0.5}, critical: {utilization: 10%}}
            remediate:
              until: {utilization: 95%}
              steps: [{restart: {service: aip}}, foo]
        log: *x
        """
    lines = mistakes(tmp_path, text)
    assert [line.split(": ")[:2] for line in lines] == [
        ["1:1", "mod"],
        ["4:10", "databases[0].dsn"],
        ["5:5", "databases[0].pasword"],
        ["6:24", "databases[0].connect.timeout"],
        ["6:27", "databases[0].connect.timeout"],
        ["7:13", "databases[0].policy"],
        ["9:36", "services[0].compose.project"],
        ["12:35", "policies[0].levels.alert.utilization"],
        ["14:28", "policies[0].remediate.until.utilization"],
        ["15:35", "policies[0].remediate.steps[0].restart.service"],
        ["15:42", "policies[0].remediate.steps[1]"],
        ["16:6", "log"],
    ]


@pytest.mark.parametrize(
    ("section", "item"),
    [
        ("services", "{name: a, compose: {project: p, service: %s}}"),
        ("policies", "{name: a, spare: {users: [%s]}}"),
        ("databases", "{name: a, dsn: 'host=%s'}"),
    ],
)
def test_a_name_is_taken_once(tmp_path: Path, section: str, item: str) -> None:
    """The line of the first is told."""
    policies = "" if section != "databases" else "policies: [{name: default}]\n"
    lines = mistakes(tmp_path, f"{section}:\n  - {item % 'x'}\n  - {item % 'y'}\n{policies}")
    taken = [line for line in lines if line.startswith(f"3:12: {section}[1].name: ")]
    assert len(taken) == 1
    assert taken[0].endswith("is taken already, on line 2; each is allowed once")


def test_the_same_containers_are_one_service(tmp_path: Path) -> None:
    """Two names for them would have two budgets."""
    text = """\
        services:
          - {name: a, compose: {project: p, service: s}}
          - {name: b, compose: {project: p, service: s}}
        """
    assert mistakes(tmp_path, text) == [
        "3:12: services[1].name: this project and service is taken already, on line 2; each is allowed once"
    ]


def test_without_any_database_it_says_how_to_name_one(tmp_path: Path) -> None:
    """The only thing without a default."""
    assert mistakes(tmp_path, "mode: enforce\n", env={}) == [
        (
            "1:1: databases[0].dsn: is missing; write dsn:"
            " postgresql://user@host:5432/database, or set DATABASE_URL"
            " or PGHOST"
        )
    ]


def test_the_environment_describes_one_database(tmp_path: Path) -> None:
    """Two would be the same one."""
    assert mistakes(tmp_path, "databases: [{name: a}, {name: b}]") == [
        "1:24: databases[1].dsn: is missing; only one database can come from the environment"
    ]


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("REMEDIATOR_CONNECT_TIMEOUT", "5", f"has no unit; {UNITS}"),
        ("REMEDIATOR_DEFAULT_CONNECT_TIMEOUT", "5", f"has no unit; {UNITS}"),
        (
            "REMEDIATOR_CONNECT_TIMOUT",
            "5s",
            (
                "no such key in connect; one of timeout, query_timeout, probe_every, keepalives_idle,"
                " keepalives_interval, keepalives_count, tcp_user_timeout, application_name; did"
                ' you mean "timeout"?'
            ),
        ),
        ("REMEDIATOR_DEFUALT_CONNECT_TIMEOUT", "5s", 'no database is called so; did you mean "default"?'),
        ("REMEDIATOR_DEFAULT_PASSWORD_FILE", "/none", "the file cannot be read: no such file or directory"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d", None),
    ],
)
def test_a_mistake_in_a_variable_names_the_variable(
    tmp_path: Path, variable: str, value: str, text: str | None
) -> None:
    """There is no line to point at."""
    path = tmp_path / "config.yaml"
    path.write_text("")
    with pytest.raises(ConfigError) as caught:
        load(path, {"DATABASE_URL": DSN, variable: value})
    (line,) = caught.value.problems
    assert line.startswith(f"environment: {variable}: ")
    assert text is None or line == f"environment: {variable}: {text}"


def test_a_crowd_of_mistakes_is_cut_short(tmp_path: Path) -> None:
    """After a hundred lines nobody reads on."""
    lines = mistakes(tmp_path, "".join(f"key{n}: 1\n" for n in range(500)))
    assert len(lines) == 101
    assert lines[-1].endswith("and 400 more mistakes")


def test_what_only_follows_from_another_mistake_is_not_reported(tmp_path: Path) -> None:
    """One mistake, one line."""
    # The service is there, though its target is wrong; the level has a condition, though a wrong one.
    text = """\
        services: [{name: api, compose: nope}]
        policies:
          - name: default
            remediate: {steps: [{restart: {service: api}}]}
            levels: {monitor: {utilization: "20", idle: none}}
        """
    assert [line.split(": ")[1] for line in mistakes(tmp_path, text)] == [
        "services[0].compose",
        "policies[0].levels.monitor.utilization",
    ]


@pytest.mark.parametrize(
    ("text", "mistyped"),
    [
        ("database: [{dsn: postgresql://u@h/d}]", "1:1: database: unknown key"),
        ("databases: [{dns: postgresql://u@h/d}]", "1:14: databases[0].dns: unknown key"),
        (
            "databases: [{dsn: postgresql://u@h/d}]\nservices: [{name: a, compose: {project: p, servic: s}}]",
            "2:44: services[0].compose.servic: unknown key",
        ),
    ],
)
def test_what_is_missing_only_because_it_was_mistyped_is_not(
    tmp_path: Path, text: str, mistyped: str
) -> None:
    """The typo is the one mistake, and what was meant is proposed."""
    (found,) = mistakes(tmp_path, text, env={})
    assert found.startswith(mistyped)
    assert "did you mean" in found


def test_defaults_that_a_low_critical_leaves_behind(tmp_path: Path) -> None:
    """Each by its key, where critical was written; that the levels must rise comes first."""
    text = """\
        policies:
          - name: default
            levels: {critical: {utilization: 40%}}
        """
    where = "3:38: policies[0]"
    assert mistakes(tmp_path, text) == [
        f"{where}.levels.critical.utilization: levels must rise, but go from 50% of alert to 40% of critical",
        (
            f"{where}.remediate.until.utilization: its default 50% must be below critical's utilization, 40%,"
            " or nothing is ever done"
        ),
    ]


@pytest.mark.parametrize("text", ["- a: 1\n- b", "mode: [", "mode: {", '"', "a: b\n c: d\n  e: f", "%YAML 9"])
def test_broken_yaml_is_one_line_with_its_place(tmp_path: Path, text: str) -> None:
    """Without a traceback."""
    (line,) = mistakes(tmp_path, text)
    assert line.split(":")[0].isdigit()
