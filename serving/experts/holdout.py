"""Hold-out: every normal scored by heads that never saw its group, beside synthetic anomalies."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch

from serving.experts.calibration import Scores
from serving.experts.errors import TrainingError
from serving.experts.fusion import fuse_surprises, head_reference, head_surprise, peak_and_spread
from serving.experts.heads import HEADS, FitInput, Head
from serving.experts.options import Progress, TrainOptions
from serving.experts.types import Floats, Rows

_PRIOR = 8
"""Cell statistics are shrunk to those of all cells as if by so many more normals."""
_BATCH = 8
"""Small, so that intermediate arrays are reused instead of mapped anew."""


Cells = tuple[torch.Tensor, torch.Tensor]


class Held:
    """Scores and maps from heads that never saw the image's group.

    For calibration, maps are in deviations of the other folds' normals: divided by deviations that
    they had a share in, the oddest would look tamer than the next part that is as odd.
    """

    def __init__(self) -> None:
        self.maps: dict[str, Floats] = {}
        self.odd_maps: dict[str, Floats] = {}
        self.cells: dict[str, Cells] = {}
        """Mean and inverse deviation of each cell, (h, w), over all held-out normals."""
        self.references: dict[str, Scores] = {}
        self.plain_surprise: dict[str, Scores] = {}
        self.normal_surprise: dict[str, Scores] = {}
        self.odd_surprise: dict[str, Scores] = {}
        self.first: dict[str, tuple[Head, Cells]] = {}
        """Heads that have not seen the first fold, with the cells' statistics of the others."""


def make_folds(names: Sequence[str], folds: int, seed: int) -> list[Rows]:
    """Rows of each fold; a group is never split.

    Raises:
        TrainingError: fewer groups than folds.
    """
    unique = sorted(set(names))
    if len(unique) < folds:
        raise TrainingError(
            f"{len(unique)} groups cannot be held out in {folds} folds; "
            "give photographs of more parts"
        )
    order = np.random.default_rng(seed).permutation(len(unique))
    fold_of = {unique[g]: i % folds for i, g in enumerate(order)}
    assigned = np.array([fold_of[name] for name in names])
    return [np.flatnonzero(assigned == i) for i in range(folds)]


def hold_out(
    normals: FitInput,
    changed: FitInput | None,
    odd: FitInput,
    drawn: Rows,
    folds: list[Rows],
    options: TrainOptions,
    heads: Sequence[str],
    report: Progress,
    stage: str = "hold out",
    by_others: bool = True,
    shown: FitInput | None = None,
) -> Held:
    """Fit each head on the other folds and apply it to each fold.

    Args:
        normals: every normal, described.
        changed: the trial's exposure-changed normals, described; None leaves them out.
        odd: the trial's synthetic anomalies, described.
        drawn: rows of ``normals`` that the trial's images were made from.
        folds: rows of ``normals`` per fold.
        heads: candidates.
        stage: what ``report`` is told.
        by_others: deviations are those of the other folds' normals, as calibration needs; False:
            of all, by which heads are compared.
        shown: what is scored in place of ``normals``, row by row, which heads are still fitted on.
    """
    held, first = Held(), dict[str, Head]()
    raw: dict[str, list[list[Floats]]] = {name: [[], [], []] for name in heads}
    order: list[list[Rows]] = [[], [], []]
    steps = len(folds) * len(heads)
    for i, rows in enumerate(folds):
        rest = normals.select(torch.from_numpy(np.setdiff1d(np.arange(len(normals)), rows)))
        tried = np.flatnonzero(np.isin(drawn, rows))
        none = np.empty(0, tried.dtype)
        parts = (
            (shown or normals, rows),
            (changed or normals, tried if changed else none),
            (odd, tried),
        )
        for j, (_, chosen) in enumerate(parts):
            order[j].append(chosen)
        for done, (name, head) in enumerate(fit_together(heads, rest, options).items()):
            first.setdefault(name, head)
            for j, (given, chosen) in enumerate(parts):
                raw[name][j].append(_apply(head, given, chosen))
            report(stage, i * len(heads) + done + 1, steps)
    rows_of = [np.concatenate(o) for o in order]
    for name, found in raw.items():
        maps = [_restore(np.concatenate(f), o) for f, o in zip(found, rows_of, strict=True)]
        cells = _record(held, name, maps, folds if by_others else [], drawn)
        held.first[name] = (first[name], cells)
    return held


def fit_together(heads: Sequence[str], normals: FitInput, options: TrainOptions) -> dict[str, Head]:
    """Fit several heads on the same normals, beside each other.

    Much of a fit runs on one thread whatever it may use (a greedy selection, small
    decompositions), so a thread for each head wastes less than threads inside a head.
    """

    def fit(name: str) -> Head:
        return HEADS[name].fit(normals, **options.head_config(name))

    longest_first = sorted(heads, key=lambda name: -len(HEADS[name].layers))
    with _sharing_threads(len(heads)) as workers, ThreadPoolExecutor(workers) as pool:
        fitted = dict(zip(longest_first, pool.map(fit, longest_first), strict=True))
    return {name: fitted[name] for name in heads}


