"""The bars of many products in one replica: each is told when it is not held."""

import pytest

from lab.benchmarks.products import Figures, missed

HELD: Figures = {
    "products": 200,
    "heads_mib": 1024,
    "head_mib": 25.0,
    "start_s": 60.0,
    "rss_mib": 2000.0,
    "peak_mib": 2072.0,
    "translator_mib": 1000.0,
    "in_memory": 39,
    "change_p50_ms": 400.0,
    "change_max_ms": 1000.0,
    "change_cpu_p50_ms": 36.0,
    "change_cpu_max_ms": 44.0,
    "one_per_s": 20.0,
    "mixed_per_s": 20.0,
    "all_per_s": 8.0,
    "mixed_ratio": 1.0,
    "all_ratio": 0.4,
    "failed": 0,
    "scores_repeated": 1000,
    "scores_unequal": 0,
    "alone_compared": 24,
    "alone_unequal": 0,
}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, []),
        ({"peak_mib": 2073.0}, ["the process and its child took 3073 MiB"]),
        ({"change_max_ms": 1001.0}, ["a change-over took 1001 ms"]),
        ({"failed": 1}, ["1 frames failed"]),
        ({"scores_unequal": 1}, ["scores differ"]),
        ({"alone_unequal": 1}, ["scores differ"]),
    ],
)
def test_what_is_missed_is_said(changed: dict[str, float], words: list[str]) -> None:
    assert missed({**HELD, **changed}) == words  # type: ignore[typeddict-item]
