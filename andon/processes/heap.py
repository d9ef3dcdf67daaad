"""What a process loaded at its start is left alone by the collector of cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Import within it: the collector does not look at what modules make, neither now nor later.

    It took a tenth of a start's CPU time, and a full collection as much again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def settle_heap() -> None:
    """Call it once, before the process says that it works.

    What is there now stays: modules, models, schemas. A full collection would look at all of it
    again and again, 100 ms in which the event loop stands still.
    """
    gc.collect()
    gc.freeze()
