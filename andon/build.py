"""Which build of Andon runs: its version, and the commit that its wheel was made of."""

from functools import cache
from pathlib import Path
from typing import Final

from andon import __version__

COMMIT_FILE: Final = "commit.txt"
"""Beside this file in a wheel, where ``hatch_build.py`` puts it; a checkout has none."""


@cache
def build(folder: Path = Path(__file__).parent) -> str:
    """The version with the commit, as PEP 440 writes a build of one's own.

    Two wheels of one version are told apart by it; a checkout that is installed as it stands says
    its version alone.

    >>> build(Path("/nowhere")) == __version__
    True
    """
    try:
        commit = (folder / COMMIT_FILE).read_text(encoding="utf-8").strip()
    except OSError:
        commit = ""
    return f"{__version__}+g{commit}" if commit else __version__
