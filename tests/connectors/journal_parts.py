"""Parts as a test enters them in the journal."""

from uuid import UUID

from connectors.gateway.journal import Journal
from connectors.gateway.journal_entries import (
    JournalEntry,
    StepLine,
)
from connectors.handshake import Verdict
from streams.codes import DecisionSource, ReasonCode, ResultCode
from streams.events import decision_id
from streams.ids import new_frame_id
from streams.ports import Trigger


def entry_of(seq: int, boot: int = 7) -> JournalEntry:
    trigger = Trigger(boot, seq, f"part\n☃-{seq}", "lot", "demo", 5, 1000)
    return JournalEntry.minted(trigger, [new_frame_id()], 1000.0 + seq, 1.0)


def verdict_for(frame_id: UUID) -> Verdict:
    result = decision_id(frame_id, DecisionSource.EXPERT)
    return Verdict(result, DecisionSource.EXPERT, ResultCode.PASS, ReasonCode.NORMAL, 3, 0.25, 9.0)


def mint(journal: Journal, entry: JournalEntry) -> None:
    journal.append(entry)


def finish(journal: Journal, entry: JournalEntry, result_seq: int) -> None:
    verdict = verdict_for(entry.frame_id)
    journal.append(StepLine(t="captured", k=entry.key))
    journal.append(StepLine(t="published", k=entry.key))
    journal.append(StepLine(t="writing", k=entry.key, r=result_seq, v=verdict))
    journal.append(StepLine(t="written", k=entry.key, at=1001.0))
    journal.append(StepLine(t="outcome", k=entry.key, a="{}"))
    journal.append(StepLine(t="closed", k=entry.key))
