"""``andon train``, ``andon inspect`` and ``andon benchmark expert`` as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from andon.cli.inspect import app as inspect_app
from lab.cli.benchmark_expert import expert as benchmark_expert
from serving.experts.artifact import save_artifact
from serving.experts.composed import ComposedExpert
from tests.serving.experts.pictures import scratched, surface, write

runner = CliRunner()


@pytest.fixture(scope="module")
def artifact(trained: ComposedExpert, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    return root / "part" / save_artifact(trained, root)


def test_bad_images_get_one_line_each_and_the_others_are_scored(
    artifact: Path, tmp_path: Path
) -> None:
    good = write(tmp_path / "good", [surface(400), scratched(401)])
    whole = good[0].read_bytes()
    bad = {
        "empty.png": b"",
        "text.png": b"not an image at all",
        "cut.png": whole[: len(whole) // 2],
    }
    for name, body in bad.items():
        (tmp_path / name).write_bytes(body)
    deep = tmp_path / "deep.png"
    assert cv2.imwrite(str(deep), np.full((50, 70), 40_000, np.uint16))
    dot = tmp_path / "dot.png"
    assert cv2.imwrite(str(dot), np.zeros((1, 1), np.uint8))
    paths = [*good, *(tmp_path / name for name in bad), deep, dot]
    arguments = ["-a", str(artifact), "--json", "--maps", str(tmp_path / "maps")]
    found = runner.invoke(inspect_app, [*arguments, *(str(p) for p in paths)])
    assert found.exit_code == 1
    rows = {Path(r["image"]).name: r for r in json.loads(found.stdout)}
    assert [rows[name]["verdict"] for name in bad] == ["undecodable"] * 3
    assert rows["000.png"]["verdict"] == "normal"
    assert rows["001.png"]["verdict"] == "anomalous"
    assert rows["001.png"]["region"]["blobs"][0]["area_px"] > 0
    assert rows["deep.png"]["error"] is None
    assert rows["dot.png"]["error"] is None
    lines = [line for line in found.stderr.splitlines() if line.startswith(str(tmp_path))]
    assert len(lines) == 3
    assert len(list((tmp_path / "maps").glob("*.png"))) == 4


def test_good_images_alone_exit_0(artifact: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "good", [surface(410), surface(411)])[0].parent
    found = runner.invoke(inspect_app, ["-a", str(artifact.parent), str(folder)])
    assert found.exit_code == 0
    assert "normal" in found.stdout


NAMES = ["000.png", "a[red].png", "b[bold]x[/bold].png", "[", "x\x1b[31m.png", "é" * 60 + ".png"]


def test_pictures_of_one_name_keep_their_maps_and_whole_names(
    artifact: Path, tmp_path: Path
) -> None:
    sound = write(tmp_path / "sound", [surface(420)])[0].read_bytes()
    folders = [tmp_path / "test" / "good", tmp_path / "train" / "good", tmp_path / "x[" / "7]"]
    given = [folder / name for folder in folders for name in NAMES if name != "["]
    for path in given:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sound)
    arguments = ["-a", str(artifact), "--maps", str(tmp_path / "maps")]
    found = runner.invoke(inspect_app, [*arguments, *map(str, given)])
    assert found.exit_code == 0, found.output
    assert len(list((tmp_path / "maps").iterdir())) == len(given)
    for path in given:
        assert str(path).replace("\x1b", "\\x1b") in found.stdout
    assert "\x1b" not in found.stdout


def test_what_cannot_be_written_is_said_before_the_work(artifact: Path, tmp_path: Path) -> None:
    picture = write(tmp_path / "good", [surface(430)])[0]
    arguments = ["-a", str(artifact), str(picture), "--maps", str(picture)]
    found = runner.invoke(inspect_app, arguments)
    assert found.exit_code == 2
    assert "cannot be written" in found.output


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--rate", "nan"), "no finite number"),
        (("--set", "epochs=3"), "only --expert ddad"),
        (("--set", "unet=small"), "only --expert ddad"),
        (("--set", "sise=3"), "no option"),
        (("--set", "exemplars=/absent"), "does not exist"),
        (("--groups", "absent.csv"), "does not exist"),
        (("--out", "/proc/nothing"), "cannot be written"),
        (("--review", __file__), "cannot be written"),
    ],
)
def test_a_training_checks_its_arguments_first(
    normals: list[Path], words: tuple[str, str], reason: str
) -> None:
    from andon.cli.finite import with_finite_numbers
    from andon.cli.train import app as train_app

    command = with_finite_numbers(typer.main.get_command(train_app))
    arguments = ["-p", "x", "-i", str(normals[0].parent), *words]
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments, prog_name="train")
    assert stopped.value.code == 2
    with pytest.raises(Exception, match=reason):
        command.main(arguments, prog_name="train", standalone_mode=False)


def test_the_program_trains_and_refuses_what_is_not_there(tmp_path: Path) -> None:
    write(tmp_path / "few", [surface(i) for i in range(3)])
    for folder, reason in (("few", "too few"), ("none", "no such file")):
        done = subprocess.run(
            [sys.executable, "-m", "andon", "train", "-p", "x", "-i", str(tmp_path / folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert reason in done.stderr
        assert "Traceback" not in done.stderr


def test_the_benchmark_prints_the_promised_keys(
    artifact: Path, normals: list[Path], tmp_path: Path
) -> None:
    write(tmp_path / "train/good", [surface(i) for i in range(4)])
    write(tmp_path / "test/good", [surface(500 + i) for i in range(6)])
    odd = write(tmp_path / "test/scratch", [scratched(600 + i) for i in range(6)])
    truth = tmp_path / "ground_truth/scratch"
    truth.mkdir(parents=True)
    for i, path in enumerate(odd):
        mask = (np.abs(scratched(600 + i).astype(int) - surface(600 + i)).max(2) > 0) * 255
        assert cv2.imwrite(str(truth / f"{path.stem}_mask.png"), mask.astype(np.uint8))
    app = typer.Typer()
    app.command()(benchmark_expert)
    chart = tmp_path / "chart.svg"
    arguments = [str(tmp_path), "--artifact", str(artifact), "--set", "seconds=0.05", "--json"]
    found = runner.invoke(app, [*arguments, "--chart", str(chart)])
    assert found.exit_code == 0, found.output
    figures = json.loads(found.stdout)
    assert figures["image_auroc"] == 1.0
    assert figures["aupro"] > 0.7
    promised = "image_aupr pixel_auroc f1 fpr images_per_s latency_ms peak_share"
    assert set(promised.split()) <= set(figures)
    assert figures["classes"]["scratch"]["sensitivity_interval"][1] == 1.0
    assert chart.read_text().startswith("<svg")
