"""DDAD against the published recipe: schedule, guidance, steps, network, distances."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from serving.experts.ddad.distance import (
    Extractor,
    combine,
    feature_distance,
    feature_layers,
    pixel_distance,
    sigma_for,
    smooth,
    to_signed,
)
from serving.experts.ddad.options import SIZES, DdadOptions
from serving.experts.ddad.reconstruct import guide, make_noise, reconstruct
from serving.experts.ddad.schedule import alpha_bars, make_trajectory
from serving.experts.ddad.unet import UNet, count_parameters, embed_time
from serving.experts.errors import TrainingError

BARS = alpha_bars(1000, 1e-4, 0.02)


def _images(count: int, side: int = 16, seed: int = 0) -> Tensor:
    return torch.rand((count, 3, side, side), generator=torch.Generator().manual_seed(seed)) * 2 - 1


class _Knows(nn.Module):
    """A perfect denoiser of a world in which every normal image is ``clean``."""

    def __init__(self, clean: Tensor) -> None:
        super().__init__()
        self.clean = clean
        self.times: list[int] = []

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        self.times.append(int(time[0]))
        bar = float(BARS[int(time[0]) + 1])
        noise: Tensor = (x - bar**0.5 * self.clean) / (1 - bar) ** 0.5
        return noise


def test_defaults_are_the_published_figures() -> None:
    chosen = DdadOptions()
    assert (chosen.diffusion_steps, chosen.beta_start, chosen.beta_end) == (1000, 1e-4, 0.02)
    assert (chosen.start, chosen.skip, chosen.eta) == (250, 25, 1.0)
    assert (chosen.learning_rate, chosen.weight_decay, chosen.batch) == (3e-4, 0.05, 32)
    assert (chosen.adapt_learning_rate, chosen.adapt_guidance, chosen.adapt_keep) == (1e-4, 3, 0.1)
    assert chosen.smoothing == 4.0


def test_betas_are_linear_and_products_run_from_one() -> None:
    share, expected = 1.0, [1.0]
    for t in range(1000):
        share *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        expected.append(share)
    np.testing.assert_allclose(BARS, expected, rtol=1e-12)
    assert BARS[1000] < 1e-4


def test_the_papers_steps_start_at_t_prime_and_end_clean() -> None:
    found = make_trajectory(BARS, 250, 25, 1.0)
    assert [s.time for s in found.steps] == [250, 225, 200, 175, 150, 125, 100, 75, 50, 25]
    assert found.start_alpha_bar == BARS[250]
    assert found.steps[-1].next_alpha_bar == 1.0
    assert found.steps[-1].sigma == 0.0


def test_the_released_steps_are_told_a_time_below_their_noise() -> None:
    found = make_trajectory(BARS, 250, 25, 1.0, "released")
    assert [s.time - 1 for s in found.steps] == [225, 200, 175, 150, 125, 100, 75, 50, 25, 0]
    assert found.start_alpha_bar == BARS[251]


def test_eta_one_on_neighbouring_steps_is_the_posterior_of_ddpm() -> None:
    found = make_trajectory(BARS, 250, 1, 1.0)
    for step in found.steps[:-1]:
        beta = 1 - step.alpha_bar / step.next_alpha_bar
        posterior = beta * (1 - step.next_alpha_bar) / (1 - step.alpha_bar)
        assert step.sigma**2 == pytest.approx(posterior)
        assert step.direction**2 + step.sigma**2 == pytest.approx(1 - step.next_alpha_bar)


def test_eta_zero_is_deterministic() -> None:
    assert all(s.sigma == 0 for s in make_trajectory(BARS, 250, 25, 0.0).steps)


@pytest.mark.parametrize("weight", [0.0, 1.0, 8.0])
def test_guidance_moves_the_clean_estimate_towards_the_target(weight: float) -> None:
    """The paper's correction equals ``x0 + w (1 - abar) (y - x0)``."""
    bar = float(BARS[250])
    eps, x, target = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8), _images(2, 8)
    before = (x - (1 - bar) ** 0.5 * eps) / bar**0.5
    guided = guide(eps, x, target, bar, weight)
    after = (x - (1 - bar) ** 0.5 * guided) / bar**0.5
    torch.testing.assert_close(
        after, before + weight * (1 - bar) * (target - before), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_without_guidance_a_perfect_denoiser_paints_the_normal_image(eta: float) -> None:
    clean, odd = _images(2), _images(2)
    odd[:, :, 4:8, 4:8] = 1.0
    knows = _Knows(clean)
    trajectory = make_trajectory(BARS, 250, 25, eta)
    noise = make_noise(trajectory, 1, 16, 16, seed=3)[0]
    made = reconstruct(knows, odd, odd, trajectory, 0.0, noise)
    torch.testing.assert_close(made, clean, rtol=1e-4, atol=1e-4)
    assert knows.times == [249, 224, 199, 174, 149, 124, 99, 74, 49, 24]


def test_guidance_keeps_more_of_the_target() -> None:
    clean, odd = _images(1), _images(1)
    odd[:, :, 4:8, 4:8] = 1.0
    trajectory = make_trajectory(BARS, 250, 25, 1.0)
    noise = make_noise(trajectory, 1, 16, 16, seed=3)[0]
    far = [
        float((reconstruct(_Knows(clean), odd, odd, trajectory, w, noise) - odd).abs().mean())
        for w in (0.0, 1.0, 4.0)
    ]
    assert far[0] > far[1] > far[2] > 0


def test_noise_is_the_same_for_every_image_and_follows_the_seed() -> None:
    trajectory = make_trajectory(BARS, 250, 25, 1.0)
    first, again, other = (make_noise(trajectory, 2, 8, 8, seed) for seed in (1, 1, 2))
    assert first.shape == (2, 11, 3, 8, 8)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("published", 32.5e6, 33.5e6), ("published_s", 8e6, 8.5e6), ("small", 0.1e6, 0.5e6)],
)
def test_networks_have_the_published_number_of_parameters(
    name: str, least: float, most: float
) -> None:
    with torch.device("meta"):
        assert least < count_parameters(UNet(SIZES[name])) < most


