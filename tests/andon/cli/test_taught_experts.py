"""``andon classify teach`` teaches the expert too, unless it is told not to."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from andon.cli.classify import app
from andon.settings import load_settings
from serving.bundle_store import BundleStore, open_folder
from serving.expert_versions import VersionNote
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.training import TrainOptions, train
from serving.naming.exemplars import ExemplarBundle, ExemplarError, HardNormal, load_bundle
from serving.naming.false_alarms import Gate
from tests.serving.experts.pictures import SIDE, scratched, surface, write
from tests.serving.ray.tiny import save_tiny

OPTIONS = TrainOptions(
    size=SIDE, synthetic=30, threads=1, coreset=32, calibration_folds=3, false_alarm_rate=0.4
)


@pytest.fixture(scope="module")
def normals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write(tmp_path_factory.mktemp("normals"), [surface(i) for i in range(24)])


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, normals: list[Path]) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    return root / "part" / save_artifact(train("part", normals, OPTIONS), root)


@pytest.fixture
def store(tmp_path: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BundleStore]:
    """The store of the settings: the artifact, and a newer version that nobody put in force."""
    root = tmp_path / "artifacts"
    shutil.copytree(artifact, root / "part" / artifact.name)
    save_tiny(root, "part", note="newer")
    monkeypatch.setenv("ANDON_PATHS__ARTIFACTS", str(root))
    load_settings.cache_clear()
    yield open_folder(root)
    load_settings.cache_clear()


def teach(root: Path, artifact: Path | None, normals: list[Path], *more: str) -> dict[str, object]:
    """Without ``artifact`` the command looks for the expert in force."""
    pictures = write(root / "scratch", [scratched(500 + i) for i in range(2)])
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.line(mask, (SIDE // 2, SIDE // 2), (SIDE - 12, SIDE - 20), 255, 4)
    for picture in pictures:
        cv2.imwrite(str(picture.with_name(f"{picture.stem}_mask.png")), mask)
    words = ["teach", *map(str, pictures), "--product", "part", "--class", "scratch"]
    words += ["--masks", str(root / "scratch"), "--normals", str(normals[0].parent)]
    words += ["--artifact", str(artifact)] if artifact is not None else []
    words += ["--exemplars", str(root / "exemplars"), "--json", *more]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_expert_is_taught_and_both_are_calibrated_together(
    tmp_path: Path, artifact: Path, normals: list[Path]
) -> None:
    said = teach(tmp_path, artifact, normals)
    taught = said["taught"]
    assert isinstance(taught, dict)
    assert set(taught["gained"]["classes"]) == {"scratch"}
    shares = [row["classes"]["scratch"]["share"] for row in taught["gained"]["at_rates"]]
    assert shares == sorted(shares)
    new = load_expert(Path(taught["expert"]))
    assert isinstance(new, ComposedExpert)
    assert new.model.taught is not None
    assert new.version != artifact.name
    bundle = load_bundle(Path(str(said["path"])))
    note = open_folder(artifact.parents[1]).note("part", new.version)
    assert note is not None
    assert VersionNote.model_validate_json(note).exemplars == bundle.digest
    assert bundle.gate is not None
    assert bundle.gate.expert_version == new.version
    assert len(bundle.hard) == (new.held_out_scores() > new.model.calibration.threshold).sum() > 0
    assert bundle.classes == ("scratch",)
    assert said["calibrated_with_expert"] is True
    parts = {normal.sha256: normal.part for normal in bundle.normals}
    assert all(parts[hard.sha256] == hard.part != "" for hard in bundle.hard)


def test_it_can_be_left_as_it_is(tmp_path: Path, artifact: Path, normals: list[Path]) -> None:
    said = teach(tmp_path, artifact, normals, "--set", "expert=false")
    assert "taught" not in said
    assert load_bundle(Path(str(said["path"]))).gate is None


def test_the_expert_in_force_is_taught_and_what_is_new_waits(
    tmp_path: Path, artifact: Path, normals: list[Path], store: BundleStore
) -> None:
    newest = store.versions("part").keys() - {artifact.name}
    store.point("part", artifact.name)
    exemplars = open_folder(tmp_path / "exemplars")
    said = teach(tmp_path, None, normals)
    taught = said["taught"]
    assert isinstance(taught, dict)
    assert newest
    assert taught["base"] == artifact.name
    assert "models use" in str(said["waits"])
    assert (store.products(), exemplars.products()) == ({"part": artifact.name}, {})
    first = Path(str(said["path"])).name
    more = teach(tmp_path, None, normals, "--set", "expert=false", "--set", f"onto={first[:9]}")
    assert "--exemplars" in str(more["waits"])
    assert exemplars.products() == {}


def test_too_few_odd_normals_to_calibrate_on_are_said(tmp_path: Path) -> None:
    """A policy's stop_rate then compares the expert's p-value alone."""
    bundle = ExemplarBundle("part", "efficientnet_lite0", gate=Gate("e" * 64, 24, (0.0, 1.0)))
    for odd, words in ((7, "the expert finds 7 normal parts odd, of 8"), (8, "8 hard ones")):
        bodies = [path.read_bytes() for path in write(tmp_path, [surface(i) for i in range(odd)])]
        mask = np.ones((2, 2), np.bool_)
        hard = tuple(HardNormal(b, mask, f"p{i}", 1.0, 1.0) for i, b in enumerate(bodies))
        replace(bundle, hard=hard).save(tmp_path / "exemplars")
        shown = ["show", "--product", "part", "--exemplars", str(tmp_path / "exemplars")]
        said = CliRunner().invoke(app, shown).stdout
        assert words in " ".join(said.split())
        assert ("stop_rate" in said) == (odd < 8)
        known = json.loads(CliRunner().invoke(app, [*shown, "--json"]).stdout)
        assert known["calibrated_with_expert"] == (odd == 8)


def test_who_is_asked_to_outline_is_given_as_elsewhere(
    tmp_path: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of an artifact, or that of its product, as docs/prototypes.md has it."""
    opened: list[Path] = []

    def open_it(path: Path) -> None:
        opened.append(path)
        raise ExemplarError("enough")

    monkeypatch.setattr("andon.cli.classify.outliner", open_it)
    (picture,) = write(tmp_path, [surface(1)])
    root = ExemplarBundle("part", "efficientnet_lite0").save(tmp_path / "exemplars").parents[1]
    for given in (artifact, artifact.parent):
        words = ["ask", str(picture), "--product", "part", "--artifact", str(given)]
        CliRunner().invoke(app, [*words, "--exemplars", str(root)])
    assert len(opened) == 2
    assert all((path / "manifest.json").is_file() for path in opened)
