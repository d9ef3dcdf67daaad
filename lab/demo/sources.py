"""Where the demo's photographs come from: a folder, or the pip-installable textile set."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.datasets.folders import Sample, load_dataset
from lab.harness.plan import GOOD, Photograph, PlanError

TEXTILE = "textile"
TEXTILE_TRAIN = 400
"""Normal textiles that train; the others may arrive as parts."""
TEXTILE_PARTS = {GOOD: 150, "local": 50, "global": 50}
"""Textiles that arrive or teach, by class."""


@dataclass(frozen=True)
class Source:
    """Photographs of one product, split as its data set says."""

    product: str
    title: str
    train: tuple[Photograph, ...]
    test: tuple[Photograph, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Class folders of odd parts, sorted."""
        return tuple(sorted({p.label for p in self.test} - {GOOD}))


def folder_source(folder: Path) -> Source:
    """Any folder that ``lab.datasets.folders`` reads; trains and plays the split as published."""
    found = load_dataset(folder.resolve())
    return Source(
        found.name, f"{found.name}: {folder}", _photographs(found.train), _photographs(found.test)
    )


def textile_source(seed: int = 7) -> Source:
    """1,000 nominal, 500 locally and 500 globally defective simulated textiles, a seeded share.

    Raises:
        PlanError: the ``demo`` extra is not installed.
    """
    try:
        from conformal_clip_data import global_dir, local_dir, nominal_dir
    except ModuleNotFoundError:
        raise PlanError(
            "the textile set is not installed: install the `demo` extra, or give --images DIR"
        ) from None
    rng = random.Random(seed)
    files = {
        GOOD: sorted(Path(nominal_dir()).glob("*.jpg")),
        "local": sorted(Path(local_dir()).glob("*.jpg")),
        "global": sorted(Path(global_dir()).glob("*.jpg")),
    }
    for paths in files.values():
        rng.shuffle(paths)
    train = files[GOOD][:TEXTILE_TRAIN]
    files[GOOD] = files[GOOD][TEXTILE_TRAIN:]
    test = [
        Photograph(path, label, f"{label}-{path.stem}")
        for label, count in TEXTILE_PARTS.items()
        for path in files[label][:count]
    ]
    return Source(
        TEXTILE,
        "Simulated woven textiles (conformal-clip-data)",
        tuple(Photograph(path, GOOD, path.stem) for path in train),
        tuple(test),
    )


def _photographs(samples: Sequence[Sample]) -> tuple[Photograph, ...]:
    return tuple(
        Photograph(s.path, s.label if s.anomalous else GOOD, s.group or str(s.path), s.mask)
        for s in samples
    )