def rehearse(held: Held, roles: Mapping[str, str], images: FitInput) -> Scores:
    """Fused scores of images by the heads that have not seen the first fold."""
    surprises = {}
    for name in roles:
        head, cells = held.first[name]
        mean, inverse = (part.numpy() for part in cells)
        values = _apply(head, images, np.arange(len(images)))
        surprises[name] = head_surprise(
            (values - mean) * inverse, head_reference(held.references[name])
        )
    return fuse_surprises(surprises, roles)


def expected_cells(few: Held, many: Held, folds: tuple[int, int]) -> dict[str, Cells]:
    """Cell statistics as heads fitted on all normals will show them on parts never seen.

    Heads fitted on fewer parts find the rest odder, by what falls with one over their number: two
    hold-outs of different folds say how much is still to fall.

    Args:
        few: the hold-out in fewer folds.
        many: that in more folds, whose heads are answered for.
        folds: their numbers of folds.
    """
    parts = [count / (count - 1) for count in folds]
    share = (parts[1] - 1) / (parts[0] - parts[1]) if folds[0] < folds[1] else 0.0
    found = {}
    for name, (mean, inverse) in many.cells.items():
        before_mean, before_inverse = few.cells[name]
        found[name] = (
            mean + share * (mean - before_mean),
            inverse * (inverse / before_inverse) ** share,
        )
    return found


def _record(
    held: Held, name: str, maps: Sequence[Floats], folds: Sequence[Rows], drawn: Rows
) -> Cells:
    """Keep a head's maps and surprises; gives the first fold's cell statistics."""
    plain, whole = maps[0], _cell_statistics(maps[0])
    fold_of = np.zeros(len(plain), np.int64)
    for i, rows in enumerate(folds):
        fold_of[rows] = i
    others = [_cell_statistics(plain[fold_of != i]) for i in range(len(folds))] or [whole]
    mean, inverse = (np.stack(part) for part in zip(*others, strict=True))
    of_trial = fold_of[drawn]
    plain = (plain - mean[fold_of]) * inverse[fold_of]
    changed, odd = ((m - mean[of_trial[: len(m)]]) * inverse[of_trial[: len(m)]] for m in maps[1:])
    held.cells[name] = (torch.from_numpy(whole[0]), torch.from_numpy(whole[1]))
    reference = np.sort(peak_and_spread(plain), axis=1)
    held.references[name] = reference
    known = head_reference(reference)
    held.maps[name], held.odd_maps[name] = plain, odd
    held.plain_surprise[name] = head_surprise(plain, known)
    held.normal_surprise[name] = np.concatenate(
        [held.plain_surprise[name], head_surprise(changed, known)]
    )
    held.odd_surprise[name] = head_surprise(odd, known)
    return torch.from_numpy(others[0][0]), torch.from_numpy(others[0][1])


def _cell_statistics(maps: Floats) -> tuple[Floats, Floats]:
    """Mean and inverse deviation per cell, (h, w), shrunk to those of all cells."""
    share = len(maps) / (len(maps) + _PRIOR)
    mean = share * maps.mean(axis=0) + (1 - share) * maps.mean()
    variance = share * maps.var(axis=0) + (1 - share) * maps.var() + 1e-2 * maps.var() + 1e-12
    return mean.astype(np.float32), (1 / np.sqrt(variance)).astype(np.float32)


def _apply(head: Head, given: FitInput, rows: Rows) -> Floats:
    """Maps of some images: a batch per thread, which wastes less than threads inside a batch."""

    def run(chosen: Rows) -> Floats:
        with torch.inference_mode():
            part = given.select(torch.from_numpy(chosen))
            return np.asarray(head(part.features, part.pixels).float().numpy())

    if not len(rows):
        return run(np.zeros(1, np.int64))[:0]
    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    with _sharing_threads(len(batches)) as workers, ThreadPoolExecutor(workers) as pool:
        return np.concatenate(list(pool.map(run, batches)))


@contextmanager
def _sharing_threads(jobs: int) -> Iterator[int]:
    """The threads shared out among jobs that run at once; gives how many of them may."""
    threads = torch.get_num_threads()
    workers = max(1, min(threads, jobs))
    torch.set_num_threads(max(1, threads // workers))
    try:
        yield workers
    finally:
        torch.set_num_threads(threads)


def _restore(values: Floats, order: Rows) -> Floats:
    result = np.empty_like(values)
    result[order] = values
    return result
