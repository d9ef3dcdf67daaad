"""Files as the authors of VELM released them, and files that leave things out."""

import json
from pathlib import Path

import pytest

from policies.review.answer_files import AnswerFileError, read_answer_file
from policies.review.taxonomy import audit

DESCRIBED = {
    "nut": {"normal": ["a nut"], "bent": ["Bent edge", "an edge that is bent"], "dent": "a hollow"},
    "metal_nut": {"normal": ["another"], "bent": ["bent", "bent"]},
}


def read(tmp_path: Path, answers: object, described: object = DESCRIBED) -> object:
    (tmp_path / "p.json").write_text(json.dumps(answers), "utf-8")
    (tmp_path / "d.json").write_text(json.dumps(described), "utf-8")
    return read_answer_file(tmp_path / "p.json", tmp_path / "d.json")


def test_answers_count_for_the_class_they_name(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps(DESCRIBED), "utf-8")
    keys = {
        "nut_bent_000": "bent EDGE.", "nut_bent_001": "bent", "nut_dent_000": "dent",
        "nut_top_side_000": "top side", "nut_good_000": "good", "nut_bent_002": "rust",
        "metal_nut_bent_000": "bent", "other_thing_worn_000": "bent",
    }  # fmt: skip
    (tmp_path / "p.json").write_text(json.dumps(keys), "utf-8")
    found = read_answer_file(tmp_path / "p.json", tmp_path / "d.json")
    assert list(found) == ["metal_nut", "nut", "other"]
    assert [(a.truth, a.answer) for a in found["nut"].answers] == [
        ("bent", "bent"), ("bent", "bent"), ("dent", "dent"), ("top_side", "top_side"),
        ("normal", "normal"), ("bent", "rust"),
    ]  # fmt: skip
    notes = found["nut"].notes
    assert (notes["bent"].display_name, notes["bent"].description) == (
        "Bent edge", "an edge that is bent",
    )  # fmt: skip
    assert (notes["dent"].display_name, notes["dent"].description) == ("", "a hollow")
    assert notes["top_side"].description == ""
    assert [a.truth for a in found["other"].answers] == ["thing_worn"]


def test_the_name_of_a_class_without_a_description_is_found_in_the_answers(
    tmp_path: Path,
) -> None:
    """Two undescribed classes that are confused, and what a model calls them."""
    given = {
        "worn_top": ("upper wear", 6, "lower wear", 3),
        "worn_low": ("upper wear", 2, "lower wear", 7),
    }
    keys = {}
    for folder, (one, first, two, second) in given.items():
        names = [one] * first + [two] * second
        keys |= {f"nut_{folder}_{n:03}": name for n, name in enumerate(names)}
    keys["nut_bent_000"] = "rust"
    (tmp_path / "d.json").write_text(json.dumps(DESCRIBED), "utf-8")
    (tmp_path / "p.json").write_text(json.dumps(keys), "utf-8")
    subject = read_answer_file(tmp_path / "p.json", tmp_path / "d.json")["nut"]
    (first_pair,) = audit(subject.answers, subject.notes).merges
    assert (first_pair.first, first_pair.second) == ("worn_low", "worn_top")
    assert (first_pair.first_as_second, first_pair.second_as_first) == (2, 3)
    assert audit(subject.answers, subject.notes).foreign == {"rust": 1}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"nut_bent_000": 3}, "'nut_bent_000' is not a text"),
        ({"bolt": "x"}, "'bolt' is not <object>_<class>_<number>"),
        (["nut"], "expected one JSON object"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, answers: object, words: str) -> None:
    with pytest.raises(AnswerFileError, match=words):
        read(tmp_path, answers)
    with pytest.raises(AnswerFileError, match="cannot be read"):
        read_answer_file(tmp_path / "none.json", tmp_path / "d.json")


def test_the_released_answers_are_read_whole(shared: Path) -> None:
    velm = shared / "velm"
    found = read_answer_file(velm / "mvtec_ac_preds_gpt_4o.json", velm / "mvtec_ac_des.json")
    assert len(found) == 14
    assert sum(len(subject.answers) for subject in found.values()) == 1597
    for subject in found.values():
        assert not audit(subject.answers, subject.notes).foreign
