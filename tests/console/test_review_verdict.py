"""A verdict against the policy that judged the part, and painted masks as they travel."""

from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.review.verdict import (
    PaintedMask,
    ReviewVerdict,
    classes_of,
    painted_region,
    severity_of,
)
from history.errors import BadQueryError
from streams.codes import Severity
from streams.regions import region_mask

PART = UUID(int=1)
BODY: dict[str, object] = {
    "policy": 1,
    "product": "tile",
    "classes": {
        "uneven": {"severity": "negligible", "action": "pass", "id": 9},
        "crack": {"severity": "defect", "action": "scrap", "display_name": "Crack", "id": 2},
    },
}


def test_classes_come_in_the_order_of_their_numbers_each_with_a_key() -> None:
    crack, uneven = classes_of(BODY)
    assert (crack.name, crack.title, crack.key) == ("crack", "Crack", "1")
    assert (uneven.name, uneven.severity, uneven.key) == ("uneven", Severity.NEGLIGIBLE, "2")
    many = {f"c{n:02}": {"severity": "defect", "action": "scrap"} for n in range(60)}
    keys = [one.key for one in classes_of({**BODY, "classes": many}) if one.key]
    assert len(set(keys)) == len(keys)
    assert not set(keys) & set("ndguzsohrmcw.+-=0be[]x/"), "each key does one thing"
    assert classes_of({}) == classes_of({"policy": 7}) == ()


@pytest.mark.parametrize(
    ("severity", "name", "found"),
    [
        (None, "crack", Severity.DEFECT),
        (Severity.NEGLIGIBLE, "crack", Severity.NEGLIGIBLE),
        (Severity.NORMAL, "", Severity.NORMAL),
        (Severity.UNKNOWN, "", Severity.UNKNOWN),
        (None, "", None),
        (None, "dent", None),
        (Severity.NORMAL, "crack", None),
        (Severity.UNKNOWN, "uneven", None),
    ],
)
def test_what_a_verdict_means(severity: Severity | None, name: str, found: Severity | None) -> None:
    verdict = ReviewVerdict(frame_id=PART, severity=severity, class_name=name)
    if found is None:
        with pytest.raises(BadQueryError):
            severity_of(verdict, classes_of(BODY))
    else:
        assert severity_of(verdict, classes_of(BODY)) is found


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_painted_runs_are_the_mask_that_teaching_reads(
    height: int, width: int, data: st.DataObject
) -> None:
    cells = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    mask = np.array(cells).reshape(height, width)
    flat = mask.T.ravel()
    counts, inside, run = [], False, 0
    for cell in flat:
        if bool(cell) is not inside:
            counts.append(run)
            run, inside = 0, bool(cell)
        run += 1
    counts.append(run)
    painted = PaintedMask(
        height=height, width=width, image_height=90, image_width=80, counts=tuple(counts)
    )
    region = painted_region(painted)
    if not mask.any():
        assert region is None
        return
    assert region is not None
    assert np.array_equal(region_mask(region), mask)
    assert (region.image_height, region.image_width) == (90, 80)


@pytest.mark.parametrize("counts", [(), (3, 2), (7,), (1 << 62, 1 << 62)])
def test_runs_that_do_not_fill_the_mask_are_refused(counts: tuple[int, ...]) -> None:
    painted = PaintedMask(height=2, width=3, image_height=2, image_width=3, counts=counts)
    with pytest.raises(BadQueryError, match="fill"):
        painted_region(painted)
