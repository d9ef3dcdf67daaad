"""A change of light between two sets of pictures: a tone curve and a smooth gain over the picture.

``new = gain(x, y) * curve(old)`` is estimated from sets that show different parts, so that only
what all parts of a set have in common can count: the distribution of grey values and the mean
picture. The curve is monotone, one for each channel; the gain is the exponential of a polynomial in
x and y.

The curve is found by generalised least squares over the quantiles of each picture (Aitken 1935):
where parts differ among themselves, in brightness above all, ten of them say little, and where they
are alike, as in contrast, they say much.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
from numpy.polynomial import Polynomial

from serving.experts.types import Floats, Image, Mask, Rows

_GRID = 8
"""Cells a side whose means the gain is fitted to."""
_QUANTILES = 33
_TURNS = 4
"""Curve and gain are estimated in turn so often."""
_DARK = 4.0
"""Grey values added where ratios are taken, so that black areas do not decide."""
_RIDGE = 1e-2
"""Shrinks the gain to none, as a share of the cells' own weight."""
_DEGREES = range(2, 5)
"""Degrees of the curve between logarithms: a gain is a shift, a gamma a slope. A higher degree is
taken only where the pictures show for certain that it is needed."""
_QUANTISED = 1 / 12
"""Variance of what rounding to whole grey values hides, grey values squared."""
_CLIPPED = 4.0
"""Grey values this close to black or white may be cut off and say nothing of the curve."""
_LEAST_RANGE = 4.0
"""Range of grey values below which there is no curve to see, only a factor."""
_CELL_USED = 0.5
"""Share of a cell that must be compared for the cell to count."""
_SIDE = 128
"""Pixels a side that are compared of a larger picture, about."""
_MOST_PICTURES = 160
"""Old pictures that are compared."""
_TERMS = 7
_LEAST = 0.01
"""Change of a logarithm below which there is nothing to mend: one per cent of the light."""
_CERTAIN = 4.0
"""Standard errors by which two kinds of pictures must differ."""
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Relighting:
    """What the light does to a picture of the old kind."""

    curve: Doubles
    """New grey value by old one, (256, channels), rising, before the gain."""
    slopes: Doubles
    """The gain's logarithm: factors of x, y, x*x, x*y, y*y and the cubes over [-1, 1], (7,)."""

    @classmethod
    def none(cls) -> "Relighting":
        """Leaves every picture as it is."""
        return cls(np.repeat(np.arange(256.0)[:, None], 3, axis=1), np.zeros(_TERMS))

    def __call__(self, pictures: Image) -> Image:
        """The pictures (N, H, W, 3) under the new light."""
        gain = self.gain(*pictures.shape[1:3])[..., None]
        table = self.curve.astype(np.float32)[None]
        found = np.empty_like(pictures)
        for i, picture in enumerate(pictures):
            found[i] = np.clip(np.round(cv2.LUT(picture, table) * gain), 0, 255)
        return found

    def gain(self, height: int, width: int) -> Floats:
        """The gain over a picture, (height, width)."""
        return np.exp(_terms(height, width) @ self.slopes).astype(np.float32)

    def describe(self) -> dict[str, object]:
        """JSON values for the manifest."""
        middle = [round(float(v), 1) for v in self.curve[[32, 64, 128, 192, 224]].mean(axis=1)]
        field = self.gain(33, 33)
        return {
            "grey_32_64_128_192_224_becomes": middle,
            "gain_lowest": round(float(field.min()), 3),
            "gain_highest": round(float(field.max()), 3),
        }


