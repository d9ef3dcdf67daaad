"""``python -m tests.serving.ray.memory ARTIFACTS PRODUCT``: what a replica of the expert holds.

``ARTIFACTS`` is a folder of artifacts, as ``.andon/demo/artifacts``. Set the variables of
``infra/serve.yaml`` as a replica has them, or the figures are of another malloc. MB by step of what
the process takes (``rss``), of that with pages it shares counted by their share (``pss``), and of
that what is no file's (``anonymous``); then what it held at most, and the CPU of its scoring.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

KINDS = {"rss": "Rss", "pss": "Pss", "anonymous": "Anonymous"}
FRAMES = 200


def held() -> dict[str, int]:
    """MB of this process now, by kind."""
    said = Path("/proc/self/smaps_rollup").read_text()
    return {name: round(_number(said, kind) / 1e3) for name, kind in KINDS.items()}


def _number(said: str, kind: str) -> int:
    return int(said.split(f"\n{kind}:")[1].split()[0])


async def measure(artifacts: Path, product: str) -> dict[str, object]:
    """What a replica of one product holds by step."""
    found: dict[str, object] = {"python": held()}
    from ray import serve  # noqa: F401 - what every replica has anyway

    found["ray serve"] = held()
    from serving.blobs import FolderBlobs
    from serving.bundle_store import BundleStore
    from serving.ray.settings import VisionSettings
    from serving.ray.vision_deployment import VisionDeployment

    found["deployment"] = held()
    settings = VisionSettings(batch=8, threads=1)
    replica = VisionDeployment(settings, lambda: BundleStore(FolderBlobs(artifacts), artifacts))
    await replica.reconfigure({"products": {product: "latest"}})
    found["expert"] = held()
    expert = replica._models.current[product].expert
    from serving.ray.models import known_image

    images = [known_image()]
    took = []
    for _ in range(FRAMES):
        began = time.thread_time()
        (scored,) = expert.score(images)
        took.append(time.thread_time() - began)
    await replica.close()
    found |= {f"{FRAMES} pictures": held(), "score": scored.score}
    found["cpu_ms"] = round(1e3 * sorted(took)[len(took) // 2], 2)
    return found


if __name__ == "__main__":
    told = asyncio.run(measure(Path(sys.argv[1]), sys.argv[2]))
    told["most_rss"] = round(_number(Path("/proc/self/status").read_text(), "VmHWM") / 1e3)
    told["torch"] = "torch" in sys.modules
    for step, values in told.items():
        sys.stdout.write(f"{step:16} {json.dumps(values)}\n")
