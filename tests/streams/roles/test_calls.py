"""How long a call may hold its place, and the audit sample."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.ids import new_frame_id
from streams.roles.calls import call_timeout_s
from streams.roles.decisions import sampled


@pytest.mark.parametrize(
    ("dues", "expected"),
    [([100.4], 1.0), ([102.0, 100.1], 2.0), ([200.0], 5.0), ([50.0], 1.0), ([], 1.0)],
)
def test_a_call_may_take_until_its_last_fallback(dues: list[float], expected: float) -> None:
    assert call_timeout_s(dues, 100.0, longest_s=5.0, least_s=1.0) == pytest.approx(expected)


def test_the_sample_is_a_share_and_repeats() -> None:
    frames = [new_frame_id() for _ in range(4000)]
    chosen = [f for f in frames if sampled(f, 0.25)]
    assert 850 < len(chosen) < 1150
    assert chosen == [f for f in frames if sampled(f, 0.25)]


@given(st.uuids())
def test_the_sample_has_sound_ends(frame: UUID) -> None:
    assert not sampled(frame, 0.0)
    assert sampled(frame, 1.0)
