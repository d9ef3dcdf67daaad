"""What must be learned again when pictures change, and what need not."""

from pathlib import Path

import pytest

from lab.harness.learn import LearnRequest


@pytest.fixture
def request_of_two(tmp_path: Path) -> LearnRequest:
    for name in ("normal", "crack", "other"):
        (tmp_path / name).write_bytes(name.encode())
    return LearnRequest(
        product="tile",
        train=[(tmp_path / "normal", "p1")],
        exemplars={"crack": [(tmp_path / "crack", "p2", None)]},
        root=tmp_path,
        false_alarm_rate=0.03,
    )


def test_other_exemplars_need_no_other_expert(request_of_two: LearnRequest, tmp_path: Path) -> None:
    other = request_of_two.model_copy(
        update={"exemplars": {"crack": [(tmp_path / "other", "p3", None)]}}
    )
    assert other.fingerprint != request_of_two.fingerprint
    assert other.untaught_fingerprint == request_of_two.untaught_fingerprint


def test_another_rate_part_or_picture_needs_another_expert(
    request_of_two: LearnRequest, tmp_path: Path
) -> None:
    before = request_of_two.untaught_fingerprint
    for change in ({"false_alarm_rate": 0.01}, {"train": [(tmp_path / "normal", "p9")]}):
        changed = request_of_two.model_copy(update=change)
        assert changed.untaught_fingerprint != before
    (tmp_path / "normal").write_bytes(b"another photograph")
    assert request_of_two.untaught_fingerprint != before
