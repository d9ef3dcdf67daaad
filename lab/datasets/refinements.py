"""Refinements of a published data set, as rules that are checked: merged, excluded, relabelled.

The rules are data (``lab/datasets/data/*.yaml``, or a file of one's own): where the paper does not
determine one, the file says so, and what the rules give is compared with the released counts.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.datasets.folders import Dataset, DatasetError

DATA: Final = Path(__file__).parent / "data"
Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ObjectRules(_Strict):
    """Rules of one object. Paths are relative to the object's folder, with forward slashes."""

    merge: dict[str, tuple[str, ...]] = {}
    """New (or kept) class -> classes that become it."""
    move: dict[str, str] = {}
    """Picture -> its right class."""
    remove: tuple[str, ...] = ()
    """Pictures left out."""
    train: Count | None = None
    """Normal training pictures of the published data set."""
    published: dict[str, Count] | None = None
    """Test pictures by class, before the rules."""
    released: dict[str, Count] | None = None
    """Test pictures by class that the authors scored."""


class Rules(_Strict):
    """One refinement of one data set."""

    name: str
    layout: Literal["mvtec", "visa"]
    source: str = ""
    remove_objects: tuple[str, ...] = ()
    exclude_classes: tuple[str, ...] = ()
    fewest: Annotated[int, Field(ge=1)] = 1
    """Classes with fewer test pictures are left out."""
    underivable: tuple[str, ...] = ()
    """What was refined too and is not published."""
    objects: dict[str, ObjectRules]


@dataclass(frozen=True)
class CountDifference:
    """One class for which the rules do not give what the authors scored."""

    object: str
    class_name: str
    derived: int
    released: int

    def __str__(self) -> str:
        return f"{self.object}/{self.class_name}: {self.derived} pictures, released {self.released}"


def load_rules(path: Path) -> Rules:
    """Read a refinement.

    Raises:
        DatasetError: not there, or not of this form; names the field.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Rules.model_validate(document)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise DatasetError(f"{path}: not YAML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DatasetError(f"{path}: {where}: {first['msg']}") from None


def shipped(name: str) -> Rules:
    """The refinement that comes with Andon: ``mvtec_ac`` or ``visa_ac``."""
    return load_rules(DATA / f"{name}.yaml")


def refine(dataset: Dataset, folder: Path, rules: Rules) -> Dataset:
    """The data set after the rules of its object; pictures keep their order.

    Raises:
        DatasetError: a picture that a rule names is not there.
    """
    own = rules.objects.get(dataset.name, ObjectRules())
    move = {folder / name: label for name, label in own.move.items()}
    remove = {folder / name for name in own.remove}
    absent = sorted({*move, *remove} - {s.path for s in dataset.test})
    if absent:
        raise DatasetError(f"{absent[0]}: named by a rule, but not in the test set")
    target = {old: new for new, olds in own.merge.items() for old in olds}
    test = []
    for sample in dataset.test:
        if sample.path not in remove and sample.label not in rules.exclude_classes:
            label = move.get(sample.path, sample.label)
            test.append(replace(sample, label=target.get(label, label)))
    counts = Counter(s.label for s in test)
    kept = [s for s in test if not s.anomalous or counts[s.label] >= rules.fewest]
    return replace(dataset, test=tuple(kept))


def is_refined(dataset: Dataset, rules: Rules) -> bool:
    """Whether the folder holds the released data set itself: exactly its counts."""
    own = rules.objects.get(dataset.name)
    return own is not None and own.released is not None and dataset.counts == own.released


def differences(datasets: Mapping[str, Dataset], rules: Rules) -> list[CountDifference]:
    """Every class whose derived count is not the released one."""
    found = []
    for name, dataset in datasets.items():
        own = rules.objects.get(name)
        if own is None or own.released is None:
            continue
        have, want = dataset.counts, Counter(own.released)
        for label in sorted(have | want):
            if have[label] != want[label]:
                found.append(CountDifference(name, label, have[label], want[label]))
    return found


def check_published(dataset: Dataset, folder: Path, own: ObjectRules) -> None:
    """Whether the folder is complete.

    Raises:
        DatasetError: names the class folder, or the first file, that is missing.
    """
    have = dataset.counts
    for label, wanted in (own.published or {}).items():
        if have[label] != wanted:
            raise DatasetError(_shortage(folder / "test" / label, have[label], wanted))
    extra = sorted(have.keys() - (own.published or have).keys())
    if extra:
        raise DatasetError(
            f"{folder / 'test' / extra[0]}: no such class in the published data set "
            f"({', '.join(own.published or ())})"
        )
    if own.train is not None and len(dataset.train) != own.train:
        raise DatasetError(_shortage(folder / "train" / "good", len(dataset.train), own.train))


def _shortage(folder: Path, have: int, wanted: int) -> str:
    if not folder.is_dir():
        return f"{folder}: no such folder; the published data set has {wanted} pictures there"
    names = {p.stem for p in folder.iterdir()}
    absent = [f"{i:03d}.png" for i in range(wanted) if f"{i:03d}" not in names]
    missing = f"; missing: {', '.join(absent[:5])}" if absent else ""
    return f"{folder}: {have} pictures, the published data set has {wanted}{missing}"
