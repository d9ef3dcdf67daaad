"""Names of the files that a command writes for the pictures it was given: no two are the same."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from serving.bundles import digest_of

LONGEST: Final = 200
"""Characters of a name; file systems take 255 bytes."""
_PARTS: Final = 2


def output_names(pictures: Sequence[Path]) -> dict[Path, str]:
    """A file name for each picture: its folder and stem, and as much more as tells it apart.

    Folders further up are added where two names would be one, then the ending, then a digest of
    the whole path. Case does not tell names apart: not every file system keeps it.

    >>> list(output_names([Path("test/good/0.png"), Path("train/good/0.png")]).values())
    ['test_good_0.png', 'train_good_0.png']
    """
    unique = list(dict.fromkeys(pictures))
    deepest = max((len(path.parts) for path in unique), default=0)
    found: dict[Path, str] = {}
    for count in range(_PARTS, max(deepest, _PARTS) + 1):
        _take_unique({p: _name(p, count) for p in unique if p not in found}, found)
    _take_unique({p: _name(p, _PARTS, p.suffix) for p in unique if p not in found}, found)
    for path in unique:
        if path not in found:
            found[path] = f"{_name(path, _PARTS)}_{digest_of(str(path).encode())[:12]}"
    return {path: found[path] + ".png" for path in unique}


def _take_unique(names: dict[Path, str], found: dict[Path, str]) -> None:
    """Keep the names that no other picture has, now or before."""
    taken = {name.casefold() for name in found.values()}
    counts = Counter(name.casefold() for name in names.values())
    for path, name in names.items():
        if counts[name.casefold()] == 1 and name.casefold() not in taken and len(name) <= LONGEST:
            found[path] = name


def _name(path: Path, count: int, ending: str = "") -> str:
    parts = [part for part in path.parts[-count:-1] if part.strip("/\\.")]
    return "_".join([*parts, path.stem + ending.replace(".", "_")])[-LONGEST:]
