"""What travels between worker and replica: JSON and raw image bytes in one blob, no pickle.

A call is a four-byte length (big endian), a JSON array of ``[what, size]`` and the images, one
after another; ``what`` is product, frame and, where traced, the ``traceparent`` of a vision call
(the product alone, as workers up to 0.2 say it) and the request of a classifier call. An answer is
one JSON array. Replicas understand workers of the release before: unknown fields are kept or
ignored. Calls and answers travel as messages of one gRPC method each.
"""

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, TypeAdapter

from streams.codes import ReasonCode
from streams.events import Classification, Inspection
from streams.ports import ClassificationRequest, Failure, InspectionRequest

SERVICE: Final = "andon.Serving"
SCORE: Final = "Score"
"""The method that scores images."""
CLASSIFY: Final = "Classify"
"""The method that names anomalies."""
WARM: Final = "Warm"
"""The method that has every replica load the expert in force for a product, and says what each
holds."""
MOST_BYTES: Final = 512 << 20
GRPC_LIMITS: Final = (
    ("grpc.max_send_message_length", MOST_BYTES),
    ("grpc.max_receive_message_length", MOST_BYTES),
)
"""Calls carry images of up to 8 MiB, several at once; gRPC's default is 4 MiB."""

_LENGTH = struct.Struct(">I")
_LONGEST_S: Final = 86_400.0
"""A deadline further away is taken as it stands."""
A = TypeVar("A", Inspection, Classification)


@dataclass(frozen=True)
class AskedImage:
    """One image of a call to the vision expert."""

    product: str
    image: bytes
    frame_id: UUID | None = None
    """None where the worker did not say it."""
    trace: str = ""
    """The ``traceparent`` of who asks; empty: not traced."""


class _Answer(BaseModel, Generic[A]):
    model_config = ConfigDict(frozen=True)
    ok: A | None = None
    failure: Failure | None = None


_INSPECTIONS = TypeAdapter(list[_Answer[Inspection]])
_CLASSIFICATIONS = TypeAdapter(list[_Answer[Classification]])
_REQUEST = TypeAdapter(ClassificationRequest)
_HEADER = TypeAdapter(list[tuple[object, int]])


def pack_images(requests: Sequence[InspectionRequest]) -> bytes:
    """One call to the vision expert."""
    return _pack_call(
        (
            {"product": r.product_id, "frame": str(r.frame_id)}
            | ({"trace": r.trace} if r.trace else {}),
            r.image,
        )
        for r in requests
    )


def unpack_images(body: bytes) -> list[AskedImage]:
    """What each item asks.

    >>> from uuid import uuid4
    >>> unpack_images(pack_images([InspectionRequest(uuid4(), "tile", b"picture")]))[0].product
    'tile'

    Raises:
        ValueError: not such a call.
    """
    found = []
    for what, image in _unpack_call(body):
        if isinstance(what, dict):
            frame_id, trace = UUID(str(what["frame"])), str(what.get("trace", ""))
            found.append(AskedImage(str(what["product"]), image, frame_id, trace))
        else:
            found.append(AskedImage(str(what), image))
    return found


def calls_by_product(body: bytes) -> dict[str, tuple[list[int], bytes]]:
    """A call to the vision expert as one call for each product, with its images' places.

    Raises:
        ValueError: not such a call.
    """
    items: dict[str, list[tuple[int, object, bytes]]] = {}
    for i, (what, image) in enumerate(_unpack_call(body)):
        product = str(what["product"]) if isinstance(what, dict) else str(what)
        items.setdefault(product, []).append((i, what, image))
    if len(items) == 1:
        return {product: ([i for i, *_ in own], body) for product, own in items.items()}
    return {
        product: ([i for i, *_ in own], _pack_call((what, image) for _, what, image in own))
        for product, own in items.items()
    }


def join_answers(parts: Sequence[tuple[Sequence[int], bytes]]) -> bytes:
    """The answers of several calls as those of one, each at its place.

    >>> join_answers([([0, 2], b"[1,3]"), ([1], b"[2]")])
    b'[1,2,3]'

    Raises:
        ValueError: a part does not answer each of its images.
    """
    if len(parts) == 1:
        return parts[0][1]
    found: dict[int, object] = {}
    for places, answers in parts:
        found |= dict(zip(places, json.loads(answers), strict=True))
    return json.dumps([found[i] for i in sorted(found)], separators=(",", ":")).encode()


def pack_requests(requests: Sequence[ClassificationRequest]) -> bytes:
    """One call to the classifier. The time that is left travels too: the replica's clock may be
    another than ours."""
    now = datetime.now(UTC)
    return _pack_call(
        (
            _REQUEST.dump_python(replace(r, image=b""), mode="json")
            | {"left_s": (r.deadline - now).total_seconds()},
            r.image,
        )
        for r in requests
    )


def unpack_requests(body: bytes) -> list[ClassificationRequest]:
    """The requests of a call.

    Raises:
        ValueError: not such a call.
    """
    return [_request(what, image) for what, image in _unpack_call(body)]


def _request(what: object, image: bytes) -> ClassificationRequest:
    found = replace(_REQUEST.validate_python(what), image=image)
    left_s = what.get("left_s") if isinstance(what, dict) else None
    if not isinstance(left_s, int | float) or not abs(left_s) < _LONGEST_S:
        return found
    return replace(found, deadline=datetime.now(UTC) + timedelta(seconds=left_s))


def pack_inspections(answers: Sequence[Inspection | Failure]) -> bytes:
    """One JSON array; defaults are left out."""
    return _pack(_INSPECTIONS, _Answer[Inspection], answers)


def pack_classifications(answers: Sequence[Classification | Failure]) -> bytes:
    """One JSON array; defaults are left out."""
    return _pack(_CLASSIFICATIONS, _Answer[Classification], answers)


def unpack_inspections(body: bytes) -> list[Inspection | Failure]:
    """Answers, in order. Raises ValueError for anything else."""
    return [_value(a) for a in _INSPECTIONS.validate_json(body)]


def unpack_classifications(body: bytes) -> list[Classification | Failure]:
    """Answers, in order. Raises ValueError for anything else."""
    return [_value(a) for a in _CLASSIFICATIONS.validate_json(body)]


def _pack_call(items: Iterable[tuple[object, bytes]]) -> bytes:
    pairs = list(items)
    header = json.dumps([[what, len(image)] for what, image in pairs]).encode()
    return b"".join([_LENGTH.pack(len(header)), header, *(image for _, image in pairs)])


def _unpack_call(body: bytes) -> list[tuple[object, bytes]]:
    if len(body) < _LENGTH.size:
        raise ValueError(f"a call of {len(body)} bytes has no header")
    place = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    found = []
    for what, size in _HEADER.validate_json(body[_LENGTH.size : place]):
        found.append((what, body[place : place + size]))
        place += size
    if place != len(body):
        raise ValueError(f"a call of {len(body)} bytes where its header tells of {place}")
    return found


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
