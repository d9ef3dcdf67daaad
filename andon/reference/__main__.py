"""Writes the generated documents into ``docs``, or into the folder that is given.

Without a folder also the dashboard, and what the Helm chart makes of the topics and the roles.
"""

import sys
from pathlib import Path

from andon.reference import WRITERS, chart, dashboard


def main() -> None:
    """Write each document whose text has changed, and name it."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    writers = {folder / name: write for name, write in WRITERS.items()}
    if len(sys.argv) == 1:
        for other in (chart, dashboard):
            writers |= {Path(other.FOLDER) / name: write for name, write in other.WRITERS.items()}
    for path, write in writers.items():
        text = write()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path}\n")


main()
