"""What a simulated line writes down before it starts."""

import json
from pathlib import Path

from andon.settings import Settings
from andon.stack.local import LocalStack, StackPorts
from connectors.settings import GatewaySettings
from lab.datasets.folders import Sample
from lab.harness.line import SimulatedLine
from lab.harness.plan import make_plan, with_sides

TRAIN = [Sample(Path("train/0"), "good", False, group="t0")]
TEST = [Sample(Path(f"test/{n}"), "good", False, group=f"g{n}") for n in range(5)]


def line(folder: Path, shots: int) -> SimulatedLine:
    plan = with_sides(make_plan("tile", TRAIN, TEST, set(), None), shots)
    made = SimulatedLine(folder, LocalStack(folder / "stack", StackPorts.free()), plan)
    made.write_plan()
    return made


def test_a_single_photograph_needs_one_list_and_no_shots(tmp_path: Path) -> None:
    made = line(tmp_path, 1)
    assert "ANDON_GATEWAY__SHOTS" not in made.environment
    listed = (tmp_path / "pictures.txt").read_text().splitlines()
    assert listed == [str(part.photograph.path) for part in made.plan.parts]


def test_each_shot_has_a_camera_with_a_list_of_its_own(tmp_path: Path) -> None:
    made = line(tmp_path, 3)
    shots = json.loads(made.environment["ANDON_GATEWAY__SHOTS"])
    settings = Settings(gateway=GatewaySettings(shots=shots)).gateway
    assert [shot.name for shot in settings.shots] == ["side1", "side2", "side3"]
    for number, shot in enumerate(settings.shots):
        kind, _, place = shot.camera.partition(":")
        assert kind == "list"
        shown = [str(part.photographs[number].path) for part in made.plan.parts]
        assert Path(place).read_text().splitlines() == shown
