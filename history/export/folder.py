"""A folder that is there only once it is whole, and names of the folders inside it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from history.errors import HistoryError
from streams.names import derived_key, is_portable


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A draft beside ``folder`` that takes its place at the end; nothing is left after an error.

    Raises:
        HistoryError: ``folder`` holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HistoryError(f"{folder} is not empty: name a folder that is new or empty")
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class FolderNames:
    """Folders for the products and classes of one export, by name.

    A folder is called as the name is where every file system takes that, and no other folder of the
    export is called so but for case; else by a key that derives from the name.

    >>> folders = FolderNames("good")
    >>> folders.of("lötfehler"), folders.of("Good"), folders.of("AB/12")
    ('lötfehler', 'good--c939327ca16dcf97', 'ab-12--500592c237f9a956')
    """

    def __init__(self, *taken: str) -> None:
        self._names = {name.casefold(): name for name in taken}

    def of(self, name: str) -> str:
        """The folder of a name; the same for the same name."""
        if is_portable(name) and self._names.setdefault(name.casefold(), name) == name:
            return name
        return derived_key(name)
