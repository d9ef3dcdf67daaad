"""From a picture's features and its odd region to one vector: what the prototypes compare."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from serving.experts.images import decode_image
from serving.naming.background import Background
from serving.naming.exemplars import Exemplar, ExemplarBundle, Normal
from serving.naming.features import (
    NAMING_LAYERS,
    Features,
    Floats,
    coverage,
    extract,
    load_extractor,
    one,
    unit,
)
from streams.regions import Mask

CELLS: Final = 32
"""Side of the grid on which regions are compared: the map's."""
AGREEMENT: Final = 0.1
"""Weight of the expert's region as a whole beside that of all odd cells: a region of many cells
does not drown few odd ones."""


def region_cells(mask: Mask, odd: Mask | None) -> Floats:
    """The region as weights (32, 32): the given mask, and the odd cells where there is a map.

    An expert's outline is coarse: the cells that are odd at the fine scale count for more.
    """
    cells = coverage(mask, CELLS, CELLS)
    if odd is None:
        return cells
    found = coverage(odd, CELLS, CELLS)
    return np.asarray(found / found.sum() + AGREEMENT * cells / cells.sum(), np.float32)


def describe_region(
    features: Features, cells: Floats, background: Background | None, part: str = ""
) -> Floats:
    """One vector, float32 (n,): each naming layer's unit deviation from normal over the region."""
    return pool(_deviations(features, cells, background, part), cells, background)


def pool(deviations: Mapping[str, Floats], cells: Floats, background: Background | None) -> Floats:
    """Deviations (channels, h, w) by naming layer over a region, see ``describe_region``."""
    found = []
    for layer, deviation in deviations.items():
        pooled = _pooled(deviation, cells)
        found.append(unit(pooled if background is None else background.whitening[layer] @ pooled))
    return np.concatenate(found)


def _deviations(
    features: Features, cells: Floats, background: Background | None, part: str
) -> dict[str, Floats]:
    """Less what is normal: of similar pictures or, untaught, of the picture outside the region."""
    if background is not None:
        return background.deviation(features, part)
    found = {}
    for layer in NAMING_LAYERS:
        values = features[layer]
        inside = coverage(cells, values.shape[1], values.shape[2])
        outside = np.maximum(1.0 - inside / max(float(inside.max()), 1e-6), 1e-3)
        mean = (values * outside).sum((1, 2)) / outside.sum()
        found[layer] = values - mean[:, None, None]
    return found


def _pooled(deviation: Floats, cells: Floats) -> Floats:
    weights = coverage(cells, deviation.shape[1], deviation.shape[2])
    return np.asarray((deviation * weights).sum((1, 2)) / weights.sum(), np.float32)


def describe_picture(
    features: Features, mask: Mask, background: Background | None, *, refine: bool, part: str = ""
) -> Floats:
    """The vector of one picture's region; ``refine`` where nobody drew the mask by hand.

    Normal pictures of ``part`` are not compared with.
    """
    odd = background.odd_cells(features, part) if background is not None and refine else None
    return describe_region(features, region_cells(mask, odd), background, part)


def describe_example(
    features: Features, mask: Mask, background: Background | None, *, drawn: bool
) -> Floats:
    """The vector of a labelled picture, to compare regions with that nobody drew.

    A drawn mask is better than any outline, and a query has but an outline: the example is seen
    both ways, as it was drawn and as its odd cells would be found.
    """
    found = describe_picture(features, mask, background, refine=True)
    if not drawn:
        return found
    seen = describe_picture(features, mask, background, refine=False)
    return np.asarray((found + seen) / 2, np.float32)


def describe_exemplars(bundle: ExemplarBundle, exemplars: Sequence[Exemplar]) -> Floats:
    """A row for each of some exemplars of a bundle, described as a query is; about 40 ms each.

    Raises:
        UndecodableImage: a picture that cannot be decoded.
    """
    background = learn_background(bundle)
    features = extract(load_extractor(bundle.backbone), [decode_image(e.image) for e in exemplars])
    return np.stack(
        [
            describe_picture(one(features, i), e.mask, background, refine=not e.drawn)
            for i, e in enumerate(exemplars)
        ]
    )


def learn_background(bundle: ExemplarBundle) -> Background | None:
    """What the bundle's normal pictures look like; None without any. About 30 ms a picture."""
    return _background(bundle.backbone, bundle.normals) if bundle.normals else None


@lru_cache(maxsize=8)
def _background(backbone: str, normals: tuple[Normal, ...]) -> Background:
    features = extract(load_extractor(backbone), [decode_image(n.image) for n in normals])
    return Background.learn(features, [n.part or n.sha256 for n in normals])
