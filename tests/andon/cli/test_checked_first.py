"""Long work says what it cannot do before it begins: no connection, no training, no reading."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.__main__ import app

runner = CliRunner()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train -p tile -i {images} --out {file}/x", "--out"),
        ("train -p tile -i {images} --review {file}/x", "--review"),
        ("train -p tile -i {images} --set chart={file}/x.svg", "--set chart"),
        ("train -p tile -i {images} --set exemplars={file}/x", "does not exist"),
        ("classify teach -p tile -c crack --exemplars {file}/x {images}", "--exemplars"),
        ("learn -p tile --report {file}/x.html", "--report"),
        ("learn -p tile --report {images}", "--report"),
        ("learn -p tile --since 999999d", "before the year 1"),
        ("learn -p tile --until yesterday", "is no time"),
        ("models shadow tile --since 999999d", "before the year 1"),
        ("certify {policy} --since 999999d", "before the year 1"),
        ("certify tile-of-the-database --write", "no policy file"),
        ("history export -o {file}/x.jsonl", "--output"),
        ("history export --format csv -o {images}", "--output"),
        ("history export --format mvtec -o {file}/x", "--output"),
        ("demo --report {file}/x.html", "--report"),
        ("benchmark expert --smoke --chart {file}/x.svg", "--chart"),
        ("evaluate pipeline {images} --descriptions {file} --out {file}/x", "--out"),
        ("inspect {images} -p tile --maps {file}/x", "--maps"),
    ],
)
def test_what_cannot_be_written_or_read_is_said_first(
    tmp_path: Path, words: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for store in ("ARTIFACTS", "EXEMPLARS"):
        monkeypatch.setenv(f"ANDON_PATHS__{store}", str(tmp_path / store))
    images, file = tmp_path / "images", tmp_path / "file"
    images.mkdir()
    file.touch()
    policy = Path(__file__).parents[3] / "policies/products/textile.yaml"
    known = {"images": images, "file": file, "policy": policy}
    shown = runner.invoke(app, [word.format(**known) for word in words.split()])
    assert shown.exit_code == 2, shown.output
    assert said in " ".join(shown.output.replace("│", " ").split())


@pytest.mark.parametrize(
    "name",
    ["", " ", "tile\n2", "til\u200be", "x" * 201, "“tile”", "\x1b[31mred", "a\u202eb", "\x00"],
)
@pytest.mark.parametrize(
    "words",
    [
        "train -i {images} -p",
        "learn -p",
        "classify teach -c crack {images} -p",
        "classify teach -p tile {images} -c",
        "classify show -p",
        "models list -p",
        "models use 0123 --reason x -- ",
        "inspect {images} -p",
    ],
)
def test_what_is_no_name_is_said_first(tmp_path: Path, words: str, name: str) -> None:
    asked = [word.format(images=tmp_path) for word in words.split()]
    if "use" in asked:
        asked = ["models", "use", name, "0123"]
    else:
        asked.append(name)
    shown = runner.invoke(app, asked)
    assert shown.exit_code == 2, shown.output
    assert "\x1b[31m" not in shown.output
