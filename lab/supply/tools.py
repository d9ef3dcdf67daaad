"""Other people's tools for that, in an environment of their own under ``.venvs/``."""

from pathlib import Path
from typing import Final

from lab.peers.environment import programs_of

VENV: Final = Path(".venvs/supply")
HASHED: Final = Path(__file__).with_name("tools.txt")
"""Their versions with the hash of every file; uv compiles it (``CONTRIBUTING.md``)."""


def programs() -> Path:
    """The folder with ``cyclonedx-py`` and ``pip-audit``; made when absent.

    Raises:
        PeerError: no ``uv``, no registry, or the installation failed.
    """
    return programs_of(VENV, ["--require-hashes", "--only-binary", ":all:", "-r", str(HASHED)])
