"""COCO's compressed run lengths of a mask, read without trust: the text comes from outside.

pycocotools' own reader takes the declared size on faith and writes past its memory when the runs
add up to more.
"""

import numpy as np
import numpy.typing as npt

_MOST_GROUPS = 7
"""Characters of one number: 35 bits, more than any mask has cells."""

Runs = npt.NDArray[np.int64]


def read_runs(text: str, cells: int) -> Runs | None:
    """The lengths of the runs, outside and inside by turns; None when the text is damaged.

    They add up to ``cells``: only then may memory be set aside for the mask.

    >>> read_runs("23", 5)
    array([2, 3])
    >>> read_runs("23", 6) is None
    True
    """
    try:
        values = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        return None
    if values.size == 0 or values.min() < 0 or values.max() > 63:
        return None
    ends = np.flatnonzero(values & 0x20 == 0)
    if ends.size == 0 or ends[-1] != values.size - 1:
        return None
    starts = np.concatenate(([0], ends[:-1] + 1))
    groups = ends - starts + 1
    if groups.max() > _MOST_GROUPS:
        return None
    shift = 5 * (np.arange(values.size) - np.repeat(starts, groups))
    numbers = np.add.reduceat((values & 0x1F) << shift, starts)
    negative = values[ends] & 0x10 != 0
    numbers[negative] -= np.left_shift(np.int64(1), 5 * groups[negative])
    # From the fourth number on each is the difference to the one two before it.
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    if numbers.min() < 0 or numbers.max() > cells or numbers.sum() != cells:
        return None
    return numbers


def cells_inside(runs: Runs) -> npt.NDArray[np.intp]:
    """Column-major indices of the cells inside the mask.

    >>> cells_inside(np.array([2, 3]))
    array([2, 3, 4])
    """
    lengths, begins = runs[1::2], np.cumsum(runs)[: runs.size - 1 : 2]
    before = np.cumsum(lengths) - lengths
    return np.asarray(
        np.arange(lengths.sum()) + np.repeat(begins[: lengths.size] - before, lengths), np.intp
    )
