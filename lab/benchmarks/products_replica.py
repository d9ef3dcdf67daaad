"""One replica of the vision expert by itself, with the experts of many products.

``python -m lab.benchmarks.products_replica replica`` reads ``ReplicaAsked`` from standard input and
prints ``ReplicaFound``; with ``alone`` it reads an artifact and pictures and prints the artifact's
scores. Each is JSON.
"""

import asyncio
import json
import os
import random
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict
from uuid import uuid4

import numpy as np

from serving.bundle_store import open_folder
from serving.experts.translating import end_child
from serving.ray.settings import VisionSettings
from serving.ray.vision_deployment import VisionDeployment
from serving.ray.wire import pack_images, unpack_inspections
from streams.events import Inspection
from streams.ports import Failure, InspectionRequest

BATCH = 8
"""Frames of a call, and of a batch."""
CALLS = 2
"""Calls under way: while one is scored the next is decoded."""
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class ReplicaAsked:
    """What the replica is to do."""

    root: str
    pictures: list[str]
    heads_mib: int
    parts: int
    changes: int
    rounds: int
    seed: int


class ReplicaFigures(TypedDict):
    """What a replica took, and how fast it was."""

    start_s: float
    """Until every product was opened once."""
    rss_mib: float
    peak_mib: float
    translator_mib: float
    """At most, of the child that translates graphs, which is gone once none is asked for."""
    in_memory: int
    change_p50_ms: float
    change_max_ms: float
    change_cpu_p50_ms: float
    """CPU of its process in a change-over; what the machine does otherwise does not count."""
    change_cpu_max_ms: float
    one_per_s: float
    mixed_per_s: float
    """Frames of as many products as fit into the memory, in random order."""
    all_per_s: float
    """Frames of all products in random order: hardly any finds its expert in memory."""
    failed: int
    scores_repeated: int
    scores_unequal: int


class ReplicaFound(TypedDict):
    """What it did."""

    figures: ReplicaFigures
    scores: dict[str, list[float]]
    """By product, one for each picture."""


def run_replica(asked: ReplicaAsked) -> ReplicaFound:
    """Start, change over, and score in turn one product, those in memory, and all."""
    return asyncio.run(_Run(asked).done())


def run_alone(artifact: str, pictures: Sequence[str]) -> list[float]:
    """Scores of pictures by an expert that is the only one of this process."""
    from serving.experts.artifact import load_expert
    from serving.experts.images import decode_image

    expert = load_expert(Path(artifact), threads=1)
    images = [decode_image(Path(p).read_bytes(), expert.bit_depth) for p in pictures]
    return [scored.score for scored in expert.score(images)]


