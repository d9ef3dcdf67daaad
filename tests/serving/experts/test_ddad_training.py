"""DDAD's training: resume, seed, hold-out, adaptation; and the trained expert's promises."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from serving.experts.artifact import load_expert, save_artifact
from serving.experts.ddad.adapt import adapt_extractor, adaptation_loss
from serving.experts.ddad.distance import Extractor
from serving.experts.ddad.expert import DdadExpert, choose_running, in_chunks
from serving.experts.ddad.fitting import CHECKPOINT, fit_unet
from serving.experts.ddad.options import SIZES, DdadOptions
from serving.experts.ddad.training import split_groups, train_ddad
from serving.experts.ddad.unet import UNet
from serving.experts.errors import ArtifactError, RuntimeUnavailable, TrainingError
from serving.experts.normals import Normals
from serving.experts.options import TrainOptions
from serving.experts.preprocessing import Preprocessing
from serving.experts.types import Image

QUICK = DdadOptions(
    unet="small",
    epochs=1,
    batch=4,
    start=100,
    skip=50,
    guidance=(2.0,),
    pixel_weight=(1.0,),
    adapt_epochs=1,
    adapt_batch=4,
    trial=10,
    held_out=0.4,
)
NAMES = [f"part {i // 2}" for i in range(20)]


def _stripes(count: int, side: int = 32, seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    x = np.arange(side)[None, :, None] / 3 + rng.uniform(0, 6, (count, 1, 1))
    grey = 120 + 60 * np.sin(x) + rng.normal(0, 4, (count, side, side))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=3)


PIXELS = _stripes(20)
FEW = _stripes(8, side=16)


@pytest.fixture(scope="module")
def expert() -> DdadExpert:
    """An expert trained for a moment: its promises hold however good it is."""
    options = TrainOptions(expert="ddad", false_alarm_rate=0.2, device="cpu", ddad=QUICK)
    normals = Normals("stripes", Preprocessing("native", 32, 32), PIXELS, NAMES, grouped=True)
    return train_ddad(normals, options, lambda stage, done, total: None)


def _weights(unet: UNet) -> torch.Tensor:
    return torch.cat([p.flatten() for p in unet.parameters()])


def test_resumed_training_ends_where_uninterrupted_training_does(tmp_path: Path) -> None:
    three = replace(QUICK, epochs=3)
    whole, loss = fit_unet(FEW, three, "cpu", 1)
    fit_unet(FEW, QUICK, "cpu", 1, tmp_path)
    seen: list[int] = []
    rest, resumed_loss = fit_unet(
        FEW, three, "cpu", 1, tmp_path, lambda done, total: seen.append(done)
    )
    assert seen == [1, 2, 3]
    assert torch.equal(_weights(whole), _weights(rest))
    assert loss == resumed_loss


def test_finished_training_is_not_done_again(tmp_path: Path) -> None:
    first, _ = fit_unet(FEW, QUICK, "cpu", 1, tmp_path)
    seen: list[int] = []
    again, _ = fit_unet(FEW, QUICK, "cpu", 1, tmp_path, lambda done, total: seen.append(done))
    assert seen == [1]
    assert torch.equal(_weights(first), _weights(again))


def test_another_seed_is_another_network_and_torchs_own_state_stays() -> None:
    before = torch.random.get_rng_state()
    one, _ = fit_unet(FEW, QUICK, "cpu", 1)
    two, _ = fit_unet(FEW, QUICK, "cpu", 2)
    assert not torch.equal(_weights(one), _weights(two))
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_checkpoint_of_other_images_is_refused(tmp_path: Path) -> None:
    fit_unet(FEW, QUICK, "cpu", 1, tmp_path)
    with pytest.raises(TrainingError, match="images differ"):
        fit_unet(_stripes(8, side=16, seed=5), QUICK, "cpu", 1, tmp_path)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    fit_unet(FEW, QUICK, "cpu", 1, tmp_path)
    file = tmp_path / CHECKPOINT
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(TrainingError, match=r"unet\.pt: damaged checkpoint"):
        fit_unet(FEW, QUICK, "cpu", 1, tmp_path)


def test_diverged_training_says_so() -> None:
    with pytest.raises(TrainingError, match="diverged"):
        fit_unet(FEW, replace(QUICK, learning_rate=1e30), "cpu", 1)


def test_no_group_is_on_both_sides() -> None:
    fit, held = split_groups(NAMES, 0.4, seed=0)
    assert sorted([*fit, *held]) == list(range(20))
    assert not {NAMES[i] for i in fit} & {NAMES[i] for i in held}
    assert len(held) == 8


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(TrainingError, match="3 groups are too few"):
        split_groups(["a", "b", "c"], 0.4, seed=0)


def test_the_threshold_comes_from_the_images_put_aside(expert: DdadExpert) -> None:
    _, held = split_groups(NAMES, QUICK.held_out, seed=0)
    scores = [s.score for s in expert.score(list(PIXELS[held]), maps=False)]
    calibration = expert.model.calibration
    np.testing.assert_allclose(calibration.scores, np.sort(scores), rtol=1e-5)
    assert calibration.groups == 4
    assert min(scores) < calibration.threshold <= max(scores) * (1 + 1e-5)
    assert sum(s > calibration.threshold for s in scores) <= 0.2 * (len(scores) + 1)


def test_a_score_depends_on_no_other_image(expert: DdadExpert) -> None:
    """The authors divide by the batch's maxima: a wild neighbour would change every score."""
    wild = np.zeros((32, 32, 3), np.uint8)
    wild[::2] = 255
    images = list(PIXELS[:3])
    alone = [expert.score([image])[0] for image in images]
    among = expert.score([wild, *reversed(images), wild])[1:4][::-1]
    for one, other in zip(alone, among, strict=True):
        assert other.score == pytest.approx(one.score, rel=1e-6)
        assert one.anomaly_map is not None
        assert other.anomaly_map is not None
        np.testing.assert_allclose(one.anomaly_map, other.anomaly_map, rtol=1e-5)


