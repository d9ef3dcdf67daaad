"""The matrix without a line: which rows there are, and what a table of them says."""

import pytest
import typer

from lab.benchmarks.fault_matrix import BROKEN, HOLDS, UNSHOWN, RowFound, figures_of
from lab.benchmarks.fault_rows import SMOKE, rows
from lab.cli.benchmark_faults import parts_around, rows_of, victims
from lab.harness.poison import poisonous
from streams.topics import ALL

ROWS = rows()


def test_rows_are_named_by_themselves_or_by_their_group() -> None:
    assert rows_of(None) == list(ROWS)
    assert rows_of(["poison", "kill-record"]) == ["kill-record", "poison"]
    kills = rows_of(["kill"])
    assert "kill-gateway" in kills
    assert all(ROWS[name].group == "kill" for name in kills)
    with pytest.raises(typer.BadParameter, match="kill-inspect"):
        rows_of(["kil"])


def test_ci_plays_a_row_of_every_kind_that_needs_no_java() -> None:
    assert {ROWS[name].group for name in SMOKE} >= {"kill", "disk", "poison"}
    assert not any(ROWS[name].needs_disk_broker for name in SMOKE)


def test_only_a_broker_that_keeps_its_data_is_a_victim() -> None:
    assert "broker" in victims("kafka")
    assert "broker" not in victims("embedded")


def test_the_table_is_as_bad_as_its_worst_row() -> None:
    fine = RowFound("a", "kill", parts=60, recovery_s=1.0, verdict=HOLDS)
    bad = RowFound("b", "disk", parts=60, lost=2, contradictory=1, verdict=BROKEN)
    left_out = RowFound("c", "kill")
    assert figures_of([fine, left_out])["verdict"] == HOLDS
    body = figures_of([fine, bad])
    assert (body["verdict"], body["broken"], body["lost"]) == (BROKEN, ["b"], 2)
    unshown = RowFound("d", "disk", parts=60, verdict=UNSHOWN)
    assert figures_of([fine, unshown])["verdict"] == UNSHOWN
    assert figures_of([unshown, bad])["verdict"] == BROKEN
    assert fine.cells()[:3] == ["a", HOLDS, 60]


@pytest.mark.parametrize("topic", ALL, ids=lambda topic: topic.name)
def test_there_is_poison_for_every_topic(topic) -> None:
    for key, value, headers in poisonous(topic.name):
        assert key is not None or value is not None
        assert all(isinstance(raw, bytes) for _, raw in headers)


def test_a_fault_lasts_as_long_as_is_asked() -> None:
    assert "for 60 s" in rows(60.0)["disk-enospc"].what
    assert "for 60 s" in rows(60.0)["pause-gateway"].what
    assert rows(60.0).keys() == ROWS.keys()


@pytest.mark.parametrize(("lasting_s", "takt_s"), [(4.0, 0.2), (60.0, 0.2), (60.0, 0.05)])
def test_parts_come_after_a_fault_however_long_it_lasts(lasting_s: float, takt_s: float) -> None:
    after_s = 2 / 3 * parts_around(lasting_s, takt_s) * takt_s - lasting_s
    assert after_s >= 5.0
