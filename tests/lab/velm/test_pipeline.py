"""The pipeline over a small synthetic data set, with masks as regions and the twin as model."""

import csv
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.llm_twin.app import Twin
from lab.llm_twin.behaviour import Behaviour
from lab.llm_twin.responders import ManifestResponder
from lab.llm_twin.server import TwinServer
from lab.velm.answers_cache import Cache
from lab.velm.pipeline import ObjectRun, PipelineError, PipelineOptions, split_exemplars
from lab.velm.pipeline_figures import PipelineResult
from lab.velm.pipeline_naming import CallPlan
from lab.velm.pipeline_run import EvaluationRun, evaluate
from lab.velm.predictions import read_answers, score
from serving.naming.settings import EndpointSettings, EndpointZone, PriceSettings
from tests.lab.velm.mini import (
    OPEN,
    SMALL,
    mini_descriptions,
    mini_mvtec,
    mini_run,
    truth_for_twin,
)

PRICES = PriceSettings(tokens_in=2.5, tokens_out=10.0)


@pytest.fixture
def plates(tmp_path: Path) -> ObjectRun:
    mini_mvtec(tmp_path / "data")
    return mini_run(tmp_path / "data", mini_descriptions(tmp_path / "d.json"))


def knowing(run: ObjectRun, accuracy: float = 1.0) -> Twin:
    return Twin(responder=ManifestResponder(truth_for_twin(run, SMALL), accuracy))


def options(base_url: str = "http://127.0.0.1:9/v1", **changes: object) -> PipelineOptions:
    endpoint = EndpointSettings(
        base_url=base_url, model="twin", zone=EndpointZone.LOOPBACK, logprobs=True, prices=PRICES
    )
    oracle = PipelineOptions(classifier="velm", regions="oracle", velm=SMALL, endpoint=endpoint)
    return replace(oracle, **changes)  # type: ignore[arg-type]


def go(
    run: ObjectRun,
    chosen: PipelineOptions,
    folder: Path,
    *,
    confirm: Callable[[CallPlan], None] = lambda plan: None,
    report: Callable[[str, int, int], None] = lambda stage, done, total: None,
    limit: int | None = None,
) -> PipelineResult:
    with Cache(folder / "cache") as cache:
        return evaluate(
            EvaluationRun([run], chosen, cache, folder / "out", report, confirm, limit, 20)
        )


def test_a_knowing_model_is_right_everywhere_and_the_files_score_the_same(
    plates: ObjectRun, tmp_path: Path
) -> None:
    with TwinServer(knowing(plates)) as server:
        result = go(plates, options(server.base_url), tmp_path)
    assert result.scores.mean["accuracy"] == 100
    assert result.document["images"] == {"plate": 12}
    files = result.document["files"]
    again = score(read_answers(Path(files["predictions"]), Path(files["descriptions"])))
    assert again.mean == result.scores.mean
    answers = json.loads(Path(files["predictions"]).read_text())
    assert answers["plate_spot_000"] == "dark spot"
    assert answers["plate_good_003"] == "good"
    rows = list(csv.DictReader((tmp_path / "out/pictures.csv").read_text().splitlines()))
    assert [r["key"] for r in rows] == list(answers)
    assert json.loads((tmp_path / "out/result.json").read_text()) == result.document


def test_figures_of_time_and_money_are_those_of_the_twin(plates: ObjectRun, tmp_path: Path) -> None:
    with TwinServer(knowing(plates)) as server:
        result = go(plates, options(server.base_url), tmp_path)
        seen = server.twin.counters
    spent = result.document["spent"]
    assert (spent["named"], spent["calls"]) == (8, 8)
    assert (spent["tokens_in"], spent["tokens_out"]) == (seen.prompt_tokens, seen.completion_tokens)
    assert spent["cost"] == pytest.approx(PRICES.cost(seen.prompt_tokens, seen.completion_tokens))
    time = result.document["time"]
    assert time["expert_ms_per_image"] is None
    assert 0 < time["llm_ms_per_token"] < time["llm_ms_per_call"]


def test_the_paper_counts_a_wrong_class_and_who_let_it_pass(
    plates: ObjectRun, tmp_path: Path
) -> None:
    truth = truth_for_twin(plates, SMALL)
    wrong = {d: {"dark spot": "normal"}.get(name, name) for d, name in truth.items()}
    with TwinServer(Twin(responder=ManifestResponder(wrong, 1.0))) as server:
        result = go(plates, options(server.base_url, velm=OPEN_WITHOUT_REFERENCE), tmp_path)
    assert result.scores.mean["accuracy"] == pytest.approx(100 * 8 / 12)
    assert result.document["escapes"] == {"gate": 0.0, "classifier": 0.5}
    assert result.document["unknown"] == {}