@dataclass(frozen=True, eq=False)
class _Pair:
    """Pictures of both kinds, thinned out, and the pixels (H, W) that they are compared at."""

    old: Image
    new: Image
    use: Mask

    @classmethod
    def of(cls, old: Image, new: Image, leave_out: Mask | None) -> "_Pair":
        """So many of the pictures and of their pixels as decide."""
        use = np.ones(new.shape[1:3], bool) if leave_out is None else ~leave_out
        step = max(1, round(min(use.shape) / _SIDE))
        old = old[:: max(1, len(old) // _MOST_PICTURES)]
        thin = np.s_[:, ::step, ::step]
        return cls(np.ascontiguousarray(old[thin]), np.ascontiguousarray(new[thin]), use[thin[1:]])

    @cached_property
    def old_quantiles(self) -> Doubles:
        """Quantiles of the old pictures."""
        return self.quantiles(self.old)

    def cells(self, pictures: Image) -> Doubles:
        """Mean grey value of each cell that is compared of each picture, (N, cells)."""
        grey = pictures.mean(axis=3, dtype=np.float32)
        found = []
        for rows in np.array_split(np.arange(grey.shape[1]), _GRID):
            for columns in np.array_split(np.arange(grey.shape[2]), _GRID):
                place = np.ix_(rows, columns)
                use = self.use[place]
                if use.mean() >= _CELL_USED:
                    found.append(grey[(slice(None), *place)][:, use].mean(axis=1))
        return np.stack(found, axis=1).astype(np.float64)

    def terms(self) -> Doubles:
        """The gain's terms in the cells that are compared, (cells, terms)."""
        every = _terms(*self.use.shape)
        found = []
        for rows in np.array_split(np.arange(self.use.shape[0]), _GRID):
            for columns in np.array_split(np.arange(self.use.shape[1]), _GRID):
                place = np.ix_(rows, columns)
                if self.use[place].mean() >= _CELL_USED:
                    found.append(every[place][self.use[place]].mean(axis=0))
        return np.stack(found)

    def quantiles(self, pictures: Image, gain: Floats | None = None) -> Doubles:
        """Quantiles of the grey values of each picture, divided by ``gain``, (N, 31, channels).

        Grey values are spread over one each, so that their quantiles are not steps.
        """
        shares = np.linspace(0, 1, _QUANTILES)[1:-1]
        found = np.empty((len(pictures), len(shares), 3))
        rng = np.random.default_rng(0)
        spread = rng.uniform(-0.5, 0.5, (int(self.use.sum()), 1)).astype(np.float32)
        for i, picture in enumerate(pictures):
            values = picture[self.use] + spread
            if gain is not None:
                values /= gain[self.use][:, None]
            found[i] = np.quantile(values, shares, axis=0)
        return found


def estimate_relighting(
    old: Image, new: Image, shading: bool = True, leave_out: Mask | None = None
) -> Relighting | None:
    """The change of light from ``old`` to ``new`` pictures, uint8 (N, H, W, 3) each.

    What differs no more than pictures of one kind differ among themselves is left out: the curve
    where brightness and contrast do not differ for certain, the gain where no slope does.

    Args:
        old: pictures of normal parts as they were.
        new: pictures of other normal parts under the new light, one for each part.
        shading: whether the gain may vary over the picture.
        leave_out: where the new pictures show something else, (H, W).

    Returns:
        None where nothing differs for certain.
    """
    pair = _Pair.of(old, new, leave_out)
    found = _estimate(pair, curved=True, shaded=shading)
    if shading and not _slopes_differ(pair, found):
        shading, found = False, _estimate(pair, curved=True, shaded=False)
    if _greys_differ(pair, found):
        return found
    return _estimate(pair, curved=False, shaded=True) if shading else None


def redraw_relighting(
    found: Relighting, old: Image, new: Image, count: int, leave_out: Mask | None = None
) -> list[Relighting]:
    """The same change estimated from ``count`` draws of the new pictures with replacement.

    Ten parts say the light within a grey value or two only. Normals that are relit by a draw differ
    from those that are relit by the estimate by about as much as the next parts will.
    """
    pair = _Pair.of(old, new, leave_out)
    curved = bool((found.curve != Relighting.none().curve).any())
    shaded, rng = bool(found.slopes.any()), np.random.default_rng(0)
    draws = [rng.integers(len(new), size=len(new)) for _ in range(count)]
    return [_estimate(pair, curved, shaded, draw) for draw in draws]


def _estimate(pair: _Pair, curved: bool, shaded: bool, chosen: Rows | None = None) -> Relighting:
    """Curve and gain in turn, from the ``chosen`` new pictures; from all of them by default."""
    chosen = np.arange(len(pair.new)) if chosen is None else chosen
    found, shape = Relighting.none(), pair.use.shape
    new_cells, terms = pair.cells(pair.new)[chosen].mean(axis=0), pair.terms()
    for _ in range(_TURNS):
        if curved:
            new_quantiles = pair.quantiles(pair.new, found.gain(*shape))[chosen]
            found = replace(found, curve=_match(pair.old_quantiles, new_quantiles))
        if not shaded:
            break
        flat = pair.cells(replace(found, slopes=np.zeros(_TERMS))(pair.old)).mean(axis=0)
        found = replace(found, slopes=_fit_gain(terms, flat, new_cells))
        if not curved:
            break
    return found


def _slopes_differ(pair: _Pair, found: Relighting) -> bool:
    """Whether the new pictures agree on a slope that the curve alone does not explain."""
    flat, terms = pair.cells(replace(found, slopes=np.zeros(_TERMS))(pair.old)), pair.terms()
    centre = flat.mean(axis=0)
    usual, slopes = (
        np.array([_fit_gain(terms, centre, cells) for cells in kind])
        for kind in (flat, pair.cells(pair.new))
    )
    return _differ(usual, slopes)


def _greys_differ(pair: _Pair, found: Relighting) -> bool:
    """Whether brightness or contrast differ, the gain taken out of the new pictures."""
    gain = found.gain(*pair.use.shape)[pair.use][:, None]
    usual = np.array([_look(picture[pair.use].astype(np.float32)) for picture in pair.old])
    new = np.array([_look(picture[pair.use] / gain) for picture in pair.new])
    return _differ(usual, new)


def _look(values: Floats) -> tuple[float, float]:
    """Logarithms of the mean grey value and of the deviation over the mean."""
    mean = float(values.mean()) + 1.0
    return float(np.log(mean)), float(np.log(float(values.std()) / mean + 1e-3))


def _differ(usual: Doubles, new: Doubles) -> bool:
    """Whether any column's mean differs by ``_CERTAIN`` standard errors and ``_LEAST``."""
    spread = np.sqrt(np.maximum(usual.var(axis=0), 1e-10))
    error = spread * np.sqrt(1 / len(usual) + 1 / len(new))
    change = np.abs(new.mean(axis=0) - usual.mean(axis=0))
    return bool(((change >= _CERTAIN * error) & (change >= _LEAST)).any())


def _match(old: Doubles, new: Doubles) -> Doubles:
    """The rising curve under which old parts show the quantiles of new ones, (256, channels).

    A polynomial between logarithms, where a gain is a shift and a gamma a slope: a curve that
    follows each quantile would roughen or flatten the grain. Beyond the outermost quantiles it goes
    on straight.

    Args:
        old: quantiles by picture, (N, Q, channels).
        new: the same of the new pictures.
    """
    grey, found = np.arange(256.0), np.empty((256, old.shape[2]))
    for channel in range(old.shape[2]):
        known, wanted = old[..., channel], new[..., channel]
        inside = np.all(
            [
                (x > _CLIPPED) & (x < 255 - _CLIPPED)
                for x in (known.mean(axis=0), wanted.mean(axis=0))
            ],
            axis=0,
        )
        if inside.sum() > 8:
            known, wanted = known[:, inside], wanted[:, inside]
        low, high = known.mean(axis=0)[[0, -1]]
        if high - low < _LEAST_RANGE:
            found[:, channel] = grey * (wanted.mean() + 1) / (known.mean() + 1)
            continue
        curve = _fit_curve(_log(known), _log(wanted))
        slope = curve.deriv()
        middle = curve(np.clip(_log(grey), _log(low), _log(high)))
        beyond = np.where(grey < low, (_log(grey) - _log(low)) * slope(_log(low)), 0.0)
        beyond += np.where(grey > high, (_log(grey) - _log(high)) * slope(_log(high)), 0.0)
        rising = np.maximum.accumulate(np.exp(middle + beyond) - _DARK)
        found[:, channel] = np.maximum(rising, 0.0)
    return found


def _fit_curve(old: Doubles, new: Doubles) -> Polynomial:
    """The polynomial of the least degree that explains the quantiles (N, Q) of new parts.

    A further degree must explain ``_CERTAIN`` standard errors.
    """
    curve, left = _least_squares(old, new, _DEGREES[0])
    for degree in _DEGREES[1:]:
        further, still_left = _least_squares(old, new, degree)
        if left - still_left < _CERTAIN**2:
            break
        curve, left = further, still_left
    return curve


def _least_squares(old: Doubles, new: Doubles, degree: int) -> tuple[Polynomial, float]:
    """The polynomial by generalised least squares, and the squared errors that it leaves.

    Errors are weighed by how old parts differ among themselves under the curve that is sought, so
    that it is found in turns.
    """
    middle = float(old.mean())
    powers = np.stack([(old - middle) ** k for k in range(degree + 1)])
    factors = np.zeros(degree + 1)
    factors[1] = float(new.mean(axis=0).std() / old.mean(axis=0).std())
    wanted, terms = new.mean(axis=0), powers.mean(axis=1).T
    quantised = _QUANTISED * np.exp(-2 * wanted)
    left = 0.0
    for _ in range(_TURNS):
        lit = np.tensordot(factors, powers, axes=1)
        errors = (np.cov(lit.T) + np.diag(quantised)) * (1 / len(old) + 1 / len(new))
        weights = np.linalg.inv(errors)
        factors = np.linalg.solve(terms.T @ weights @ terms, terms.T @ weights @ wanted)
        gap = wanted - terms @ factors
        left = float(gap @ weights @ gap)
    shifted = Polynomial(factors)
    return shifted(Polynomial([-middle, 1.0])), left


def _log(grey: Doubles | float) -> Doubles:
    """The logarithm in which a change of exposure is a shift and a gamma is a slope."""
    return np.asarray(np.log(np.maximum(grey, 0.0) + _DARK), np.float64)


def _fit_gain(terms: Doubles, old: Doubles, new: Doubles) -> Doubles:
    """Factors of the gain's logarithm, of least squares over cells."""
    ratio = np.log((new + _DARK) / (old + _DARK))
    ratio, centred = ratio - ratio.mean(), terms - terms.mean(axis=0)
    ridge = _RIDGE * len(centred) * np.eye(_TERMS)
    found: Doubles = np.linalg.solve(centred.T @ centred + ridge, centred.T @ ratio)
    return found


def _terms(height: int, width: int) -> Doubles:
    """The gain's terms at each pixel, each of mean 0, (height, width, terms)."""
    y, x = np.meshgrid(
        (np.arange(height) + 0.5) / height * 2 - 1,
        (np.arange(width) + 0.5) / width * 2 - 1,
        indexing="ij",
    )
    terms = np.stack([x, y, x * x, x * y, y * y, x**3, y**3], axis=-1)
    found: Doubles = terms - terms.mean(axis=(0, 1))
    return found
