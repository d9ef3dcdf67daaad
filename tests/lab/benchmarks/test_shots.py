"""Parts of three shots over the embedded broker, and the evaluator that they are held against."""

from collections import Counter
from pathlib import Path

import pytest

from lab.benchmarks.shots import ShotsBenchmark, benchmark_shots, judged
from lab.benchmarks.shots_plan import PlannedShot, SidedPart, expected, faults_of, make_parts
from lab.plc.ledger import Disposition, LedgerEntry, LedgerRow

GOOD = PlannedShot("good")


def part(*shots: PlannedShot) -> SidedPart:
    return SidedPart("p", shots)


@pytest.mark.parametrize(
    ("shots", "action"),
    [
        ((GOOD, GOOD, GOOD), "pass"),
        ((GOOD, PlannedShot("dust"), GOOD), "pass"),
        ((GOOD, PlannedShot("pit"), GOOD), "rework"),
        ((PlannedShot("pit"), PlannedShot("pit"), GOOD), "scrap"),
        ((PlannedShot("pit"), PlannedShot("pit", "slow"), GOOD), "rework"),
        ((PlannedShot("pit", "doubled"), GOOD, GOOD), "rework"),
        ((PlannedShot("pit"), PlannedShot("good", "lost"), GOOD), "hold"),
        ((PlannedShot("crack"), PlannedShot("good", "delayed"), GOOD), "scrap"),
        ((GOOD, GOOD, PlannedShot("crack", "slow")), "rework"),
    ],
)
def test_what_must_come_of_a_part(shots: tuple[PlannedShot, ...], action: str) -> None:
    assert expected(part(*shots)) == action


def test_of_ten_parts_one_loses_one_delays_and_one_doubles_a_shot() -> None:
    parts = make_parts(200)
    assert faults_of(parts) == {"lost": 20, "doubled": 20, "slow": 10, "delayed": 10}
    assert max(sum(bool(shot.fault) for shot in one.shots) for one in parts) == 1
    assert parts == make_parts(200)
    assert len(Counter(expected(one) for one in parts)) == 4


def entry(action: str, results: int = 1, part_id: str = "p") -> LedgerEntry:
    def row(event: str, **fields: object) -> LedgerRow:
        base = {"event": event, "plc_boot_id": 1, "at": 0.0, "trigger_seq": 1}
        return LedgerRow.model_validate({**base, **fields})

    rows = [
        row(
            "result",
            part_id=part_id,
            action=action,
            result_seq=n,
            disposition=Disposition.DUPLICATE if n else Disposition.APPLIED,
        )
        for n in range(results)
    ]
    return LedgerEntry(row("trigger", part_id="p"), rows)


@pytest.mark.parametrize(
    ("found", "right"),
    [
        (entry("pass"), 1),
        (entry("scrap"), 0),
        (entry("pass", results=2), 0),
        (entry("pass", results=0), 0),
        (entry("pass", part_id="another"), 0),
    ],
)
def test_a_part_is_right_with_one_result_of_its_own(found: LedgerEntry, right: int) -> None:
    figures = judged([part(GOOD, GOOD, GOOD)], [found])
    assert figures["right"] == right
    assert len(figures["wrong"]) == 1 - right  # type: ignore[arg-type]
    assert judged([part(GOOD)], [])["right"] == 0


def all_right(figures: dict[str, object]) -> None:
    assert figures["wrong"] == []
    assert figures["right"] == figures["one_result"] == figures["parts"]


@pytest.mark.slow
def test_every_part_of_three_shots_gets_its_one_right_result(tmp_path: Path) -> None:
    figures = benchmark_shots(ShotsBenchmark(parts=60), tmp_path)
    all_right(figures)
    sources = figures["by_source"]
    assert isinstance(sources, dict)
    assert sources.get("watchdog", 0) == 0
    assert sources["fallback"] > 0


@pytest.mark.slow
def test_five_hundred_parts_of_three_shots(tmp_path: Path) -> None:
    all_right(benchmark_shots(ShotsBenchmark(), tmp_path))
