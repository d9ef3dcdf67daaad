"""Exemplars and parts never share a group; every class keeps its share."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.datasets.folders import Sample
from lab.harness.plan import LinePlanError, cycle, make_plan, mixed, with_sides

TRAIN = [Sample(Path(f"train/{i}"), "good", False, group=f"t{i}") for i in range(3)]


def photographs(label: str, count: int, per_group: int = 1) -> list[Sample]:
    return [
        Sample(Path(f"{label}/{i}"), label, label != "good", group=f"{label}-{i // per_group}")
        for i in range(count)
    ]


@given(per_group=st.integers(1, 4), count=st.integers(1, 40))
def test_no_group_both_teaches_and_arrives(per_group: int, count: int) -> None:
    test = photographs("good", 5) + photographs("crack", count, per_group)
    plan = make_plan("tile", TRAIN, test, {"crack"}, None)
    taught = {p.group for p in plan.exemplars["crack"]}
    played = {p.photograph.group for p in plan.parts}
    assert not taught & played
    assert len(taught) == len(plan.exemplars["crack"]) <= 5


def test_an_untaught_class_is_played_whole() -> None:
    plan = make_plan("tile", TRAIN, photographs("fray", 9), set(), None)
    assert len(plan.parts) == 9
    assert not plan.exemplars


@given(st.integers(3, 60))
def test_thinning_keeps_every_class(count: int) -> None:
    test = photographs("good", 40) + photographs("crack", 15) + photographs("fray", 5)
    plan = make_plan("tile", TRAIN, test, set(), count)
    assert len(plan.parts) == count
    assert {p.photograph.label for p in plan.parts} == {"good", "crack", "fray"}


def test_part_ids_are_unique_when_pictures_repeat() -> None:
    plan = cycle(make_plan("tile", TRAIN, photographs("good", 4), set(), None), 10)
    assert len({p.part_id for p in plan.parts}) == 10


def test_an_empty_folder_says_what_is_missing() -> None:
    with pytest.raises(LinePlanError, match="train/good"):
        make_plan("tile", [], photographs("good", 1), set(), None)
    with pytest.raises(LinePlanError, match="test/<class>"):
        make_plan("tile", TRAIN, [], set(), None)


def test_mixed_plays_the_share_of_anomalous_parts_that_was_asked_for() -> None:
    test = [*photographs("good", 4), *photographs("hole", 3)]
    parts = mixed(make_plan("tile", TRAIN, test, set(), None), 40, 0.1).parts
    odd = [i for i, part in enumerate(parts) if part.photograph.label != "good"]
    assert odd == [9, 19, 29, 39]
    assert len({part.part_id for part in parts}) == 40
    assert len({part.photograph.path for part in parts}) == 7


def test_a_part_of_several_shots_shows_its_photograph_on_one_side() -> None:
    test = [*photographs("good", 4), *photographs("hole", 6)]
    plan = make_plan("tile", TRAIN, test, set(), None)
    sided = with_sides(plan, 3)
    assert [p.photograph for p in sided.parts] == [p.photograph for p in plan.parts]
    for part in sided.parts:
        assert len(part.photographs) == 3
        assert part.photographs[part.side] is part.photograph
        assert [p.label for p in part.others] == ["good", "good"]
    assert len({part.side for part in sided.parts}) > 1
    assert with_sides(plan, 1) is plan
    bad = make_plan("tile", TRAIN, photographs("hole", 3), set(), None)
    with pytest.raises(LinePlanError, match="no good part"):
        with_sides(bad, 2)
