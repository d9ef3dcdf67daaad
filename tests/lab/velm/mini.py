"""A small data set in MVTec-AD layout: a speckled plate with dark spots and long scratches."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from lab.datasets.folders import load_dataset
from lab.datasets.masks import true_mask
from lab.llm_twin.validation import decode_picture, picture_digest
from lab.velm.descriptions import read_descriptions
from lab.velm.pipeline import Item, ObjectRun
from serving.experts.images import read_image
from serving.naming.settings import VelmSettings, VisualSettings
from serving.naming.visual import make_pictures

SIDE = 96
SMALL = VelmSettings(protocol="velm", visual=VisualSettings(side_px=64))
"""The paper's protocol over small pictures: no backbone is needed for references."""
OPEN = SMALL.model_copy(update={"protocol": "andon"})


def mini_mvtec(root: Path, name: str = "plate", train: int = 16, each: int = 4) -> Path:
    """``root/<name>`` with train/good, test/{good,scratch,spot} and masks."""
    rng = np.random.default_rng(5)
    for i in range(train):
        write(root / name / f"train/good/{i:03d}.png", plate(rng))
    for i in range(each):
        write(root / name / f"test/good/{i:03d}.png", plate(rng))
        for kind, mask in (("spot", spot(rng)), ("scratch", scratch(rng))):
            image = plate(rng)
            image[mask] = 15
            write(root / name / f"test/{kind}/{i:03d}.png", image)
            drawn = mask.astype(np.uint8) * 255
            write(root / name / f"ground_truth/{kind}/{i:03d}_mask.png", drawn)
    return root


def mini_descriptions(path: Path, names: Sequence[str] = ("plate",), strategy: str = "") -> Path:
    """The authors' form, with display names that differ from the folders'."""
    body = {
        name: {
            "normal": [f"is an evenly speckled grey plate. {strategy}".strip()],
            "scratch": ["long scratch", "a long thin dark line"],
            "spot": ["dark spot", "a small round dark spot"],
        }
        for name in names
    }
    path.write_text(json.dumps(body))
    return path


def mini_run(root: Path, descriptions: Path, name: str = "plate") -> ObjectRun:
    """The object ready for the pipeline."""
    dataset = load_dataset(root / name)
    return ObjectRun.of(name, dataset, read_descriptions(descriptions)[name])


def truth_for_twin(run: ObjectRun, settings: VelmSettings) -> dict[str, str]:
    """The manifest of a twin that knows the right display names."""
    labels = {True: run.described.label_of, False: lambda _: "normal"}
    return {
        _digest(item, settings): labels[item.sample.anomalous](item.sample.label)
        for item in run.items
    }


def _digest(item: Item, settings: VelmSettings) -> str:
    pictures = make_pictures(item.sample.path.read_bytes(), None, None, settings.visual)
    assert true_mask(item.sample, read_image(item.sample.path)).any()
    return picture_digest(decode_picture(pictures.items[0]))


def plate(rng: np.random.Generator) -> np.ndarray:
    """Grey with a fine grain."""
    return np.clip(rng.normal(140, 8, (SIDE, SIDE)), 0, 255).astype(np.uint8)


def spot(rng: np.random.Generator) -> np.ndarray:
    """A small disc."""
    x, y = (int(v) for v in rng.integers(20, SIDE - 20, 2))
    drawn = cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (x, y), 6, 1, cv2.FILLED)
    return drawn.astype(bool)


def scratch(rng: np.random.Generator) -> np.ndarray:
    """A long thin line."""
    y = int(rng.integers(20, SIDE - 20))
    drawn = cv2.line(np.zeros((SIDE, SIDE), np.uint8), (12, y), (SIDE - 12, y + 5), 1, 2)
    return drawn.astype(bool)


def write(path: Path, image: np.ndarray) -> None:
    """A PNG, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
