"""The expert by itself: the same pictures, decoded and scored, with nothing else of the line.

``python -m lab.benchmarks.expert_alone`` reads the arguments of ``measure`` from standard input
and prints its answer, both as one JSON object.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def measure(
    artifact: str,
    pictures: Sequence[str],
    seconds: float,
    batch: int,
    runtime: str,
    precision: str,
    threads: int,
) -> dict[str, float]:
    """frames/s and CPU milliseconds per frame over about ``seconds``, after a warm-up."""
    from serving.experts.artifact import load_expert
    from serving.experts.images import decode_image

    expert = load_expert(Path(artifact), runtime=runtime, precision=precision, threads=threads)
    encoded = [Path(path).read_bytes() for path in pictures]
    for _ in range(2):
        expert.score([decode_image(data) for data in encoded[:batch]])
    frames, begun, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - begun < seconds:
        chosen = [encoded[(frames + i) % len(encoded)] for i in range(batch)]
        expert.score([decode_image(data) for data in chosen])
        frames += batch
    wall = time.perf_counter() - begun
    return {"frames_per_s": frames / wall, "cpu_ms": 1000 * (time.process_time() - cpu) / frames}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(**json.load(sys.stdin))) + "\n")
