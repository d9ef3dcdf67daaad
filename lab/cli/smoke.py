"""What the benchmarks' ``--smoke`` runs on: a made-up data set instead of a folder."""

import atexit
import shutil
import tempfile
from pathlib import Path

import typer


def folder_or_smoke(folder: Path | None, smoke: bool) -> Path:
    """The folder given, or a made-up data set that is removed when the process ends.

    The folder around the made-up set is as short-lived: what is learned from it may lie there.

    Raises:
        typer.BadParameter: neither a folder nor ``--smoke`` was given, or both.
    """
    if smoke == (folder is not None):
        raise typer.BadParameter("give either a data set or --smoke")
    if folder is not None:
        return folder
    from lab.datasets.made_up import write_smoke_set

    made = Path(tempfile.mkdtemp(prefix="andon-smoke-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    write_smoke_set(made / "made-up")
    return made / "made-up"
