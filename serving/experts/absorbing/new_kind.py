"""How a photograph of the old kind would look as one of the new kind."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from serving.experts.absorbing.additions import with_look
from serving.experts.absorbing.relighting import Relighting
from serving.experts.types import Image, Mask


@dataclass(frozen=True, eq=False)
class NewKind:
    """The change that was absorbed, for photographs of any size."""

    light: Relighting | None
    """The change of light; None where there is none."""
    look: Mask | None
    """Where a new look was taken over, on the prepared picture (H, W); None where there is none."""
    goods: Sequence[Image]
    """Photographs of good parts that show the look."""

    def show(self, picture: Image, number: int = 0, defect: Mask | None = None) -> Image:
        """The photograph (H, W, 3) under the new light, with the new look around a defect.

        Args:
            picture: of a part of the old kind.
            number: chooses the good part whose look it takes over.
            defect: where it keeps what it shows, a mask of any size.
        """
        found = picture if self.light is None else self.light(picture[None])[0]
        if self.look is None:
            return found
        place = _enlarged(self.look, found)
        if defect is not None:
            place &= ~_enlarged(defect, found)
        good = self.goods[number % len(self.goods)]
        size = (found.shape[1], found.shape[0])
        fitted = np.asarray(cv2.resize(good, size, interpolation=cv2.INTER_AREA), np.uint8)
        return np.asarray(with_look(found[None], fitted[None], place)[0])


def _enlarged(mask: Mask, picture: Image) -> Mask:
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(
        cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), bool
    )
