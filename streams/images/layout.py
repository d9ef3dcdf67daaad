"""How folders of photographs are laid out: which hold normal parts, defects and masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.errors import AndonError
from streams.images.files import is_passed_over, is_picture, list_pictures

NORMAL_NAMES = frozenset({"good", "normal", "nominal", "ok"})
"""Folder names that hold normal parts, compared in lower case."""
DEFECT_NAMES = frozenset(
    {"abnormal", "anomalies", "anomalous", "anomaly", "bad", "broken", "defect", "defective"}
    | {"defects", "fail", "failed", "faulty", "ng", "nok", "reject", "rejected", "rejects", "scrap"}
)
"""Folder names that no normal part is filed under, in lower case."""
MASK_NAMES = frozenset({"ground_truth", "ground truth", "groundtruth", "mask", "masks"})
"""Folder names that hold masks, in lower case."""
_PARTS = "parts.csv"
_NO_PARTS = DEFECT_NAMES | MASK_NAMES | {"test", "validation"}


class LayoutError(AndonError):
    """Which photographs of a folder show normal parts cannot be told; says what stands there."""


@dataclass(frozen=True)
class NormalFolders:
    """Where the normal parts of a folder are."""

    read: Sequence[Path]
    left_out: Sequence[Path] = ()
    """Folders beside them that are not read: defects, tests, masks."""
    taken_whole: Sequence[Path] = ()
    """Subfolders whose names say nothing; all are taken for normal."""

    def words(self) -> str:
        """What to tell the user; empty where there was nothing to decide."""
        if self.left_out:
            taken = ", ".join(map(str, self.read))
            return f"normal parts are those of {taken}; left out: {shortened(self.left_out)}"
        if self.taken_whole:
            return f"all subfolders are taken for normal parts: {shortened(self.taken_whole)}"
        return ""


def child(folder: Path, name: str) -> Path:
    """The subfolder of that name in whatever case; the plain path where there is none."""
    exact = folder / name
    if exact.is_dir() or not folder.is_dir():
        return exact
    return next((d for d in subfolders(folder) if d.name.lower() == name.lower()), exact)


def table_in(folder: Path) -> Path | None:
    """The table ``parts.csv`` of a folder, in whatever case; None where there is none."""
    if not folder.is_dir():
        return None
    alike = [p for p in folder.iterdir() if p.name.lower() == _PARTS and p.is_file()]
    return next((p for p in alike if p.name == _PARTS), next(iter(sorted(alike)), None))


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted; hidden ones and those of systems left out."""
    if not folder.is_dir():
        return []
    return sorted(d for d in folder.iterdir() if d.is_dir() and not is_passed_over(d.name))


def is_normal(folder: Path) -> bool:
    """Whether a folder is named as one of normal parts."""
    return folder.name.lower() in NORMAL_NAMES


def photographs(folder: Path) -> list[Path]:
    """Every photograph under a folder: its pictures without those in folders of masks."""
    return [
        path
        for path in list_pictures(folder)
        if not any(part.lower() in MASK_NAMES for part in path.relative_to(folder).parts[:-1])
    ]


def normal_folders(folder: Path) -> NormalFolders:
    """The folders that hold the normal parts of a data set, or of a folder of photographs.

    A data set's root (``train/``, ``test/``) gives ``train/good``, a folder with one folder for
    each class the normal one. Subfolders of other names are taken whole, unless one is named as a
    defect.

    Raises:
        LayoutError: which photographs are normal cannot be told.
    """
    train = child(folder, "train")
    kinds = subfolders(train if train.is_dir() else folder)
    beside = [d for d in subfolders(folder) if d != train] if train.is_dir() else []
    good = [d for d in kinds if is_normal(d)]
    if good:
        return NormalFolders(good, [*(d for d in kinds if d not in good), *beside])
    if train.is_dir():
        if kinds:
            raise LayoutError(f"{train}: it has {shortened(kinds)}, and no folder is {_expected()}")
        return NormalFolders([train], beside)
    suspect = [d for d in kinds if d.name.lower() in _NO_PARTS]
    if suspect:
        raise LayoutError(f"{folder}: it has {shortened(suspect)}, and no folder is {_expected()}")
    return NormalFolders([folder], [], kinds)


def _expected() -> str:
    return f"named {', '.join(sorted(NORMAL_NAMES))}; give the folder of normal parts itself"


class MaskFolder:
    """A class's masks: ``<stem>_mask.*``, ``<stem>.*``, or a folder ``<stem>`` (MVTec LOCO)."""

    def __init__(self, folder: Path) -> None:
        self._exact: dict[str, Path] = {}
        self._folded: dict[str, Path] = {}
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
        kinds = [p for p in inside if is_picture(p) and p.is_file()]
        for path in sorted(kinds, key=lambda p: (p.suffix.lower() != ".png", p.name)):
            self._add(path.stem, path)
        for path in subfolders(folder):
            if list_pictures(path):
                self._add(path.name, path)

    def of(self, stem: str) -> Path | None:
        """The mask of a photograph, or the folder of its masks; None where there is none."""
        for name in (f"{stem}_mask", stem):
            found = self._exact.get(name) or self._folded.get(name.casefold())
            if found is not None:
                return found
        return None

    def _add(self, stem: str, path: Path) -> None:
        self._exact.setdefault(stem, path)
        self._folded.setdefault(stem.casefold(), path)


def shortened(folders: Sequence[Path]) -> str:
    """Names of folders for a message."""
    names = [d.name for d in folders]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
