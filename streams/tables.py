"""One reader of tables and lists that people write: any encoding, delimiter and path separator."""

import csv
import io
import logging
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from streams.errors import AndonError

log = logging.getLogger(__name__)

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_DELIMITERS = ",;\t|"
_GUESSED = ("windows-1252", "latin-1")
"""Encodings that take any bytes: whether they are right, nobody can tell."""
_MOST_BYTES = 64 << 20
"""Largest table read, bytes."""
_QUOTES = "\"'"


class TableError(AndonError):
    """A table or list cannot be used; the message names file, line and encoding."""


@dataclass(frozen=True)
class TableRow:
    """One row below the heading."""

    line: int
    """Line of the file, from 1."""
    values: Mapping[str, str]
    """By column, as the reader asked for it or as the heading has it; without blanks around."""

    def __getitem__(self, column: str) -> str:
        return self.values[column]


@dataclass(frozen=True)
class TextTable:
    """A table with a heading."""

    path: Path
    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def at(self, row: TableRow) -> str:
        """Where a row stands, for messages."""
        return f"{self.path}:{row.line}"


def read_table(path: Path, *needed: str) -> TextTable:
    """Read a table of comma-, semicolon-, tab- or bar-separated values.

    Args:
        path: a file of text: UTF-8, UTF-16 or UTF-32, else Windows-1252.
        needed: columns that must be there; capitals and blanks do not matter.

    Raises:
        TableError: it cannot be read, a column is missing, or a row is longer or shorter than the
            heading.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "parts.csv").write_text("Path;Part\\na.png;7\\n", "utf-8-sig")
    ...     read_table(Path(folder) / "parts.csv", "path", "part").rows[0]["part"]
    '7'
    """
    text, encoding = read_text(path)
    said = f"read as {encoding}"
    first = next((line for line in text.splitlines() if line.strip()), "")
    skipped = first.lower().startswith("sep=")
    heading = (
        next((li for li in text.splitlines()[skipped:] if li.strip()), "") if skipped else first
    )
    if not heading:
        raise TableError(f"{path}:1: empty; a heading with {_named(needed)} is needed")
    delimiter = _delimiter(heading, needed)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: tuple[str, ...] = ()
    rows: list[TableRow] = []
    try:
        for values in reader:
            cells = [value.strip() for value in values]
            if not any(cells) or (not columns and values[0].lower().startswith("sep=")):
                continue
            if not columns:
                columns = _columns(path, reader.line_num, cells, needed, f"{said}, {delimiter!r}")
                continue
            if len(cells) != len(columns):
                raise TableError(
                    f"{path}:{reader.line_num}: {len(cells)} values, but the heading has "
                    f"{len(columns)} ({said}, separated by {delimiter!r})"
                )
            rows.append(TableRow(reader.line_num, dict(zip(columns, cells, strict=True))))
    except csv.Error as error:
        raise TableError(f"{path}:{reader.line_num}: {error} ({said})") from None
    return TextTable(path, encoding, delimiter, columns, tuple(rows))


def read_text(path: Path) -> tuple[str, str]:
    """A file's text without byte order mark, and the encoding that it was read as.

    Raises:
        TableError: it cannot be opened, is too large, or is no text.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TableError(f"{path}: over {_MOST_BYTES >> 20} MiB; split the table")
        data = path.read_bytes()
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}") from None
    text, encoding = _decoded(path, data)
    if encoding in _GUESSED:
        log.warning("%s: no UTF-8, so it is read as %s; are its letters right?", path, encoding)
    bad = next((i for i, c in enumerate(text) if c < " " and c not in "\t\r\n\f"), None)
    if bad is not None:
        line = text.count("\n", 0, bad) + 1
        raise TableError(f"{path}:{line}: no text: character {ord(text[bad])} (read as {encoding})")
    return text, encoding


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of every line of a list that says something.

    Raises:
        TableError: it cannot be read as text.
    """
    text, _ = read_text(path)
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line


def spellings(written: str) -> Iterator[str]:
    """A path as it stands in a table, and as this machine may spell it.

    >>> list(spellings('"a\\\\b.png" '))[-1]
    'a/b.png'
    """
    seen = set()
    bare = written.strip()
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in _QUOTES:
        bare = bare[1:-1]
    for text in (written, written.strip(), bare, bare.replace("\\", "/")):
        for form in (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)):
            if form and form not in seen:
                seen.add(form)
                yield form


def located(base: Path, written: str) -> Path:
    """The file that a table names, relative to ``base``; its likeliest path where it is absent.

    Separators, quotes, composed letters and the case of the name may differ from the disk's.
    """
    found = base / written
    for text in spellings(written):
        found = base / text
        if is_file(found):
            return found
    return _listing(found.parent).get(found.name.casefold(), found)


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file system takes is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


@lru_cache(maxsize=64)
def _listing(folder: Path) -> Mapping[str, Path]:
    """The files of a folder by name without case, where that is unambiguous."""
    found: dict[str, Path] = {}
    twice: set[str] = set()
    try:
        for path in folder.iterdir():
            name = path.name.casefold()
            (twice.add(name) if name in found else found.setdefault(name, path))
    except (OSError, ValueError):
        return {}
    return {name: path for name, path in found.items() if name not in twice}


def _decoded(path: Path, data: bytes) -> tuple[str, str]:
    named = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    named = named or _unmarked_utf_16(data)
    for encoding in (named,) if named else ("utf-8", "windows-1252"):
        try:
            if encoding == "utf-8-sig":
                data = data[3:]
            return data.decode(encoding), encoding
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            message = f"{path}:{line}: byte {data[error.start]:#04x} is no {encoding}"
    if named is None:
        return data.decode("latin-1"), "latin-1"
    raise TableError(f"{message}; save it as UTF-8")


def _unmarked_utf_16(data: bytes) -> str | None:
    """UTF-16 without a mark has a zero in every other byte of its ASCII."""
    head = data[:200]
    if len(head) < 4 or b"\x00" not in head:
        return None
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) < len(head) // 4:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _delimiter(heading: str, needed: tuple[str, ...]) -> str:
    """The one that gives the needed columns, else the one that occurs most."""
    for delimiter in _DELIMITERS:
        named = {_plain(column) for column in heading.split(delimiter)}
        if {_plain(name) for name in needed} <= named and delimiter in heading:
            return delimiter
    return max(_DELIMITERS, key=heading.count)


def _columns(
    path: Path, line: int, cells: list[str], needed: tuple[str, ...], said: str
) -> tuple[str, ...]:
    wanted = {_plain(name): name for name in needed}
    columns = tuple(wanted.get(_plain(cell), cell) for cell in cells)
    missing = [name for name in needed if name not in columns]
    if missing:
        raise TableError(
            f"{path}:{line}: no column {_named(tuple(missing))}; it has {_named(tuple(cells))} "
            f"({said})"
        )
    twice = next((c for c in columns if c and columns.count(c) > 1), None)
    if twice is not None:
        raise TableError(f"{path}:{line}: two columns are called {twice!r} ({said})")
    return columns


def _plain(name: str) -> str:
    return name.strip().strip(_QUOTES).strip().casefold()


def _named(names: tuple[str, ...]) -> str:
    return " and ".join(repr(name) for name in names) or "names"
