"""The released descriptions, split into normal description and strategy."""

import json
from pathlib import Path

import pytest

from lab.velm.released import read_released, split_normal
from prompts import PromptError, render
from streams.ports import ClassText

SPLITS = json.loads((Path(__file__).parent / "golden" / "splits.json").read_text())


@pytest.mark.shared
def test_the_split_of_all_objects(shared: Path) -> None:
    """Where each text is cut: the end of the description and the beginning of the strategy."""
    objects = read_released(shared / "velm" / "mvtec_ac_des.json")
    cuts = {n: [o.normal_description[-40:], o.strategy[:40]] for n, o in objects.items()}
    assert cuts == SPLITS
    assert len(cuts) == 14
    assert sum(bool(strategy) for _, strategy in cuts.values()) == 10


@pytest.mark.shared
def test_the_split_loses_no_word(shared: Path) -> None:
    path = shared / "velm" / "mvtec_ac_des.json"
    released = json.loads(path.read_text())
    for name, found in read_released(path).items():
        both = f"{found.normal_description} {found.strategy}".split()
        assert both == released[name]["normal"][0].split()
        folders = [c.name for c in found.classes]
        assert folders == [k for k in released[name] if k != "normal"]


@pytest.mark.shared
@pytest.mark.parametrize("template", ["andon", "velm"])
def test_every_object_renders(shared: Path, template: str) -> None:
    for found in read_released(shared / "velm" / "mvtec_ac_des.json").values():
        prompt = render(found, template=template)
        assert {c.name for c in found.classes} <= set(prompt.labels.values())


@pytest.mark.parametrize(
    ("text", "normal", "strategy"),
    [
        ("is smooth", "is smooth", ""),
        ("is smooth. Classify so. Then so.", "is smooth.", "Classify so. Then so."),
        ("Follow this hierarchy: a, b.", "", "Follow this hierarchy: a, b."),
        ("has 3.5 mm. It is classy.", "has 3.5 mm. It is classy.", ""),
        ("", "", ""),
    ],
)
def test_split(text: str, normal: str, strategy: str) -> None:
    assert split_normal(text) == (normal, strategy)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[]", "object of object categories"),
        ("{", "cannot be read as JSON"),
        ('{"nut": {"bent": ["a", "b"]}}', "nut: expected 'normal'"),
        ('{"nut": {"normal": ["x"], "bent": ["a"]}}', r"nut\.bent: expected a list of 2"),
    ],
)
def test_other_forms_are_refused(tmp_path: Path, body: str, message: str) -> None:
    path = tmp_path / "des.json"
    path.write_text(body)
    with pytest.raises(PromptError, match=message):
        read_released(path)


def test_an_object_becomes_the_texts_of_a_classifier(tmp_path: Path) -> None:
    path = tmp_path / "des.json"
    path.write_text('{"nut": {"normal": ["is round. Classify so."], "b": ["bent", "x"]}}')
    texts = read_released(path)["nut"]
    assert (texts.product_id, texts.normal_description) == ("nut", "is round.")
    assert texts.strategy == "Classify so."
    assert texts.classes == (ClassText("b", "bent", "x"),)
