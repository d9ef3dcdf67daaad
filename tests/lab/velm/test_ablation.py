"""Table 5 as one command: what is switched off, what it costs, what is shared."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.llm_twin.app import Twin
from lab.llm_twin.server import TwinServer
from lab.velm.ablation import FULL, PARTS, AblationRow, ablate, as_json, without
from lab.velm.answers_cache import Cache
from lab.velm.pipeline import PipelineError, PipelineOptions
from lab.velm.pipeline_naming import CallPlan
from lab.velm.pipeline_run import EvaluationRun
from tests.lab.velm.mini import mini_descriptions, mini_mvtec, mini_run
from tests.lab.velm.test_pipeline import options

STRATEGY = "To classify the defect follow this: first look at the shape."


@pytest.fixture
def server() -> Iterator[TwinServer]:
    with TwinServer(Twin()) as running:
        yield running


def run_rows(
    folder: Path, chosen: PipelineOptions, strategy: str = "", parts: tuple[str, ...] = tuple(PARTS)
) -> tuple[list[AblationRow], CallPlan]:
    mini_mvtec(folder / "data", each=2)
    run = mini_run(folder / "data", mini_descriptions(folder / "d.json", strategy=strategy))
    plans: list[CallPlan] = []
    with Cache(folder / "cache") as cache:
        asked = EvaluationRun(
            [run],
            chosen,
            cache,
            folder / "out",
            report=lambda stage, done, total: None,
            confirm=plans.append,
            resamples=50,
        )
        rows = ablate(asked, parts)
    return rows, plans[0]


def test_every_part_of_the_prompt_has_a_row(tmp_path: Path, server: TwinServer) -> None:
    rows, plan = run_rows(tmp_path, options(server.base_url), STRATEGY)
    assert [row.name for row in rows] == ["full", "RI", "VP", "ND", "CS", "AD"]
    assert plan.calls == 6 * 4
    assert server.twin.counters.answered == 6 * 4
    assert server.twin.counters.rejected == 0
    table = as_json(rows)
    assert set(table["accuracy"]) == {"plate", "mean"}
    assert rows[0].difference is None
    for row in rows[1:]:
        assert row.difference is not None
        gain = table["accuracy"]["mean"][row.name] - table["accuracy"]["mean"]["full"]
        assert row.difference[0] == pytest.approx(gain)
        assert row.difference[1] <= row.difference[0] <= row.difference[2]
    assert (tmp_path / "out/ablation.json").is_file()
    assert (tmp_path / "out/without-vp/predictions.json").is_file()


def test_without_its_red_contour_the_twin_sees_no_region(
    tmp_path: Path, server: TwinServer
) -> None:
    rows, _ = run_rows(tmp_path, options(server.base_url), parts=("VP",))
    full, blind = (row.result.scores.mean["accuracy_anomalous"] for row in rows)
    assert full > blind


def test_a_part_that_an_object_has_not_costs_nothing(tmp_path: Path, server: TwinServer) -> None:
    rows, _ = run_rows(tmp_path, options(server.base_url), strategy="", parts=("CS",))
    assert server.twin.counters.answered == 4
    assert rows[1].difference == (0, 0, 0)


def test_the_answers_of_the_complete_prompt_are_shared(tmp_path: Path, server: TwinServer) -> None:
    run_rows(tmp_path, options(server.base_url), parts=())
    before = server.twin.counters.answered
    run_rows(tmp_path, options(server.base_url), parts=("AD",))
    assert server.twin.counters.answered == before + 4


@pytest.mark.parametrize(
    ("changes", "parts", "message"),
    [({}, ("XX",), "part 'XX' is not among RI"), ({"classifier": "prototypes"}, (), "a prompt")],
)
def test_what_cannot_be_ablated_is_refused(
    tmp_path: Path, changes: dict[str, object], parts: tuple[str, ...], message: str
) -> None:
    with pytest.raises(PipelineError, match=message):
        run_rows(tmp_path, replace(options(), **changes), parts=parts)  # type: ignore[arg-type]


def test_parts_are_the_papers() -> None:
    off = {name: without(options(), name).velm.parts for name in (FULL, *PARTS)}
    assert all(off[FULL].model_dump().values())
    for name, field in PARTS.items():
        assert [k for k, on in off[name].model_dump().items() if not on] == [field]
