"""An expert for an object of a data set: loaded, or trained once on its normals and kept."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lab.datasets.folders import Dataset, DatasetError
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.expert import Expert
from serving.experts.options import TrainOptions
from serving.experts.training import train

_HELD = "expert"
_SOURCES: Final = Path(__file__).parents[2] / "serving" / "experts"
Progress = Callable[[str, int, int], None]


def trained_expert(
    dataset: Dataset,
    cache: Path,
    options: TrainOptions | None = None,
    report: Progress | None = None,
) -> Expert:
    """The expert trained on the data set's normals, from ``cache`` when it was trained before.

    It is kept under the normals' bytes and parts, the options and the code that trains.

    Raises:
        serving.experts.errors.ExpertError: too few images, or one that cannot be decoded.
    """
    options = options or TrainOptions()
    kept = cache / "experts" / _fingerprint(dataset, options)
    versions = sorted(kept.glob("*/*/manifest.json"))
    if not versions:
        paths = [s.path for s in dataset.train]
        trained = train(_HELD, paths, options, dataset.groups, report)
        save_artifact(trained, kept)
        versions = sorted(kept.glob("*/*/manifest.json"))
    return load_expert(versions[-1].parent)


def given_expert(folder: Path, name: str) -> Expert:
    """The newest expert of one object below ``folder`` (``<object>/<version>/manifest.json``).

    Raises:
        DatasetError: there is none; says where it was looked for.
    """
    versions = sorted((folder / name).glob("*/manifest.json"), key=lambda p: p.stat().st_mtime)
    if not versions:
        raise DatasetError(
            f"{folder / name}: no trained expert (<version>/manifest.json); "
            f"`andon train {name}` makes one, or leave `experts` out"
        )
    return load_expert(versions[-1].parent)


def _fingerprint(dataset: Dataset, options: TrainOptions) -> str:
    digest = hashlib.sha256(repr(options).encode())
    for source in sorted(_SOURCES.rglob("*.py")):
        digest.update(source.read_bytes())
    for sample in dataset.train:
        digest.update(f"{sample.path.name}\0{sample.group}\0".encode())
        digest.update(hashlib.sha256(sample.path.read_bytes()).digest())
    return digest.hexdigest()[:32]
