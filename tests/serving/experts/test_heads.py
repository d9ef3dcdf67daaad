"""The mathematics of the heads against naive or published implementations."""

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf as reference_ledoit_wolf
from torch.nn import functional

from serving.experts.heads import HEADS, FitInput
from serving.experts.heads.base import channel_statistics, ledoit_wolf, smooth3, whitening
from serving.experts.heads.cells import CellGaussian, gaussian_by_cell, mahalanobis
from serving.experts.heads.coreset import coreset, greedy
from serving.experts.heads.padim import Padim
from serving.experts.heads.search import smallest_squared, squared_norms
from serving.experts.heads.texture import Texture
from serving.experts.holdout import fit_together
from serving.experts.options import TrainOptions


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def normals(count: int = 20) -> FitInput:
    """Features of a backbone at 64 pixels, and pixels."""
    features = {
        "stage2": random(count, 40, 8, 8),
        "stage3": random(count, 80, 4, 4, seed=1),
        "stage4": random(count, 112, 4, 4, seed=2),
    }
    pixels = torch.from_numpy(
        np.random.default_rng(0).integers(90, 150, (count, 64, 64, 3), dtype=np.uint8)
    )
    return FitInput(features, pixels)


def test_search_is_exact() -> None:
    queries, bank = random(50, 12), random(33, 12, seed=1)
    truth = torch.cdist(queries, bank).square().sort(dim=1).values
    norms = squared_norms(bank)
    assert torch.allclose(smallest_squared(queries, bank, norms), truth[:, 0], atol=1e-4)
    assert torch.allclose(smallest_squared(queries, bank, norms, 4), truth[:, :4], atol=1e-4)


def test_greedy_takes_the_farthest_point_each_time() -> None:
    points = torch.tensor([[0.0], [1.0], [10.0], [4.0]])
    for seed in range(4):
        chosen = greedy(points, 4, seed).tolist()
        assert sorted(chosen) == [0, 1, 2, 3]
        for i in range(1, 4):
            gaps = (points - points[chosen[:i]].T).abs().amin(dim=1)
            assert gaps[chosen[i]] == gaps.max()


def test_chunked_coreset_covers_nearly_as_well_as_one_greedy_pass() -> None:
    points = random(900, 6)
    chunked = coreset(points.split(200), 60, kept=6)
    whole = points[greedy(points, 60)]

    def radius(centres: torch.Tensor) -> float:
        return float(torch.cdist(points, centres).amin(dim=1).max())

    assert chunked.shape == (60, 6)
    assert radius(chunked) < 1.5 * radius(whole)


