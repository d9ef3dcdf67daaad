"""A picture that a prompt teaches under another class is said, and written in the audit."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from andon.cli import moved_pictures
from andon.cli.classify import app
from andon.cli.exemplar_folders import LabelledFile
from andon.cli.moved_pictures import MovedPicture
from andon.cli.product import NewProductOptions, _take_defects
from andon.products.workspace import Workspace
from serving.naming.exemplars import load_bundle
from streams.errors import UnavailableError
from tests.serving.naming.pictures import png, spoiled

Rows = list[tuple[str, MovedPicture]]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    found: Rows = []

    async def write(product: str, moved: list[MovedPicture]) -> None:
        if product == "unwritten":
            raise UnavailableError("the database is away")
        found.extend((product, each) for each in moved)

    monkeypatch.setattr(moved_pictures, "_write", write)
    return found


def teach(root: Path, class_name: str, *pictures: Path, product: str = "plate") -> Result:
    words = ["teach", *map(str, pictures), "--class", class_name, "--product", product]
    done = CliRunner().invoke(app, [*words, "--exemplars", str(root), "--json"])
    assert done.exit_code == 0, done.output
    return done


def test_a_picture_taught_under_another_class_is_said(tmp_path: Path, rows: Rows) -> None:
    pictures = [tmp_path / f"{n}.png" for n in range(2)]
    for number, picture in enumerate(pictures):
        picture.write_bytes(png(spoiled("hole", number)[0]))
    root = tmp_path / "exemplars"
    assert "moved" not in json.loads(teach(root, "hole", *pictures).stdout)
    assert "was taught" not in teach(root, "hole", *pictures).stderr
    done = teach(root, "dent", pictures[0])
    words = f"{pictures[0]}: was taught as 'hole' and is 'dent' from now on"
    assert words in done.stderr
    said = json.loads(done.stdout)
    moved = MovedPicture(str(pictures[0]), "hole", "dent")
    assert (said["moved"], rows) == ([vars(moved)], [("plate", moved)])
    assert set(load_bundle(Path(said["path"])).classes) == {"hole", "dent"}
    teach(root, "hole", pictures[1], product="unwritten")
    told = teach(root, "dent", pictures[1], product="unwritten").stderr
    assert "this is not in the audit: the database is away" in told


def test_a_draft_says_it_too(tmp_path: Path, rows: Rows) -> None:
    draft = Workspace(tmp_path / "draft")
    draft.begin("plate", "ada")
    picture = tmp_path / "1.png"
    picture.write_bytes(png(spoiled("hole", 1)[0]))
    for name in ("hole", "hole", "dent"):
        _take_defects(draft, [LabelledFile(picture, name, None, "")], NewProductOptions())
    assert rows == [("plate", MovedPicture(str(picture), "hole", "dent"))]
