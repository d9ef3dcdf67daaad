"""The one back-off."""

from hypothesis import given
from hypothesis import strategies as st

from streams.backoff import backoff_s


@given(st.integers(0, 10_000))
def test_the_pause_grows_to_its_cap(attempt: int) -> None:
    assert 0.1 <= backoff_s(attempt, 0.1, 5.0) <= backoff_s(attempt + 1, 0.1, 5.0) <= 5.0


@given(st.integers(0, 10_000), st.floats(0.0, 1.0), st.floats(0.0, 1.0, exclude_max=True))
def test_jitter_only_shortens_by_its_share(attempt: int, jitter: float, chance: float) -> None:
    whole = backoff_s(attempt, 0.1, 5.0)
    pause = backoff_s(attempt, 0.1, 5.0, jitter, lambda: chance)
    assert whole * (1.0 - jitter) <= pause <= whole
