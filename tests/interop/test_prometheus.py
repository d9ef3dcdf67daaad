"""promtool reads what the roles expose, and the alerts to begin with."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import yaml
from prometheus_client import generate_latest

from connectors.gateway.meter import GATEWAY_METRICS
from streams.roles.metrics import METRICS
from streams.roles.results import Telemetry
from tests.history import make
from tests.interop.tools import promtool

RULES = Path(__file__).parents[2] / "infra" / "prometheus" / "andon.rules.yaml"
TESTS = RULES.with_name("andon.rules.test.yaml")


def exposition() -> bytes:
    """What a worker that has seen one of everything answers to a scrape."""
    telemetry = Telemetry("inspect")
    telemetry.event("andon.frames")
    telemetry.decision(make.decision(1))
    telemetry.verdict(make.verdict(2))
    telemetry.dead_letter("MalformedEventError")
    telemetry.failed("publish", OSError("away"))
    telemetry.stages({"inspect": 40.0})
    telemetry.watch(lambda: 3, lambda: 4096)
    return generate_latest(telemetry.registry)


def test_promtool_finds_nothing_wrong_with_the_metrics() -> None:
    done = subprocess.run(
        [promtool(), "check", "metrics"], input=exposition(), capture_output=True, timeout=60
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_promtool_reads_the_rules() -> None:
    command = [promtool(), "check", "rules", "--lint=all", "--lint-fatal", str(RULES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_and_stays_silent_as_it_is_told() -> None:
    done = subprocess.run(
        [promtool(), "test", "rules", str(TESTS)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_case() -> None:
    """A case of promtool fails for every alert that fires and is not named: it holds both."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    alerts = {rule["alert"] for group in rules for rule in group["rules"]}
    cases = yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]
    tried = Counter(
        one["alertname"] for case in cases for one in case["alert_rule_test"] if one["exp_alerts"]
    )
    assert tried.keys() == alerts
    for case in cases:
        fired = sum(len(one["exp_alerts"]) for one in case["alert_rule_test"])
        assert len(case["input_series"]) > fired, case["name"]


def test_the_rules_ask_for_metrics_that_there_are() -> None:
    asked = set(re.findall(r"\bandon_\w+", RULES.read_text(encoding="utf-8")))
    known = {metric.exposed for metric in (*METRICS, *GATEWAY_METRICS)}
    known |= {f"{m.name}_bucket" for m in (*METRICS, *GATEWAY_METRICS) if m.kind == "histogram"}
    assert asked
    assert asked <= known
