"""The trade-off of a rate for people, and the labelled photographs that it comes from."""

from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from andon.cli.exemplar_folders import list_exemplars, read_exemplars
from andon.cli.experts import ExpertCommandError
from andon.cli.rates import advice, gained_table, read_prices, taught_table, write_rate_chart
from serving.experts.tradeoff import StopPrices
from tests.serving.experts.test_tradeoff import ROWS

POLICY = """
policy: 1
product: part
{prices}
classes:
  crack: {{severity: defect, action: scrap}}
"""


def test_the_chart_is_an_svg_with_a_line_for_each_class_and_one_for_good_parts(
    tmp_path: Path,
) -> None:
    write_rate_chart(ROWS, tmp_path / "rates.svg", "part <1>")
    root = ElementTree.parse(tmp_path / "rates.svg").getroot()
    lines = [e for e in root.iter() if e.tag.endswith("polyline")]
    assert len(lines) == 2
    assert all(len((e.get("points") or "").split()) == len(ROWS) for e in lines)
    assert any(e.text == "part <1>" for e in root.iter())


def test_the_table_has_a_row_for_each_rate() -> None:
    table = taught_table(ROWS, {0.05: 0.4})
    assert table.row_count == len(ROWS)
    assert "crack" in [str(column.header) for column in table.columns]


def test_what_teaching_gained_stands_beside_what_was_found_before() -> None:
    table = gained_table(ROWS, {"crack": {"photographs": 5, "parts": 4}})
    cells = [list(column.cells) for column in table.columns]
    assert cells[:4] == [
        ["crack"] * len(ROWS),
        ["5"] * len(ROWS),
        ["4"] * len(ROWS),
        [f"{row['asked_rate']:g}" for row in ROWS],
    ]
    for column, state in zip(cells[4:], ("before", "classes"), strict=True):
        assert [cell.split()[0] for cell in column] == [
            f"{row[state]['crack']['share']:.0%}"  # type: ignore[literal-required]
            for row in ROWS
        ]


def test_prices_of_a_policy_recommend_a_rate(tmp_path: Path) -> None:
    policy = tmp_path / "part.yaml"
    policy.write_text(
        POLICY.format(prices="prices: {escape: 100, hold: 1, false_stop: 3, defect_share: 0.02}")
    )
    prices, currency = read_prices(policy)
    assert prices == StopPrices(escape=100, false_stop=3, look=1, defect_share=0.02)
    assert "--rate 0.05 (EUR" in advice(ROWS, prices, currency)


def test_a_policy_without_prices_says_what_is_needed(tmp_path: Path) -> None:
    policy = tmp_path / "part.yaml"
    policy.write_text(POLICY.format(prices=""))
    with pytest.raises(ExpertCommandError, match="escape"):
        read_prices(policy)


def test_labelled_photographs_come_with_masks_and_parts(tmp_path: Path) -> None:
    for name in ("crack/1", "crack/2", "pit/3"):
        path = tmp_path / "labelled" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((8, 6, 3), 90, np.uint8))
    (tmp_path / "labelled" / "parts.csv").write_text("path,part\ncrack/1.png,p7\n")
    masks = tmp_path / "masks" / "crack"
    masks.mkdir(parents=True)
    drawn = np.zeros((8, 6), np.uint8)
    drawn[2, 3] = 255
    assert cv2.imwrite(str(masks / "1_mask.png"), drawn)

    found = read_exemplars(list_exemplars(tmp_path / "labelled", tmp_path / "masks", None))
    assert [(e.class_name, e.part) for e in found] == [
        ("crack", "p7"),
        ("crack", "crack/2.png"),
        ("pit", "pit/3.png"),
    ]
    assert found[0].mask is not None
    assert np.argwhere(found[0].mask).tolist() == [[2, 3]]
    assert found[1].mask is found[2].mask is None

    assert cv2.imwrite(str(masks / "2.png"), np.zeros((2, 8), np.uint8))
    with pytest.raises(ExpertCommandError, match="has the shape of its photograph"):
        read_exemplars(list_exemplars(tmp_path / "labelled", tmp_path / "masks", None))
    with pytest.raises(ExpertCommandError, match="one folder of photographs for each class"):
        read_exemplars(list_exemplars(masks, None, None))
