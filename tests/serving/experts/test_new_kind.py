"""Photographs of any size, as a new kind of part would show them."""

import numpy as np

from serving.experts.absorbing.new_kind import NewKind
from serving.experts.absorbing.relighting import Relighting


def darker() -> Relighting:
    none = Relighting.none()
    return Relighting(none.curve * 0.5, none.slopes)


def test_light_changes_a_photograph_of_any_size() -> None:
    kind = NewKind(darker(), None, ())
    for shape in ((40, 60, 3), (11, 7, 3)):
        shown = kind.show(np.full(shape, 100, np.uint8))
        assert shown.shape == shape
        assert (shown == 50).all()


def test_a_look_is_taken_over_at_its_place_and_not_over_a_defect() -> None:
    look = np.zeros((20, 20), bool)
    look[:10] = True
    goods = [np.full((20, 20, 3), grey, np.uint8) for grey in (90, 110)]
    picture = np.full((80, 40, 3), 100, np.uint8)
    kind = NewKind(None, look, goods)
    assert (kind.show(picture)[60:] == 100).all()
    stripes = goods[0].copy()
    stripes[::2] = 110
    striped = NewKind(None, look, [stripes])
    assert striped.show(picture)[:20].std() > 3
    defect = np.zeros((40, 20), bool)
    defect[:20] = True
    assert (striped.show(picture, 0, defect) == 100).all()
