"""Reviews are learned from, shadowed, put in force and taken back while parts run; none is lost."""

from pathlib import Path

import pytest

from lab.benchmarks.learn import LearnBenchmark
from lab.benchmarks.learn_line import learn_on_line

pytestmark = [pytest.mark.slow, pytest.mark.shared, pytest.mark.timeout(5400)]


def test_the_line_learns_from_reviews_under_way(shared: Path, scratch: Path) -> None:
    said: list[str] = []
    options = LearnBenchmark(shared / "data" / "magnetic_tile", folder=scratch)
    found = learn_on_line(options, said.append)
    assert found["lost"] == [], said
    assert found["rolled_back"]
    assert found["shadow_frames"]
    before, after = found["escapes_before"], found["escapes_after"]
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert before - after >= 0.10, found
