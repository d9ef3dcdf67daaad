"""The history's benchmark: its parts are what it says, and a small run ends with true facts."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from history.filters import FrameFilter
from history.queries import History
from infra.stack.postgres_local import start_postgres
from lab.benchmarks import history_fill
from lab.benchmarks.history import HistoryBenchmark, benchmark_history
from lab.benchmarks.history_fill import TooLittleDiskError
from lab.benchmarks.history_parts import captured_at, frame_id, made_decisions, own_columns
from lab.benchmarks.history_record import RecordBenchmark, benchmark_recording
from streams.codes import Action, DecisionSource


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
async def test_a_small_run_that_is_stopped_and_goes_on(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_fill, "_CHUNK", 1000)
    told: list[str] = []
    first = HistoryBenchmark(parts=1500, rounds=1, record=0, pages=17)
    await benchmark_history(first, scratch, told.append)
    options = HistoryBenchmark(parts=3000, rounds=1, record=200, pages=17, sustain_s=1.0)
    figures = await benchmark_history(options, scratch, told.append)
    assert figures["facts_true"] is True
    assert (figures["parts"], figures["filled_now"]) == (3000, 1500)
    assert "bi_quality_by_hour_s" in figures
    assert int(figures["reviews"]) > 50
    assert float(figures["review_next_p95_s"]) > 0
    assert figures["steady_per_s"] == 1000
    assert told
    with start_postgres(scratch / "postgres") as server:
        history = History(server.url)
        for number in (7, 2000):
            found = (await history.show(frame_id(number))).effective
            assert found is not None
            made, own = made_decisions(number)[0], own_columns(number)
            for name in ("frame_id", "part_id", "lot_id", "product_id", "captured_at"):
                assert getattr(found, name) == own[name] == getattr(made, name)
            assert (found.source, found.action) == (made.source, made.action)
        decided = [d for n in range(2000, 3000) for d in made_decisions(n)]
        stats = await history.stats(FrameFilter(since=captured_at(2000), until=captured_at(3000)))
        assert stats.by_action["pass"] == sum(
            d.action is Action.PASS for d in decided if not d.is_late
        )
        await history.close()


@pytest.mark.slow
@pytest.mark.asyncio
async def test_what_a_plant_publishes_is_recorded_once(scratch: Path) -> None:
    for rate in (100, 0):
        folder = scratch / str(rate)
        folder.mkdir()
        found = await benchmark_recording(RecordBenchmark(rate, 0.3), folder, print)
        assert (found["parts"], found["twice"]) == ({100: 30, 0: 300}[rate], 0)
        assert float(found["cpu_ms_a_part_record"]) > 0
