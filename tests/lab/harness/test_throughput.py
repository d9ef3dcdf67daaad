"""What the line's benchmark counts, and as what."""

from lab.benchmarks.throughput import REFERENCE, Round, combine

ROUNDS = [
    Round(
        frames_per_s=fps,
        cpu_ms={"VisionExpert": 25.0, "gateway": 6.0, "broker": 3.0, "inspect": 2.0}
        | {"classify": 1.0, "ray": 1.5, "AnomalyClassifier": 5.0, "record": 2.0, "plc": 40.0},
        latencies_ms=(1.0,),
        sources={"expert": 100},
    )
    for fps in (20.0, 30.0, 28.0)
]


def test_all_but_the_plants_own_and_the_bare_expert_is_overhead() -> None:
    solo = [{"frames_per_s": 40.0, "cpu_ms": ms} for ms in (22.0, 24.0, 23.0)]
    found = combine(solo, ROUNDS, REFERENCE)
    assert found["ratio"] == 0.7
    assert found["overhead_cpu_ms"] == 25 + 6 + 3 + 2 + 1 + 1.5 + 5 + 2 - 23
    assert found["flow_cpu_ms"] == 3 + 2 + 1 + 1.5
    assert found["cpu_ms"]["plc"] == 40.0
