"""Mistaken labels show themselves."""

import numpy as np
import pytest

from andon.learning.suspects import find_suspects


def exemplars(seed: int) -> tuple[np.ndarray, list[str], list[str]]:
    """Three classes of eight parts in 64 dimensions, far enough apart to be told."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, 64))
    vectors = np.concatenate([c + 0.6 * rng.normal(size=(8, 64)) for c in centres])
    labels = [name for name in ("blowhole", "crack", "fray") for _ in range(8)]
    return vectors.astype(np.float32), labels, [f"part-{i}" for i in range(24)]


@pytest.mark.parametrize("seed", range(5))
def test_a_mistaken_label_is_named_first_and_alone(seed: int) -> None:
    vectors, labels, parts = exemplars(seed)
    assert find_suspects(vectors, labels, parts) == []
    labels[3] = "crack"
    (found,) = find_suspects(vectors, labels, parts)
    assert (found.index, found.class_name, found.looks_like) == (3, "crack", "blowhole")
    assert labels[found.nearest] == "blowhole"
    assert found.nearest != 3
    assert found.other > found.own


def test_photographs_of_one_part_do_not_vouch_for_each_other() -> None:
    vectors, labels, parts = exemplars(0)
    vectors = np.concatenate([vectors, vectors[:3] + 0.01])
    labels = [*labels, *["crack"] * 3]
    parts = [*parts, *parts[:3]]
    assert {s.index for s in find_suspects(vectors, labels, parts)} == {24, 25, 26}


def test_what_has_nothing_to_agree_with_is_not_judged() -> None:
    vectors, labels, parts = exemplars(1)
    assert find_suspects(vectors[:8], labels[:8], parts[:8]) == []
    single = [*labels[:8], "crack"]
    assert find_suspects(vectors[:9], single, parts[:9]) == []
