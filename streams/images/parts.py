"""Which photographs show one part, as a table of paths and parts says."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from streams.tables import TableError, read_table, spellings


@dataclass(frozen=True)
class PartsOfPictures:
    """What a table says of some photographs."""

    table: Path
    groups: Mapping[Path, str]
    """Part by photograph, for those that the table names."""
    rows: int
    """Rows of the table."""
    without: int
    """Photographs that no row names; each is a part of its own."""
    unmatched: int
    """Rows that name none of the photographs."""

    def words(self) -> str:
        """What to tell the user."""
        said = f"{self.table}: parts of {len(self.groups)} photographs"
        if self.without:
            said += f"; {self.without} photographs have no row, each is a part of its own"
        if self.unmatched:
            said += f"; {self.unmatched} of {self.rows} rows name none of these photographs"
        return said


def read_parts(
    table: Path, pictures: Sequence[Path], roots: Iterable[Path] = (), by_name: bool = False
) -> PartsOfPictures:
    """Match the rows of a CSV (``path``, ``part``) with photographs.

    Args:
        table: paths in it are absolute, or relative to its folder, or to one of ``roots``.
        pictures: the photographs; keys of the answer are these paths.
        roots: other folders that paths may be relative to.
        by_name: a row whose path is not found counts for the one photograph of its file name.

    Raises:
        TableError: it cannot be read, a row has no part or contradicts another.
    """
    found = read_table(table, "path", "part")
    by_key = {_key(picture): picture for picture in pictures}
    folded = Counter(key.casefold() for key in by_key)
    by_key |= {k.casefold(): p for k, p in by_key.items() if folded[k.casefold()] == 1}
    names = Counter(picture.name for picture in pictures)
    by_name_alone = {p.name: p for p in pictures if by_name and names[p.name] == 1}
    bases = [table.parent, *roots]
    groups: dict[Path, str] = {}
    unmatched = 0
    for row in found.rows:
        if not row["path"] or not row["part"]:
            raise TableError(f"{found.at(row)}: no {'part' if row['path'] else 'path'}")
        picture = _match(row["path"], bases, by_key) or _match_name(row["path"], by_name_alone)
        if picture is None:
            unmatched += 1
        elif groups.setdefault(picture, row["part"]) != row["part"]:
            raise TableError(
                f"{found.at(row)}: {row['path']} is part {row['part']!r} here and "
                f"{groups[picture]!r} before"
            )
    without = len(set(by_key.values())) - len(groups)
    return PartsOfPictures(table, groups, len(found.rows), without, unmatched)


def require_match(
    found: PartsOfPictures, pictures: Sequence[Path], of_others: bool = False
) -> PartsOfPictures:
    """Refuse a table that names none of the photographs: it would group nothing.

    Args:
        found: what the table says.
        pictures: the photographs.
        of_others: whether it may name other files, all of which are there: those of another folder
            of the data set.

    Raises:
        TableError: it has rows, and none matches; names the first of each.
    """
    if found.rows and pictures and not found.groups:
        rows = read_table(found.table, "path", "part").rows
        if of_others and all(_is_there(row["path"], found.table.parent) for row in rows):
            return found
        row = rows[0]
        raise TableError(
            f"{found.table}:{row.line}: none of its {found.rows} rows names one of the "
            f"{len(pictures)} photographs: it says {row['path']!r}, a photograph is "
            f"{str(pictures[0])!r}; paths are relative to the table's folder"
        )
    return found


def _is_there(written: str, base: Path) -> bool:
    return any((base / text).is_file() for text in spellings(written))


def _match(written: str, bases: Sequence[Path], by_key: Mapping[str, Path]) -> Path | None:
    for base in bases:
        for text in spellings(written):
            key = _key(base / text)
            picture = by_key.get(key) or by_key.get(key.casefold())
            if picture is not None:
                return picture
    return None


def _match_name(written: str, by_name: Mapping[str, Path]) -> Path | None:
    names = (PurePath(text).name for text in spellings(written))
    return next((by_name[name] for name in names if name in by_name), None)


def _key(path: PurePath) -> str:
    """The same for all spellings of a path."""
    return unicodedata.normalize("NFC", os.path.abspath(path))
