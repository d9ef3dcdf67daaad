"""The forward process and the steps back: Ho et al. 2020 (DDPM), Song et al. 2021 (DDIM).

Time t runs from 1 to T as in the papers; t = 0 is the clean image. The network is told t - 1.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Alphas = npt.NDArray[np.float64]


def alpha_bars(steps: int, beta_start: float, beta_end: float) -> Alphas:
    """Share of the signal's variance left at t = 0..steps under linear betas; entry 0 is 1."""
    betas = np.linspace(beta_start, beta_end, steps, dtype=np.float64)
    return np.concatenate([[1.0], np.cumprod(1.0 - betas)])


@dataclass(frozen=True)
class Step:
    """One step back, from ``time`` to a smaller time."""

    time: int
    alpha_bar: float
    next_alpha_bar: float
    sigma: float
    """Deviation of the fresh noise, (DDIM, equation 16)."""

    @property
    def direction(self) -> float:
        """Factor of the predicted noise in the next image."""
        return float(np.sqrt(max(1.0 - self.next_alpha_bar - self.sigma**2, 0.0)))


@dataclass(frozen=True)
class Trajectory:
    """From the noised image back to a clean one."""

    start_alpha_bar: float
    """Share of the signal's variance left in the image that the first step begins with."""
    steps: tuple[Step, ...]


def make_trajectory(
    bars: Alphas, start: int, skip: int, eta: float, kind: str = "paper"
) -> Trajectory:
    """The steps from T' = ``start`` to the clean image, one every ``skip``.

    Args:
        bars: what ``alpha_bars`` gave.
        kind: ``paper`` noises to T' and steps T', T' - skip, ..., to 0. ``released`` does what
            the authors' code does: it noises to T' + 1 and steps from T' + 1 - skip down to 1,
            then to 0, so that its first step is told a time one skip lower than the noise.
    """
    if kind == "paper":
        times, noised = list(range(start, 0, -skip)), start
    else:
        times, noised = [t + 1 for t in reversed(range(0, start, skip))], start + 1
    following = [*times[1:], 0]
    steps = []
    for time, after in zip(times, following, strict=True):
        now, then = float(bars[time]), float(bars[after])
        sigma = eta * np.sqrt((1 - now / then) * (1 - then) / (1 - now))
        steps.append(Step(time, now, then, float(sigma)))
    return Trajectory(float(bars[noised]), tuple(steps))
