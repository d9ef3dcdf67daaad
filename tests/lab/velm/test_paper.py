"""The slips of the paper that docs/evaluation.md lists, recomputed from its tables."""

import json
from pathlib import Path
from statistics import fmean

import pytest

from lab.datasets.refinements import shipped

DDAD_KAPPA, DDAD_F1, DDAD_ACCURACY, PATCHCORE_ACCURACY = 5, 4, 3, 6


def table(paper: str, caption: str) -> dict[str, list[float]]:
    """The rows above a caption, by object."""
    lines = paper.split(caption)[0].splitlines()[-20:]
    rows = {}
    for line in lines:
        name, *cells = line.split("\t")
        try:
            values = [float(c) for c in cells]
        except ValueError:
            continue
        if values:
            rows[name.strip().replace(" ", "_")] = values
    return rows


@pytest.fixture
def paper(shared: Path) -> str:
    return (shared / "velm/paper.txt").read_text()


@pytest.mark.shared
def test_table_2_repeats_accuracies_as_kappas(paper: str, shared: Path) -> None:
    released = json.loads((shared / "velm/mvtec_ac_results.json").read_text())
    rows = table(paper, "\nTable 2.")
    means = rows.pop("Mean")
    repeated = {name for name, row in rows.items() if row[DDAD_KAPPA] == row[DDAD_ACCURACY]}
    assert repeated == {"bottle", "cable", "carpet", "grid", "metal_nut"}
    kappas = {name: 100 * released[name]["cohen_kappa"] for name in rows}
    assert fmean(kappas.values()) == pytest.approx(means[DDAD_KAPPA], abs=0.05)
    for name, row in rows.items():
        assert (abs(row[DDAD_KAPPA] - kappas[name]) < 0.06) == (name not in repeated)
    wrong_f1 = {
        name
        for name, row in rows.items()
        if abs(row[DDAD_F1] - 100 * released[name]["macro_f1"]) > 0.06
    }
    assert wrong_f1 == {"cable", "grid"}
    column = [row[PATCHCORE_ACCURACY] for row in rows.values()]
    assert (round(fmean(column), 1), means[PATCHCORE_ACCURACY]) == (77.9, 78.1)


@pytest.mark.shared
def test_figures_that_are_no_share_of_an_objects_pictures(paper: str) -> None:
    counts = {
        name: sum(own.released.values())
        for name, own in shipped("mvtec_ac").objects.items()
        if own.released
    }

    def impossible(name: str, percent: float) -> bool:
        n = counts[name]
        return min(abs(100 * k / n - percent) for k in range(n + 1)) > 0.11

    second, fifth = table(paper, "\nTable 2."), table(paper, "\nTable 5.")
    for rows, columns, wrong in (
        (second, (0, 3, 6, 9), {"grid": 6}),
        (fifth, range(6), {"grid": 0}),
    ):
        found = {
            name: column
            for name, row in rows.items()
            if name != "Mean"
            for column in columns
            if impossible(name, row[column])
        }
        assert found == wrong
    assert (second["grid"][DDAD_ACCURACY], fifth["grid"][0]) == (66.7, 65.7)


@pytest.mark.shared
def test_percent_and_claims(paper: str) -> None:
    fourth = table(paper, "\nTable 4.")
    assert {row[0] for name, row in fourth.items() if name != "screw"} == {1.0, 99.3}
    assert fourth["screw"][0] == 90.2
    assert "accuracy of 80.4% on MVTec-AD" in paper
    assert "accuracy of 81.4%" in paper
    assert "by 9.5%" in paper
