"""What the gateway sends for a signal's value."""

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from connectors.handshake.signals import Signal
from connectors.opcua.nodes import data_value


@pytest.mark.parametrize("signal", list(Signal))
def test_a_value_is_written_without_status_and_times(signal: Signal) -> None:
    value_alone = 0x01
    assert struct_to_binary(data_value(signal, signal.default))[0] == value_alone


def test_the_type_of_the_node_is_kept() -> None:
    assert data_value(Signal.SCORE, 0.5).Value.VariantType is ua.VariantType.Float
