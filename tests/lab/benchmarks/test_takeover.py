"""Gateways as processes: one is refused, killed ones are followed by their stand-by."""

from pathlib import Path

import pytest

from lab.benchmarks.takeover import TakeoverOptions, run_takeover

pytestmark = pytest.mark.slow


@pytest.mark.asyncio
async def test_killed_and_stopped_gateways_are_followed_and_no_part_is_acted_on_twice(
    tmp_path: Path,
) -> None:
    options = TakeoverOptions(parts=60, takt_s=0.2, window_s=2.0, faults=2)
    found = await run_takeover(tmp_path, options, lambda _: None)
    assert found["verdict"] == "holds", found
    assert (found["takeovers"], found["parts"], found["acted_twice"]) == (2, 60, 0)
