"""What travels between worker and replica: JSON beside raw image bytes, never pickled models.

A vision call is ``(timeout_s, [(product_id, image), ...])``; a classifier call is
``(timeout_s, [(json, image), ...])``; an answer is one JSON array. Workers and replicas of
neighbouring releases understand each other: unknown fields are kept or ignored.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter

from streams.codes import ReasonCode
from streams.events import Classification, Inspection
from streams.ports import ClassificationRequest, Failure, InspectionRequest

VisionCall = tuple[float, list[tuple[str, bytes]]]
ClassifierCall = tuple[float, list[tuple[bytes, bytes]]]

A = TypeVar("A", Inspection, Classification)


class _Answer(BaseModel, Generic[A]):
    model_config = ConfigDict(frozen=True)
    ok: A | None = None
    failure: Failure | None = None


_INSPECTIONS = TypeAdapter(list[_Answer[Inspection]])
_CLASSIFICATIONS = TypeAdapter(list[_Answer[Classification]])
_REQUEST = TypeAdapter(ClassificationRequest)


def vision_call(requests: Sequence[InspectionRequest], timeout_s: float) -> VisionCall:
    """The arguments of one call to the vision expert."""
    return timeout_s, [(r.product_id, r.image) for r in requests]


def classifier_call(requests: Sequence[ClassificationRequest], timeout_s: float) -> ClassifierCall:
    """The arguments of one call to the classifier."""
    return timeout_s, [(_REQUEST.dump_json(replace(r, image=b"")), r.image) for r in requests]


def classifier_requests(call: ClassifierCall) -> list[ClassificationRequest]:
    """The requests behind :func:`classifier_call`'s arguments."""
    return [replace(_REQUEST.validate_json(text), image=image) for text, image in call[1]]


def pack_inspections(answers: Sequence[Inspection | Failure]) -> bytes:
    """One JSON array; defaults are left out."""
    return _pack(_INSPECTIONS, _Answer[Inspection], answers)


def pack_classifications(answers: Sequence[Classification | Failure]) -> bytes:
    """One JSON array; defaults are left out."""
    return _pack(_CLASSIFICATIONS, _Answer[Classification], answers)


def unpack_inspections(body: bytes) -> list[Inspection | Failure]:
    """Answers, in order."""
    return [_value(a) for a in _INSPECTIONS.validate_json(body)]


def unpack_classifications(body: bytes) -> list[Classification | Failure]:
    """Answers, in order."""
    return [_value(a) for a in _CLASSIFICATIONS.validate_json(body)]


def _pack(
    adapter: TypeAdapter[list[_Answer[A]]],
    answer: type[_Answer[A]],
    values: Sequence[A | Failure],
) -> bytes:
    answers = [
        answer.model_construct(failure=v)
        if isinstance(v, Failure)
        else answer.model_construct(ok=v)
        for v in values
    ]
    return adapter.dump_json(answers, exclude_defaults=True)


def _value(answer: _Answer[A]) -> A | Failure:
    if answer.ok is not None:
        return answer.ok
    return answer.failure or Failure(
        ReasonCode.MALFORMED_EVENT, "EmptyAnswer", "the replica answered nothing for this item"
    )
