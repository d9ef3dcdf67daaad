"""Parts of a made-up plant for the history's benchmark: four lines, six products.

33,000 parts a day; 6 % do not pass, 3 % of the serials come twice, 1 % are decided by a fallback or
the watchdog, 1 % get a second answer too late, 0.5 % a review. A thousand patterns give decisions
and their JSON; times, identities, serials, lots, products, experts and policies are of each part.
"""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

from streams.codes import AckOutcome, Action, DecisionSource, Evaluation, ReasonCode, Severity
from streams.events import (
    Acknowledgement,
    Blob,
    Box,
    Classification,
    Decision,
    Inspection,
    Region,
    decision_id,
)

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TAKT = timedelta(days=30) / 1_000_000
"""Between two parts of the plant: a million in thirty days."""
PATTERNS = 1000
"""So many parts differ in their decisions; then they come again."""
_CLASSES = ("crack", "pit", "scratch", "stain", "dent", "unknown")
_LINES = 4
_DECIDED, _WRITTEN, _ACKNOWLEDGED = (timedelta(milliseconds=ms) for ms in (200, 205, 215))


def captured_at(number: int) -> datetime:
    """When part ``number`` is photographed."""
    return BEGIN + number * TAKT


def frame_id(number: int) -> UUID:
    """A UUIDv7 of that moment."""
    millis = int(captured_at(number).timestamp() * 1000)
    return UUID(int=(millis << 80) | (7 << 76) | (2 << 62) | number)


def own_columns(number: int) -> dict[str, object]:
    """What part ``number`` shares with no pattern."""
    scattered = number * 2_654_435_761 % (1 << 32)
    again = scattered % 100 < 3 and number > 20_000
    serial = number - 1 - scattered % 20_000 if again else number
    return {
        "frame_id": frame_id(number),
        "part_id": f"S{serial:010}",
        "lot_id": f"L{number // 2000}",
        "product_id": f"product-{(number // 40_000 + number % _LINES) % 6}",
        "trigger_seq": number + 1,
        "captured_at": captured_at(number),
        "decided_at": captured_at(number) + _DECIDED,
    }


def made_decisions(number: int) -> list[Decision]:
    """The decisions of part ``number``: the effective one, and seldom a late one."""
    chance = random.Random(number % PATTERNS)
    luck, passes = chance.random(), chance.random() >= 0.06
    source = DecisionSource.EXPERT if passes else DecisionSource.CLASSIFIER
    if luck < 0.01:
        source = DecisionSource.FALLBACK if luck < 0.006 else DecisionSource.WATCHDOG
    named = "" if passes else chance.choice(_CLASSES)
    action = Action.PASS if passes else chance.choice((Action.SCRAP, Action.REWORK, Action.HOLD))
    score = chance.uniform(0, 4) if passes else chance.uniform(5, 12)
    own = own_columns(number)
    decision = Decision.model_validate(
        own
        | {
            "line": f"line-{number % _LINES}",
            "station": f"station-{number % 2}",
            "plc_boot_id": 7,
            "deadline": captured_at(number) + timedelta(seconds=1.5),
            "result_window_ms": 1500,
            "result_id": decision_id(frame_id(number), source),
            "source": source,
            "evaluation": Evaluation.OK if passes else Evaluation.NOT_OK,
            "class_name": named,
            "severity": Severity.NORMAL if passes else Severity.DEFECT,
            "action": action,
            "reason_code": ReasonCode.NORMAL if passes else ReasonCode.CLASS,
            "rule": "normal" if passes else f"class:{named}",
            "policy_hash": f"{number // 240_000:064}",
            "inspection": _inspection(score, passes, f"{number // 360_000:064x}"),
            "classification": None
            if passes
            else Classification(class_name=named, confidence=0.9, classifier="prototypes"),
            "timings_ms": {"queue_inspect": 3.0, "expert": 40.0, "inspect": 5.0},
        }
    )
    if chance.random() >= 0.01 or source is DecisionSource.CLASSIFIER:
        return [decision]
    late = {
        "source": DecisionSource.CLASSIFIER,
        "result_id": decision_id(frame_id(number), DecisionSource.CLASSIFIER),
        "is_late": True,
    }
    return [decision, decision.model_copy(update=late)]


def made_acknowledgement(decision: Decision) -> Acknowledgement:
    """The controller's answer to a decision."""
    shared = {
        name: getattr(decision, name)
        for name in Acknowledgement.model_fields.keys() & Decision.model_fields.keys()
    }
    return Acknowledgement.model_validate(
        shared
        | {
            "outcome": AckOutcome.ACKNOWLEDGED,
            "result_seq": decision.trigger_seq,
            "written_at": decision.captured_at + _WRITTEN,
            "acknowledged_at": decision.captured_at + _ACKNOWLEDGED,
            "trigger_to_write_ms": 205.0,
        }
    )


def _inspection(score: float, passes: bool, version: str) -> Inspection:
    box = Box(x=16, y=16, width=16, height=16)
    blob = Blob(box=box, area_px=256, longest_side_px=16, centroid_x=24, centroid_y=24, peak=score)
    region = Region(
        image_height=256,
        image_width=256,
        mask_height=64,
        mask_width=64,
        mask_rle="T24<00000l3" * 20,
        blobs=(blob,) * 3,
        area_px=768,
        longest_side_px=16,
        count=3,
        contrast=3.0,
    )
    return Inspection(
        score=score,
        threshold=5.0,
        p_value=0.5 if passes else 0.001,
        anomalous=not passes,
        region=None if passes else region,
        expert_version=version,
    )
