"""The stages of a part add up to what the controller saw, whoever decided it."""

from datetime import UTC, datetime

import pytest

from connectors.gateway.journal_entries import JournalEntry
from connectors.handshake.values import PartKey
from lab.benchmarks.latency_stages import (
    TO_ACKNOWLEDGEMENT,
    TOTAL,
    LatencyStage,
    Records,
    combined,
    figures,
    stages_of,
)
from lab.plc.ledger import Disposition, LedgerEntry, LedgerRow
from streams.codes import Action, DecisionSource
from tests.history import make

BOOT, SEQ = 7, 1
START_S = make.captured(0).timestamp()
"""The exposure; the trigger came 10 ms before."""


def at(ms: float) -> float:
    return START_S + ms / 1e3


def entry(applied_ms: float) -> LedgerEntry:
    shared = {"plc_boot_id": BOOT, "trigger_seq": SEQ, "part_id": "P"}
    trigger = LedgerRow(event="trigger", at=at(-10), **shared)
    told = {"source": "expert", "disposition": Disposition.APPLIED}
    result = LedgerRow.model_validate({"event": "result", "at": at(applied_ms), **shared, **told})
    return LedgerEntry(trigger, [result])


def journal(read_ms: float) -> JournalEntry:
    return JournalEntry(
        t="minted",
        key=PartKey(BOOT, SEQ),
        frame_id=make.frame_id(0),
        group=("P", "", "tile", 0, 0),
        triggered_at=at(-6),
        captured_at=at(0),
        ordered_at=at(read_ms),
        window_s=1.0,
    )


def records(
    source: DecisionSource, sent_ms: float, acknowledged_ms: float, **timings: float
) -> Records:
    timings = {"queue_inspect": 30.0, "expert": 20.0, "inspect": 25.0, **timings}
    decided_ms = 51.0 if source is DecisionSource.EXPERT else 120.0
    decision = make.decision(
        0,
        source,
        Action.PASS,
        inspection=make.inspection(False, timings_ms={"queue": 1.0, "decode": 2.0, "score": 9.0}),
        decided_at=datetime.fromtimestamp(at(decided_ms), UTC),
        timings_ms=timings,
    )
    key = BOOT, SEQ
    return Records({key: at(4)}, {key: (decision, at(sent_ms))}, {key: at(acknowledged_ms)})


def test_a_part_of_the_expert_has_every_stage_but_naming() -> None:
    told = records(DecisionSource.EXPERT, sent_ms=52, acknowledged_ms=80)
    found = stages_of(entry(applied_ms=70), journal(read_ms=60), told)
    assert found is not None
    rounded = {stage: round(ms, 1) for stage, ms in found.items()}
    assert rounded == {
        LatencyStage.TRIGGER: 4.0,
        LatencyStage.EXPOSURE: 6.0,
        LatencyStage.JOURNAL: 4.0,
        LatencyStage.FRAME: 22.0,
        LatencyStage.BATCH: 4.0,
        LatencyStage.HOPS: 8.0,
        LatencyStage.QUEUE: 1.0,
        LatencyStage.DECODE: 2.0,
        LatencyStage.SCORE: 9.0,
        LatencyStage.POLICY: 2.0,
        LatencyStage.DECISION: 8.0,
        LatencyStage.WRITE: 10.0,
        LatencyStage.ACKNOWLEDGEMENT: 10.0,
    }


def test_a_named_part_has_the_anomaly_and_the_classifier_too() -> None:
    told = records(
        DecisionSource.CLASSIFIER, sent_ms=121, acknowledged_ms=150, classify=45.0, classifier=40.0
    )
    found = stages_of(entry(applied_ms=140), journal(read_ms=130), told)
    assert found is not None
    naming = [LatencyStage.ANOMALY, LatencyStage.NAMING_WAIT, LatencyStage.NAMING]
    assert [round(found[stage], 1) for stage in naming] == [25.0, 5.0, 40.0]
    assert round(found[LatencyStage.POLICY], 1) == 1.0
    assert sum(found.values()) == pytest.approx(160.0, abs=0.01)


def test_a_part_without_a_moment_is_not_followed() -> None:
    told = records(DecisionSource.EXPERT, sent_ms=52, acknowledged_ms=80)
    unexposed = journal(read_ms=60).model_copy(update={"captured_at": None})
    unread = Records(told.frames_s, told.decisions, {})
    assert stages_of(entry(70), unexposed, told) is None
    assert stages_of(entry(70), journal(60), unread) is None
    assert stages_of(LedgerEntry(entry(70).trigger), journal(60), told) is None


def test_figures_are_medians_over_rounds_and_means_add_up() -> None:
    parts = [
        {LatencyStage.TRIGGER: trigger, LatencyStage.WRITE: 10.0, LatencyStage.ACKNOWLEDGEMENT: 1.0}
        for trigger in (2.0, 4.0, 30.0)
    ]
    one = figures(parts)
    assert one[TOTAL]["p50_ms"] == 14.0
    assert one[TOTAL]["p99_ms"] == 40.0
    assert one[TOTAL]["mean_ms"] == pytest.approx(22.0)
    assert one[TO_ACKNOWLEDGEMENT]["mean_ms"] == pytest.approx(23.0)
    rounds = [figures(parts[:1]), figures(parts[1:2]), figures(parts[2:])]
    assert combined(rounds)[LatencyStage.TRIGGER.value]["p50_ms"] == 4.0
    assert combined([]) == {}
