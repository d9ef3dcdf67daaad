"""Data sets on disk: MVTec-AD, VisA with its split CSV, and plain folders.

A ``parts.csv`` (columns ``path``, ``class``, ``part``) at the root says which photographs show the
same part; with it the ``disjoint`` protocol keeps every part of the test set out of training.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from serving.experts.images import IMAGE_SUFFIXES, list_images
from streams.errors import AndonError

GOOD = "good"
"""The label of normal images."""
PROTOCOLS = ("full", "disjoint")
NORMAL_NAMES = frozenset({"good", "normal", "nominal", "ok"})
"""Folder names that hold normal images, compared in lower case."""
PLAIN_TEST_SHARE = 0.3
"""Plain folders: share of the normal groups kept for the test, by a hash of the group."""


class DatasetError(AndonError):
    """A folder that is not a data set of a known layout; says what was expected."""


@dataclass(frozen=True)
class Sample:
    """One photograph with what is known of it."""

    path: Path
    label: str
    """Class name; ``GOOD`` for normal images."""
    anomalous: bool
    mask: Path | None = None
    """Grey picture, anomalous above 127; None for normal images and where there is none."""
    group: str | None = None
    """The part it shows, where known."""

    @property
    def part(self) -> str:
        """The part it shows; one whose part is not known is a part of its own."""
        return self.group or str(self.path)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the file's name, the part, the picture and its mask."""
        files = [p.read_bytes() for p in (self.path, self.mask) if p is not None]
        said = f"{self.path.name}\0{self.group}\0".encode()
        return hashlib.sha256(b"".join([said, *files])).hexdigest()


@dataclass(frozen=True)
class Dataset:
    """A data set split for one protocol."""

    name: str
    train: tuple[Sample, ...]
    """Normal images only."""
    test: tuple[Sample, ...]
    left_out: tuple[Sample, ...] = ()
    """Normal images that ``disjoint`` keeps out of training, since their part is in the test."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The anomalous classes of the test, sorted."""
        return tuple(sorted({s.label for s in self.test if s.anomalous}))

    @property
    def counts(self) -> Counter[str]:
        """Number of test pictures by label."""
        return Counter(s.label for s in self.test)

    @property
    def groups(self) -> dict[Path, str]:
        """Part by path of every image whose part is known."""
        samples = (*self.train, *self.test, *self.left_out)
        return {s.path: s.group for s in samples if s.group is not None}

    def without_tested_parts(self) -> "Dataset":
        """Without the training images whose part is in the test, as far as parts are known.

        >>> tested, other = (Sample(Path(f"{n}.png"), GOOD, False, group=n) for n in "ab")
        >>> apart = Dataset("tile", (tested, other), (tested,)).without_tested_parts()
        >>> [s.group for s in apart.train], [s.group for s in apart.left_out]
        (['b'], ['a'])
        """
        tested = {s.group for s in self.test if s.group is not None}
        train = tuple(s for s in self.train if s.group not in tested)
        left_out = tuple(s for s in self.train if s.group in tested)
        return replace(self, train=train, left_out=left_out)

    def limited(self, most: int) -> "Dataset":
        """At most ``most`` training images and test images per class, chosen by a hash of names."""
        by_label: dict[str, list[Sample]] = {}
        for sample in self.test:
            by_label.setdefault(sample.label, []).append(sample)
        test = [s for samples in by_label.values() for s in _first(samples, most)]
        return replace(self, train=tuple(_first(self.train, most)), test=tuple(test))


def load_dataset(folder: Path, protocol: str = "full") -> Dataset:
    """Read a data set's lists (no pixels).

    Args:
        folder: MVTec-AD category (``train/good``, ``test/<class>``, ``ground_truth``), VisA object
            (``split_csv/1cls.csv`` beside it), or a folder with one subfolder per class, one of
            them normal (``good``, ``normal``, ``nominal``, ``ok``).
        protocol: ``full``, the split as published, or ``disjoint``, by part.

    Raises:
        DatasetError: unknown layout, or ``disjoint`` without ``parts.csv``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("good/1.png", "good/2.png", "crack/1.png"):
    ...         (Path(folder) / name).parent.mkdir(exist_ok=True)
    ...         (Path(folder) / name).touch()
    ...     len(load_dataset(Path(folder)).train)
    1
    """
    if protocol not in PROTOCOLS:
        raise DatasetError(f"protocol {protocol!r} is not among {', '.join(PROTOCOLS)}")
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    parts = _read_parts(folder / "parts.csv")
    split_csv = folder.parent / "split_csv" / "1cls.csv"
    if (folder / "train").is_dir():
        found = _load_mvtec(folder, parts)
    elif split_csv.is_file():
        found = _load_visa(folder, split_csv, parts)
    else:
        found = _load_plain(folder, parts)
    if not found.train:
        raise DatasetError(f"{folder}: no normal images to train on")
    return found if protocol == "full" else _disjoint(found, folder)


