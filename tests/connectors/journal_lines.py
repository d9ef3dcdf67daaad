"""Lines of a journal, and what they add up to."""

from uuid import UUID

from connectors.gateway.journal_entries import (
    JournalEntry,
    Recovered,
    apply_line,
)
from connectors.handshake import HandshakeConfig
from tests.connectors.handshake_state import trigger

CONFIG = HandshakeConfig(result_window_ms=1000)


def entry(seq: int = 5, boot: int = 1, **changes: object) -> JournalEntry:
    made = JournalEntry.minted(trigger(seq, boot), [UUID(int=seq)], 1000.0, 1.0)
    return made.model_copy(update=changes)


def known(*lines: object) -> Recovered:
    found = Recovered()
    for line in lines:
        apply_line(found, line)  # type: ignore[arg-type]
    return found
