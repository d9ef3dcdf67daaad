"""The oddest normals are drawn from the pictures that they are, whatever others are called."""

from pathlib import Path

from serving.experts.composed import ComposedExpert
from serving.experts.oddest import draw_oddest


def test_each_is_its_own_picture(trained: ComposedExpert, normals: list[Path]) -> None:
    alike = [path.with_name(f"1{path.name}") for path in normals]  # 1001.png ends as 001.png does
    found = list(draw_oddest(trained, [*alike, *normals]))
    odd = trained.model.trained["sensitivity"]["oddest"]
    assert [seen.photograph.name for seen in found] == [entry["file"] for entry in odd]
    assert [seen.score for seen in found] == [entry["score"] for entry in odd]
