"""Benchmarks on disk: one object, a folder of objects, and the published sets by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lab.datasets.folders import Dataset, DatasetError, load_dataset, read_table
from lab.datasets.refinements import (
    CountDifference,
    Rules,
    check_published,
    differences,
    is_refined,
    refine,
    shipped,
)
from streams.images.layout import child, subfolders
from streams.tables import located

KINDS: Final = ("auto", "mvtec-ad", "mvtec-ac", "visa", "visa-ac")
_SPLIT: Final = Path("split_csv") / "1cls.csv"
_LABELS: Final = "image_anno.csv"


@dataclass(frozen=True)
class Benchmark:
    """The objects of a benchmark, ready to be evaluated."""

    name: str
    objects: dict[str, Dataset]
    underivable: tuple[str, ...] = ()
    """What the published benchmark has changed besides and nobody can repeat."""
    differences: tuple[CountDifference, ...] = ()
    """Classes whose number of pictures is not that of the authors."""

    @property
    def images(self) -> int:
        """Test pictures in all."""
        return sum(len(d.test) for d in self.objects.values())


def open_benchmark(
    root: Path, kind: str = "auto", objects: Sequence[str] = (), rules: Rules | None = None
) -> Benchmark:
    """Read a benchmark's lists (no pixels).

    Args:
        root: an object's folder, or a folder of objects.
        kind: ``auto`` takes the folders as they are. ``mvtec-ad`` and ``visa`` are checked against
            what was published; ``mvtec-ac`` and ``visa-ac`` are made of them by rules, or, for
            ``mvtec-ac``, read as released where the counts say that it is.
        objects: only these; all when empty.
        rules: a refinement of one's own, instead of the shipped one.

    Raises:
        DatasetError: says which folder or file is missing, or which object does not exist.
    """
    if kind not in KINDS:
        raise DatasetError(f"data set {kind!r} is not among {', '.join(KINDS)}")
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    if kind in ("visa", "visa-ac"):
        return _visa(root, kind, objects, rules)
    if kind in ("mvtec-ad", "mvtec-ac"):
        return _mvtec(root, kind, objects, rules)
    return _as_it_is(root, objects, rules)


def _as_it_is(root: Path, wanted: Sequence[str], rules: Rules | None) -> Benchmark:
    if (root / _SPLIT).is_file():
        return _visa(root, "visa", wanted, rules)
    if (root.parent / _SPLIT).is_file() and not child(root, "train").is_dir():
        return _visa(root.parent, "visa", wanted or [root.name], rules)
    if child(root, "train").is_dir():
        folders = [root]
    else:
        folders = [d for d in subfolders(root) if child(d, "train").is_dir()]
    if not folders:
        found = [load_dataset(root)]
        return Benchmark(root.name, {found[0].name: found[0]})
    chosen = _chosen([d.name for d in folders], wanted, root)
    datasets = {d.name: load_dataset(d) for d in folders if d.name in chosen}
    if rules is not None:
        datasets = {d.name: refine(datasets[d.name], d, rules) for d in folders if d.name in chosen}
    return Benchmark(root.name, datasets)


def _mvtec(root: Path, kind: str, wanted: Sequence[str], given: Rules | None) -> Benchmark:
    rules = given or shipped("mvtec_ac")
    refined = kind == "mvtec-ac"
    names = [n for n in rules.objects if not (refined and n in rules.remove_objects)]
    chosen = _chosen(names, wanted, root)
    for name in chosen:
        for part in ("train/good", "test", "ground_truth"):
            if not (root / name / part).is_dir():
                raise DatasetError(f"{root / name / part}: no such folder; {kind} needs it")
    found = {name: load_dataset(root / name) for name in chosen}
    if refined and all(is_refined(d, rules) for d in found.values()):
        return Benchmark(rules.name, found)
    for name, dataset in found.items():
        check_published(dataset, root / name, rules.objects[name])
    if not refined:
        return Benchmark("MVTec-AD", found)
    derived = _derived(found, root, rules)
    return derived if derived.differences else replace(derived, underivable=())


def _visa(root: Path, kind: str, wanted: Sequence[str], given: Rules | None) -> Benchmark:
    split = root / _SPLIT
    if not split.is_file():
        raise DatasetError(f"{split}: no such file; VisA comes with it (split_csv/1cls.csv)")
    rules = given or shipped("visa_ac")
    in_split = dict.fromkeys(row["object"] for row in read_table(split, "object"))
    chosen = _chosen(list(in_split), wanted, root)
    found = {name: _labelled(load_dataset(root / name), root, name) for name in chosen}
    if kind == "visa" and given is None:
        return Benchmark("VisA", found)
    return _derived(found, root, rules)


def _derived(found: Mapping[str, Dataset], root: Path, rules: Rules) -> Benchmark:
    derived = {name: refine(d, root / name, rules) for name, d in found.items()}
    left = tuple(differences(derived, rules))
    return Benchmark(f"{rules.name} (derived)", derived, rules.underivable, left)


def _labelled(dataset: Dataset, root: Path, name: str) -> Dataset:
    """The anomalous pictures under their own labels; several labels of one are one class."""
    path = root / name / _LABELS
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; it holds VisA's anomaly classes")
    labels = {}
    for row in read_table(path, "image", "label"):
        parts = (part.strip() for part in row["label"].split(","))
        labels[located(root, row["image"])] = ", ".join(part for part in parts if part)
    test = []
    for sample in dataset.test:
        if sample.anomalous and sample.path not in labels:
            raise DatasetError(f"{path}: no label for {sample.path.relative_to(root)}")
        test.append(replace(sample, label=labels[sample.path]) if sample.anomalous else sample)
    absent = [s.path for s in (*dataset.train, *test) if not s.path.is_file()]
    if absent:
        raise DatasetError(f"{absent[0]}: in the split, but not on disk ({len(absent)} missing)")
    return replace(dataset, test=tuple(test))


def _chosen(names: Sequence[str], wanted: Sequence[str], root: Path) -> list[str]:
    unknown = [n for n in wanted if n not in names]
    if unknown:
        raise DatasetError(f"{root}: no object {unknown[0]!r}; there are {', '.join(names)}")
    return [n for n in names if not wanted or n in wanted]
