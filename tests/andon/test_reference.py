"""The references are whole; ``tests/test_documents.py`` compares them with the code."""

from pathlib import Path

import pytest
from prometheus_client import generate_latest

from andon.reference import codes, commands, settings
from andon.settings import Settings
from andon.settings_names import nodes_of
from connectors.handshake.signals import Owner, Signal
from streams.kafka.connection import KafkaConnection
from streams.kafka.faust_app import BusConfig
from streams.roles.config import RoleConfig
from streams.roles.metrics import LABELS, METRICS
from streams.roles.results import Telemetry
from streams.roles.runner import RoleRunner
from tests.streams.roles.line import opened

DOCS = Path(__file__).parents[2] / "docs"


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_every_setting_is_explained() -> None:
    assert not settings.undescribed(), "a docstring below the field says what it does"


def test_every_setting_stands_in_the_document() -> None:
    text = text_of("settings.md")
    for node in nodes_of(Settings):
        if node.section is None and node.path[-1] not in ("endpoints", "shots"):
            assert f"`{node.variable}`" in text


def test_every_code_is_explained() -> None:
    assert not codes.undescribed(), "a docstring below the member says what it means"
    for line in text_of("codes.md").splitlines():
        if line.startswith("| ") and line.count(" | ") == 3:
            assert "|  |" not in line, "the second paragraph of its docstring says what to do"


def test_every_signal_stands_in_the_document() -> None:
    text = text_of("signals.md")
    reading = text.index("## Written by the gateway")
    for signal in Signal:
        row = f"| `Andon.{signal.wire_name}` | {signal.data_type} |"
        assert (text.index(row) < reading) == (signal.owner is Owner.PLC)


def test_every_metric_that_a_role_exposes_stands_in_the_document(tmp_path: Path) -> None:
    bus = BusConfig(KafkaConnection("127.0.0.1:1"), tmp_path)
    never = opened(lambda _: pytest.fail("nobody opens it"))
    runner = RoleRunner(RoleConfig("inspect", bus), [], never, print)
    exposed = {family.name for family in runner.telemetry.registry.collect()}
    assert exposed == {metric.name for metric in METRICS}
    assert {label for metric in METRICS for label in metric.labels} | {"role"} == set(LABELS)
    assert b"andon_events_total" in generate_latest(counted().registry)


def counted() -> Telemetry:
    telemetry = Telemetry("inspect")
    telemetry.event("andon.frames")
    return telemetry


def test_commands_of_line_and_laboratory_with_their_rarer_options() -> None:
    text = commands.reference()
    assert text.count("\n## `andon ") > 40
    for words in (
        "## `andon policy apply`",
        "## `andon benchmark line`",
        "| `--product`, `-p` | text | must be given |",
        "| `--set masks=` |",
        "`inspect`, `classify`, `join`, `record`, `limits`",
    ):
        assert words in text, words
