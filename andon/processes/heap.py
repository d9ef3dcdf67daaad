"""What a process loaded at its start is left alone by the collector of cycles."""

import gc


def settle_heap() -> None:
    """Call it once, before the process says that it works.

    What is there now stays: modules, models, schemas. A full collection would look at all of it
    again and again, 100 ms in which the event loop stands still.
    """
    gc.collect()
    gc.freeze()
