"""Asks the prototypes about their own exemplars, each judged by those of other parts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from serving.naming.describing import describe_exemplars
from serving.naming.exemplars import Exemplar, ExemplarBundle
from serving.naming.prototypes_model import fit


@dataclass(frozen=True)
class LeftOut:
    """One exemplar, and how likely each class is by the exemplars of other parts."""

    exemplar: Exemplar
    probabilities: Mapping[str, float]


def leave_parts_out(
    bundle: ExemplarBundle, advance: Callable[[int], None] | None = None
) -> list[LeftOut]:
    """Judge every exemplar whose class other parts show too; about 40 ms each on one thread.

    Args:
        bundle: as it was taught.
        advance: told the number of parts done.

    Raises:
        UndecodableImage: a picture that cannot be decoded.
    """
    examples = bundle.exemplars
    if not examples:
        return []
    vectors = describe_exemplars(bundle, examples)
    labels = np.array([e.class_name for e in examples])
    parts = np.array([e.part or e.sha256 for e in examples])
    found = []
    for part in dict.fromkeys(parts.tolist()):
        others = parts != part
        if others.any():
            model = fit(vectors[others], labels[others].tolist(), parts[others].tolist())
            for index in np.flatnonzero(~others):
                naming = model.name(vectors[index])
                if naming is not None and examples[index].class_name in naming.probabilities:
                    found.append(LeftOut(examples[index], naming.probabilities))
        if advance is not None:
            advance(1)
    return found
