"""``andon taxonomy audit`` as an engineer uses it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from andon.__main__ import app
from policies.errors import PolicyError
from serving.naming.teaching import Lesson, teach_product
from tests.serving.naming.pictures import KINDS, plate, png, spoiled

runner = CliRunner()
POLICY = """\
product: tile
classes:
  crack: {severity: defect, action: scrap, display_name: Crack}
  hole: {severity: defect, action: scrap}
  stain: {severity: negligible, action: pass}
prices: {escape: 50, hold: 1}
"""


def audit(*words: str) -> Any:
    return runner.invoke(app, ["taxonomy", "audit", *words], catch_exceptions=False)


def test_reviews_are_judged_by_a_policys_actions_and_prices(tmp_path: Path) -> None:
    rows = [("crack", "crack")] * 9 + [("hole", "crack")] * 5 + [("hole", "hole")] * 9
    rows += [("stain", "crack")] * 2 + [("stain", "stain")] * 20
    lines = ["answer,class", *(f"{answer},{truth}" for answer, truth in rows)]
    (tmp_path / "r.csv").write_text("\n".join(lines), "utf-8")
    (tmp_path / "tile.yaml").write_text(POLICY, "utf-8")
    arguments = (str(tmp_path / "r.csv"), "--descriptions", str(tmp_path / "tile.yaml"))
    found = json.loads(audit(*arguments, "--json").stdout)["objects"]["tile"]
    assert found["proposals"] == [{"do": "merge", "classes": ["crack", "hole"]}]
    (border,) = found["borders"]
    assert (border["first"], border["second"], border["cost"]) == ("crack", "stain", 100.0)
    shown = audit(*arguments).stdout
    assert "merge crack (Crack) and hole" in shown
    assert "one passes, cost 100" in shown


def test_the_released_answers_get_proposals_for_every_object(shared: Path) -> None:
    velm = shared / "velm"
    result = audit(
        str(velm / "mvtec_ac_preds_gpt_4o.json"), "--descriptions", str(velm / "mvtec_ac_des.json"),
        "--json",
    )  # fmt: skip
    assert result.exit_code == 0
    objects = json.loads(result.stdout)["objects"]
    assert len(objects) == 14
    assert all(found["proposals"] for found in objects.values())


def test_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    assert audit(str(tmp_path / "r.csv")).exit_code == 2
    with pytest.raises(PolicyError, match="need a file of answers"):
        audit("--descriptions", "d.json")


def test_exemplars_are_judged_by_each_other(tmp_path: Path) -> None:
    lessons = []
    for kind in KINDS:
        for seed in range(4):
            image, mask = spoiled(kind, seed)
            lessons.append(Lesson(kind, png(image), mask, f"{kind}-{seed}"))
    image, mask = spoiled("line", 9)
    lessons.append(Lesson("hole", png(image), mask, "wrong"))
    teach_product(tmp_path, "plate", lessons, normals=[png(plate(i)) for i in range(8)])
    classes = "".join(f"  {kind}: {{severity: defect, action: scrap}}\n" for kind in KINDS)
    (tmp_path / "plate.yaml").write_text(f"product: plate\nclasses:\n{classes}", "utf-8")
    words = ("--bundle", str(tmp_path / "plate"), "--descriptions", str(tmp_path / "plate.yaml"))
    found = json.loads(audit(*words, "--json").stdout)["objects"]["plate"]
    assert found["parts"] == 13
    first = found["suspects"][0]
    assert (first["truth"], first["looks_like"]) == ("hole", "line")
    assert first["part"].startswith("wrong, picture ")