class _Run:
    def __init__(self, asked: ReplicaAsked) -> None:
        self._asked = asked
        self._pictures = [Path(p).read_bytes() for p in asked.pictures]
        settings = VisionSettings(batch=BATCH, heads_mib=asked.heads_mib)
        self._replica = VisionDeployment(settings, lambda: open_folder(Path(asked.root)))
        self._rng = random.Random(asked.seed)
        self._seen: dict[tuple[str, int], float] = {}
        self._failed = self._repeated = self._unequal = 0

    async def done(self) -> ReplicaFound:
        asked = self._asked
        begun = time.perf_counter()
        await self._replica.reconfigure({"products": "latest"})
        start_s = time.perf_counter() - begun
        products = sorted(await self._names("versions"))
        changes = [await self._change(products) for _ in range(asked.changes)]
        spent = {"one": 0.0, "mixed": 0.0, "all": 0.0}
        for _ in range(asked.rounds):
            here = await self._names("in_memory")
            spent["one"] += await self._score([here[-1]], asked.parts)
            spent["mixed"] += await self._score(here, asked.parts)
            spent["all"] += await self._score(products, asked.parts)
        rss, peak = _memory_mib()
        in_memory = len(await self._names("in_memory"))
        for product in products:
            await self._call([(product, i) for i in range(len(self._pictures))])
        await self._replica.close()
        end_child()  # what it took is known once it is gone
        frames = asked.parts * asked.rounds
        figures = ReplicaFigures(
            start_s=round(start_s, 2),
            rss_mib=rss,
            peak_mib=max(peak, _memory_mib()[1]),
            translator_mib=round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1),
            in_memory=in_memory,
            change_p50_ms=round(float(np.median([wall for wall, _ in changes])) * 1000, 1),
            change_max_ms=round(max(wall for wall, _ in changes) * 1000, 1),
            change_cpu_p50_ms=round(float(np.median([cpu for _, cpu in changes])) * 1000, 1),
            change_cpu_max_ms=round(max(cpu for _, cpu in changes) * 1000, 1),
            one_per_s=round(frames / spent["one"], 2),
            mixed_per_s=round(frames / spent["mixed"], 2),
            all_per_s=round(frames / spent["all"], 2),
            failed=self._failed,
            scores_repeated=self._repeated,
            scores_unequal=self._unequal,
        )
        return ReplicaFound(figures=figures, scores=self._scores(products))

    def _scores(self, products: Sequence[str]) -> dict[str, list[float]]:
        numbers = range(len(self._pictures))
        seen = (product for product in products if (product, 0) in self._seen)
        return {product: [self._seen[product, i] for i in numbers] for product in seen}

    async def _names(self, what: str) -> list[str]:
        found = (await self._replica.status())[what]
        assert isinstance(found, list | dict)
        return [str(name) for name in found]

    async def _change(self, products: Sequence[str]) -> tuple[float, float]:
        """Seconds, and seconds of CPU, of a station's change to a product that is not even in the
        kernel's cache."""
        here = set(await self._names("in_memory"))
        away = [product for product in products if product not in here]
        product = self._rng.choice(away or products)
        for file in (Path(self._asked.root) / product).rglob("*.safetensors"):
            _forget(file)
        begun, cpu = time.perf_counter(), time.process_time()
        await self._replica.warm(product, "line/station")
        await self._call([(product, 0)])
        return time.perf_counter() - begun, time.process_time() - cpu

    async def _score(self, products: Sequence[str], parts: int) -> float:
        """Seconds for so many frames of these products in random order."""
        pictures = range(len(self._pictures))
        frames = [(self._rng.choice(products), self._rng.choice(pictures)) for _ in range(parts)]
        calls = iter([frames[i : i + BATCH] for i in range(0, parts, BATCH)])

        async def lane() -> None:
            for call in calls:
                await self._call(call)

        begun = time.perf_counter()
        await asyncio.gather(*(lane() for _ in range(CALLS)))
        return time.perf_counter() - begun

    async def _call(self, frames: Sequence[tuple[str, int]]) -> None:
        body = pack_images([InspectionRequest(uuid4(), p, self._pictures[i]) for p, i in frames])
        answers = unpack_inspections(await self._replica.score_many(body, TIMEOUT_S))
        for frame, answer in zip(frames, answers, strict=True):
            self._note(frame, answer)

    def _note(self, frame: tuple[str, int], answer: Inspection | Failure) -> None:
        if isinstance(answer, Failure):
            self._failed += 1
        elif frame in self._seen:
            self._repeated += 1
            self._unequal += answer.score != self._seen[frame]
        else:
            self._seen[frame] = answer.score


def _forget(file: Path) -> None:
    """Let the kernel drop the file's pages, where nobody maps them."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _memory_mib() -> tuple[float, float]:
    """What this process has in memory, files' pages included, and the most that it had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return round(int(found["VmRSS"]) / 1024, 1), round(int(found["VmHWM"]) / 1024, 1)


if __name__ == "__main__":
    given = json.load(sys.stdin)
    said = run_alone(**given) if sys.argv[1] == "alone" else run_replica(ReplicaAsked(**given))
    sys.stdout.write(json.dumps(said) + "\n")
