"""The expert by itself: the same pictures, decoded and scored, with nothing else of the line.

``python -m lab.benchmarks.expert_alone ARTIFACT PICTURES SECONDS BATCH RUNTIME PRECISION THREADS``
prints one JSON object.
"""

import json
import resource
import sys
import time
from pathlib import Path


def measure(
    artifact: Path,
    pictures: list[Path],
    seconds: float,
    batch: int,
    runtime: str,
    precision: str,
    threads: int | None,
) -> dict[str, float]:
    """frames/s and CPU milliseconds per frame over about ``seconds``, after a warm-up."""
    from serving.experts.artifact import load_expert
    from serving.experts.images import decode_image

    expert = load_expert(artifact, runtime=runtime, precision=precision, threads=threads)
    encoded = [path.read_bytes() for path in pictures]
    expert.score([decode_image(data) for data in encoded[:batch]])
    expert.score([decode_image(data) for data in encoded[:batch]])
    frames, begun, cpu = 0, time.perf_counter(), _cpu()
    while time.perf_counter() - begun < seconds:
        chosen = [encoded[(frames + i) % len(encoded)] for i in range(batch)]
        expert.score([decode_image(data) for data in chosen])
        frames += batch
    wall = time.perf_counter() - begun
    return {"frames_per_s": frames / wall, "cpu_ms": 1000 * (_cpu() - cpu) / frames}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    name, listing, span, size, runtime, precision, threads = sys.argv[1:8]
    files = [Path(line) for line in Path(listing).read_text().splitlines()]
    answer = measure(
        Path(name), files, float(span), int(size), runtime, precision, int(threads) or None
    )
    sys.stdout.write(json.dumps(answer) + "\n")
