"""The line's decisions without the line: expert, classifier and policy in this process.

What the broker, the workers and the controller add is time, never another decision: a part that
is answered in time gets the same action here. So several seeds can be afforded.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lab.harness.line import LINE, STATION
from policies.evaluate import ResolvedPolicy
from serving.experts.artifact import load_expert
from serving.experts.images import decode_image
from serving.experts.options import Progress
from serving.naming.base import Classifier
from serving.naming.prototypes import PrototypeClassifier
from serving.ray.inspections import to_inspection
from streams.codes import DecisionSource
from streams.errors import AndonError
from streams.events import Decision, Inspection, PartOnLine
from streams.ids import new_frame_id
from streams.ports import ClassificationRequest, Failure
from streams.roles.decisions import Moment, decide

BATCH = 8
"""Pictures per call of the expert, as in ``infra/serve.yaml``."""
WINDOW_S = 60.0
"""Result window: nobody waits, so that no answer is late."""


class OfflineError(AndonError):
    """A picture that the expert or the classifier cannot answer."""


def decide_offline(
    artifact: Path,
    exemplars: Path | None,
    policy: ResolvedPolicy,
    photographs: Sequence[Path],
    report: Progress = lambda stage, done, total: None,
) -> list[Decision]:
    """One decision per photograph, in order.

    Args:
        artifact: the expert's folder.
        exemplars: the exemplars' folder; without it the local classifier knows no class.
        policy: decides.
        photographs: one part each.
        report: told of every batch.

    Raises:
        OfflineError: names the picture that was not answered.
    """
    bundles = {policy.product_id: exemplars} if exemplars is not None else {}
    return asyncio.run(_decide_all(artifact, bundles, policy, photographs, report))


async def _decide_all(
    artifact: Path,
    bundles: dict[str, Path],
    policy: ResolvedPolicy,
    photographs: Sequence[Path],
    report: Progress,
) -> list[Decision]:
    expert = load_expert(artifact)
    classifier = PrototypeClassifier(bundles)
    await classifier.start()
    decisions: list[Decision] = []
    try:
        for start in range(0, len(photographs), BATCH):
            pictures = [p.read_bytes() for p in photographs[start : start + BATCH]]
            scored = expert.score([decode_image(p, expert.bit_depth) for p in pictures])
            for picture, answer in zip(pictures, scored, strict=True):
                inspection = to_inspection(answer, expert.name, expert.version, {})
                part = _part(policy, len(decisions) + 1)
                decisions.append(await _decide(part, picture, inspection, classifier, policy))
            report("decide", len(decisions), len(photographs))
    finally:
        await classifier.close()
    return decisions


async def _decide(
    part: PartOnLine,
    picture: bytes,
    inspection: Inspection,
    classifier: Classifier,
    policy: ResolvedPolicy,
) -> Decision:
    if not inspection.anomalous:
        return decide(part, policy, DecisionSource.EXPERT, Moment(), inspection)
    request = ClassificationRequest(
        part.frame_id, picture, inspection, policy.texts(part.station), part.deadline
    )
    answer = await classifier.classify(request, WINDOW_S)
    if isinstance(answer, Failure):
        raise OfflineError(f"part {part.part_id}: {answer.error_type}: {answer.message}")
    return decide(part, policy, DecisionSource.CLASSIFIER, Moment(), inspection, answer)


def _part(policy: ResolvedPolicy, number: int) -> PartOnLine:
    now = datetime.now(UTC)
    return PartOnLine(
        frame_id=new_frame_id(),
        line=LINE,
        station=STATION,
        product_id=policy.product_id,
        part_id=f"{policy.product_id}-{number:06d}",
        plc_boot_id=1,
        trigger_seq=number,
        captured_at=now,
        deadline=now + timedelta(seconds=WINDOW_S),
        result_window_ms=round(1000 * WINDOW_S),
        is_simulated=True,
    )
