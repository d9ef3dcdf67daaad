"""What the documents say of the signals."""

from connectors.handshake.signals import Owner, Signal


def test_both_sides_write_something_and_results_end_with_their_number() -> None:
    owners = [signal.owner for signal in Signal]
    assert owners.count(Owner.PLC) == 13
    assert owners.count(Owner.GATEWAY) == 22
