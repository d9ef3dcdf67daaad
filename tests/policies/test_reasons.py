"""A fallback's reason names the stage that failed, and what went wrong there."""

from pathlib import Path

import pytest

from policies.authoring.loading import load_policy
from streams.codes import FallbackKind, ReasonCode
from streams.events import Anomaly, Frame, Inspection
from streams.ports import Failure, Situation
from streams.roles.decisions import Moment, fallback, situation_of
from streams.roles.inspected import anomalous
from tests.streams.made import frame, inspection

TILE = load_policy(Path(__file__).parents[2] / "policies" / "products" / "magnetic_tile.yaml")


def anomaly(part: Frame) -> Anomaly:
    return anomalous(part, inspection(True), Moment()).anomaly or pytest.fail("none")


def failed(code: ReasonCode, message: str) -> Failure:
    return Failure(code, "Kind", message)


@pytest.mark.parametrize(
    ("stage", "failure", "reason"),
    [
        (
            "inspect",
            failed(ReasonCode.LATE, "it was asked 1350 ms before"),
            "The vision expert did not answer in time: it was asked 1350 ms before.",
        ),
        (
            "classify",
            failed(ReasonCode.LATE, "it was asked 900 ms before"),
            "The classifier did not answer in time: it was asked 900 ms before.",
        ),
        (
            "inspect",
            failed(ReasonCode.EXPERT_UNAVAILABLE, "no connection to Serve's ingress at a:9010"),
            "The vision expert could not answer: no connection to Serve's ingress at a:9010.",
        ),
        (
            "classify",
            failed(ReasonCode.CLASSIFIER_UNAVAILABLE, "gpt: HTTP 401: no; check the key"),
            "The classifier could not answer: gpt: HTTP 401: no; check the key.",
        ),
        (
            "inspect",
            failed(ReasonCode.UNDECODABLE_IMAGE, "not a JPEG"),
            "The picture could not be read: not a JPEG.",
        ),
        (
            "classify",
            failed(ReasonCode.UNDECODABLE_IMAGE, "no object frames/1"),
            "The picture could not be read: no object frames/1.",
        ),
        (
            "inspect",
            failed(ReasonCode.NO_ARTIFACT, "no expert for product 'tile': train it"),
            "The product has no vision expert in force: no expert for product 'tile': train it.",
        ),
        (
            "inspect",
            failed(ReasonCode.MALFORMED_EVENT, "sha256: missing"),
            "The event of the part could not be read: sha256: missing.",
        ),
        (
            "inspect",
            failed(ReasonCode.NO_DECISION, "KeyError: 'x'"),
            "Nobody could decide about the part: KeyError: 'x'.",
        ),
    ],
)
def test_the_reason_names_stage_and_cause(stage: str, failure: Failure, reason: str) -> None:
    part: Frame = frame(product_id="magnetic_tile")
    what = part if stage == "inspect" else anomaly(part)
    decision = fallback(what, failure, TILE, Moment())
    assert decision.reason == reason
    assert decision.reason_code is failure.reason_code


def test_every_failure_says_more_than_that_somebody_was_late() -> None:
    """Only what was late reads late, and the classifier only where the expert had answered."""
    seen: Inspection = anomaly(frame()).inspection
    for code in ReasonCode:
        for inspected in (None, seen):
            part = frame(product_id="magnetic_tile")
            situation: Situation = situation_of(part, inspected, None, failed(code, "why"))
            reason = TILE.decide(situation).reason
            assert reason.endswith(": why.")
            assert ("in time" in reason) == (code is ReasonCode.LATE)
            if inspected is None and code is not ReasonCode.CLASSIFIER_UNAVAILABLE:
                assert "classifier" not in reason


def test_a_fallback_without_a_failure_still_names_who() -> None:
    kinds = {kind: TILE.decide(Situation(fallback=kind)).reason for kind in FallbackKind}
    assert kinds[FallbackKind.LATE] == "The vision expert did not answer in time."
    assert kinds[FallbackKind.NO_DECISION] == "Nobody could decide about the part."
