"""Which parts count towards the two shares, and how wide their intervals are."""

from hypothesis import given
from hypothesis import strategies as st

from lab.demo.verdicts import JudgedPart, Share, Verdicts
from streams.codes import Action, Severity


def test_only_defects_pass_wrongly_and_only_good_parts_are_stopped_wrongly() -> None:
    done = [
        (Severity.DEFECT, Action.PASS),
        (Severity.DEFECT, Action.SCRAP),
        (Severity.DEFECT, None),
        (Severity.NEGLIGIBLE, Action.PASS),
        (Severity.NEGLIGIBLE, Action.HOLD),
        (Severity.NORMAL, Action.PASS),
        (Severity.NORMAL, Action.HOLD),
        (Severity.NORMAL, None),
    ]
    found = Verdicts.of(
        JudgedPart(f"part {i}", severity.value, severity, action)
        for i, (severity, action) in enumerate(done)
    )
    assert (found.defects_passed.count, found.defects_passed.total) == (1, 3)
    assert (found.good_stopped.count, found.good_stopped.total) == (2, 3)
    assert found.passed_by_class.keys() == {"defect"}


def test_pictures_of_one_part_count_as_one_draw_where_all_agree() -> None:
    """Zero of 30 pictures of three parts says as little as zero of three."""
    none = Share.of([False] * 30, [f"part {i % 3}" for i in range(30)])
    assert none.low == 0
    assert 0.70 < none.high < 0.71
    every = Share.of([True] * 30, [f"part {i % 3}" for i in range(30)])
    assert every.high == 1
    assert 0.29 < every.low < 0.30


def test_dependent_pictures_widen_the_interval() -> None:
    hits = [i % 10 < 3 for i in range(100)]
    alone = Share.of(hits, [str(i) for i in range(100)])
    together = Share.of(hits, [str(i % 10) for i in range(100)])
    assert together.high - together.low > 2 * (alone.high - alone.low)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=40))
def test_an_interval_holds_its_share(drawn: list[tuple[bool, int]]) -> None:
    share = Share.of([hit for hit, _ in drawn], [str(part) for _, part in drawn])
    if share.value is None:
        assert (share.low, share.high) == (0.0, 1.0)
        assert str(share) == "none played"
    else:
        assert share.low <= share.value + 1e-9
        assert share.high >= share.value - 1e-9
