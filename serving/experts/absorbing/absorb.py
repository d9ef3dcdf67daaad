"""From a few confirmed good parts of a new kind to an expert that takes them for normal, or a no.

1. The change of light between the stored normals and the good parts is estimated, and the stored
   normals are relit: they keep all that they show of the product.
2. Where the good parts then still agree on a place that is odd, that place of each stored normal
   shows what one of the good parts shows there. Nowhere else is anything taken over.
3. The same heads are fitted and calibrated again, each normal scored by heads that had seen neither
   its part nor its look.
4. What the new threshold finds of synthetic anomalies, and of labelled defects, must be about what
   the old one found; else the new kind cannot be told from defects.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from serving.experts.absorbing.additions import odd_places, spread_looks, with_look
from serving.experts.absorbing.new_kind import NewKind
from serving.experts.absorbing.refitting import Refitted, folds_of, options_of, refit
from serving.experts.absorbing.relighting import (
    Relighting,
    estimate_relighting,
    redraw_relighting,
)
from serving.experts.composed import ComposedExpert
from serving.experts.errors import TrainingError
from serving.experts.options import Progress
from serving.experts.teaching import LabelledPicture, teach
from serving.experts.types import Image, Mask

FEWEST_GOOD = 10
"""Good parts needed."""
_CHANCE = 0.01
"""More good parts are flagged than this probability allows: the new kind is not accepted yet."""
_MOST_AREA = 0.5
"""Share of the picture above which a new look is another product."""
_LEAST_FOUND = 0.7
"""Share of what was found of synthetic anomalies that must still be found."""
_LEAST_ON_LOOK = 0.5
"""The same on the new look, as a share of what is found elsewhere."""
_MOST_LOST = 0.1
"""Share of the labelled defects that may be lost, and never a single one of few."""


class AbsorbRefused(TrainingError):
    """The new kind cannot be accepted; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class GoodPicture:
    """A photograph of a part that a person confirmed to be good."""

    image: Image
    part: str
    """The part it shows; may be empty."""
    name: str
    """How messages call it."""


@dataclass(frozen=True, eq=False)
class Absorbed:
    """What came of it."""

    expert: ComposedExpert
    """The expert that accepts the new kind; the one given where it did already."""
    how: tuple[str, ...]
    """``relit`` and ``added``; empty where there was nothing to absorb."""
    said: dict[str, object] = field(default_factory=dict)
    """JSON values: what was done and on what evidence. The manifest keeps them."""
    look: Mask | None = None
    """Where a look was added, (H, W) of the prepared picture."""
    kind: NewKind | None = None
    """What changed, to show other photographs so; None where there was nothing to absorb."""


def absorb(
    expert: ComposedExpert,
    goods: Sequence[GoodPicture],
    exemplars: Sequence[LabelledPicture] = (),
    progress: Progress | None = None,
) -> Absorbed:
    """An expert that accepts the kind of part that ``goods`` show.

    Args:
        expert: the expert in force, with its training set.
        goods: at least ``FEWEST_GOOD`` parts.
        exemplars: labelled defects under the old light: evidence, and what the taught head is
            taught with again; without them it is left out.
        progress: told of every step.

    Raises:
        AbsorbRefused: the new kind cannot be told from defects, or shows another product.
        TrainingError: too few good parts, or the expert has no training set.
    """
    return _Absorbing(expert, goods, exemplars, progress or (lambda stage, done, total: None)).run()


