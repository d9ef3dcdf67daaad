"""Data sets on disk: MVTec-AD, VisA with its split CSV, and plain folders.

A ``parts.csv`` (columns ``path``, ``class``, ``part``) at the root says which photographs show the
same part; with it the ``disjoint`` protocol keeps every part of the test set out of training.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from streams.errors import AndonError
from streams.images.files import list_pictures
from streams.images.layout import NORMAL_NAMES, MaskFolder, child, photographs, subfolders, table_in
from streams.images.parts import read_parts, require_match
from streams.tables import TableError, TableRow, located
from streams.tables import read_table as read_any_table

log = logging.getLogger(__name__)

GOOD = "good"
"""The label of normal images."""
PROTOCOLS = ("full", "disjoint")
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
    """Grey picture, anomalous above 127, or a folder of such (MVTec LOCO), which are united; None
    for normal images and where there is none."""
    group: str | None = None
    """The part it shows, where known."""

    @property
    def part(self) -> str:
        """The part it shows; one whose part is not known is a part of its own."""
        return self.group or str(self.path)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the file's name, the part, the picture and its mask."""
        masks = [] if self.mask is None else mask_files(self.mask)
        files = [p.read_bytes() for p in (self.path, *masks)]
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
    parts = _read_parts(folder)
    split_csv = folder.parent / "split_csv" / "1cls.csv"
    if child(folder, "train").is_dir():
        found = _load_mvtec(folder, parts)
    elif split_csv.is_file():
        found = _load_visa(folder, split_csv, parts)
    else:
        found = _load_plain(folder, parts)
    if not found.train:
        raise DatasetError(f"{folder}: no normal images to train on")
    _say_masks(found, folder)
    return found if protocol == "full" else _disjoint(found, folder)


def read_table(path: Path, *columns: str) -> tuple[TableRow, ...]:
    """The rows of a table.

    Raises:
        DatasetError: it cannot be read, or lacks one of the columns.
    """
    try:
        return read_any_table(path, *columns).rows
    except TableError as error:
        raise DatasetError(str(error)) from None


def mask_files(place: Path) -> list[Path]:
    """The pictures of a mask: itself, or all in the folder."""
    return list_pictures(place) if place.is_dir() else [place]


def _load_mvtec(folder: Path, parts: Mapping[Path, str]) -> Dataset:
    taught, tested = child(folder, "train"), child(folder, "test")
    good = [d for d in subfolders(taught) if d.name.lower() in NORMAL_NAMES]
    train = [_normal(p, parts) for d in good or [taught] for p in list_pictures(d)]
    test: list[Sample] = []
    for kind in subfolders(tested):
        if kind.name.lower() in NORMAL_NAMES:
            test += [_normal(p, parts) for p in list_pictures(kind)]
        else:
            masks = MaskFolder(child(child(folder, "ground_truth"), kind.name))
            test += [
                Sample(p, kind.name, True, masks.of(p.stem), parts.get(p))
                for p in list_pictures(kind)
            ]
    return Dataset(folder.name, tuple(train), tuple(test))


def _load_visa(folder: Path, split_csv: Path, parts: Mapping[Path, str]) -> Dataset:
    root = split_csv.parent.parent
    train: list[Sample] = []
    test: list[Sample] = []
    for row in read_table(split_csv, "object", "split", "label", "image"):
        if row["object"] != folder.name:
            continue
        path = located(root, row["image"])
        if row["label"].lower() in NORMAL_NAMES:
            (train if row["split"].lower() == "train" else test).append(_normal(path, parts))
        else:
            written = row.values.get("mask")
            mask = located(root, written) if written else None
            test.append(Sample(path, row["label"], True, mask, parts.get(path)))
    return Dataset(folder.name, tuple(train), tuple(test))


def _load_plain(folder: Path, parts: Mapping[Path, str]) -> Dataset:
    kinds = subfolders(folder)
    normal = [d for d in kinds if d.name.lower() in NORMAL_NAMES]
    if not kinds:
        return Dataset(folder.name, tuple(_normal(p, parts) for p in list_pictures(folder)), ())
    if not normal:
        raise DatasetError(
            f"{folder}: none of its folders ({', '.join(d.name for d in kinds)}) is named "
            f"{', '.join(sorted(NORMAL_NAMES))}; expected one folder per class, one of them normal"
        )
    samples = [_normal(p, parts) for d in normal for p in list_pictures(d)]
    kept = {s.path for s in samples if _fraction(s.group or s.path.name) < PLAIN_TEST_SHARE}
    test = [s for s in samples if s.path in kept]
    for kind in kinds:
        if kind not in normal:
            test += [Sample(p, kind.name, True, None, parts.get(p)) for p in list_pictures(kind)]
    return Dataset(folder.name, tuple(s for s in samples if s.path not in kept), tuple(test))


def _disjoint(found: Dataset, folder: Path) -> Dataset:
    if not any(s.group for s in found.train):
        raise DatasetError(f"{folder}: the disjoint protocol needs parts.csv (path, class, part)")
    return found.without_tested_parts()


def _read_parts(folder: Path) -> Mapping[Path, str]:
    table = table_in(folder)
    if table is None:
        return {}
    pictures = photographs(folder)
    try:
        found = require_match(read_parts(table, pictures), pictures)
    except TableError as error:
        raise DatasetError(str(error)) from None
    if found.without or found.unmatched:
        log.warning("%s", found.words())
    return found.groups


def _say_masks(found: Dataset, folder: Path) -> None:
    """Masks that are missing where others are there change what is measured, so they are said."""
    odd = [s for s in found.test if s.anomalous]
    without = [s for s in odd if s.mask is None]
    if without and (len(without) < len(odd) or child(folder, "ground_truth").is_dir()):
        log.warning(
            "%s: %d of %d anomalous pictures have no mask, the first is %s",
            folder,
            len(without),
            len(odd),
            without[0].path,
        )


def _normal(path: Path, parts: Mapping[Path, str]) -> Sample:
    return Sample(path, GOOD, False, None, parts.get(path))


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _first(samples: Iterable[Sample], most: int) -> list[Sample]:
    ordered = sorted(samples, key=lambda s: _fraction(s.path.name))[:most]
    return sorted(ordered, key=lambda s: s.path)
