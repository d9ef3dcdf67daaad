"""The documents say what the code does."""

from pathlib import Path

from connectors.handshake.signals import Owner, Signal

DOCUMENT = Path(__file__).parents[2] / "docs" / "handshake.md"


def test_the_signal_table_is_the_codes() -> None:
    rows = ["| written by | signal | type | meaning |", "|---|---|---|---|"]
    rows += [f"| {s.owner} | {s.wire_name} | {s.data_type} | {s.meaning} |" for s in Signal]
    assert "\n".join(rows) + "\n" in DOCUMENT.read_text(encoding="utf-8")


def test_both_sides_write_something_and_results_end_with_their_number() -> None:
    owners = [signal.owner for signal in Signal]
    assert owners.count(Owner.PLC) == 13
    assert owners.count(Owner.GATEWAY) == 22
