"""An environment of a peer's own under ``.venvs/``: its dependencies never meet ours."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from streams.errors import AndonError


class PeerError(AndonError):
    """The peer cannot be installed or started here; the message says why."""


def make_environment(venv: Path, requirements: Sequence[str], timeout_s: float) -> None:
    """A fresh virtual environment at ``venv`` with ``requirements``, by uv.

    Raises:
        PeerError: no ``uv``, no registry, or the installation failed.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise PeerError(f"uv is not on the path; it makes {venv}")
    for command in (
        [uv, "venv", "-q", "--clear", "--python", sys.executable, str(venv)],
        [uv, "pip", "install", "-q", "--python", str(venv / "bin" / "python"), *requirements],
    ):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PeerError(f"{' '.join(command[:3])}: {error}") from error
        if done.returncode != 0:
            raise PeerError(f"{' '.join(command[:3])}: {done.stderr.strip()[-400:]}")
