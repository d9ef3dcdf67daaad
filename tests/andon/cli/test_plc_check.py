"""``andon plc browse`` and ``andon plc check``: what they print, and with which exit code."""

import json
import tomllib

import pytest
from asyncua import ua
from typer.testing import CliRunner, Result

from andon.cli.plc import app
from connectors.handshake.signals import Signal
from connectors.opcua import browsing
from connectors.opcua import check as proving
from connectors.opcua.browsing import Browsed
from connectors.opcua.candidates import NamedVariable, propose
from connectors.opcua.check import Checked, CheckedSignal
from connectors.opcua.check_conditions import Condition
from connectors.settings import GatewaySettings
from connectors.signal_map import NodeAddress, SignalMap

URL = "opc.tcp://127.0.0.1:4840"


def variables(*left_out: str) -> list[NamedVariable]:
    return [
        NamedVariable(
            NodeAddress(f"Andon's.{signal.wire_name}", "urn:plc"),
            "/Andon",
            signal.wire_name,
            ua.VariantType[signal.data_type],
        )
        for signal in Signal
        if signal.wire_name not in left_out
    ]


def browsed(monkeypatch: pytest.MonkeyPatch, found: list[NamedVariable], *words: str) -> Result:
    async def answer(*_: object) -> Browsed:
        return Browsed(propose(found), len(found), is_whole=True)

    monkeypatch.setattr(browsing, "browse", answer)
    return CliRunner().invoke(app, ["browse", URL, *words])


def mapped(text: str) -> SignalMap:
    return GatewaySettings.model_validate(tomllib.loads(text)["gateway"]).signal_map()


def test_browse_prints_a_map_that_the_settings_read(monkeypatch: pytest.MonkeyPatch) -> None:
    score = NamedVariable(NodeAddress(7, "urn:plc"), "/Andon", "Score", ua.VariantType.Int32)
    done = browsed(monkeypatch, [*variables("LotId", "Score"), score])
    assert done.exit_code == 0, done.output
    nodes = mapped(done.stdout)
    assert nodes.nodes[Signal.READY] == NodeAddress("Andon's.Ready", "urn:plc")
    assert nodes.nodes[Signal.SCORE] == NodeAddress(7, "urn:plc")
    assert nodes.constants == {Signal.LOT_ID: ""}
    assert "is Int32, not one of Float, Double" in done.stdout
    assert "LotId = 'none'  # not found; parts have no lot" in done.stdout


def test_browse_ends_with_one_where_a_needed_signal_has_no_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = NamedVariable(
        NodeAddress("x", "urn:plc"), "/Andon", "TriggerSequ", ua.VariantType.UInt32
    )
    found = [*variables("TriggerSeq"), near]
    done = browsed(monkeypatch, found)
    assert done.exit_code == 1
    assert "# TriggerSeq = NEEDED: no node is called so; perhaps nsu=urn:plc;s=x" in done.stdout
    body = json.loads(browsed(monkeypatch, found, "--json").stdout)
    assert body["signals"]["TriggerSeq"]["chosen"] is None
    assert body["signals"]["TriggerSeq"]["others"][0]["node"] == "nsu=urn:plc;s=x"
    assert body["signals"]["Ready"]["chosen"]["type"] == "Boolean"


GOOD = CheckedSignal(Signal.READY, "nsu=urn:plc;s=Ready", "Boolean", False, "read, may be written")
LOST = CheckedSignal(Signal.LOT_ID, "nsu=urn:plc;s=LotId", "", "", "", "is not there", "make it")
GONE = CheckedSignal(Signal.RESULT_SEQ, "nsu=urn:plc;s=R", "", 0, "", "is not there", "make it")
STILL = Condition("PlcHeartbeat", "stood still", is_met=False, stops=True, remedy="start it")


@pytest.mark.parametrize(
    ("found", "code", "last"),
    [
        (Checked([GOOD, LOST], []), 0, "a line could run, without 1 signals"),
        (Checked([GOOD, GONE], []), 1, "no line could run: ResultSeq"),
        (Checked([GOOD], [STILL]), 1, "no line could run: PlcHeartbeat"),
    ],
)
def test_check_says_what_to_do_and_whether_a_line_could_run(
    monkeypatch: pytest.MonkeyPatch, found: Checked, code: int, last: str
) -> None:
    asked = []

    async def answer(settings: object, writes: bool, say: object) -> Checked:
        asked.append((settings.plc_url, writes))
        return found

    monkeypatch.setattr(proving, "check", answer)
    shown = CliRunner().invoke(app, ["check", "--url", URL])
    assert (shown.exit_code, shown.stdout.splitlines()[-1]) == (code, last)
    if LOST in found.signals:
        assert "is not there: make it (else parts have no lot)" in shown.stdout
    told = CliRunner().invoke(app, ["check", "--url", URL, "--read-only", "--json"])
    body = json.loads(told.stdout)
    assert (told.exit_code, body["could_run"]) == (code, code == 0)
    assert [row["signal"] for row in body["signals"]] == [
        one.signal.wire_name for one in found.signals
    ]
    assert asked == [(URL, True), (URL, False)]
