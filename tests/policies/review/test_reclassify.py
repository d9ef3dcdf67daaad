"""Asking the classifier again: paired changes, failures counted, the candidate's texts sent."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from policies.authoring.loading import load_policy
from policies.egress import Egress
from policies.evaluate import ResolvedPolicy
from policies.review.reclassify import Replayed, estimate, mcnemar, reclassify
from streams.codes import ReasonCode, Severity
from streams.errors import UnavailableError
from streams.events import Classification, Decision
from streams.ports import ClassificationRequest, Failure
from tests.policies.naive import naive, recorded, some_facts

FULL = Path(__file__).parents[1] / "full.yaml"


class Pictures:
    """``ImageStore`` of one test: some are there, one is gone, one store is down."""

    async def put(self, key: str, body: bytes, content_type: str) -> None:
        raise AssertionError("nothing is written")

    async def get(self, key: str, at_most: int = 1 << 20) -> bytes:
        if key == "gone":
            raise KeyError(key)
        if key == "down":
            raise UnavailableError("no store")
        return key.encode()

    async def exists(self, key: str) -> bool:
        return key not in ("gone", "down")


class Says:
    """``AnomalyClassifier`` that answers what the picture says."""

    def __init__(self) -> None:
        self.asked: list[ClassificationRequest] = []

    async def classify(
        self, requests: Sequence[ClassificationRequest], timeout_s: float
    ) -> Sequence[Classification | Failure]:
        self.asked += requests
        return [self._one(request) for request in requests]

    def _one(self, request: ClassificationRequest) -> Classification | Failure:
        word = request.image.decode()
        if word == "late":
            return Failure(ReasonCode.LATE, "Timeout", "too slow")
        return Classification(class_name=word, confidence=1.0, classifier="says", cost=0.25)


@pytest.fixture
def policy() -> ResolvedPolicy:
    return load_policy(FULL)


def decision(policy: ResolvedPolicy, name: str, number: int) -> Decision:
    chance, plain = random.Random(number), {"classes": {}}
    facts = next(f for f in (some_facts(chance, plain) for _ in range(99)) if f["class"])
    calm = {"class": name, "confidence": 1.0, "count": 1, "area_px": 1.0, "longest_px": 1.0,
            "cells": [(15, 0)], "lot": "", "score": 0.0}  # fmt: skip
    facts = {**facts, **calm}
    entry = policy.document.classes[name]
    verdict = {
        "action": entry.action.value, "severity": entry.severity.value, "class_name": name,
        "class_id": 0, "reason_code": "CLASS", "rule": f"class:{name}",
    }  # fmt: skip
    assert naive({"classes": {name: verdict}}, facts)["action"] == verdict["action"]
    return recorded(facts, verdict, policy.policy_hash, "everything")


@pytest.mark.asyncio
async def test_paired_changes_failures_and_cost(policy: ResolvedPolicy) -> None:
    def part(name: str, image: str, found: Severity | None = None) -> Replayed:
        return Replayed(decision(policy, name, len(image)), image, found)

    parts = [
        part("hole", "dust"),
        part("dust", "hole", Severity.DEFECT),
        part("dust", "crack", Severity.NORMAL),
        part("hole", "hole"),
        part("dust", "late"),
        part("hole", "gone"),
        part("hole", "down"),
    ]
    classifier = Says()
    report = await reclassify(policy, parts, Pictures(), classifier, batch=3)
    assert report.asked == 4
    assert report.failed == {
        "LATE": 1, "the picture is gone": 1, "the object store did not answer": 1,
    }  # fmt: skip
    assert report.classes == {("hole", "dust"): 1, ("dust", "hole"): 1, ("dust", "crack"): 1}
    assert (report.stops.gained, report.stops.lost) == (2, 1)
    assert (report.reviewed, report.truth.gained, report.truth.lost) == (2, 1, 1)
    assert report.cost == 1.0
    assert {request.texts.policy_hash for request in classifier.asked} == {policy.policy_hash}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("in_force", "wanted", "sent"),
    [("none", "full", "none"), ("crop", "full", "crop"), ("full", "crop", "crop")],
)
async def test_a_candidate_lets_out_no_more_than_the_policy_in_force(
    policy: ResolvedPolicy, in_force: Egress, wanted: Egress, sent: Egress
) -> None:
    document = policy.document.model_copy(update={"egress": wanted})
    parts, classifier = [Replayed(decision(policy, "hole", 1), "hole")], Says()
    candidate = ResolvedPolicy(document)
    await reclassify(candidate, parts, Pictures(), classifier, egress=in_force)
    assert [request.texts.egress for request in classifier.asked] == [sent]


def test_the_estimate_is_what_the_recorded_answers_cost(policy: ResolvedPolicy) -> None:
    one = decision(policy, "hole", 1)
    assert one.classification is not None
    update = {"cost": 0.5, "tokens_in": 900, "tokens_out": 100, "latency_ms": 1500.0}
    answer = one.classification.model_copy(update=update)
    answered = one.model_copy(update={"classification": answer})
    found = estimate([Replayed(answered, "a"), Replayed(answered, "b")])
    assert (found.calls, found.cost, found.tokens, found.latency_s) == (2, 1.0, 2000, 3.0)


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 5, 1.0), (10, 0, 2 / 1024), (8, 1, 20 / 512)],
)
def test_mcnemar_is_the_exact_binomial(gained: int, lost: int, p: float) -> None:
    assert mcnemar(gained, lost) == pytest.approx(p)
    assert mcnemar(lost, gained) == mcnemar(gained, lost)
