"""promtool reads what the roles expose, and the alerts to begin with."""

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from andon.checks import CHECKS
from connectors.gateway.metrics import GATEWAY_METRICS, GatewayMeter
from console.metrics import CONSOLE_METRICS, ConsoleMeter
from console.plant_watch import PlantWatch
from console.texts import translator
from streams.exposition import OF_ALL
from streams.roles.metrics import METRICS
from streams.roles.results import Telemetry
from streams.status import CHECK_OF
from tests.console.make import Nothing
from tests.history import make
from tests.interop.tools import promtool

pytestmark = pytest.mark.timeout(2400)  # the first of them may build promtool
RULES = Path(__file__).parents[2] / "infra" / "prometheus" / "andon.rules.yaml"
TESTS = sorted(RULES.parent.glob("andon.rules*.test.yaml"))
ALL_METRICS = (*METRICS, *GATEWAY_METRICS, *CONSOLE_METRICS, *OF_ALL)
SEVERITIES = {"critical", "warning"}


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


def of_console() -> bytes:
    """What a console that has answered one request answers to a scrape."""
    watch = PlantWatch(Nothing(), Nothing(), lambda: True, 30.0)
    meter = ConsoleMeter(watch.reads())
    meter.answered("/live", "GET", 200, 0.02)
    return generate_latest(meter.registry)


def of_gateway() -> bytes:
    """What a gateway that has just started answers to a scrape."""
    meter = GatewayMeter("L1", "S1", lambda: True, {}, 1 << 30, lambda: {"tile": "ab"})
    return generate_latest(meter.registry)


@pytest.mark.parametrize("exposed", [exposition, of_gateway, of_console])
def test_promtool_finds_nothing_wrong_with_the_metrics(exposed: Callable[[], bytes]) -> None:
    done = subprocess.run(
        [promtool(), "check", "metrics"], input=exposed(), capture_output=True, timeout=300
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_promtool_reads_the_rules() -> None:
    command = [promtool(), "check", "rules", "--lint=all", "--lint-fatal", str(RULES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_each_alert_fires_and_stays_silent_as_it_is_told(path: Path) -> None:
    done = subprocess.run(
        [promtool(), "test", "rules", str(path)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def alerts() -> dict[str, dict[str, Any]]:
    """Each alert by its name."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def cases() -> list[dict[str, Any]]:
    return [case for path in TESTS for case in yaml.safe_load(path.read_text("utf-8"))["tests"]]


def labels_of(series: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', series))


def is_of_another(series: str, fired: list[dict[str, Any]]) -> bool:
    """Whether no alert that fires is about what the series is of."""
    own = labels_of(series)
    return all(
        any(own.get(name, value) != value for name, value in alert["exp_labels"].items())
        for alert in fired
    )


def test_each_alert_fires_once_and_stays_silent_once() -> None:
    """promtool fails where an alert fires that is not named. So it stays silent wherever a series
    that its rule asks for is of another line, product, role ... than those for which it fires."""
    firing: Counter[str] = Counter()
    silent: Counter[str] = Counter()
    for case in cases():
        for one in case["alert_rule_test"]:
            name, fired = one["alertname"], one["exp_alerts"]
            asked = set(re.findall(r"\b(?:andon_\w+|up)\b", alerts()[name]["expr"]))
            given = [row["series"] for row in case["input_series"]]
            firing[name] += len(fired)
            silent[name] += sum(
                is_of_another(series, fired)
                for series in given
                if series.partition("{")[0] in asked
            )
    assert not [name for name in alerts() if not firing[name]]
    assert not [name for name in alerts() if not silent[name]]
    assert firing.keys() == alerts().keys()


def test_the_rules_ask_for_metrics_that_there_are() -> None:
    asked = set(re.findall(r"\bandon_\w+", RULES.read_text(encoding="utf-8")))
    known = {metric.exposed for metric in ALL_METRICS}
    known |= {f"{m.name}_bucket" for m in ALL_METRICS if m.kind == "histogram"}
    assert asked
    assert asked <= known


@pytest.mark.parametrize("name", alerts())
def test_each_alert_says_what_to_do(name: str) -> None:
    """In a sentence, and on a page: the runbook has a part under its name."""
    rule = alerts()[name]
    assert rule["labels"]["severity"] in SEVERITIES
    assert {"summary", "action", "runbook"} == rule["annotations"].keys()
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    text = (RULES.parents[2] / page).read_text(encoding="utf-8")
    assert anchor == name.lower()
    assert f"\n## {name}\n" in text


def test_the_runbook_knows_no_other_alert() -> None:
    text = (RULES.parents[2] / "docs/runbook.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (Andon\w+)$", text, re.MULTILINE) == list(alerts())


def test_alerts_and_the_doctor_call_a_thing_alike() -> None:
    """The label `check` of what fires is a check of `andon doctor`, and the page Health has words
    for it."""
    fired = {
        one["exp_labels"].get("check")
        for case in cases()
        for tried in case["alert_rule_test"]
        for one in tried["exp_alerts"]
    } - {None}
    written = {rule["labels"]["check"] for rule in alerts().values() if "check" in rule["labels"]}
    assert fired <= CHECKS.keys()
    assert {check for check in written if "{{" not in check} <= fired
    for one in (one for case in cases() for one in case["alert_rule_test"]):
        for alert in one["exp_alerts"] if one["alertname"] == "AndonSomethingAway" else ():
            said = alert["exp_labels"]
            assert said.get("check") == CHECK_OF.get(said["what"]), said
    for check in fired:
        assert translator("en")(f"check.{check}") != f"check.{check}"
