"""``andon classify`` as an ML engineer runs it: taught from pictures and masks, then asked."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from andon.cli.classify import app
from andon.cli.taught_experts import one_teacher
from serving.naming.exemplars import load_bundle
from serving.naming.teaching import Lesson, teach_product
from streams.errors import AndonError
from tests.serving.naming.pictures import plate, png, spoiled

runner = CliRunner()


def write_pictures(folder: Path, kind: str, seeds: range) -> list[str]:
    folder.mkdir(exist_ok=True)
    names = []
    for seed in seeds:
        image, mask = spoiled(kind, seed)
        path = folder / f"{kind}{seed}.png"
        path.write_bytes(png(image))
        cv2.imwrite(str(folder / f"{kind}{seed}_mask.png"), mask.astype(np.uint8) * 255)
        names.append(str(path))
    return names


def classify(*words: str, root: Path) -> Result:
    return runner.invoke(app, [*words, "--product", "plate", "--exemplars", str(root), "--json"])


def teach(tmp_path: Path, kind: str, *more: str) -> Result:
    pictures = write_pictures(tmp_path / kind, kind, range(3))
    words = ["teach", *pictures, "--class", kind, "--masks", str(tmp_path / kind)]
    return classify(*words, *more, root=tmp_path / "exemplars")


@pytest.mark.slow
def test_taught_with_masks_it_names_what_it_was_shown(tmp_path: Path) -> None:
    normals = tmp_path / "normals"
    normals.mkdir()
    for seed in range(3):
        (normals / f"n{seed}.png").write_bytes(png(plate(seed)))
    table = tmp_path / "parts.csv"
    table.write_text("path,part\n" + "".join(f"x/hole{n}.png,part{n // 2}\n" for n in range(3)))
    first = teach(tmp_path, "hole", "--normals", str(normals), "--parts", str(table))
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["classes"] == {"hole": {"examples": 3, "parts": 2}}
    shown = json.loads(classify("show", root=tmp_path / "exemplars").stdout)
    assert (sorted(shown["classes"]), shown["normals"]) == (["hole"], 3)
    new = write_pictures(tmp_path / "new", "hole", range(20, 21))
    asked = classify("ask", *new, "--masks", str(tmp_path / "new"), root=tmp_path / "exemplars")
    (row,) = json.loads(asked.stdout)
    assert row["class"] == "hole"
    assert row["exemplars"] == shown["digest"]


def test_equal_file_names_are_no_part_and_a_table_above_them_says_which_is(tmp_path: Path) -> None:
    """A data set calls the first picture of every folder 000.png."""
    for number in range(4):
        folder = tmp_path / "set" / f"shift{number}"
        folder.mkdir(parents=True)
        (folder / "000.png").write_bytes(png(plate(number)))
    words = ("teach", str(tmp_path / "set"), "--class", "hole")
    alone = classify(*words, root=tmp_path / "exemplars")
    assert json.loads(alone.stdout)["classes"] == {"hole": {"examples": 4, "parts": 4}}
    rows = "".join(f"shift{number}/000.png,part{number // 2}\n" for number in range(4))
    (tmp_path / "set" / "parts.csv").write_text("path,part\n" + rows)
    told = classify(*words, root=tmp_path / "exemplars")
    assert json.loads(told.stdout)["classes"] == {"hole": {"examples": 4, "parts": 2}}
    assert "parts of 4 photographs" in told.stderr


def test_who_teaches_meanwhile_waits_and_adds_to_what_the_other_taught(tmp_path: Path) -> None:
    root = tmp_path / "exemplars"
    root.mkdir()
    (picture, *_) = write_pictures(tmp_path / "line", "line", range(1))
    words = ["-m", "andon", "classify", "teach", picture, "--class", "line", "--product", "plate"]
    with one_teacher(root, "plate"):
        other = subprocess.Popen(
            [sys.executable, *words, "--exemplars", str(root), "--json"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert other.stderr is not None
        assert "waits for another command" in other.stderr.readline()
        teach_product(root, "plate", [Lesson("hole", png(plate(1)))])
    said, _ = other.communicate(timeout=120)
    assert set(json.loads(said)["classes"]) == {"hole", "line"}


@pytest.mark.parametrize(
    ("turned", "marked", "said"),
    [(True, 255, "the shape of its photograph"), (False, 0, "1 masks mark nothing")],
)
def test_a_mask_that_is_turned_or_empty_is_said(
    tmp_path: Path, turned: bool, marked: int, said: str
) -> None:
    (tmp_path / "0.png").write_bytes(png(plate(0)[:60, :90]))
    mask = np.full((90, 60) if turned else (60, 90), marked, np.uint8)
    cv2.imwrite(str(tmp_path / "0_mask.png"), mask)
    words = ("teach", str(tmp_path / "0.png"), "--class", "hole", "--masks", str(tmp_path))
    done = classify(*words, root=tmp_path / "exemplars")
    assert said in (str(done.exception) if turned else done.stderr)


def test_a_mask_may_have_any_colour_and_resolution(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(png(plate(0)[:60, :90]))
    mask = np.zeros((30, 45, 3), np.uint8)
    mask[5:10, 5:10] = (0, 255, 0)
    cv2.imwrite(str(tmp_path / "0_mask.png"), mask)
    words = ("teach", str(tmp_path / "0.png"), "--class", "hole", "--masks", str(tmp_path))
    path = json.loads(classify(*words, root=tmp_path / "exemplars").stdout)["path"]
    (exemplar,) = load_bundle(Path(path)).exemplars
    assert (int(exemplar.mask.sum()), exemplar.drawn) == (25, True)


def test_without_pictures_or_a_class_it_is_bad_usage(tmp_path: Path) -> None:
    assert classify("teach", root=tmp_path).exit_code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ask", "picture.png"], "nothing was taught yet"),
        (["teach", "--class", "hole", "absent.png"], "absent.png: no such file"),
        (["teach", "--class", "hole", "{folder}"], "no images in this folder"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, words: list[str], said: str) -> None:
    done = classify(*(word.format(folder=tmp_path) for word in words), root=tmp_path / "exemplars")
    assert isinstance(done.exception, AndonError)
    assert said in str(done.exception)
