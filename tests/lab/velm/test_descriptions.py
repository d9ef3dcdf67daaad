"""Words from the authors' JSON and from policies, and back into the authors' form."""

from pathlib import Path

import pytest

from lab.velm.descriptions import (
    LEAD,
    DescriptionsError,
    check_classes,
    read_descriptions,
    write_released,
)
from lab.velm.released import read_released
from tests.lab.velm.mini import mini_descriptions

POLICIES = Path("policies/products")


def test_policies_as_the_authors_would_have_written_them(tmp_path: Path) -> None:
    described = read_descriptions(POLICIES)
    write_released(tmp_path / "d.json", described.values())
    again = read_released(tmp_path / "d.json")
    assert set(again) == set(described)
    for name, each in described.items():
        texts = again[name]
        assert texts.normal_description == each.texts.normal_description
        assert texts.strategy.removeprefix(LEAD).strip() == each.texts.strategy
        assert texts.classes == each.texts.classes
        assert each.policy is not None


@pytest.mark.shared
def test_the_released_descriptions_come_back_as_they_are(shared: Path, tmp_path: Path) -> None:
    released = shared / "velm/mvtec_ac_des.json"
    write_released(tmp_path / "d.json", read_descriptions(released).values())
    assert read_released(tmp_path / "d.json") == read_released(released)


def test_egress_is_the_callers_to_say(tmp_path: Path) -> None:
    path = mini_descriptions(tmp_path / "d.json")
    assert read_descriptions(path)["plate"].texts.egress == "none"
    assert read_descriptions(path, "full")["plate"].texts.egress == "full"


@pytest.mark.parametrize(
    ("name", "classes", "message"),
    [
        ("bowl", (), r"object 'bowl' is not described \(there are plate\)"),
        ("plate", ("spot", "dent"), "plate has no description of class dent"),
    ],
)
def test_what_is_not_described_is_named(
    tmp_path: Path, name: str, classes: tuple[str, ...], message: str
) -> None:
    path = mini_descriptions(tmp_path / "d.json")
    with pytest.raises(DescriptionsError, match=message):
        check_classes(name, classes, read_descriptions(path), path)


def test_no_file_and_no_policies(tmp_path: Path) -> None:
    with pytest.raises(DescriptionsError, match="no such file"):
        read_descriptions(tmp_path / "none.json")
    with pytest.raises(DescriptionsError, match="no policies"):
        read_descriptions(tmp_path)