def test_a_micro_batch_is_padded_to_one_shape() -> None:
    found = in_chunks(PIXELS[:5], 4)
    assert [(len(chunk), count) for chunk, count in found] == [(4, 4), (4, 1)]
    np.testing.assert_array_equal(found[1][0], np.repeat(PIXELS[4:5], 4, axis=0))


def test_any_image_size_is_scored(expert: DdadExpert) -> None:
    big = np.repeat(np.repeat(PIXELS[0], 3, axis=0), 2, axis=1)
    (found,) = expert.score([big])
    assert found.full_map().shape == (96, 64)


def test_the_artifact_gives_the_same_scores(expert: DdadExpert, tmp_path: Path) -> None:
    digest = save_artifact(expert, tmp_path)
    loaded = load_expert(tmp_path / "stripes" / digest, device="cpu")
    assert (loaded.name, loaded.product, loaded.version) == ("ddad", "stripes", digest)
    before, after = expert.score(list(PIXELS[:3])), loaded.score(list(PIXELS[:3]))
    for one, other in zip(before, after, strict=True):
        assert other.score == pytest.approx(one.score, rel=1e-5)
        assert other.threshold == one.threshold
        assert other.p_value == one.p_value
    assert isinstance(loaded, DdadExpert)
    assert save_artifact(loaded, tmp_path / "again") == digest


def test_a_truncated_artifact_is_refused(expert: DdadExpert, tmp_path: Path) -> None:
    path = tmp_path / "stripes" / save_artifact(expert, tmp_path)
    tensors = path / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="truncated"):
        load_expert(path)


def test_an_adapted_extractor_travels_with_the_artifact(expert: DdadExpert, tmp_path: Path) -> None:
    tuned = Extractor("efficientnet_lite0")
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.mul_(1.01)
    model = replace(expert.model, extractor=tuned, adapted=True)
    changed = DdadExpert(model, choose_running(model, device="cpu"))
    digest = save_artifact(changed, tmp_path)
    loaded = load_expert(tmp_path / "stripes" / digest, device="cpu")
    (one,), (two,) = changed.score([PIXELS[0]]), loaded.score([PIXELS[0]])
    assert two.score == pytest.approx(one.score, rel=1e-5)
    shutil.rmtree(tmp_path / "stripes")


def test_the_artifact_says_how_it_was_chosen(expert: DdadExpert) -> None:
    said = expert.model.trained
    assert said["choice"]["guidance"] == 2.0
    assert len(said["choice"]["synthetic_auroc_by_adapt_epoch"]) == 2
    assert said["unet"]["parameters"] > 100_000
    assert any("independent groups vouch" in w for w in said["warnings"]) == (
        expert.model.calibration.rate > 0.2
    )


def test_runtimes_that_it_has_not_are_refused(expert: DdadExpert) -> None:
    with pytest.raises(RuntimeUnavailable, match="openvino"):
        choose_running(expert.model, runtime="openvino")
    with pytest.raises(RuntimeUnavailable, match="fp16"):
        choose_running(expert.model, precision="fp16", device="cpu")


def test_adaptation_keeps_the_epoch_that_judges_best() -> None:
    marks = iter([0.5, 0.9, 0.7])
    unet = UNet(SIZES["small"]).eval()
    seen: list[torch.Tensor] = []

    def judge(extractor: Extractor) -> float:
        seen.append(torch.cat([p.detach().flatten() for p in extractor.parameters()]).clone())
        return next(marks)

    options = replace(QUICK, adapt_epochs=2)
    best, found = adapt_extractor(
        Extractor("efficientnet_lite0"), unet, FEW, options, "cpu", 0, judge
    )
    assert found == [0.5, 0.9, 0.7]
    kept = torch.cat([p.flatten() for p in best.parameters()])
    assert torch.equal(kept, seen[1])
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_adaptation_that_does_not_help_is_dropped() -> None:
    unet = UNet(SIZES["small"]).eval()
    original = Extractor("efficientnet_lite0")
    best, _ = adapt_extractor(original, unet, FEW, QUICK, "cpu", 0, lambda e: 0.5)
    assert best is original


def test_adaptation_loss_is_zero_only_for_equal_untouched_features() -> None:
    frozen = Extractor("efficientnet_lite0")
    same = torch.rand(2, 3, 32, 32)
    other = torch.rand(2, 3, 32, 32)
    assert float(adaptation_loss(frozen, frozen, same, same, 0.1)) == pytest.approx(0, abs=1e-5)
    assert float(adaptation_loss(frozen, frozen, same, other, 0.1)) > 0.01


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("precision", "tolerance"), [("f32", 0.01), ("bf16", 0.1), ("fp16", 0.05)])
def test_cuda_agrees_with_the_cpu(
    expert: DdadExpert, tmp_path: Path, precision: str, tolerance: float
) -> None:
    path = tmp_path / "stripes" / save_artifact(expert, tmp_path)
    there = load_expert(path, device="cuda", precision=precision)
    pairs = zip(expert.score(list(PIXELS)), there.score(list(PIXELS)), strict=True)
    assert all(b.score == pytest.approx(a.score, rel=tolerance) for a, b in pairs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["f32", "bf16", "fp16"])
def test_cuda_learns_the_noise(precision: str) -> None:
    options = replace(QUICK, epochs=40, learning_rate=2e-3, weight_decay=0.0, precision=precision)
    _, loss = fit_unet(PIXELS, options, "cuda", 1)
    assert loss < 0.9
