"""What is published for Prometheus and Grafana, with the real ones' own tools and a real scrape."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from remediator.adapters.metrics import Metrics
from remediator.testing import FakeClock
from tests.testbed.daemon import Daemon, ladder
from tests.testbed.prometheus import Prometheus
from tests.testbed.sessions import open_idle
from tests.testbed.waiting import wait_until
from tests.testbed.web import ask, free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
RULES = EXAMPLES / "prometheus" / "remediator_rules.yml"
DASHBOARD = json.loads((EXAMPLES / "grafana" / "remediator.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
QUERIES += [annotation["expr"] for annotation in DASHBOARD["annotations"]["list"]]


def alerts() -> list[dict[str, str]]:
    """The rules of the example."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_every_metric_that_a_rule_or_a_panel_asks_for_exists() -> None:
    """A name that is misspelt is an alert that never comes."""
    known: set[str] = set()
    labels: dict[str, tuple[str, ...]] = {}
    for name, kind, own, _ in Metrics(FakeClock()).declared():
        known |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if kind == "histogram" else {name}
        labels[name] = own
    asked = [*QUERIES, *(rule["expr"] for rule in alerts())]
    names = {name for query in asked for name in re.findall(r"remediator_\w+", query)}
    assert names - known == set()
    assert len(names) > 15
    for query in asked:
        for name, matchers in re.findall(r"(remediator_\w+)\{([^}]*)\}", query):
            for label in re.findall(r"(\w+)=", matchers):
                assert label in labels[name.removesuffix("_bucket")], (name, label)


def test_the_examples_are_valid_and_the_rules_pass_their_tests(
    prometheus: Prometheus, tmp_path: Path
) -> None:
    """By Prometheus' own tool: configuration, rules, and cases in which each must fire or be silent."""
    for arguments in (
        ("check", "config", str(EXAMPLES / "prometheus" / "prometheus.yml")),
        ("test", "rules", str(EXAMPLES / "prometheus" / "remediator_rules_test.yml")),
    ):
        done = prometheus.check(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    # Panels are queries that only Grafana would run: as recording rules their syntax is checked too.
    plain = [re.sub(r"\$__rate_interval", "1m", query) for query in QUERIES]
    panels = {
        "groups": [{"name": "p", "rules": [{"record": f"p{n}", "expr": q} for n, q in enumerate(plain)]}]
    }
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump(panels))
    done = prometheus.check("check", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_real_scrape_of_a_leak_makes_the_alert_fire(
    app: str, watch: str, prometheus: Prometheus, tmp_path: Path
) -> None:
    """Sessions in transactions fill the server: nothing may be done about them, and somebody is called."""
    port = free_port()
    config = yaml.safe_load((EXAMPLES / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(RULES)]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    web = {"web": {"listen": f"127.0.0.1:{port}"}}
    with Daemon(tmp_path / "daemon", watch, policy=ladder(), config=web) as daemon:
        daemon.wait_for("web_available")
        prometheus.start(file)
        wait_until(lambda: bool(prometheus.query("remediator_used_slots > 0")), what="a scrape", within=30)
        assert "RemediatorHeld" not in prometheus.alerts()
        wait_until(lambda: "RemediatorDown" not in prometheus.alerts(), what="it to be up", within=30)
        with open_idle(app, 33, in_transaction=True):
            daemon.wait_for("incident_held")
            wait_until(
                lambda: prometheus.alerts().get("RemediatorHeld") == "firing", what="the alert", within=30
            )
            assert prometheus.query('remediator_level{level="critical"} == 1')
            done = prometheus.check("check", "metrics", stdin=ask(port, "/metrics").body)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        wait_until(lambda: "RemediatorHeld" not in prometheus.alerts(), what="its end", within=30)
