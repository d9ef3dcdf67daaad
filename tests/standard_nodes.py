"""OPC UA's standard nodes, built once for all servers of a run of the tests.

asyncua builds its 6,000 standard nodes for every server, in a second of CPU; from a shelf, its own
way for slow devices, a server reads those that are asked for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from asyncua import Server


@contextmanager
def standard_nodes_kept(folder: Path) -> Iterator[None]:
    """The first server makes the shelf; every server begun after it reads from there."""
    shelf, init = folder / "standard-nodes", Server.init
    was_made = False

    async def from_shelf(self: Server, shelf_file: Path | None = None) -> None:
        nonlocal was_made
        is_there = shelf.is_file() or shelf.with_suffix(".db").is_file()
        # where Python's dbm cannot keep one that asyncua finds again, each is built as ever
        await init(self, shelf_file or (shelf if is_there or not was_made else None))
        was_made = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "init", from_shelf)
        yield
