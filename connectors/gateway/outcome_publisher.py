"""What the gateway itself publishes: its own decisions, and the outcome of every result.

Both stand in the journal until the broker (or the spool) has them, so that a killed gateway
publishes them after its restart. Their identities derive from the frame, so that an event that is
published twice counts once.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from connectors.errors import JournalError
from connectors.gateway import part_events
from connectors.gateway.journal import Journal
from connectors.gateway.journal_entries import StepLine
from connectors.handshake.values import PartKey, ResultReport
from connectors.settings import GatewaySettings
from streams.codes import ClockStatus
from streams.envelope import to_message
from streams.events import Acknowledgement, Decision
from streams.ports import Publisher
from streams.topics import ACKS, DECISIONS

log = structlog.get_logger(__name__)
TOGETHER_S: Final = 0.1
"""Outcomes wait for the next tenth of a second and travel together: nobody waits for one."""


@dataclass(frozen=True)
class OutcomePublisher:
    """Builds and sends decisions and acknowledgements of one line."""

    settings: GatewaySettings
    journal: Journal
    publisher: Publisher
    clock: ClockStatus

    def left_over(self) -> Iterator[Coroutine[None, None, None]]:
        """The sends of what an earlier run decided or concluded and may not have published.

        What this version cannot read any more is named in the log and given up.
        """
        for entry in list(self.journal.entries.values()):
            try:
                if entry.decision:
                    decision = Decision.model_validate_json(entry.decision)
                    yield self.send_decision(entry.key, decision)
                if entry.acknowledgement:
                    event = Acknowledgement.model_validate_json(entry.acknowledgement)
                    yield self._send_own(entry.key, event)
            except ValueError as error:
                words = {"part_id": entry.trigger.part_id, "trigger_seq": entry.key.trigger_seq}
                log.error("journal.event_given_up", **words, why=str(error)[:2000])
                self.journal.append(StepLine(t="decision_sent", k=entry.key))
                if entry.acknowledgement:
                    self.journal.append(StepLine(t="closed", k=entry.key))

    async def send_decision(self, key: PartKey, decision: Decision) -> None:
        """Publish the decision once it is on disk, so that a restart publishes the same one.

        Raises ``SpoolFullError``; the decision then stays in the journal.
        """
        with contextlib.suppress(JournalError):  # the journal reports it; the part goes on
            await self.journal.commit()
        await self.publisher.send(DECISIONS.name, to_message(decision))
        self.journal.append(StepLine(t="decision_sent", k=key))

    def outcome_event(
        self, report: ResultReport, answering: Decision | None
    ) -> Acknowledgement | None:
        """The event of a report, remembered in the journal if it is the part's own result.

        Args:
            answering: the decision from Kafka that led to the report; names parts that the
                journal has forgotten. None for such a part: there is nothing to say.
        """
        part = report.part
        own = part is not None and part.verdict is report.verdict
        entry = self.journal.entries.get(report.key)
        if entry is not None and entry.frame_id == report.frame_id:
            subject = part_events.part_on_line(self.settings, entry, self.clock)
        elif answering is not None:
            subject = part_events.part_of(answering)
        else:
            return None
        offset = time.time() - time.monotonic()
        written_at = part.written_at if own and part is not None else None
        acked_at = report.acknowledged_at
        event = part_events.acknowledgement(
            subject,
            report.verdict,
            report.outcome,
            result_seq=part.result_seq if own and part is not None else 0,
            triggered_at=entry.triggered_at if entry is not None else None,
            written_at=written_at + offset if written_at is not None else None,
            acknowledged_at=acked_at + offset if acked_at is not None else None,
            detail=report.detail,
        )
        if own:
            text = event.model_dump_json()
            self.journal.append(StepLine(t="outcome", k=report.key, a=text))
        return event

    async def send_outcome(self, report: ResultReport, event: Acknowledgement) -> None:
        """Publish it. Raises ``SpoolFullError``; a part's own outcome stays in the journal then."""
        if report.part is not None and report.part.verdict is report.verdict:
            await self._send_own(report.key, event)
        else:
            await self.publisher.send(ACKS.name, to_message(event))

    async def _send_own(self, key: PartKey, event: Acknowledgement) -> None:
        await asyncio.sleep(TOGETHER_S - asyncio.get_running_loop().time() % TOGETHER_S)
        await self.publisher.send(ACKS.name, to_message(event))
        self.journal.append(StepLine(t="closed", k=key))
