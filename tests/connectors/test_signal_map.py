"""Node ids as plants write them, patterns of the makes, and signals without a node."""

import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from andon.settings import Settings
from connectors.handshake.signals import LOSSES, NEEDED, Signal
from connectors.settings import GatewaySettings
from connectors.signal_map import PRESETS, NodeAddress, read_node_id

GUID = UUID("09087e75-8e5e-499b-954f-f2a9603db28a")


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("s=Andon.Ready", NodeAddress("Andon.Ready", "urn:here")),
        ('ns=3;s="DB_Andon"."Ready"', NodeAddress('"DB_Andon"."Ready"', index=3)),
        (" ns=2;i=1001 ", NodeAddress(1001, index=2)),
        (f"nsu=urn:a;g={GUID}", NodeAddress(GUID, "urn:a")),
        ("ns=4;b=AAEC", NodeAddress(b"\0\1\2", index=4)),
        ("nsu=http://a.de/x%3By;s=n;m=1", NodeAddress("n;m=1", "http://a.de/x;y")),
        ("ns=4;s=|var|PLC.Application.Andon.Ready", NodeAddress(
            "|var|PLC.Application.Andon.Ready", index=4)),
    ],
)  # fmt: skip
def test_a_node_id_is_read(text: str, node: NodeAddress) -> None:
    assert read_node_id(text, "urn:here") == node


@pytest.mark.parametrize(
    "text",
    ["", "Andon.Ready", "ns=x;s=a", "ns=3;i=-1", "i=99999999999", "g=1-2", "b=???", "ns=3;q=a"],
)
def test_what_is_no_node_id_is_refused_with_the_form_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write it like nsu=urn:plc"):
        read_node_id(text)


IDENTIFIERS = st.one_of(
    st.integers(0, 0xFFFFFFFF), st.text(min_size=1).map(lambda t: t.strip()).filter(bool),
    st.uuids(), st.binary(min_size=1),
)  # fmt: skip


@given(IDENTIFIERS, st.integers(1, 65535))
def test_every_node_id_is_read_as_it_is_shown(identifier, index: int) -> None:
    node = NodeAddress(identifier, index=index)
    assert read_node_id(str(node)) == node
    if isinstance(identifier, bytes):
        assert base64.b64encode(identifier).decode() in str(node)


MAKES = {
    "siemens": 'nsu=http://www.siemens.com/simatic-s7-opcua;s="Andon"."TriggerSeq"',
    "beckhoff": "nsu=urn:BeckhoffAutomation:Ua:PLC1;s=MAIN.Andon.TriggerSeq",
    "codesys": "nsu=CODESYSSPV3/3S/IecVarAccess;s=|var|PLC.Application.Andon.TriggerSeq",
    "ignition": "nsu=urn:inductiveautomation:ignition:opcua:tags;s=[default]Andon/TriggerSeq",
    "kepware": "nsu=KEPServerEX;s=Channel1.Device1.Andon.TriggerSeq",
}


@pytest.mark.parametrize("make", PRESETS)
def test_a_make_is_a_pattern(make: str) -> None:
    shown = GatewaySettings(node_pattern=make).signal_map().nodes[Signal.TRIGGER_SEQ]
    assert str(shown) == MAKES[make]
    other = GatewaySettings(node_pattern=make, namespace="urn:mine", node_prefix="DB7")
    node = other.signal_map().nodes[Signal.READY]
    assert (node.uri, "DB7" in str(node)) == ("urn:mine", True)


def test_single_signals_differ_from_the_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_GATEWAY__NODE_PATTERN", "ns=4;s=GVL.{signal}")
    monkeypatch.setenv(
        "ANDON_GATEWAY__SIGNALS", '{"Score": "ns=5;i=7", "lot_id": "none", "TaktMs": "=800"}'
    )
    monkeypatch.setenv("ANDON_GATEWAY__SIGNALS__TRIGGERSEQ", "ns=2;i=12")
    found = Settings().gateway.signal_map()
    assert found.nodes[Signal.TRIGGER_SEQ] == NodeAddress(12, index=2)
    assert str(found.nodes[Signal.READY]) == "ns=4;s=GVL.Ready"
    assert str(found.nodes[Signal.SCORE]) == "ns=5;i=7"
    assert found.constants == {Signal.LOT_ID: "", Signal.TAKT_MS: 800}
    assert found.nodes.keys() | found.constants.keys() == set(Signal)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"signals": {"Redy": "i=1"}}, "no signal 'Redy', but TriggerEnable"),
        ({"signals": {"Ready": "Ready"}}, "Ready: 'Ready' is no node id; write it like"),
        ({"signals": {"TriggerSeq": "none"}}, "TriggerSeq: no line works without it"),
        ({"signals": {"Ready": "=true"}}, "Ready: it cannot be always 'true'"),
        ({"signals": {"TaktMs": "=fast"}}, "TaktMs: 'fast' is no number"),
        ({"signals": {"Busy": "s=Andon.Ready"}}, "Ready and Busy are both at"),
        ({"node_pattern": "ns=4;s=GVL"}, "is no pattern: write {signal} once"),
        ({"node_pattern": "GVL.{signal}"}, "is no node id"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        GatewaySettings.model_validate(fields)
    assert said in str(refused.value)


def test_every_signal_is_needed_or_says_what_is_lost() -> None:
    assert NEEDED | LOSSES.keys() == set(Signal)
    assert {s.wire_name for s in NEEDED} == {
        "PlcBootId", "TriggerSeq", "TriggerAckSeq", "ResultAckSeq", "ResultSeq",
        "ResultTriggerSeq", "ResultCode",
    }  # fmt: skip