class _Absorbing:
    """One run, step by step."""

    def __init__(
        self,
        expert: ComposedExpert,
        goods: Sequence[GoodPicture],
        exemplars: Sequence[LabelledPicture],
        report: Progress,
    ) -> None:
        by_part = {good.part or str(i): good for i, good in enumerate(goods)}
        by_look = {good.image.tobytes(): good for good in by_part.values()}
        self.goods = list(by_look.values())  # copies of a picture are one part
        if len(self.goods) < FEWEST_GOOD:
            raise TrainingError(
                f"{len(self.goods)} good parts are too few to learn a new kind from; "
                f"at least {FEWEST_GOOD} are needed"
            )
        self.given, self.old, self.exemplars = expert, expert.untaught(), exemplars
        self.report, self.training = report, expert.training_set()
        self.shape = self.old.model.preprocessing
        self.seed = options_of(self.old.model).seed
        self.prepared = np.stack([self.shape.cut(good.image) for good in self.goods])
        """(goods, tiles, H, W, 3)"""
        self.shown: Image | None = None
        """The stored normals as the hold-out scores them, where it is not as heads know them."""
        self.light: Relighting | None = None
        self.left_out: Mask | None = None
        self.look: Mask | None = None
        self.looks: Image | None = None

    def run(self) -> Absorbed:
        before = self._flagged(self.old)
        refitted = self._relit()
        now = refitted.expert if refitted else self.old
        look = self._new_look(now)
        if look is not None:
            self.look, refitted = look, self._added(now, look)
        if refitted is None:
            self._must_accept(self.old)
            return Absorbed(self.given, (), {"flagged_before": len(before), "goods": self._names()})
        self._must_accept(refitted.expert)
        said = self._evidence(refitted, before)
        return self._finished(refitted.expert, said)

    def _relit(self) -> Refitted | None:
        """The expert on relit normals; None where the light has not changed for certain."""
        self.light = self._light()
        if self.light is None:
            return None
        folds = folds_of(self.training.parts, self.seed)
        pixels = self.training.pixels
        draws = redraw_relighting(self.light, pixels, self._new(), len(folds), self.left_out)
        self.shown = np.empty_like(pixels)
        for rows, light in zip(folds, draws, strict=True):
            self.shown[rows] = light(pixels[rows])
        self.training = replace(self.training, pixels=self.light(pixels))
        return refit(self.old, self.training, folds, self.report, shown=self.shown)

    def _light(self) -> Relighting | None:
        """The change of light; a place where the good parts show a new look does not count."""
        old, new = self.training.pixels, self._new()
        if self.shape.tiles > 1:
            return estimate_relighting(old, new, shading=False)
        place = odd_places(old, new)
        self.left_out = place if place.mean() <= _MOST_AREA else np.zeros_like(place)
        found = estimate_relighting(old, new, leave_out=self.left_out)
        if found is None:
            return None
        place = odd_places(found(old), new)
        if place.mean() > _MOST_AREA or (place == self.left_out).all():
            return found
        self.left_out = place
        return estimate_relighting(old, new, leave_out=place)

    def _new(self) -> Image:
        """The good parts' pictures, tile by tile."""
        return self.prepared.reshape(-1, *self.prepared.shape[2:])

    def _new_look(self, expert: ComposedExpert) -> Mask | None:
        """Where good parts that stay odd agree that they differ."""
        if self.shape.tiles > 1 or self._accepts(expert):
            return None
        place = odd_places(self.training.pixels, self.prepared[:, 0])
        if not place.any():
            return None
        if place.mean() > _MOST_AREA:
            raise AbsorbRefused(
                f"the good parts differ over {place.mean():.0%} of the picture from all that was "
                "trained on, and no change of light explains it: train an expert of this kind"
            )
        return place

    def _added(self, expert: ComposedExpert, look: Mask) -> Refitted:
        goods = self.prepared[:, 0]
        folds = folds_of(self.training.parts, self.seed, most=len(goods) // 2)
        self.looks = goods[spread_looks(folds, len(goods))]
        self.training = replace(
            self.training, pixels=with_look(self.training.pixels, self.looks, look)
        )
        if self.shown is not None:
            self.shown = with_look(self.shown, self.looks, look)
        return refit(expert, self.training, folds, self.report, look, self.shown)

    def _flagged(self, expert: ComposedExpert) -> list[str]:
        found = expert.score([good.image for good in self.goods], maps=False)
        return [g.name for g, s in zip(self.goods, found, strict=True) if s.anomalous]

    def _accepts(self, expert: ComposedExpert) -> bool:
        """Whether it flags no more good parts than chance does."""
        rate = expert.model.calibration.rate
        return len(self._flagged(expert)) <= _allowed(len(self.goods), rate)

    def _must_accept(self, expert: ComposedExpert) -> None:
        if self._accepts(expert):
            return
        flagged = self._flagged(expert)
        raise AbsorbRefused(
            f"{len(flagged)} of {len(self.goods)} good parts stay odd, each at a place of its own, "
            f"and no change of light explains it: are they good? {', '.join(flagged[:12])}"
        )

    def _evidence(self, refitted: Refitted, before: Sequence[str]) -> dict[str, object]:
        """What the new threshold finds beside what the old one found."""
        known = self.old.model.trained.get("sensitivity", {}).get("local")
        local, on_look = refitted.found["local"], refitted.found_on_look
        if known is not None and local < _LEAST_FOUND * known:
            raise AbsorbRefused(
                f"the threshold would find {local:.0%} of synthetic anomalies where it found "
                f"{known:.0%}: the good parts differ too much among themselves"
            )
        if on_look is not None and on_look < _LEAST_ON_LOOK * local:
            raise AbsorbRefused(
                f"on the new look {on_look:.0%} of synthetic anomalies would be found, elsewhere "
                f"{local:.0%}: give more good parts that show it"
            )
        lost = self._exemplars_found(refitted.expert)
        return {
            "flagged_before": len(before),
            "flagged_after": len(self._flagged(refitted.expert)),
            "goods": self._names(),
            "synthetic_found_before": known,
            "synthetic_found": local,
            "synthetic_found_on_look": on_look,
            **lost,
        }

    def _exemplars_found(self, expert: ComposedExpert) -> dict[str, object]:
        """Labelled defects found, by the old expert as they are, by the new one as a part of the
        new kind would show them."""
        if not self.exemplars:
            return {}
        old = [s.anomalous for s in self.old.score([e.image for e in self.exemplars], False)]
        changed = [e.image for e in self._exemplars_now()]
        new = [s.anomalous for s in expert.score(changed, False)]
        lost = [e for e, a, b in zip(self.exemplars, old, new, strict=True) if a and not b]
        if sum(old) - sum(new) > max(1, _MOST_LOST * len(old)):
            names = ", ".join(sorted({e.class_name for e in lost}))
            raise AbsorbRefused(
                f"{sum(new)} of {len(new)} labelled defects would be found where {sum(old)} were "
                f"(lost: {names}): the new kind cannot be told from them"
            )
        return {
            "exemplars": len(old),
            "exemplars_found_before": sum(old),
            "exemplars_found": sum(new),
        }

    def _exemplars_now(self) -> list[LabelledPicture]:
        """The labelled defects under the new light, with the new look around the defect."""
        if self.shape.tiles > 1:
            return list(self.exemplars)
        found = []
        for number, exemplar in enumerate(self.exemplars):
            picture, mask = self.shape(exemplar.image)[None], exemplar.mask
            if self.light is not None:
                picture = self.light(picture)
            small = None if mask is None else _mask_like(mask, picture.shape[1:3])
            if self.look is not None and small is not None:
                good = self.prepared[number % len(self.prepared)]
                picture = with_look(picture, good, self.look & ~small)
            found.append(replace(exemplar, image=picture[0], mask=small))
        return found

    def _finished(self, expert: ComposedExpert, said: dict[str, object]) -> Absorbed:
        how = (*(("relit",) if self.light else ()), *(("added",) if self.look is not None else ()))
        said |= {"how": list(how), "from": self.given.version}
        if self.light is not None:
            said["light"] = self.light.describe()
        if self.look is not None:
            said["look_share"] = round(float(self.look.mean()), 4)
        if self.exemplars and self.given.model.taught is not None:
            expert = teach(expert, self._exemplars_now(), self.report)
        said["taught"] = expert.model.taught is not None
        model = replace(expert.model, trained=expert.model.trained | {"absorbed": said})
        final = ComposedExpert(model, expert.wanted, keep=expert.keep)
        kind = NewKind(self.light, self.look, [good.image for good in self.goods])
        return Absorbed(final, how, said, self.look, kind)

    def _names(self) -> list[str]:
        return [good.name for good in self.goods]


def _allowed(parts: int, rate: float) -> int:
    """Most parts of so many that a usual kind has flagged with a probability above ``_CHANCE``."""
    share, total, count = (1 - rate) ** parts, (1 - rate) ** parts, 0
    while 1 - total > _CHANCE and count < parts:
        share *= (parts - count) / (count + 1) * rate / (1 - rate)
        total += share
        count += 1
    return count


def _mask_like(mask: Mask, shape: tuple[int, ...]) -> Mask:
    resized = cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, bool)
