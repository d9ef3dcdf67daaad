"""An expert for an object of a data set: loaded, or trained once on its normals and kept."""

from pathlib import Path

from lab.datasets.folders import Dataset, DatasetError
from lab.velm.answers_cache import digest_code, digest_json
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.expert import Expert
from serving.experts.options import Progress, TrainOptions
from serving.experts.training import train

_HELD = "expert"


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
    code = digest_code("serving/experts/**/*.py")
    key = digest_json(repr(options), code, [sample.digest for sample in dataset.train])
    kept = cache / "experts" / key[:32]
    if not any(kept.glob("*/*/manifest.json")):
        paths = [s.path for s in dataset.train]
        save_artifact(train(_HELD, paths, options, dataset.groups, report), kept)
    return given_expert(kept, _HELD)


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
