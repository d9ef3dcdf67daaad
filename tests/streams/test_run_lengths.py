"""Run lengths from outside are what pycocotools wrote, or refused."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.regions import decode_mask, encode_mask
from streams.run_lengths import cells_inside, read_runs


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), seed=st.integers(0, 10_000))
def test_runs_are_decoded_as_coco_does(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((rows, columns)) < rng.random()
    text = encode_mask(mask)
    runs = read_runs(text, rows * columns)
    assert runs is not None
    assert cells_inside(runs).tolist() == np.flatnonzero(mask.ravel(order="F")).tolist()
    assert np.array_equal(decode_mask(text, rows, columns), mask)


@given(rle=st.text(max_size=40), cells=st.integers(0, 5000))
def test_damaged_runs_are_none_or_inside(rle: str, cells: int) -> None:
    runs = read_runs(rle, cells)
    assert runs is None or all(0 <= index < cells for index in cells_inside(runs))


@given(flip=st.integers(0, 10_000), seed=st.integers(0, 50))
def test_a_changed_character_never_takes_more_cells(flip: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((9, 7)) < 0.5
    text = encode_mask(mask)
    at = flip % len(text)
    changed = text[:at] + chr(ord(text[at]) ^ (1 << flip % 7)) + text[at + 1 :]
    runs = read_runs(changed, mask.size)
    assert runs is None or int(runs.sum()) == mask.size
