"""Writes the generated documents into ``docs``, or into the folder that is given."""

import sys
from pathlib import Path

from andon.reference import WRITERS


def main() -> None:
    """Write each document whose text has changed, and name it."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for name, write in WRITERS.items():
        path, text = folder / name, write()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path}\n")


main()
