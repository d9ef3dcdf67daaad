"""The simulated PLC's ledger in the terms of the reckoning."""

from pathlib import Path

from lab.harness.reckoning import LedgerPart
from lab.plc.ledger import LedgerEntry, read_ledger
from streams.codes import Action, DecisionSource


def ledger_parts(path: Path) -> list[LedgerPart]:
    """Every trigger of the ledger, in order."""
    return [_part(entry) for entry in read_ledger(path)]


def _part(entry: LedgerEntry) -> LedgerPart:
    return LedgerPart(
        plc_boot_id=entry.trigger.plc_boot_id,
        trigger_seq=entry.trigger.trigger_seq,
        part_id=entry.trigger.part_id,
        results_in_window=entry.results_in_window,
        applied=Action(entry.action) if entry.action else None,
        source=DecisionSource(entry.source) if entry.source else None,
        acknowledged=entry.acknowledged_at is not None,
        late_results=entry.late,
    )
