"""From the journal to the handshake's state after a restart. Pure."""

from connectors.handshake import HandshakeConfig, Part, Phase, State, restore
from connectors.journal_lines import JournalEntry, Recovered


def recover(config: HandshakeConfig, known: Recovered, now: float, wall: float) -> State:
    """The state that a gateway starts with.

    Args:
        now: monotonic time, seconds; the same moment as
        wall: seconds since the epoch.
    """
    offset = now - wall
    parts = [
        part_of(entry, offset)
        for entry in known.entries.values()
        if entry.key.plc_boot_id == known.plc_boot_id
        and not entry.closed
        and not entry.acknowledgement
    ]
    closed = {
        entry.key: entry.verdict.result_id
        for entry in known.entries.values()
        if (entry.closed or entry.acknowledgement) and entry.verdict is not None
    }
    return restore(config, known.plc_boot_id, known.last_trigger_seq, parts, closed)


def part_of(entry: JournalEntry, offset: float) -> Part:
    """One open part. Without a picture it is asked a hold for as soon as the line is back."""
    phase = Phase.OPEN
    if entry.result_seq:
        phase = Phase.WRITTEN if entry.written_at is not None else Phase.WRITING
    elif entry.verdict is not None:
        phase = Phase.QUEUED
    return Part(
        key=entry.key,
        trigger=entry.trigger,
        frame_id=entry.frame_id,
        triggered_at=entry.triggered_at + offset,
        deadline=entry.triggered_at + entry.window_s + offset,
        missed=entry.missed,
        phase=phase,
        asked=entry.missed or not entry.captured,
        verdict=entry.verdict,
        result_seq=entry.result_seq,
        ordered_at=entry.ordered_at + offset if entry.ordered_at is not None else None,
        written_at=entry.written_at + offset if entry.written_at is not None else None,
    )
