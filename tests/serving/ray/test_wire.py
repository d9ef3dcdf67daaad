"""What travels between worker and replica."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.ray import wire
from streams.codes import ReasonCode
from streams.events import Classification, Inspection
from streams.ports import (
    ClassificationRequest,
    ClassificationTexts,
    ClassText,
    Failure,
    InspectionRequest,
)

INSPECTION = Inspection(
    score=1.5,
    threshold=1.0,
    p_value=0.01,
    anomalous=True,
    expert_version="ab" * 32,
    timings_ms={"score": 4.25},
)
FAILURE = Failure(ReasonCode.UNDECODABLE_IMAGE, "UndecodableImage", "not an image", False)


@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=50)), max_size=6))
def test_images_come_back_as_they_were(items: list[tuple[str, bytes]]) -> None:
    requests = [InspectionRequest(uuid4(), product, image) for product, image in items]
    found = wire.unpack_images(wire.pack_images(requests))
    assert [(asked.product, asked.image) for asked in found] == items
    assert [asked.frame_id for asked in found] == [request.frame_id for request in requests]


def test_a_request_to_classify_comes_back_whole() -> None:
    texts = ClassificationTexts("tile", "h", "flat", "", (ClassText("crack", "Crack", "a line"),))
    request = ClassificationRequest(
        uuid4(), b"\x00\xffpicture", INSPECTION, texts, datetime(2026, 1, 2, tzinfo=UTC)
    )
    assert wire.unpack_requests(wire.pack_requests([request, request])) == [request, request]


def test_the_time_that_is_left_travels_whatever_the_replicas_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return now

    monkeypatch.setattr(wire, "datetime", Clock)
    texts, due = ClassificationTexts("tile", "h"), now + timedelta(seconds=1.5)
    packed = wire.pack_requests([ClassificationRequest(uuid4(), b"p", INSPECTION, texts, due)])
    now += timedelta(hours=5)
    (found,) = wire.unpack_requests(packed)
    assert found.deadline == due + timedelta(hours=5)
    (old,) = wire.unpack_requests(packed.replace(b'"left_s"', b'"left_x"'))
    assert old.deadline == due


def test_answers_keep_order_and_kind_and_leave_defaults_out() -> None:
    body = wire.pack_inspections([INSPECTION, FAILURE])
    assert wire.unpack_inspections(body) == [INSPECTION, FAILURE]
    assert b"region" not in body
    named = Classification(class_name="crack", confidence=0.5, classifier="tiny")
    assert wire.unpack_classifications(wire.pack_classifications([FAILURE, named])) == [
        FAILURE,
        named,
    ]


def test_a_field_of_a_later_release_is_kept() -> None:
    body = wire.pack_inspections([INSPECTION]).replace(b'"score"', b'"glare":3,"score"', 1)
    (found,) = wire.unpack_inspections(body)
    assert isinstance(found, Inspection)
    assert found.model_extra == {"glare": 3}


@pytest.mark.parametrize("cut", [0, 3, 10, -1])
def test_a_truncated_call_is_refused(cut: int) -> None:
    body = wire.pack_images([InspectionRequest(uuid4(), "tile", b"12345")])
    with pytest.raises(ValueError, match=r"."):
        wire.unpack_images(body[:cut])
