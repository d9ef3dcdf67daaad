"""Reconstruction guided by the target: the image as it would be if it were normal.

At each step the predicted noise is corrected towards the target:
``eps_hat = eps - w sqrt(1 - abar) (y_t - x_t)`` with ``y_t = sqrt(abar) y + sqrt(1 - abar) eps``.
"""

import math

import torch
from torch import Tensor, nn

from serving.experts.ddad.schedule import Trajectory


def guide(eps: Tensor, x: Tensor, target: Tensor, alpha_bar: float, weight: float) -> Tensor:
    """The predicted noise, corrected so that the step moves ``x`` towards ``target``.

    Args:
        eps: noise that the network sees in ``x``.
        x: the image at this time.
        target: the clean image to stay close to.
        weight: w; 0 leaves ``eps`` alone.
    """
    rest = math.sqrt(1 - alpha_bar)
    noised = math.sqrt(alpha_bar) * target + rest * eps
    return eps - weight * rest * (noised - x)


def make_noise(trajectory: Trajectory, draws: int, height: int, width: int, seed: int) -> Tensor:
    """The noise of every reconstruction, (draws, steps + 1, 3, height, width), float32.

    One tensor for all images and made on the CPU: an image's score depends on nothing but the
    image, and CPU and CUDA see the same noise.
    """
    source = torch.Generator().manual_seed(seed)
    shape = (draws, len(trajectory.steps) + 1, 3, height, width)
    return torch.randn(shape, generator=source)


def reconstruct(
    unet: nn.Module,
    images: Tensor,
    target: Tensor,
    trajectory: Trajectory,
    weight: float,
    noise: Tensor,
) -> Tensor:
    """Noise ``images`` and paint them back, guided by ``target``.

    Args:
        images: (N, 3, H, W) in [-1, 1]; for scoring the same as ``target``.
        target: (N, 3, H, W) in [-1, 1].
        weight: guidance w.
        noise: (steps + 1, 3, H, W) for all images, or (steps + 1, N, 3, H, W).

    Returns:
        (N, 3, H, W), about [-1, 1], not clipped.
    """
    bar = trajectory.start_alpha_bar
    x = math.sqrt(bar) * images + math.sqrt(1 - bar) * noise[0]
    for step, fresh in zip(trajectory.steps, noise[1:], strict=True):
        time = torch.full((len(x),), step.time - 1, device=x.device)
        eps = guide(unet(x, time).float(), x, target, step.alpha_bar, weight)
        clean = (x - math.sqrt(1 - step.alpha_bar) * eps) / math.sqrt(step.alpha_bar)
        x = math.sqrt(step.next_alpha_bar) * clean + step.direction * eps + step.sigma * fresh
    return x
