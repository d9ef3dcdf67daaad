"""promtool reads what the roles expose, and the alerts to begin with."""

import re
import subprocess
from pathlib import Path

from prometheus_client import generate_latest

from streams.roles.metrics import METRICS
from streams.roles.results import Telemetry
from tests.history import make
from tests.interop.tools import promtool

RULES = Path(__file__).parents[2] / "infra" / "prometheus" / "andon.rules.yaml"


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


def test_the_rules_ask_for_metrics_that_there_are() -> None:
    asked = set(re.findall(r"\bandon_\w+", RULES.read_text(encoding="utf-8")))
    assert asked
    assert asked <= {f"{metric.name}_total" for metric in METRICS if metric.kind == "counter"}
