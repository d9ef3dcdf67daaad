"""Tells the wheel from which commit it is built: hatchling runs this for ``uv build --wheel``."""

import os
import subprocess
from pathlib import Path
from typing import Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMMIT_FILE: Final = "andon/commit.txt"
"""In the wheel alone; ``andon.build`` reads it."""
SHOWN: Final = 10
"""Hexadecimal digits of a commit that are told."""


class CommitHook(BuildHookInterface):
    """Puts the commit beside the code; a checkout that is installed as it stands changes with each
    commit, and gets none."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        commit = "" if version == "editable" else commit_of(Path(self.root))
        if commit:
            file = Path(self.directory) / "commit.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{commit}\n", encoding="utf-8")
            build_data["force_include"] = {str(file): COMMIT_FILE}

    def finalize(self, version: str, build_data: dict[str, object], artifact_path: str) -> None:
        (Path(self.directory) / "commit.txt").unlink(missing_ok=True)


def commit_of(root: Path) -> str:
    """The commit of the checkout at ``root``, with ``.changed`` where files differ from it; where
    git knows none, as in an image's builder, what ``BUILD_COMMIT`` says."""
    if Path(_git(root, "rev-parse", "--show-toplevel") or os.devnull).resolve() != root.resolve():
        return os.environ.get("BUILD_COMMIT", "")[:SHOWN]  # not the repository that it lies in
    commit = _git(root, "rev-parse", "HEAD")[:SHOWN]
    return commit + ".changed" * bool(_git(root, "status", "--porcelain", "-uno"))


def _git(root: Path, *words: str) -> str:
    try:
        asked = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
    except OSError:  # no git
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""