def test_network_keeps_any_shape_and_starts_at_zero() -> None:
    unet = UNet(SIZES["small"]).eval()
    with torch.inference_mode():
        found = unet(torch.randn(2, 3, 22, 35), torch.tensor([0, 249]))
    assert found.shape == (2, 3, 22, 35)
    assert not found.any()


def test_network_is_told_the_time() -> None:
    unet = UNet(SIZES["small"]).eval()
    for parameter in unet.parameters():
        nn.init.normal_(parameter, std=0.05)
    x = torch.randn(1, 3, 16, 16)
    with torch.inference_mode():
        early, late = unet(x, torch.tensor([1])), unet(x, torch.tensor([900]))
    assert not torch.allclose(early, late)


def test_time_embedding_is_sine_and_cosine() -> None:
    found = embed_time(torch.tensor([0, 7]), 8)
    rates = 10000 ** (-np.arange(4) / 4)
    np.testing.assert_allclose(found[1, :4], np.sin(7 * rates), atol=1e-5)
    np.testing.assert_allclose(found[1, 4:], np.cos(7 * rates), atol=1e-5)


def test_pixel_distance_is_the_mean_over_colours() -> None:
    first, second = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    second[0, :, 0, 1] = torch.tensor([0.3, -0.6, 0.0])
    found = pixel_distance(first, second)
    assert found[0, 0, 1] == pytest.approx(0.3)
    assert found.sum() == pytest.approx(0.3)


def test_feature_distance_peaks_where_the_image_changed() -> None:
    extractor = Extractor("efficientnet_lite0")
    first = _images(1, 64)
    second = first.clone()
    second[:, :, 40:56, 8:24] *= -1
    with torch.inference_mode():
        found = feature_distance(extractor(first), extractor(second), 64, 64)
        same = feature_distance(extractor(first), extractor(first), 64, 64)
    y, x = np.unravel_index(int(found[0].argmax()), (64, 64))
    assert 32 <= y < 64
    assert 0 <= x < 32
    assert float(same.abs().max()) < 1e-5
    assert float(found.max()) > 0.05


def test_feature_layers_have_strides_4_8_16() -> None:
    extractor = Extractor("efficientnet_lite0")
    with torch.inference_mode():
        found = extractor(_images(1, 64))
    assert [64 // f.shape[-1] for f in found] == [4, 8, 16]
    assert feature_layers("wide_resnet101_2") == ("stage1", "stage2", "stage3")


def test_distances_are_summed_after_division_by_constants() -> None:
    pixel, feature = torch.tensor([[[0.2]]]), torch.tensor([[[0.6]]])
    assert float(combine(pixel, feature, 0.1, 0.3, 7.0)) == pytest.approx(0.6 / 0.3 + 7 * 2)


def test_smoothing_is_opencvs_gaussian() -> None:
    values = np.random.default_rng(0).random((40, 50), np.float32)
    found = smooth(torch.from_numpy(values)[None], 4.0)[0].numpy()
    expected = cv2.GaussianBlur(values, (33, 33), 4.0, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_smoothing_scales_with_the_image_and_may_be_off() -> None:
    assert sigma_for(4.0, 256, 300) == 4.0
    assert sigma_for(4.0, 64, 64) == 1.0
    values = torch.rand(1, 8, 8)
    assert torch.equal(smooth(values, 0.0), values)


def test_pixels_become_minus_one_to_one() -> None:
    batch = torch.tensor([[[[0, 127, 255]]]], dtype=torch.uint8)
    found = to_signed(batch)
    assert found.shape == (1, 3, 1, 1)
    assert found.flatten().tolist() == pytest.approx([-1, 127 / 127.5 - 1, 1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"unet": "huge"},
        {"start": 1000},
        {"skip": 0},
        {"eta": 1.5},
        {"guidance": ()},
        {"pixel_weight": (-1.0,)},
        {"trajectory": "mine"},
        {"precision": "int8"},
        {"held_out": 1.0},
        {"epochs": 0},
        {"batch": 0},
        {"beta_start": 0.5},
    ],
)
def test_options_out_of_range_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(TrainingError, match=next(iter(wrong)).split("_")[0]):
        DdadOptions(**wrong)  # type: ignore[arg-type]
