"""What Ray Serve costs beside the expert, and how long answers stay away when a process dies.

``python -m tests.serving.ray.overhead --fps 20 --batch 1 --kill``

Starts a Ray, deploys an expert that does next to nothing, sends paced frames of 37 KB through the
workers' client and prints milliseconds of CPU per frame for every process that took part. With
``--kill`` it then kills the expert's replica, the ingress and the whole cluster in turn.
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

from infra.stack.process import descendants, free_port
from infra.stack.ray_local import LocalRay, start_ray
from serving.ray.client import ServeVisionExpert
from serving.ray.deploy import deploy, serve_config
from streams.events import Inspection
from streams.ports import InspectionRequest
from tests.serving.ray.tiny import CLASSIFIER, LOADER, save_tiny

CALL_S = 5.0
"""Time of one call while something dies."""


def noise(side: int = 111) -> bytes:
    """A PNG of about 37 KB."""
    body = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    pillow.fromarray(pixels).save(body, "PNG")
    return body.getvalue()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def cpu_seconds(roots: list[int]) -> dict[int, tuple[float, str]]:
    """CPU time and command of every process below ``roots``, themselves included."""
    found = {}
    for process in [p for root in roots for p in (psutil.Process(root), *descendants(root))]:
        try:
            times = process.cpu_times()
            command = " ".join(process.cmdline()) or process.name()
            found[process.pid] = (times.user + times.system, command)
        except psutil.Error:
            continue
    return found


class Load:
    """Paced calls, and what came of them."""

    def __init__(self, expert: ServeVisionExpert, fps: float, batch: int) -> None:
        self._expert, self._fps, self._batch, self._image = expert, fps, batch, noise()
        self.latencies: list[float] = []
        self.ended: list[tuple[float, bool]] = []
        """When each call ended, and whether all of it was answered."""

    async def call(self, timeout_s: float = 30.0) -> None:
        begun = time.perf_counter()
        requests = [InspectionRequest(uuid4(), "tile", self._image) for _ in range(self._batch)]
        answers = await self._expert.inspect(requests, timeout_s)
        now = time.perf_counter()
        self.latencies.append(now - begun)
        self.ended.append((now, all(isinstance(a, Inspection) for a in answers)))

    async def play(self, seconds: float, timeout_s: float = 30.0) -> int:
        """Send for ``seconds``, wait for every answer; the frames sent."""
        begun, frames, tasks = time.perf_counter(), 0, []
        while time.perf_counter() - begun < seconds:
            tasks.append(asyncio.create_task(self.call(timeout_s)))
            frames += self._batch
            await asyncio.sleep(max(0.0, begun + frames / self._fps - time.perf_counter()))
        await asyncio.gather(*tasks)
        return frames


class Bench:
    """One Ray with the tiny expert, which can be killed and brought back."""

    def __init__(self, folder: Path) -> None:
        self._port, self._folder = free_port(), folder
        self._token_file = folder / "ray_token"
        self.ingress = f"127.0.0.1:{free_port()}"
        self.head: LocalRay = self._start()

    def _start(self) -> LocalRay:
        head = start_ray(self._port, token_file=self._token_file, ready_timeout_s=120)
        args = {
            "artifacts": str(self._folder),
            "exemplars": str(self._folder / "none"),
            "ingress": self.ingress,
            "vision": {"loader": LOADER},
            "classifier": {"kind": CLASSIFIER},
        }
        digest = save_tiny(self._folder)
        config = serve_config(Path("infra/serve.yaml"), {"tile": digest}, {}, args, num_replicas=1)
        deploy(config, head.address, token_file=head.token_file)
        return head

    def client(self) -> ServeVisionExpert:
        return ServeVisionExpert(self.ingress, self.head.token_file)

    def kill(self, what: str) -> float:
        """Kill it; when its successor may be reached, as a time of ``perf_counter``."""
        if what != "cluster":
            for process in descendants(self.head.process.pid):
                if process.name().startswith("ray::ServeRepl") and what in process.cmdline()[0]:
                    process.kill()
            return time.perf_counter()
        for process in [*descendants(self.head.process.pid), psutil.Process(self.head.pid)]:
            process.kill()
        self.head.stop()
        self.head = self._start()
        return time.perf_counter()


async def measure(bench: Bench, options: argparse.Namespace) -> None:
    """Send, count and print."""
    expert = bench.client()
    await expert.start()
    load = Load(expert, options.fps, options.batch)
    await asyncio.gather(*(load.call() for _ in range(5)))
    load.latencies.clear()
    load.ended.clear()
    roots = [psutil.Process().pid, bench.head.process.pid]
    before = cpu_seconds(roots)
    frames = await load.play(options.seconds)
    after = cpu_seconds(roots)
    spent = {pid: after[pid][0] - before.get(pid, (0.0, ""))[0] for pid in after}
    for pid in sorted(spent, key=lambda p: -spent[p]):
        if spent[pid] / frames > 5e-5:
            say(f"{spent[pid] / frames * 1e3:7.2f}  {after[pid][1][:80]}")
    load.latencies.sort()
    total = sum(spent.values()) / frames * 1e3
    p50, p99 = (load.latencies[int(len(load.latencies) * q)] * 1e3 for q in (0.5, 0.99))
    failures = sum(not ok for _, ok in load.ended)
    say(
        f"{total:7.2f}  ms of CPU per frame in all; {frames} frames, {failures} failures, "
        f"latency p50 {p50:.1f} p99 {p99:.1f} ms"
    )
    for what in ("VisionExpert", "Ingress", "cluster") if options.kill else ():
        load.ended.clear()
        playing = asyncio.create_task(load.play(40 if what == "cluster" else 15, CALL_S))
        await asyncio.sleep(2)
        killed = time.perf_counter()
        reachable = await asyncio.to_thread(bench.kill, what)
        sent = await playing
        bad = [at for at, ok in load.ended if not ok and at > killed]
        last = max(bad, default=killed)
        again = min((at for at, ok in load.ended if ok and at > last), default=float("inf"))
        say(
            f"{what} killed: answers flow again {again - killed:.1f} s after the kill and "
            f"{again - reachable:.1f} s after its successor stood; {len(bad)} of {sent} calls "
            f"failed, {sent - len(load.ended)} were never answered"
        )
    await expert.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fps", type=float, default=20.0)
    parser.add_argument("--batch", type=int, default=1, help="images per call")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--kill", action="store_true", help="kill what can be killed, in turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        try:
            asyncio.run(measure(bench, options))
        finally:
            bench.head.stop()


if __name__ == "__main__":
    main()
