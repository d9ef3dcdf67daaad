"""CPU that Ray costs beside the expert.

``python -m tests.serving.ray.overhead --fps 20 --batch 1``

Starts a Ray, deploys an expert that does next to nothing, sends paced frames of 37 KB through the
client and prints milliseconds of CPU per frame for every process that took part.
"""

import argparse
import asyncio
import io
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
import psutil
from PIL import Image as pillow

from infra.stack.ray_local import LocalRay, start_ray
from serving.ray.client import ServeVisionExpert
from serving.ray.deploy import deploy, serve_config
from streams.events import Inspection
from streams.ports import InspectionRequest
from tests.serving.ray.tiny import CLASSIFIER, LOADER, save_tiny


def noise(side: int = 111) -> bytes:
    """A PNG of about 37 KB."""
    body = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    pillow.fromarray(pixels).save(body, "PNG")
    return body.getvalue()


def cpu_seconds(roots: list[int]) -> dict[int, tuple[float, str]]:
    """CPU time and command of every process below ``roots``, themselves included."""
    found = {}
    for root in roots:
        above = psutil.Process(root)
        for process in [above, *above.children(recursive=True)]:
            try:
                times = process.cpu_times()
                command = " ".join(process.cmdline()) or process.name()
                found[process.pid] = (times.user + times.system, command)
            except psutil.Error:
                continue
    return found


async def measure(head: LocalRay, fps: float, batch: int, seconds: float) -> None:
    """Send, count and print."""
    expert = ServeVisionExpert(head.address, "andon", 30.0)
    await expert.start()
    image, latencies, failures = noise(), [], 0

    async def call() -> None:
        nonlocal failures
        begun = time.perf_counter()
        answers = await expert.inspect(
            [InspectionRequest(uuid4(), "tile", image) for _ in range(batch)], 30
        )
        latencies.append(time.perf_counter() - begun)
        failures += sum(not isinstance(a, Inspection) for a in answers)

    await asyncio.gather(*(call() for _ in range(5)))
    latencies.clear()
    roots = [psutil.Process().pid, head.process.pid]
    before, begun, frames, tasks = cpu_seconds(roots), time.perf_counter(), 0, []
    while time.perf_counter() - begun < seconds:
        tasks.append(asyncio.create_task(call()))
        frames += batch
        await asyncio.sleep(max(0.0, begun + frames / fps - time.perf_counter()))
    await asyncio.gather(*tasks)
    after = cpu_seconds(roots)
    await expert.close()
    spent = {pid: after[pid][0] - before.get(pid, (0.0, ""))[0] for pid in after}
    for pid in sorted(spent, key=lambda p: -spent[p]):
        if spent[pid] / frames > 5e-5:
            sys.stdout.write(f"{spent[pid] / frames * 1e3:7.2f}  {after[pid][1][:80]}\n")
    latencies.sort()
    total = sum(spent.values()) / frames * 1e3
    p50, p99 = (latencies[int(len(latencies) * q)] * 1e3 for q in (0.5, 0.99))
    sys.stdout.write(
        f"{total:7.2f}  ms of CPU per frame in all; {frames} frames, {failures} failures, "
        f"latency p50 {p50:.1f} p99 {p99:.1f} ms\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fps", type=float, default=20.0)
    parser.add_argument("--batch", type=int, default=1, help="images per call")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, start_ray(ready_timeout_s=120) as head:
        folder = Path(name)
        args = {
            "artifacts": str(folder),
            "exemplars": str(folder / "none"),
            "vision": {"loader": LOADER},
            "classifier": {"kind": CLASSIFIER},
        }
        config = serve_config(Path("infra/serve.yaml"), {"tile": save_tiny(folder)}, {}, args)
        deploy(config, head.address)
        asyncio.run(measure(head, options.fps, options.batch, options.seconds))


if __name__ == "__main__":
    main()
