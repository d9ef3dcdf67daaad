"""Events survive the wire; what does not validate says why."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.envelope import from_message, header_dict, read_json, to_message
from streams.errors import MalformedEventError, MissingHeaderError, UnsupportedSchemaError
from streams.events import Anomaly, Frame, Inspection
from streams.ids import minted_at, new_frame_id
from tests.streams.made import frame

text = st.text(st.characters(codec="utf-8"), max_size=100)


@given(part=text, lot=text)
def test_any_text_survives_the_headers(part: str, lot: str) -> None:
    sent = frame(part_id=part, lot_id=lot)
    message = to_message(sent, b"\xff\xd8\x00")
    assert from_message(Frame, message.value, message.headers) == sent
    assert message.value == b"\xff\xd8\x00"


def test_anomaly_carries_its_inspection_and_the_picture() -> None:
    inspection = Inspection(
        score=2.5, threshold=1.0, p_value=0.01, anomalous=True, expert_version="sha256:1"
    )
    sent = Anomaly(frame=frame(), inspection=inspection, classify=False, timings_ms={"expert": 3.5})
    message = to_message(sent, b"jpeg")
    assert from_message(Anomaly, message.value, dict(message.headers)) == sent
    assert message.key == b"line-1/cam-1"


def test_unknown_fields_are_kept() -> None:
    message = to_message(frame(), b"")
    headers = [*message.headers, ("ce_newfield", b"from the future")]
    received = from_message(Frame, b"", headers)
    assert received.model_extra == {"newfield": "from the future"}
    assert dict(to_message(received).headers)["ce_newfield"] == b"from the future"


def test_future_major_version_is_refused() -> None:
    headers = dict(to_message(frame()).headers) | {"ce_type": b"andon.frame.v2"}
    with pytest.raises(UnsupportedSchemaError, match=r"andon\.frame\.v2"):
        from_message(Frame, b"", headers)


@pytest.mark.parametrize("missing", ["ce_type", "ce_partid", "ce_deadline"])
def test_missing_header_is_named(missing: str) -> None:
    headers = dict(to_message(frame()).headers)
    del headers[missing]
    with pytest.raises(MissingHeaderError, match=missing.removeprefix("ce_")[:4]):
        from_message(Frame, b"", headers)


@pytest.mark.parametrize("bad", [b"", b"soon", b"\xff\xfe"])
def test_malformed_header_is_named(bad: bytes) -> None:
    headers = dict(to_message(frame()).headers) | {"ce_deadline": bad}
    with pytest.raises(MalformedEventError, match="deadline"):
        from_message(Frame, b"", headers)


def test_frame_id_tells_when_it_was_minted() -> None:
    assert abs(minted_at(new_frame_id()) - datetime.now(UTC)) < timedelta(seconds=5)


def test_the_source_is_a_uri_reference_whatever_the_line_is_called() -> None:
    headers = header_dict(to_message(frame(line="Straße 1/2", station="[oben]?"), b"x").headers)
    assert headers["ce_source"] == "/Stra%C3%9Fe%201%2F2/%5Boben%5D%3F"
    assert headers["ce_line"] == "Straße 1/2"


def test_json_of_more_values_than_an_event_has_is_not_read() -> None:
    assert read_json("[" + "1," * 50_000 + "1]")
    with pytest.raises(ValueError, match="over 50000 values"):
        read_json("[" + "1," * 50_001 + "1]")