def test_ledoit_wolf_agrees_with_scikit_learn() -> None:
    rows = random(40, 12) @ random(12, 12, seed=3)
    rows = rows - rows.mean(0)
    expected, _ = reference_ledoit_wolf(rows.numpy(), assume_centered=True)
    assert np.allclose(ledoit_wolf(rows).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_whitening_whitens() -> None:
    rows = random(200, 5) @ random(5, 5, seed=1)
    covariance = rows.T @ rows / len(rows)
    white = whitening(covariance)
    assert torch.allclose(white @ covariance @ white.T, torch.eye(5), atol=1e-4)


@pytest.mark.parametrize("kind", [CellGaussian, Padim])
def test_a_whitening_in_blocks_is_the_whole_one_without_its_zeros(
    kind: type[CellGaussian] | type[Padim],
) -> None:
    given = normals()
    head = kind.fit(given)
    blocks = [value for name, value in head.named_buffers() if name.startswith("white")]
    channels = blocks[-1].shape[1]
    assert len(blocks) > 1
    padded = [functional.pad(b, (0, 0, 0, channels - b.shape[1])) for b in blocks]
    whole = torch.cat(padded, dim=2)
    assert whole.shape[1:] == (channels, channels)
    assert sum(b.numel() for b in blocks) < 0.8 * whole.numel()
    rest = {k: v for k, v in head.named_buffers() if not k.startswith("white")}
    before = kind({**rest, "white": whole}, **head.config)  # as earlier versions fitted it
    found = head(given.features, given.pixels)
    assert torch.allclose(before(given.features, given.pixels), found, rtol=1e-6)


def test_a_cell_in_blocks_is_as_far_as_its_covariance_says() -> None:
    cells = random(2, 300, 70) @ random(70, 70, seed=1) / 8
    tensors = gaussian_by_cell(cells, shrink=0.0)
    covariance = torch.stack([torch.cov(x.T, correction=0) for x in cells])
    ridge = 1e-3 * covariance.mean(0).diagonal().mean() * torch.eye(70)
    gaps = (cells - cells.mean(1, keepdim=True)).double()
    inverse = torch.linalg.inv((covariance + ridge).double())
    expected = (torch.einsum("pnc,pcd,pnd->pn", gaps, inverse, gaps) / 70).sqrt()
    found = mahalanobis(cells, CellGaussian(tensors))
    assert torch.allclose(found.double(), expected, rtol=1e-3)


@pytest.mark.parametrize("name", list(HEADS))
def test_a_head_is_rebuilt_from_its_buffers_and_configuration(name: str) -> None:
    given = normals()
    head = HEADS[name].fit(given)
    again = HEADS[name](dict(head.named_buffers()), **head.config)
    part = given.select(torch.arange(3))
    first = head(part.features, part.pixels)
    assert first.shape[0] == 3
    assert first.ndim == 3
    assert torch.equal(first, again(part.features, part.pixels))


@pytest.mark.parametrize("name", ["patchcore", "cells", "relative", "padim"])
def test_a_changed_cell_is_the_oddest(name: str) -> None:
    given = normals(40)
    head = HEADS[name].fit(given)
    part = given.select(torch.arange(1))
    before = head(part.features, part.pixels)
    for layer, (y, x) in {"stage2": (6, 2), "stage3": (3, 1), "stage4": (3, 1)}.items():
        part.features[layer][:, :, y, x] += 8
        if layer == "stage2":
            part.features[layer][:, :, 7, 2:4] += 8
            part.features[layer][:, :, 6, 3] += 8
    rise = (head(part.features, part.pixels) - before)[0]
    peak = np.unravel_index(int(rise.argmax()), rise.shape)
    scale = rise.shape[0] // 4
    assert (peak[0] // scale >= 2, peak[1] // scale <= 2) == (True, True)
    assert float(rise.max()) > 0


def test_patchcore_reweighting_is_equation_7() -> None:
    given = normals()
    plain = HEADS["patchcore"].fit(given, coreset=32)
    weighted = HEADS["patchcore"](dict(plain.named_buffers()), coreset=32, reweight=3)
    part = given.select(torch.arange(2))
    queries = plain.patches(part.features)  # type: ignore[operator]
    nearest = torch.cdist(queries, plain.bank).sort(dim=-1).values[..., :4]
    share = nearest[..., 0].exp() / nearest.exp().sum(-1)
    expected = ((1 - share) * nearest[..., 0]).reshape(2, 4, 4)
    assert torch.allclose(weighted(part.features, part.pixels), expected, atol=2e-2)


def test_texture_sees_faint_noise() -> None:
    rng = np.random.default_rng(0)
    smooth = 100 + 40 * np.sin(np.arange(64) / 5)[None, :, None]
    pictures = smooth + rng.normal(0, 1.5, (40, 64, 64, 1)) * np.ones(3)
    pixels = torch.from_numpy(np.clip(pictures, 0, 255).astype(np.uint8))
    head = Texture.fit(FitInput({}, pixels[:30]))
    normal = head({}, pixels[30:])
    noisy = pictures[30:] + rng.normal(0, 2, (10, 64, 64, 1))
    odd = head({}, torch.from_numpy(np.clip(noisy, 0, 255).astype(np.uint8)))
    assert odd.mean() - normal.mean() > 4 * normal.flatten(1).mean(dim=1).std()


@pytest.mark.parametrize("count", [1, 9])
def test_smoothing_is_the_mean_of_what_is_there_to_the_last_bit(count: int) -> None:
    features = random(count, 12, 7, 5)
    expected = functional.avg_pool2d(features, 3, 1, 1, count_include_pad=False)
    found = smooth3(features)
    assert torch.equal(found, expected)
    assert found.is_contiguous()


@pytest.mark.filterwarnings("ignore:`torch.jit.trace")
def test_smoothing_is_one_operation_where_a_graph_is_drawn_of_it() -> None:
    drawn = torch.jit.trace(smooth3, random(1, 4, 5, 5))
    kinds = [node.kind() for node in drawn.graph.nodes() if node.kind() != "prim::Constant"]
    assert kinds == ["prim::ListConstruct"] * 3 + ["aten::avg_pool2d"]


def test_statistics_of_channels_are_those_of_torch() -> None:
    features = random(20, 6, 5, 4) * 3 + 7
    mean, inverse = channel_statistics(features)
    assert torch.allclose(mean[:, 0, 0], features.mean(dim=(0, 2, 3)))
    assert torch.allclose(1 / inverse[:, 0, 0], features.std(dim=(0, 2, 3)), rtol=1e-5)


def test_heads_that_are_fitted_beside_each_other_are_those_fitted_alone() -> None:
    given, options, threads = normals(), TrainOptions(coreset=16), torch.get_num_threads()
    together = fit_together(tuple(HEADS), given, options)
    assert torch.get_num_threads() == threads
    assert tuple(together) == tuple(HEADS)
    for name, head in together.items():
        alone = HEADS[name].fit(given, **options.head_config(name))
        for buffer, value in alone.named_buffers():
            assert torch.allclose(dict(head.named_buffers())[buffer], value, atol=1e-4), name
