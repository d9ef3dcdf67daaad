"""Which labelled pictures teach the local classifier, and which are left to be scored."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from lab.velm.pipeline import Item, ObjectRun, PipelineError

T = TypeVar("T")


def split_exemplars(run: ObjectRun, shots: int, seed: int) -> ObjectRun:
    """Take ``shots`` exemplars of each class from half of its parts; score the other parts.

    A picture without a part in ``parts.csv`` is a part of its own. Normal pictures are all scored.

    Raises:
        PipelineError: a class with a single part.
    """
    rng = np.random.default_rng(seed)
    exemplars: list[Item] = []
    scored = [i for i in run.items if not i.sample.anomalous]
    for label in sorted({i.sample.label for i in run.items if i.sample.anomalous}):
        ours = [i for i in run.items if i.sample.anomalous and i.sample.label == label]
        parts = sorted({i.sample.part for i in ours})
        if len(parts) < 2:
            raise PipelineError(
                f"{run.name}: class {label!r} shows one part only; the local classifier needs "
                "exemplars and pictures of other parts (two at least): use --classifier velm"
            )
        taught = [parts[i] for i in rng.permutation(len(parts))[: max(1, len(parts) // 2)]]
        exemplars += in_turns([[i for i in ours if i.sample.part == part] for part in taught])[
            :shots
        ]
        scored += [i for i in ours if i.sample.part not in taught]
    order = {item.key: n for n, item in enumerate(run.items)}
    scored.sort(key=lambda i: order[i.key])
    return replace(run, items=tuple(scored), exemplars=tuple(exemplars))


def in_turns(piles: Sequence[Sequence[T]]) -> list[T]:
    """One of each pile first, then a second of each: as different as the piles allow.

    >>> in_turns([["a1", "a2", "a3"], ["b1"]])
    ['a1', 'b1', 'a2', 'a3']
    """
    deepest = max(len(pile) for pile in piles)
    return [pile[turn] for turn in range(deepest) for pile in piles if turn < len(pile)]
