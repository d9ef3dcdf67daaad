"""What reviews say of the exemplars that are there already."""

from dataclasses import replace

import numpy as np

from andon.learning.candidate import _corrected
from serving.naming.exemplars import Exemplar
from tests.andon.learning.test_session import reviews

MASK = np.ones((2, 2), np.bool_)


def test_reviews_correct_exemplars_and_what_was_made_from_their_photographs() -> None:
    photographs = [p for p in reviews() if p.is_defect][:3]
    plain, relit, other = (Exemplar("band", p.image, MASK, p.part) for p in photographs)
    made = Exemplar("band", b"relit", MASK, relit.part, origin=relit.sha256)
    exemplars = (plain, made, other)
    assert _corrected(exemplars, []) == exemplars
    renamed = [replace(p, class_name="stripe") for p in photographs[:2]]
    assert [e.class_name for e in _corrected(exemplars, renamed)] == ["stripe", "stripe", "band"]
    normal = [replace(p, class_name="") for p in photographs[:2]]
    assert _corrected(exemplars, normal) == (other,)
