"""Patience and its end: what fails in passing, what fails for good, when a run stops."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.datasets.folders import Sample
from lab.velm.descriptions import Described
from lab.velm.pipeline import Item, PipelineError
from lab.velm.pipeline_asking import IN_A_ROW, ROUNDS, Asking
from lab.velm.pipeline_inspect import Inspected
from lab.velm.pipeline_naming import AnsweredPicture
from serving.naming.base import Classifier
from streams.codes import ReasonCode
from streams.events import Classification, Inspection
from streams.ports import ClassificationRequest, ClassificationTexts, Failure
from tests.lab.llm_twin.kit import request

SPOT = Classification(class_name="spot", confidence=0.9, classifier="fixed")
UNSURE = SPOT.model_copy(update={"class_name": "unknown", "unknown_reason": "unsure: llm: down"})
DOWN = Failure(ReasonCode.CLASSIFIER_UNAVAILABLE, "unreachable", "nobody there", retryable=True)
REFUSED = Failure(ReasonCode.CLASSIFIER_UNAVAILABLE, "rejected", "HTTP 400", retryable=False)


@dataclass
class Fixed:
    """A classifier that answers from a list, and then for ever its last."""

    answers: Sequence[Classification | Failure]
    name: str = "fixed"
    asked: int = 0

    async def classify(
        self, request: ClassificationRequest, timeout_s: float
    ) -> Classification | Failure:
        self.asked += 1
        await asyncio.sleep(0)
        return self.answers[min(self.asked, len(self.answers)) - 1]

    async def start(self) -> None: ...
    async def close(self) -> None: ...


@dataclass
class Stage:
    """One object's stage over a fixed classifier."""

    fixed: Fixed
    kept: list[AnsweredPicture] = field(default_factory=list)
    name: str = "plate"
    limits: tuple[int, float] = (1, 5.0)

    def classifier(self) -> Classifier:
        return self.fixed

    def request_of(self, picture: Inspected, timeout_s: float) -> ClassificationRequest:
        return request()

    def keep(self, answered: AnsweredPicture) -> None:
        self.kept.append(answered)


def pictures(count: int) -> list[Inspected]:
    seen = Inspection(score=2, threshold=1, p_value=0.0, anomalous=True, expert_version="")
    sample = Sample(Path("a.png"), "spot", True)
    words = Described(ClassificationTexts("p", ""))
    return [Inspected(Item(f"p_{i}", sample, words), seen, False, "", None) for i in range(count)]


def run(stage: Stage, count: int) -> list[AnsweredPicture]:
    return asyncio.run(Asking(stage, pictures(count), lambda *step: None).run())


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.velm.pipeline_asking.FIRST_PAUSE_S", 0.0)


@pytest.mark.parametrize("trouble", [DOWN, UNSURE])
def test_what_fails_in_passing_is_asked_again(trouble: Classification | Failure) -> None:
    stage = Stage(Fixed([trouble, SPOT]))
    assert [a.classification for a in run(stage, 2)] == [SPOT, SPOT]
    assert stage.fixed.asked == 3
    assert len(stage.kept) == 2


def test_one_picture_that_is_refused_does_not_stop_the_others() -> None:
    stage = Stage(Fixed([SPOT, REFUSED, SPOT]))
    found = run(stage, 3)
    assert [a.failure for a in found] == ["", "rejected: HTTP 400", ""]
    assert stage.fixed.asked == 3
    assert len(stage.kept) == 2


@pytest.mark.parametrize("trouble", [DOWN, UNSURE])
def test_several_in_a_row_stop_the_run(trouble: Classification | Failure) -> None:
    """A cascade whose model is down answers ``unknown``: that is no answer of the pipeline."""
    stage = Stage(Fixed([SPOT, trouble]))
    with pytest.raises(PipelineError, match=rf"{IN_A_ROW} pictures in a row .* the same command"):
        run(stage, 20)
    assert stage.fixed.asked == 1 + IN_A_ROW * ROUNDS
    assert len(stage.kept) == 1


def test_the_answers_are_in_the_order_of_the_pictures() -> None:
    found = run(Stage(Fixed([SPOT]), limits=(4, 5.0)), 9)
    assert [a.inspected.item.key for a in found] == [f"p_{i}" for i in range(9)]
