"""A folder that is there only once it is whole."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from history.errors import HistoryError


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
