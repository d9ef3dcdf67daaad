"""Absorbing on small made-up parts: light is relit, a print is added, defects are refused."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from lab.benchmarks.changes import gamma, gradient
from serving.experts.absorbing.absorb import (
    AbsorbRefused,
    GoodPicture,
    absorb,
)
from serving.experts.absorbing.additions import anomalies_on, spread_looks, with_look
from serving.experts.absorbing.refitting import Refitted, refit
from serving.experts.absorbing.relighting import Relighting, estimate_relighting
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.errors import TrainingError
from serving.experts.teaching import LabelledPicture
from serving.experts.types import Image
from tests.serving.experts.pictures import SIDE, scratched, surface


def goods(change: object = None, first: int = 400, count: int = 10) -> list[GoodPicture]:
    found = []
    for seed in range(first, first + count):
        image = surface(seed)
        found.append(GoodPicture(change(image) if callable(change) else image, "", f"{seed}.png"))
    return found


def printed(image: Image) -> Image:
    """A dark ring in the upper right."""
    marked = image.copy()
    cv2.circle(marked, (70, 26), 10, (35, 35, 35), 3, cv2.LINE_AA)
    return marked


def flagged(expert: ComposedExpert, images: list[Image]) -> float:
    return float(np.mean([s.anomalous for s in expert.score(images, maps=False)]))


def stack(first: int, count: int) -> Image:
    return np.stack([surface(seed) for seed in range(first, first + count)])


def test_a_tone_curve_and_a_gradient_are_estimated_from_other_parts() -> None:
    old, new = stack(0, 40), stack(100, 10)
    for change in (gamma(0.6), gradient(0.4)):
        light = estimate_relighting(old, np.stack([change(image) for image in new]))
        assert light is not None
        wanted = np.stack([change(image) for image in old[:8]]).astype(int)
        off = np.abs(light(old[:8]).astype(int) - wanted)
        assert off.mean() < 6
        assert off.mean() < 0.25 * np.abs(old[:8].astype(int) - wanted).mean()


def test_a_curve_does_not_follow_parts_that_happen_to_be_dark() -> None:
    """Parts differ in brightness alone: that ten new ones are darker is no reason for contrast."""

    def exposed(first: int, count: int, low: float, high: float) -> Image:
        shares = np.random.default_rng(first).uniform(low, high, count)
        pictures = stack(first, count) * shares[:, None, None, None]
        return np.round(pictures).astype(np.uint8)

    old, new = exposed(0, 40, 0.9, 1.1), gamma(0.6)(exposed(100, 10, 0.9, 1.0))
    light = estimate_relighting(old, new)
    assert light is not None
    grey = np.arange(90, 151)
    found, wanted = light.curve[grey, 0], 255 * (grey / 255) ** 0.6
    slopes = np.diff(np.log(found)).mean() / np.diff(np.log(wanted)).mean()
    assert slopes == pytest.approx(1, abs=0.05)


def test_parts_under_the_same_light_are_left_alone() -> None:
    assert estimate_relighting(stack(0, 40), stack(100, 10)) is None
    pictures = stack(0, 2)
    assert (Relighting.none()(pictures) == pictures).all()


@pytest.mark.slow
def test_a_new_light_is_absorbed_and_the_old_version_stays(
    trained: ComposedExpert, tmp_path_factory: pytest.TempPathFactory
) -> None:
    change = gamma(0.6)
    fresh = [surface(seed) for seed in range(500, 540)]
    before = [s.score for s in trained.score(fresh[:5], maps=False)]
    files = trained.version, trained.training_set().pixels.copy()
    assert flagged(trained, [change(image) for image in fresh]) > 0.9
    found = absorb(trained, goods(change))
    assert found.how == ("relit",)
    assert flagged(found.expert, [change(image) for image in fresh]) <= 0.25
    assert flagged(found.expert, [change(scratched(seed)) for seed in range(20)]) >= 0.9
    assert found.expert.model.trained["absorbed"]["how"] == ["relit"]
    root = tmp_path_factory.mktemp("absorbed")
    digest = save_artifact(found.expert, root)
    again = load_expert(root / "part" / digest, runtime="torch")
    assert isinstance(again, ComposedExpert)
    assert again.training_set().pixels.mean() > trained.training_set().pixels.mean()
    after = [s.score for s in trained.score(fresh[:5], maps=False)]
    assert after == before
    assert trained.version == files[0]
    assert (trained.training_set().pixels == files[1]).all()


@pytest.mark.slow
def test_a_print_is_added_where_it_is_and_hides_no_scratch(trained: ComposedExpert) -> None:
    fresh = [printed(surface(seed)) for seed in range(500, 540)]
    assert flagged(trained, fresh) > 0.9
    found = absorb(trained, goods(printed))
    assert found.how == ("added",)
    assert found.look is not None
    assert found.look[26, 60]
    assert not found.look[80, 20]
    assert flagged(found.expert, fresh) <= 0.25
    across = [image.copy() for image in fresh]
    for image in across:
        cv2.line(image, (60, 14), (82, 38), (200, 200, 200), 2)
    assert flagged(found.expert, across) >= 0.9
    assert flagged(found.expert, [printed(scratched(seed)) for seed in range(20)]) >= 0.9


@pytest.mark.slow
def test_a_look_on_which_no_defect_would_be_found_is_refused(
    trained: ComposedExpert, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(*given: object, **named: object) -> Refitted:
        found = refit(*given, **named)  # type: ignore[arg-type]
        assert found.found_on_look is not None
        assert found.found_on_look > 0.3
        return replace(found, found_on_look=0.1)

    monkeypatch.setattr("serving.experts.absorbing.absorb.refit", blind)
    with pytest.raises(AbsorbRefused, match="on the new look 10% of synthetic anomalies"):
        absorb(trained, goods(printed))


@pytest.mark.slow
def test_parts_of_the_known_kind_give_nothing_to_absorb(trained: ComposedExpert) -> None:
    found = absorb(trained, goods())
    assert (found.how, found.expert) == ((), trained)


@pytest.mark.slow
def test_defects_at_places_of_their_own_are_refused(trained: ComposedExpert) -> None:
    spots = []
    for number, good in enumerate(goods()):
        image = good.image.copy()
        cv2.circle(image, (12 + 8 * number, 84 - 7 * number), 5, (240, 240, 240), -1)
        spots.append(GoodPicture(image, "", good.name))
    with pytest.raises(AbsorbRefused, match=r"are they good\?|differ too much among themselves"):
        absorb(trained, spots)


@pytest.mark.slow
def test_what_labelled_defects_show_is_refused(trained: ComposedExpert) -> None:
    taken = [GoodPicture(scratched(seed), "", f"{seed}.png") for seed in range(400, 410)]
    known = [LabelledPicture(scratched(seed), "scratch", None, str(seed)) for seed in range(6)]
    with pytest.raises(AbsorbRefused, match="cannot be told from them"):
        absorb(trained, taken, known)


def test_too_few_good_parts(trained: ComposedExpert) -> None:
    with pytest.raises(TrainingError, match="9 good parts are too few"):
        absorb(trained, goods(count=9))
    same = [GoodPicture(good.image, "one", good.name) for good in goods()]
    with pytest.raises(TrainingError, match="1 good parts are too few"):
        absorb(trained, same)
    copies = [GoodPicture(goods()[0].image.copy(), "", f"{i}.png") for i in range(12)]
    with pytest.raises(TrainingError, match="1 good parts are too few"):
        absorb(trained, copies)


def test_a_look_is_shared_by_no_two_folds() -> None:
    folds = [np.array([0, 3, 6, 7]), np.array([1, 4]), np.array([2, 5])]
    chosen = spread_looks(folds, 7)
    shown = [set(chosen[rows].tolist()) for rows in folds]
    assert shown == [{0, 3, 6}, {1, 4}, {2, 5}]


def test_a_look_is_taken_over_at_its_place_only() -> None:
    place = np.zeros((SIDE, SIDE), bool)
    place[40:60, 40:60] = True
    old, new = stack(0, 2), np.full((2, SIDE, SIDE, 3), 128, np.uint8)
    new[:, 48:52, 48:52] = 10
    mixed = with_look(old, new, place)
    assert (mixed[:, :20] == old[:, :20]).all()
    assert mixed[:, 50, 50].max() < 20
    odd, masks, kinds, rows = anomalies_on(old, place, 8, seed=0)
    assert len(odd) == len(masks) == len(kinds) == len(rows) > 0
    assert all(place[mask].mean() >= 0.6 for mask in masks)