OPEN_WITHOUT_REFERENCE = OPEN.model_copy(
    update={"parts": OPEN.parts.model_copy(update={"reference_image": False})}
)


def test_what_cannot_be_read_is_unknown_with_its_reason(plates: ObjectRun, tmp_path: Path) -> None:
    with TwinServer(Twin(Behaviour(rubbish="refusal"))) as server:
        result = go(plates, options(server.base_url), tmp_path)
    assert result.document["unknown"] == {"refused": 8}
    assert result.scores.mean["accuracy_anomalous"] == 0
    assert not result.document["unanswered"]


def test_a_second_run_asks_nothing_and_says_so(plates: ObjectRun, tmp_path: Path) -> None:
    plans: list[CallPlan] = []
    with TwinServer(knowing(plates, 0.7)) as server:
        first = go(plates, options(server.base_url), tmp_path, confirm=plans.append)
    second = go(plates, options(), tmp_path, confirm=plans.append)
    assert [(p.pictures, p.passed, p.known, p.calls) for p in plans] == [
        (12, 4, 0, 8),
        (12, 4, 8, 0),
    ]
    assert plans[0].cost > first.document["spent"]["cost"] > 0
    assert second.scores == first.scores
    assert second.document["spent"]["cost"] == first.document["spent"]["cost"]
    assert second.document["spent"]["in_this_run"]["calls"] == 0


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C interrupts, also where the tests run in the background and began by ignoring it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_after_an_interruption_only_the_rest_is_asked(plates: ObjectRun, tmp_path: Path) -> None:
    def stop_at_three(stage: str, done: int, total: int) -> None:
        if stage == "plate: name" and done == 3:
            signal.raise_signal(signal.SIGINT)

    two_at_once = EndpointSettings(
        base_url="http://127.0.0.1:9/v1",
        model="twin",
        zone=EndpointZone.LOOPBACK,
        max_concurrency=2,
    )
    with TwinServer(knowing(plates)) as server:
        chosen = options(endpoint=two_at_once.model_copy(update={"base_url": server.base_url}))
        with pytest.raises(KeyboardInterrupt):
            go(plates, chosen, tmp_path, report=stop_at_three)
        asked = server.twin.counters.answered
        assert 3 <= asked < 8
        plans: list[CallPlan] = []
        result = go(plates, chosen, tmp_path, confirm=plans.append)
        assert plans[0].known == asked
        assert server.twin.counters.answered == 8
    assert result.scores.mean["accuracy"] == 100


