"""The object store's policies: what is shipped is what the data says, and fits the keys."""

import json

import pytest

from history.object_rights import FOLDER, RIGHTS, policy_text
from streams.ids import dead_letter_key, frame_key, image_key, mask_key
from tests.history.make import frame_id


@pytest.mark.parametrize("role", RIGHTS)
def test_what_is_shipped_is_what_the_data_says(role: str) -> None:
    text = (FOLDER / f"{role}.json").read_text("utf-8")
    assert text == policy_text(role), "python -m history.object_rights"
    actions = {a for s in json.loads(text)["Statement"] for a in s["Action"]}
    assert actions <= {"s3:GetObject", "s3:PutObject", "s3:ListBucket"}


def test_each_key_of_the_line_is_put_by_one_role() -> None:
    frame = frame_id(1)
    for key, role in (
        (frame_key(frame), "gateway"),
        (image_key(frame), "record"),
        (mask_key(frame), "record"),
        (dead_letter_key(frame), "record"),
    ):
        assert [r for r, (puts, _) in RIGHTS.items() if key.startswith(puts)] == [role]
