"""Values between a signal's type and the type of a controller's node."""

import math
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary, variant_from_binary, variant_to_binary
from hypothesis import given
from hypothesis import strategies as st

from connectors.handshake.signals import Signal, SignalValue
from connectors.opcua.coercion import can_hold, from_wire, to_wire
from connectors.opcua.node_set import NodeSet

KIND = ua.VariantType
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PAIRS = [
    (Signal.TRIGGER_SEQ, 7, KIND.Int32, 7),
    (Signal.TRIGGER_SEQ, 7, KIND.Int64, 7),
    (Signal.TRIGGER_SEQ, 7, KIND.Double, 7.0),
    (Signal.TRIGGER_SEQ, 0x80000000, KIND.Int32, -0x80000000),
    (Signal.TRIGGER_SEQ, 0xFFFFFFFF, KIND.Int32, -1),
    (Signal.TRIGGER_SEQ, 0xFFFFFFFF, KIND.Int64, 0xFFFFFFFF),
    (Signal.TRIGGER_SEQ, 65535, KIND.UInt16, 65535),
    (Signal.CLASS_ID, -1, KIND.Int16, -1),
    (Signal.RESULT_CODE, 4, KIND.Byte, 4),
    (Signal.SCORE, 0.25, KIND.Double, 0.25),
    (Signal.READY, True, KIND.Byte, 1),
    (Signal.READY, False, KIND.UInt16, 0),
    (Signal.RESULT_SEQ, 65_535, KIND.Int16, -1),
    (Signal.PART_ID, "Ä7", KIND.LocalizedText, ua.LocalizedText("Ä7")),
    (Signal.PART_ID, "Ä7", KIND.ByteString, "Ä7".encode()),
    (Signal.RESULT_TIME, NOON, KIND.String, "2026-05-01T12:00:00+00:00"),
]


@pytest.mark.parametrize(("signal", "value", "kind", "wire"), PAIRS)
def test_a_value_goes_both_ways(
    signal: Signal, value: SignalValue, kind: ua.VariantType, wire: object
) -> None:
    written = to_wire(signal, value, kind)
    assert (written.VariantType, written.Value) == (kind, wire)
    sent = variant_from_binary(ua.utils.Buffer(variant_to_binary(written)))
    assert from_wire(signal, sent) == value


@pytest.mark.parametrize(
    ("signal", "shown", "kind", "value"),
    [
        (Signal.TAKT_MS, 812.9, KIND.Double, 812),
        (Signal.ENCODER_POS, -1234.5, KIND.Float, -1234),
        (Signal.SCORE, math.nan, KIND.Double, 0.0),
    ],
)
def test_what_is_measured_may_have_a_fraction(
    signal: Signal, shown: float, kind: ua.VariantType, value: float
) -> None:
    assert from_wire(signal, ua.Variant(shown, kind)) == value


@pytest.mark.parametrize(
    ("signal", "value", "kind", "said"),
    [
        (Signal.TRIGGER_SEQ, 65536, KIND.UInt16, "is UInt16, which cannot hold 65536"),
        (Signal.TRIGGER_SEQ, 65536, KIND.Int16, "is Int16, which cannot hold 65536"),
        (Signal.TRIGGER_SEQ, (1 << 24) + 1, KIND.Float, "cannot hold 16777217 exactly"),
        (Signal.CLASS_ID, -1, KIND.UInt32, "cannot hold -1"),
        (Signal.SCORE, 0.5, KIND.Int32, "is Int32, not one of Float, Double"),
        (Signal.RESULT_CODE, 1, KIND.String, "is String, not one of UInt16"),
    ],
)
def test_what_a_node_cannot_hold_is_not_written(
    signal: Signal, value: SignalValue, kind: ua.VariantType, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        to_wire(signal, value, kind)


@pytest.mark.parametrize(
    ("signal", "variant", "said"),
    [
        (Signal.TRIGGER_SEQ, ua.Variant(1.5, KIND.Double), "is 1.5, which is no whole number"),
        (Signal.TRIGGER_SEQ, ua.Variant(math.nan, KIND.Double), "is nan"),
        (Signal.TRIGGER_SEQ, ua.Variant(1 << 40, KIND.Int64), "out of the range 0 to 4294967295"),
        (Signal.TRIGGER_SEQ, ua.Variant(-1, KIND.Int64), "is -1, out of the range"),
        (Signal.TAKT_MS, ua.Variant(-800, KIND.Int32), "is -800, out of the range"),
        (Signal.TRIGGER_SEQ, ua.Variant("7", KIND.String), "is String, not one of UInt32"),
        (Signal.PART_ID, ua.Variant(["a"], KIND.String), "is String array"),
    ],
)
def test_what_no_signal_can_be_is_refused(signal: Signal, variant: ua.Variant, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_wire(signal, variant)


@pytest.mark.parametrize(
    ("variant", "text"),
    [
        (ua.Variant("caf\udce9", KIND.String), "caf\N{REPLACEMENT CHARACTER}"),
        (ua.Variant(b"caf\xe9\0\0", KIND.ByteString), "caf\N{REPLACEMENT CHARACTER}"),
        (ua.Variant("A-1   \0", KIND.String), "A-1   \0"),
        (ua.Variant(ua.LocalizedText(None), KIND.LocalizedText), ""),
        (ua.Variant(None, KIND.String), ""),
        (None, ""),
    ],
)
def test_a_text_is_text_whatever_its_bytes(variant: ua.Variant | None, text: str) -> None:
    assert from_wire(Signal.PART_ID, variant) == text


@given(st.integers(0, 0xFFFFFFFF), st.sampled_from([KIND.Int32, KIND.UInt32, KIND.Int64]))
def test_a_counter_survives_every_type_of_32_bits_and_more(
    count: int, kind: ua.VariantType
) -> None:
    assert from_wire(Signal.RESULT_SEQ, to_wire(Signal.RESULT_SEQ, count, kind)) == count


@pytest.mark.parametrize("signal", list(Signal))
def test_a_value_is_written_without_status_and_times(signal: Signal) -> None:
    value_alone = 0x01
    sent = NodeSet({}, {}, {}).written(signal, signal.default)
    assert struct_to_binary(sent)[0] == value_alone
    assert can_hold(signal, sent.Value.VariantType)


@pytest.mark.parametrize(
    ("given", "found"),
    [("7", 7), ("", 0), ("  12\0", 12), ("Tile 30x30", "Tile 30x30"), ("7a", "7a"), ("²", "²")],
)
def test_a_recipe_may_be_a_name(given: str, found: object) -> None:
    assert can_hold(Signal.RECIPE_REQ, ua.VariantType.String)
    assert from_wire(Signal.RECIPE_REQ, ua.Variant(given, ua.VariantType.String)) == found
    assert not can_hold(Signal.RECIPE_ACTIVE, ua.VariantType.String)


def test_a_number_in_digits_has_the_range_of_its_signal() -> None:
    with pytest.raises(ValueError, match="out of the range"):
        from_wire(Signal.RECIPE_REQ, ua.Variant("70000", ua.VariantType.String))
