"""Outcomes wait for each other, and are closed in the journal once they are sent."""

import asyncio
from pathlib import Path

import pytest

from connectors.gateway import outcome_publisher, part_events
from connectors.gateway.journal import Journal
from connectors.gateway.journal_entries import StepLine
from connectors.gateway.outcome_publisher import TOGETHER_S, OutcomePublisher
from connectors.settings import GatewaySettings
from streams.codes import AckOutcome, ClockStatus
from tests.connectors.journal_parts import entry_of, mint, verdict_for
from tests.contracts.twins.publisher import TwinPublisher

SETTINGS = GatewaySettings(line="line1", station="station1")


@pytest.mark.asyncio
async def test_outcomes_of_a_tenth_of_a_second_travel_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, bus, until = Journal(tmp_path / "journal"), TwinPublisher(), []
    journal.open()
    sleep, loop = asyncio.sleep, asyncio.get_running_loop()

    async def slept(seconds: float) -> None:
        until.append(round((loop.time() + seconds) / TOGETHER_S, 1))
        await sleep(0)

    monkeypatch.setattr(outcome_publisher.asyncio, "sleep", slept)
    outcomes = OutcomePublisher(SETTINGS, journal, bus, ClockStatus.UNKNOWN)
    for seq in range(1, 6):
        entry = entry_of(seq)
        mint(journal, entry)
        part = part_events.part_on_line(SETTINGS, entry, ClockStatus.UNKNOWN)
        verdict = verdict_for(entry.frame_id)
        event = part_events.acknowledgement(part, verdict, AckOutcome.ACKNOWLEDGED)
        journal.append(StepLine(t="outcome", k=entry.key, a=event.model_dump_json()))
    await asyncio.gather(*outcomes.left_over())
    assert len(bus.sent) == len(until) == 5
    assert all(moment == round(moment) for moment in until), "each waits for a whole tenth"
    assert not list(outcomes.left_over()), "and is closed"
    await journal.close()
