"""An environment of a peer's own under ``.venvs/``: its dependencies never meet ours."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.stack.process import ProcessError
from infra.stack.server import run_to_end
from streams.errors import AndonError


class PeerError(AndonError):
    """The peer cannot be installed or started here; the message says why."""


def programs_of(venv: Path, requirements: Sequence[str], timeout_s: float = 900.0) -> Path:
    """The folder of an environment's programs; made with ``requirements``, by uv, when absent.

    Raises:
        PeerError: no ``uv``, no registry, or the installation failed.
    """
    programs = venv / "bin"
    if (venv / "ready").is_file():
        return programs
    uv = uv_program(f"it makes {venv}")
    make = [uv, "venv", "-q", "--clear", "--python", sys.executable, str(venv)]
    fill = [uv, "pip", "install", "-q", "--python", str(programs / "python"), *requirements]
    for command in (make, fill):
        try:
            run_to_end(command, timeout_s)
        except (OSError, ProcessError) as error:
            raise PeerError(str(error)) from error
    (venv / "ready").touch()
    return programs


def uv_program(why: str) -> str:
    """uv on the path, or where ``infra/setup.sh`` puts it; ``why`` says what it is needed for.

    Raises:
        PeerError: there is none.
    """
    uv = shutil.which("uv", path=f"{os.environ['PATH']}{os.pathsep}{sys.prefix}-tools/bin")
    if uv is None:
        raise PeerError(f"uv is not on the path; {why}")
    return uv
