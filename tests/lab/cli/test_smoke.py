"""The option ``--smoke`` of the benchmarks that otherwise need a folder of photographs."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lab.benchmarks.expert_run import Where, trained
from lab.cli.benchmark import app
from lab.cli.smoke import folder_or_smoke
from lab.datasets.folders import load_dataset

runner = CliRunner()
COMMANDS = ("expert", "teaching", "decision", "learn")


def test_it_makes_a_data_set_with_parts_and_room_beside_it() -> None:
    made = folder_or_smoke(None, smoke=True)
    assert load_dataset(made, "disjoint").classes == ("scratch", "stain")
    assert [path.name for path in made.parent.iterdir()] == [made.name]


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert folder_or_smoke(tmp_path, smoke=False) == tmp_path
    with pytest.raises(typer.BadParameter, match="either"):
        folder_or_smoke(tmp_path, smoke=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_folder_only_a_smoke_runs(command: str, tmp_path: Path) -> None:
    for words in ([], [str(tmp_path), "--smoke"]):
        done = runner.invoke(app, [command, *words], env={"COLUMNS": "200"})
        assert done.exit_code == 2
        assert "either a data set or --smoke" in done.output


def test_the_whole_line_has_no_smoke_of_learning() -> None:
    done = runner.invoke(app, ["learn", "--line", "--smoke"], env={"COLUMNS": "200"})
    assert done.exit_code == 2


@pytest.mark.slow
def test_a_trained_expert_keeps_its_normals_when_its_folder_is_gone() -> None:
    data = load_dataset(folder_or_smoke(None, smoke=True), "disjoint")
    where = Where("auto", "auto", "auto", None)
    expert = trained(data, 0.05, where, lambda stage, done, total: None, smoke=True)
    assert len(expert.training_set().pixels) == len(data.train)
