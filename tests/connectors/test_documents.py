"""The documents say what the code does."""

from pathlib import Path

from connectors.handshake.signals import SIGNALS, Owner, markdown_table

DOCUMENT = Path(__file__).parents[2] / "docs" / "handshake.md"


def test_the_signal_table_is_the_codes() -> None:
    assert markdown_table() in DOCUMENT.read_text(encoding="utf-8")


def test_both_sides_write_something_and_results_end_with_their_number() -> None:
    owners = [spec.owner for spec in SIGNALS.values()]
    assert owners.count(Owner.PLC) == 13
    assert owners.count(Owner.GATEWAY) == 22
