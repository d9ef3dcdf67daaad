"""Domain adaptation: the feature extractor learns that a reconstruction looks like its target."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from serving.experts.ddad.distance import Extractor, cosine_loss, to_signed
from serving.experts.ddad.expert import trajectory_of
from serving.experts.ddad.options import DdadOptions
from serving.experts.ddad.reconstruct import reconstruct
from serving.experts.ddad.unet import UNet
from serving.experts.types import Image

Judge = Callable[[Extractor], float]
"""Higher is better; asked before the first epoch and after each."""


def adapt_extractor(
    extractor: Extractor,
    unet: UNet,
    pixels: Image,
    options: DdadOptions,
    device: str,
    seed: int,
    judge: Judge,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Extractor, list[float]]:
    """Fine-tune on reconstructed normals and keep the epoch that judges best; 0 is untouched.

    Half of a batch is noised and painted back under the guidance of the other half. The loss
    draws the features of reconstruction and target together and both
    to what the pretrained network says, so that nothing is forgotten.

    Returns:
        The best extractor, in evaluation mode, and the judgement of epoch 0, 1, ...
    """
    frozen = extractor.to(device).eval().requires_grad_(False)
    tuned = copy.deepcopy(frozen).requires_grad_(True)
    optimizer = torch.optim.AdamW(tuned.parameters(), lr=options.adapt_learning_rate)
    best, marks = frozen, [judge(frozen)]
    source = torch.Generator(device=device).manual_seed(seed)
    half = min(options.adapt_batch, len(pixels)) // 2
    for epoch in range(options.adapt_epochs):
        order = np.random.default_rng([seed, 1, epoch]).permutation(len(pixels))
        for start in range(0, len(order) - 2 * half + 1, 2 * half):
            target, other = (
                to_signed(torch.from_numpy(pixels[rows]).to(device))
                for rows in np.split(order[start : start + 2 * half], 2)
            )
            made = _paint(unet, other, target, options, source)
            loss = adaptation_loss(tuned, frozen, made, target, options.adapt_keep)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        marks.append(judge(tuned.eval()))
        if marks[-1] > max(marks[:-1]):
            best = copy.deepcopy(tuned)
        report(epoch + 1, options.adapt_epochs)
    return best.requires_grad_(False), marks


def adaptation_loss(
    tuned: Extractor, frozen: Extractor, made: Tensor, target: Tensor, keep: float
) -> Tensor:
    """``L(made, target) + keep L(target, frozen target) + keep L(made, frozen made)``, cosines."""
    ours, theirs = tuned(made), tuned(target)
    with torch.no_grad():
        ours_before, theirs_before = frozen(made), frozen(target)
    return (
        cosine_loss(ours, theirs)
        + keep * cosine_loss(theirs, theirs_before)
        + keep * cosine_loss(ours, ours_before)
    )


def _paint(
    unet: UNet, images: Tensor, target: Tensor, options: DdadOptions, source: torch.Generator
) -> Tensor:
    trajectory = trajectory_of(options)
    shape = (len(trajectory.steps) + 1, *images.shape)
    noise = torch.randn(shape, generator=source, device=images.device)
    with torch.no_grad():
        return reconstruct(unet, images, target, trajectory, options.adapt_guidance, noise)