def test_an_endpoint_that_is_down_stops_the_run_and_loses_nothing(
    plates: ObjectRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.velm.pipeline_asking.FIRST_PAUSE_S", 0.0)
    quick = {"attempts": 1, "max_concurrency": 1, "backoff_s": 0.001}
    with TwinServer(Twin(Behaviour(failure_rate=1.0))) as server:
        chosen = options(server.base_url)
        assert chosen.endpoint is not None
        chosen = replace(chosen, endpoint=chosen.endpoint.model_copy(update=quick))
        with pytest.raises(PipelineError, match="5 pictures in a row were not answered"):
            go(plates, chosen, tmp_path)
        assert server.twin.counters.failed < 30
    with TwinServer(knowing(plates)) as server:
        assert go(plates, options(server.base_url), tmp_path).scores.mean["accuracy"] == 100


def test_several_calls_per_picture_are_paid_and_counted(plates: ObjectRun, tmp_path: Path) -> None:
    plans: list[CallPlan] = []
    thrice = SMALL.model_copy(update={"calls": 3})
    with TwinServer(knowing(plates)) as server:
        for _ in range(2):
            chosen = options(server.base_url, velm=thrice)
            result = go(plates, chosen, tmp_path, confirm=plans.append)
        assert server.twin.counters.answered == 24
    assert [p.calls for p in plans] == [24, 0]
    assert result.document["spent"]["calls"] == 24


def test_refusing_to_spend_asks_nothing(plates: ObjectRun, tmp_path: Path) -> None:
    def refuse(plan: CallPlan) -> None:
        raise PipelineError(f"{plan.cost:.4f}")

    with TwinServer(knowing(plates)) as server:
        with pytest.raises(PipelineError):
            go(plates, options(server.base_url), tmp_path, confirm=refuse)
        assert server.twin.counters.requests == 0


def test_a_limit_keeps_the_numbers_of_the_pictures(plates: ObjectRun, tmp_path: Path) -> None:
    with TwinServer(knowing(plates)) as server:
        result = go(plates, options(server.base_url), tmp_path, limit=2)
    assert result.document["images"] == {"plate": 6}
    answers = json.loads(Path(result.document["files"]["predictions"]).read_text())
    keys = {i.key for i in plates.items}
    assert len(answers) == 6
    assert set(answers) <= keys


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gate": False}, "tells the classifier which pictures are normal"),
        ({"endpoint": None}, "needs an endpoint"),
        ({"classifier": "oracle"}, "not among prototypes"),
        ({"regions": "mine"}, "not among expert"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    plates: ObjectRun, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(PipelineError, match=message):
        go(plates, options(**changes), tmp_path)


def test_no_picture_leaves_the_plant_unasked(plates: ObjectRun, tmp_path: Path) -> None:
    outside = EndpointSettings(
        base_url="https://llm.example/v1", model="m", zone=EndpointZone.EXTERNAL
    )
    with pytest.raises(PipelineError, match=r"no picture of plate may leave .*--egress full"):
        go(plates, options(endpoint=outside), tmp_path)


def test_a_missing_mask_is_named(tmp_path: Path) -> None:
    mini_mvtec(tmp_path / "data")
    (tmp_path / "data/plate/ground_truth/spot/002_mask.png").unlink()
    run = mini_run(tmp_path / "data", mini_descriptions(tmp_path / "d.json"))
    with pytest.raises(PipelineError, match=r"lacks 1, .*spot.002\.png .*002_mask\.png"):
        go(run, options(), tmp_path)


def test_exemplars_and_scored_pictures_never_share_a_part(plates: ObjectRun) -> None:
    parts = [replace(i.sample, group=f"part {n // 2}") for n, i in enumerate(plates.items)]
    items = tuple(replace(i, sample=s) for i, s in zip(plates.items, parts, strict=True))
    split = split_exemplars(replace(plates, items=items), shots=1, seed=3)
    taught = {i.sample.group for i in split.exemplars}
    scored = {i.sample.group for i in split.items if i.sample.anomalous}
    assert len(split.exemplars) == 2
    assert not taught & scored
    assert sum(not i.sample.anomalous for i in split.items) == 4
    assert split == split_exemplars(replace(plates, items=items), shots=1, seed=3)


def test_a_class_of_one_part_cannot_teach(plates: ObjectRun) -> None:
    single = tuple(i for i in plates.items if i.sample.label != "spot" or i.key.endswith("0"))
    with pytest.raises(PipelineError, match="'spot' shows one part only"):
        split_exemplars(replace(plates, items=single), 5, 0)


@pytest.mark.slow
def test_the_whole_pipeline_with_an_expert_and_every_classifier(
    plates: ObjectRun, tmp_path: Path
) -> None:
    """Train, gate, outline, name: prototypes, then the cascade, then everything named."""
    local = PipelineOptions(classifier="prototypes", shots=2, false_alarm_rate=0.1)
    first = go(plates, local, tmp_path)
    gate = first.document["gate"]
    assert gate["missed_share"] <= 0.5
    assert first.document["time"]["expert_ms_per_image"] > 0
    assert first.document["spent"]["calls"] == 0
    with TwinServer(knowing(plates)) as server:
        told = options(server.base_url).endpoint
        cascade = replace(local, classifier="cascade", endpoint=told, velm=SMALL)
        second = go(plates, cascade, tmp_path)
        assert second.scores.mean["accuracy"] >= first.scores.mean["accuracy"]
        every = replace(
            local, classifier="velm", gate=False, endpoint=told, velm=OPEN_WITHOUT_REFERENCE
        )
        plans: list[CallPlan] = []
        third = go(plates, every, tmp_path, confirm=plans.append)
    assert (plans[0].passed, plans[0].calls) == (0, 12)
    assert third.document["gate"] is None
    assert third.scores.mean["accuracy"] == 100


@pytest.mark.llm
def test_a_real_model_goes_through_the_pipeline(plates: ObjectRun, tmp_path: Path) -> None:
    """The protocol and the accounts hold; what the model says is shown, not judged."""
    url = os.environ.get("ANDON_TEST_LLM_URL")
    if not url:
        pytest.skip("no real endpoint: set ANDON_TEST_LLM_URL, _MODEL and _KEY")
    endpoint = EndpointSettings(
        base_url=url,
        model=os.environ.get("ANDON_TEST_LLM_MODEL", "gpt-4o"),
        api_key=os.environ.get("ANDON_TEST_LLM_KEY", "none"),  # type: ignore[arg-type]
        timeout_s=60,
    )
    texts = replace(plates.described.texts, egress="full")
    run = replace(plates, described=replace(plates.described, texts=texts))
    result = go(run, options(endpoint=endpoint), tmp_path, limit=1)
    assert not result.document["unanswered"]
    assert result.document["spent"]["tokens_in"] > 0
