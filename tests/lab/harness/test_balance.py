"""The balance finds every kind of loss; each test breaks one thing in a line that balances."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lab.harness.balance import InHistory, OnKafka, balance_of
from lab.plc.ledger import LedgerEntry, LedgerRow
from streams.codes import (
    AckOutcome,
    Action,
    DecisionSource,
    Evaluation,
    ReasonCode,
    Severity,
)
from streams.events import Acknowledgement, Decision, decision_id
from streams.ids import new_frame_id

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def decision(seq: int, action: Action = Action.PASS) -> Decision:
    frame = new_frame_id()
    return Decision(
        frame_id=frame,
        line="line-1",
        station="cam-1",
        product_id="tile",
        part_id=f"P-{seq}",
        plc_boot_id=1,
        trigger_seq=seq,
        captured_at=NOW,
        deadline=NOW + timedelta(seconds=1),
        result_window_ms=1000,
        result_id=decision_id(frame, DecisionSource.EXPERT),
        source=DecisionSource.EXPERT,
        evaluation=Evaluation.OK,
        severity=Severity.NORMAL,
        action=action,
        reason_code=ReasonCode.NORMAL,
        decided_at=NOW,
    )


def ack(of: Decision) -> Acknowledgement:
    shared = of.model_dump(include=set(Acknowledgement.model_fields))
    return Acknowledgement.model_validate(shared | {"outcome": AckOutcome.ACKNOWLEDGED})


def entry(seq: int, part: str, action: Action, results: int = 1) -> LedgerEntry:
    """What the controller noted of one part, its results all inside the window."""
    trigger = LedgerRow(event="trigger", plc_boot_id=1, at=1.0, trigger_seq=seq, part_id=part)
    rows = [
        LedgerRow.model_validate(
            {
                "event": "result",
                "plc_boot_id": 1,
                "at": 2.0,
                "trigger_seq": seq,
                "result_seq": seq + number,
                "action": action,
                "source": "expert",
                "disposition": "duplicate" if number else "applied",
            }
        )
        for number in range(results)
    ]
    return LedgerEntry(trigger, rows, acknowledged_at=3.0)


def line(count: int = 3) -> tuple[list[LedgerEntry], OnKafka, InHistory]:
    """A line that balances."""
    decisions = [decision(seq) for seq in range(1, count + 1)]
    acks = [ack(d) for d in decisions]
    ledger = [entry(d.trigger_seq, d.part_id, d.action) for d in decisions]
    frames = {(1, d.trigger_seq): d.frame_id for d in decisions}
    odd = {decisions[0].frame_id}
    kafka = OnKafka(frames, decisions, acks, odd)
    history = InHistory(
        {d.result_id for d in decisions},
        {(a.result_id, a.outcome.value) for a in acks},
        set(odd),
        set(odd),
    )
    return ledger, kafka, history


def test_a_whole_line_balances() -> None:
    result = balance_of(*line(), planned=3)
    assert result.balanced
    assert (result.parts, result.decided, result.acknowledged) == (3, 3, 3)
    assert result.by_source["expert"] == 3


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (entry(1, "P-1", Action.PASS, results=0), "neither a result"),
        (entry(1, "P-1", Action.SCRAP), "the PLC applied scrap, Kafka says pass"),
        (entry(1, "P-other", Action.PASS), "the result was for part P-1"),
    ],
)
def test_ledger_against_kafka(broken: LedgerEntry, why: str) -> None:
    ledger, kafka, history = line()
    ledger[0] = broken
    assert any(why in text for text in balance_of(ledger, kafka, history).lost)


def test_a_result_without_a_decision_on_kafka_is_lost() -> None:
    ledger, kafka, history = line()
    gone = replace(kafka, decisions=kafka.decisions[1:])
    assert any("no decision is on Kafka" in text for text in balance_of(ledger, gone, history).lost)


def test_what_the_history_lacks_is_lost() -> None:
    ledger, kafka, history = line()
    for field in ("decisions", "acknowledgements", "anomalies", "pictures"):
        gap = replace(history, **{field: set()})
        assert not balance_of(ledger, kafka, gap).balanced, field


def test_a_picture_without_a_row_is_an_orphan() -> None:
    ledger, kafka, history = line()
    extra = replace(history, pictures=history.pictures | {new_frame_id()})
    assert any("has no row" in text for text in balance_of(ledger, kafka, extra).lost)


def test_two_results_in_one_window_are_acted_twice() -> None:
    ledger, kafka, history = line()
    ledger[1] = entry(2, "P-2", Action.PASS, results=2)
    assert balance_of(ledger, kafka, history).acted_twice == ("P-2 (seq 2): 2 results",)


def test_the_plc_default_is_a_decision_of_its_own() -> None:
    ledger, kafka, history = line()
    trigger = LedgerRow(event="trigger", plc_boot_id=1, at=1.0, trigger_seq=4, part_id="P-4")
    dead = LedgerEntry(trigger, default_reason="window")
    result = balance_of([*ledger, dead], kafka, history)
    assert result.balanced
    assert result.by_source["plc_default"] == 1


def test_a_part_that_never_reached_the_plc_is_missed() -> None:
    assert not balance_of(*line(), planned=4).balanced
