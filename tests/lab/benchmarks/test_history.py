"""The history's benchmark: its parts are what it says, and a small run ends with true facts."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from history import rows
from lab.benchmarks.history import HistoryBenchmark, TooLittleDiskError, benchmark_history
from lab.benchmarks.history_parts import CopiedRecords, made_acknowledgement, made_decisions
from streams.codes import Action, DecisionSource


def test_copied_records_are_the_rows_of_the_same_events() -> None:
    records = CopiedRecords()
    found = dict(records.of(range(400)))
    decisions = [d for number in range(400) for d in made_decisions(number)]
    assert len(found["review"]) == 2
    for table, wanted in (
        ("decision", [rows.decision_row(d) for d in decisions]),
        (
            "acknowledgement",
            [rows.acknowledgement_row(made_acknowledgement(d)) for d in decisions if not d.is_late],
        ),
    ):
        columns = records.columns[table]
        copied = [dict(zip(columns, record, strict=True)) for record in found[table]]
        assert copied == wanted


def test_parts_are_mixed_as_told() -> None:
    parts = [made_decisions(number) for number in range(1000)]
    passed = Counter(decisions[0].action is Action.PASS for decisions in parts)
    sources = Counter(decisions[0].source for decisions in parts)
    assert 30 <= passed[False] <= 90
    assert {DecisionSource.FALLBACK, DecisionSource.WATCHDOG} <= sources.keys()
    assert 1 <= sum(len(decisions) == 2 for decisions in parts) <= 30
    assert parts == [made_decisions(number) for number in range(1000)]


def test_the_disk_is_measured_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TooLittleDiskError, match="fewer parts"):
        asyncio.run(benchmark_history(HistoryBenchmark(parts=10**12), tmp_path, print))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_small_run(scratch: Path) -> None:
    options = HistoryBenchmark(parts=2000, rounds=1, record=200, pages=8, sustain_s=1.0)
    told: list[str] = []
    figures = await benchmark_history(options, scratch, told.append)
    assert figures["facts_true"] is True
    assert figures["parts"] == 2000
    assert "bi_quality_by_hour_s" in figures
    assert figures["steady_per_s"] == 1000
    assert told
