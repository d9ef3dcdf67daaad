"""Which photographs share a part: names propose, pictures confirm."""

from pathlib import Path

import numpy as np
import pytest

from serving.experts.errors import TrainingError
from serving.experts.grouping import FEWEST_GROUPS, guess_groups
from serving.experts.normals import read_normals
from serving.experts.options import TrainOptions
from serving.experts.training import train
from serving.experts.types import Image
from tests.serving.experts.pictures import surface, write

EACH = 4


def boards(count: int, differ: float = 12.0, each: int = EACH, seed: int = 0) -> Image:
    """Crops board by board; boards differ in brightness, in grey values."""
    rng = np.random.default_rng(seed)
    light = np.repeat(rng.normal(0, differ, count), each)[:, None, None, None]
    grain = rng.normal(0, 20, (count * each, 32, 32, 3)) + rng.normal(0, 6, (count * each, 1, 1, 1))
    return np.clip(120 + light + grain, 0, 255).astype(np.uint8)


def names(count: int, pattern: str, each: int = EACH) -> list[str]:
    return [pattern.format(b=b, k=k, n=b * each + k) for b in range(count) for k in range(each)]


@pytest.mark.parametrize(
    "pattern",
    ["b{b:02d}_{k:02d}.png", "board{b}crop{k}.jpg", "b{b}/{k}.png", "line 2 - {b} - {k}.tif"],
)
def test_names_and_pictures_that_agree_are_groups(pattern: str) -> None:
    found = guess_groups(names(30, pattern), boards(30))
    assert found is not None
    assert found.usable
    assert found.count == 30
    assert [found.names.index(name) // EACH for name in found.names] == sorted(
        b for b in range(30) for _ in range(EACH)
    )
    assert "30 groups" in found.told()


def test_names_alone_are_no_groups() -> None:
    alike = [guess_groups(names(30, "b{b}_{k}.png"), boards(30, 0, seed=s)) for s in range(20)]
    assert sum(found is not None for found in alike) <= 2


def test_pictures_alone_are_no_groups() -> None:
    assert guess_groups(names(30, "{n:04d}.png"), boards(30)) is None
    assert guess_groups(names(30, "scratch-free {n:04d}.png"), boards(30)) is None


def test_an_exposure_that_a_name_begins_with_is_too_coarse_to_be_held_out_by() -> None:
    """The same part under six lights is not six groups of parts."""
    order = np.arange(30 * 6).reshape(30, 6).T.ravel()
    pixels = boards(6, each=30)
    files = [f"exp{e}_num_{order[30 * e + i]}.jpg" for e in range(6) for i in range(30)]
    found = guess_groups(files, pixels)
    assert found is not None
    assert not found.usable
    assert f"at least {FEWEST_GROUPS}" in found.told()


def test_a_lot_counts_where_its_parts_are_alike() -> None:
    rng = np.random.default_rng(3)
    lots, parts, each = 24, 3, 3
    of_lot = np.repeat(rng.normal(0, 15, lots), parts * each)
    of_part = np.repeat(rng.normal(0, 8, lots * parts), each)
    noise = rng.normal(0, 3, lots * parts * each)
    light = (120 + of_lot + of_part + noise)[:, None, None, None]
    pixels = np.clip(light + np.zeros((1, 32, 32, 3)), 0, 255).astype(np.uint8)
    files = [
        f"lot{a}-part{b}-{k}.png" for a in range(lots) for b in range(parts) for k in range(each)
    ]
    found = guess_groups(files, pixels)
    assert found is not None
    assert found.count == lots
    shuffled = rng.permutation(lots * parts).repeat(each) * each + np.tile(
        np.arange(each), lots * parts
    )
    finer = guess_groups(files, pixels[shuffled])
    assert finer is not None
    assert finer.count == lots * parts


def test_few_lots_do_not_replace_parts_that_are_enough() -> None:
    of_lot = np.repeat(np.linspace(-30, 30, 6), 5 * EACH)
    light = (120 + of_lot)[:, None, None, None] + boards(30, 6).astype(float) - 120
    pixels = np.clip(light, 0, 255).astype(np.uint8)
    files = [f"lot{a}-{b}-{k}.png" for a in range(6) for b in range(5) for k in range(EACH)]
    found = guess_groups(files, pixels)
    assert found is not None
    assert found.count == 30


def test_training_reads_the_groups_and_says_so(tmp_path: Path) -> None:
    paths = []
    for board in range(24):
        light = 4 * (board % 12)
        pictures = [np.clip(surface(2 * board + k) + np.uint8(light), 0, 255) for k in range(2)]
        paths += write(tmp_path / f"b{board:02d}", pictures)
    options, silent = TrainOptions(), lambda stage, done, total: None
    found = read_normals("part", paths, {}, options, silent)
    assert len(set(found.names)) == 24
    assert found.described()["grouped_by"] == "file names"
    assert "grouped by file names" in found.warnings()[0]
    given = read_normals("part", paths, {p: str(p) for p in paths}, options, silent)
    assert given.described()["grouped_by"] == "given"
    assert len(set(given.names)) == 48


def test_copies_of_a_photograph_vouch_for_nothing(tmp_path: Path) -> None:
    """Held out one by one, each is found as normal as the copy that was trained on."""
    pictures = [surface(seed) for seed in (1, 2, 3, 1, 2, 1)]
    paths = write(tmp_path, pictures)
    options, silent = TrainOptions(), lambda stage, done, total: None
    found = read_normals("part", paths, {paths[5]: "a", paths[2]: "b"}, options, silent)
    assert [Path(name).name for name in found.files] == [p.name for p in paths[:3]]
    assert len(found.pixels) == len(found.names) == 3
    assert (found.names[2], found.told) == ("b", 1)
    assert "3 of 6 images are copies of others" in found.warnings()[0]


def test_a_folder_of_one_photograph_is_refused(tmp_path: Path) -> None:
    paths = write(tmp_path, [surface(1)] * 20)
    with pytest.raises(TrainingError, match="20 images show 1 different pictures: give"):
        train("part", paths)
