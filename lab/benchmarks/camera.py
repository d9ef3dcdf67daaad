"""Is the picture the part's? Triggers to a network camera, whose pictures say when they were."""

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from connectors.cameras import open_camera
from connectors.cameras.freshness import SETTLE_S
from connectors.cameras.supervised import SupervisedCamera
from connectors.errors import CaptureError
from lab.benchmarks.camera_gige import measure_gige
from lab.cameras import fake_gige
from lab.cameras.network import NetworkCamera
from lab.cameras.painted import read_painted
from lab.cameras.rtsp import RtspCamera
from streams.ports import Camera, Trigger


@dataclass(frozen=True)
class CameraBenchmark:
    """What is played.

    Args:
        triggers: of every pause.
        pauses_s: time between triggers, seconds.
        fps: of the camera.
        delay_ms: from an exposure to its first byte, milliseconds.
        gige_frames: how many frames of the GigE camera are compared with what it draws.
    """

    triggers: int = 200
    pauses_s: tuple[float, ...] = (0.2, 2.0, 20.0)
    fps: float = 25.0
    delay_ms: float = 80.0
    gige_frames: int = 100


@dataclass(frozen=True)
class Freshness:
    """What the pictures of one pause say."""

    source: str
    pause_s: float
    triggers: int
    failed: int
    stale: int
    """Pictures that were exposed before their trigger."""
    exposed_after_ms_min: float
    exposed_after_ms_p50: float
    exposed_after_ms_max: float
    capture_ms_p50: float
    capture_ms_max: float


def benchmark_camera(options: CameraBenchmark, say: Callable[[str], None]) -> dict[str, object]:
    """Every pause at every kind of network camera, cameras that stall, and a GigE camera.

    Where the GigE camera is not installed, ``left_out`` says what to install.
    """
    rows = asyncio.run(_all_pauses(options, say))
    say("cameras that stall")
    stalls = [asyncio.run(measure_stall(options, kind)) for kind in ("opencv", "rtsp")]
    gige, why_no_gige = None, fake_gige.why_not()
    if not why_no_gige:
        say("a GigE camera")
        gige = asdict(measure_gige(options.gige_frames))
    return {
        "rows": [asdict(row) for row in rows],
        "stale": sum(row.stale for row in rows),
        "failed": sum(row.failed for row in rows),
        "stall_fault_s": min(stalls) if min(stalls) < 0 else max(stalls),
        "gige": gige,
        "left_out": [why_no_gige] if why_no_gige else [],
        "fps": options.fps,
        "delay_ms": options.delay_ms,
    }


async def _all_pauses(options: CameraBenchmark, say: Callable[[str], None]) -> list[Freshness]:
    """Every measurement has a camera of its own, so they may run side by side."""
    runs = [
        measure_freshness(kind, pause, options, say)
        for pause in options.pauses_s
        for kind in ("opencv", "snapshot", "rtsp")
    ]
    return await asyncio.gather(*runs)


async def measure_freshness(
    kind: str, pause_s: float, options: CameraBenchmark, say: Callable[[str], None]
) -> Freshness:
    """Trigger after trigger, ``pause_s`` apart.

    Args:
        kind: ``opencv`` for a stream of JPEGs, ``snapshot`` for a picture per request, ``rtsp``.
        pause_s: between triggers, seconds.
        options: the camera and how often it is triggered.
        say: told when it is done.
    """
    ages: list[float] = []
    times: list[float] = []
    failed = 0
    with _twin(kind, options) as twin:
        camera = open_camera(_spec(kind, twin), 2.0)
        await camera.open()
        if kind == "rtsp":  # nothing is proved until the first backlog is over
            await asyncio.sleep(SETTLE_S)
        due = time.monotonic()
        for number in range(1, options.triggers + 1):
            due += pause_s
            await asyncio.sleep(max(due - time.monotonic(), 0))
            asked_ms = twin.now_ms()
            try:
                exposed_ms = await _exposed_ms(camera, number)
            except CaptureError:
                failed += 1
                continue
            times.append(twin.now_ms() - asked_ms)
            ages.append(exposed_ms - asked_ms)
        await camera.close()
    say(f"{kind}, a trigger every {pause_s:g} s: {len(ages)} pictures")
    stale = sum(age < 0 for age in ages)
    ages, times = ages or [0.0], times or [0.0]
    return Freshness(
        kind, pause_s, options.triggers, failed, stale, round(min(ages), 1),
        round(statistics.median(ages), 1), round(max(ages), 1),
        round(statistics.median(times), 1), round(max(times), 1),
    )  # fmt: skip


async def measure_stall(options: CameraBenchmark, kind: str = "opencv") -> float:
    """Seconds from a camera's last frame to the gateway's fault; -1: none within five."""
    faults: asyncio.Queue[bool] = asyncio.Queue()
    with _twin(kind, options) as twin:
        watched = SupervisedCamera(open_camera(_spec(kind, twin), 2.0), 2.0, faults.put_nowait)
        running = asyncio.ensure_future(watched.run())
        try:
            await asyncio.wait_for(faults.get(), 20)
            await watched.capture(_trigger(1))
            twin.stall()
            frozen = time.monotonic()
            broken = await asyncio.wait_for(faults.get(), 5)
            return round(time.monotonic() - frozen, 3) if broken else -1.0
        except TimeoutError:
            return -1.0
        finally:
            running.cancel()
            await asyncio.wait([running])
            await watched.close()


def _twin(kind: str, options: CameraBenchmark) -> NetworkCamera | RtspCamera:
    made = RtspCamera if kind == "rtsp" else NetworkCamera
    return made(options.fps, options.delay_ms / 1000)


def _spec(kind: str, twin: NetworkCamera | RtspCamera) -> str:
    if kind == "snapshot" and isinstance(twin, NetworkCamera):
        return f"snapshot:{twin.snapshot}"
    return f"opencv:{twin.stream}"


async def _exposed_ms(camera: Camera, number: int) -> int:
    picture = await camera.capture(_trigger(number))
    pixels = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise CaptureError("no picture")
    return read_painted(np.asarray(pixels, np.uint8))


def _trigger(number: int) -> Trigger:
    return Trigger(1, number, f"part-{number}", "", "demo", 0, 1000)
