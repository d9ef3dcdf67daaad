"""No two pictures of a command's arguments get one name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.cli.output_names import LONGEST, output_names


@pytest.mark.parametrize(
    ("pictures", "names"),
    [
        (["good/0.png"], ["good_0.png"]),
        (["0.png"], ["0.png"]),
        (["test/good/0.png", "train/good/0.png"], ["test_good_0.png", "train_good_0.png"]),
        (["a/0.png", "b/0.png"], ["a_0.png", "b_0.png"]),
        (["a/0.png", "a/0.png"], ["a_0.png"]),
        (["a/0.png", "a/0.jpg"], ["a_0_png.png", "a_0_jpg.png"]),
        (["x/a/0.png", "y/a/0.png", "z/b/0.png"], ["x_a_0.png", "y_a_0.png", "b_0.png"]),
        (["../a/0.png"], ["a_0.png"]),
    ],
)
def test_names(pictures: list[str], names: list[str]) -> None:
    assert list(output_names([Path(p) for p in pictures]).values()) == names


@pytest.mark.parametrize(
    "pictures",
    [
        ["a/b_c.png", "a_b/c.png"],
        ["a/B.png", "A/b.png"],
        ["a/0.png", "a/0.PNG"],
        ["a/0.png", "./a/../a/0.png"],
        ["a/b/0.png", "a_b/0.png", "a/b_0.png"],
        ["a/0.jpg", "a/0_jpg.png", "a/0.png"],
        [f"{'x' * 250}/0.png", f"{'x' * 249}y/0.png"],
        [f"a/{'x' * 250}.png", f"b/{'x' * 250}.png"],
        ["é/0.png", "e\u0301/0.png"],
        ["/0.png", "0.png"],
    ],
)
def test_what_would_be_one_name_is_told_apart(pictures: list[str]) -> None:
    names = output_names([Path(p) for p in pictures])
    assert len({name.casefold() for name in names.values()}) == len(set(map(Path, pictures)))
    assert all("/" not in name and len(name) <= LONGEST + 20 for name in names.values())


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "a_b", "A", "0", "0.png", ".."]), max_size=4),
        max_size=12,
    )
)
def test_any_paths_have_names_of_their_own(pieces: list[list[str]]) -> None:
    paths = [Path(*parts, "x.png") for parts in pieces]
    names = output_names(paths)
    assert len({name.casefold() for name in names.values()}) == len(set(paths))