def read_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a CSV.

    Raises:
        DatasetError: it lacks one of the columns.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        if not set(columns) <= set(rows.fieldnames or ()):
            needed = " and ".join(map(repr, columns))
            raise DatasetError(f"{path}: the columns {needed} are needed")
        return list(rows)


def _load_mvtec(folder: Path, parts: Mapping[Path, str]) -> Dataset:
    good = [d for d in _folders(folder / "train") if d.name.lower() in NORMAL_NAMES]
    train = [_normal(p, parts) for d in good or [folder / "train"] for p in list_images(d)]
    test: list[Sample] = []
    for kind in _folders(folder / "test"):
        if kind.name.lower() in NORMAL_NAMES:
            test += [_normal(p, parts) for p in list_images(kind)]
        else:
            truth = folder / "ground_truth" / kind.name
            test += [
                Sample(p, kind.name, True, _find_mask(truth, p.stem), parts.get(p))
                for p in list_images(kind)
            ]
    return Dataset(folder.name, tuple(train), tuple(test))


def _load_visa(folder: Path, split_csv: Path, parts: Mapping[Path, str]) -> Dataset:
    root = split_csv.parent.parent
    train: list[Sample] = []
    test: list[Sample] = []
    for row in read_table(split_csv):
        if row.get("object") != folder.name:
            continue
        path = root / row["image"]
        if row["label"].lower() in NORMAL_NAMES:
            (train if row["split"] == "train" else test).append(_normal(path, parts))
        else:
            mask = root / row["mask"] if row.get("mask") else None
            test.append(Sample(path, row["label"], True, mask, parts.get(path)))
    return Dataset(folder.name, tuple(train), tuple(test))


def _load_plain(folder: Path, parts: Mapping[Path, str]) -> Dataset:
    kinds = _folders(folder)
    normal = [d for d in kinds if d.name.lower() in NORMAL_NAMES]
    if not kinds:
        return Dataset(folder.name, tuple(_normal(p, parts) for p in list_images(folder)), ())
    if not normal:
        raise DatasetError(
            f"{folder}: none of its folders ({', '.join(d.name for d in kinds)}) is named "
            f"{', '.join(sorted(NORMAL_NAMES))}; expected one folder per class, one of them normal"
        )
    samples = [_normal(p, parts) for d in normal for p in list_images(d)]
    kept = {s.path for s in samples if _fraction(s.group or s.path.name) < PLAIN_TEST_SHARE}
    test = [s for s in samples if s.path in kept]
    for kind in kinds:
        if kind not in normal:
            test += [Sample(p, kind.name, True, None, parts.get(p)) for p in list_images(kind)]
    return Dataset(folder.name, tuple(s for s in samples if s.path not in kept), tuple(test))


def _disjoint(found: Dataset, folder: Path) -> Dataset:
    if not any(s.group for s in found.train):
        raise DatasetError(f"{folder}: the disjoint protocol needs parts.csv (path, class, part)")
    return found.without_tested_parts()


def _read_parts(path: Path) -> dict[Path, str]:
    if not path.is_file():
        return {}
    return {path.parent / row["path"]: row["part"] for row in read_table(path, "path", "part")}


def _find_mask(truth: Path, stem: str) -> Path | None:
    for name in (f"{stem}_mask", stem):
        for suffix in (".png", *sorted(IMAGE_SUFFIXES - {".png"})):
            if (truth / (name + suffix)).is_file():
                return truth / (name + suffix)
    return None


def _normal(path: Path, parts: Mapping[Path, str]) -> Sample:
    return Sample(path, GOOD, False, None, parts.get(path))


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(d for d in folder.iterdir() if d.is_dir() and not d.name.startswith("."))


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _first(samples: Iterable[Sample], most: int) -> list[Sample]:
    ordered = sorted(samples, key=lambda s: _fraction(s.path.name))[:most]
    return sorted(ordered, key=lambda s: s.path)
