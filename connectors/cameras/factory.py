"""A camera from its specification in the settings."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from connectors.cameras.adjustable import Feature, FeaturedCamera
from connectors.cameras.aravis import AravisDevice
from connectors.cameras.checked import CheckedCamera
from connectors.cameras.folder import FolderCamera
from connectors.cameras.genicam import (
    GenicamDevice,
    GenicamSource,
    GenicamTriggered,
    Triggered,
    triggered_by,
)
from connectors.cameras.harvester import HarvesterDevice
from connectors.cameras.http import MjpegSource, SnapshotCamera
from connectors.cameras.live import LiveCamera
from connectors.cameras.normals import NormalLimits
from connectors.cameras.opencv import OpenCVCamera, is_live
from connectors.cameras.opencv_stream import OpenCVSource
from connectors.cameras.synthetic import SyntheticCamera
from connectors.cameras.wired import WiredCamera, WiredSource, WireTiming
from connectors.errors import CameraSpecError, CaptureError
from streams.masking import masked
from streams.ports import Camera

_ACCEPTED = (
    "accepted: folder:PATH, list:FILE (one path per line), "
    "synthetic:seed=N,size=N,defects=SHARE, opencv:INDEX, opencv:/dev/video0, opencv:FILE, "
    "opencv:rtsp://..., opencv:http://... (a stream of JPEGs), snapshot:http://... (one picture), "
    "genicam:SERIAL, aravis:SERIAL"
)
LATENCY_S = 0.2
"""Unless the settings say otherwise: the longest from an exposure's start to its arrival, s."""
STALL_S = 0.8
"""Unless the settings say otherwise: a live camera without frames for so long is lost, s."""
WINDOW_S = 0.02
"""Unless the settings say otherwise: how far a wire's exposure is from its trigger at most, s."""
_VIDEO = (".m3u8", ".mpd", ".mp4", ".mkv", ".ts", ".flv", ".webm", ".avi", ".mov")


def open_camera(
    spec: str,
    capture_timeout_s: float = 2.0,
    latency_s: float = LATENCY_S,
    stall_s: float = STALL_S,
    features: Mapping[str, Feature] | None = None,
    producer: Path | None = None,
    is_checked: bool = True,
    window_s: float = WINDOW_S,
    normals: Mapping[str, NormalLimits] | None = None,
) -> Camera:
    """The camera that ``spec`` names; not opened yet.

    Args:
        spec: as ``ANDON_GATEWAY__CAMERA``.
        capture_timeout_s: deadline of one exposure, seconds.
        latency_s: bound from the start of a live camera's exposure to its arrival, seconds.
        stall_s: a live camera without frames for so long is lost, seconds.
        features: of a GenICam camera, by name, set in this order.
        producer: the GenTL producer of GenICam cameras.
        is_checked: refuse pictures of live cameras that are frozen, black, saturated or of another
            size.
        normals: what the products' normals look like, by ``CheckedCamera``; any camera's pictures
            are compared with them.
        window_s: a camera that is triggered by wire exposes within this of the trigger, seconds.

    Raises:
        CameraSpecError: the specification cannot be read; the message lists what is accepted.
    """
    limits = (capture_timeout_s, latency_s, stall_s, window_s)
    camera = _unchecked(spec, limits, features or {}, producer)
    is_replay = isinstance(camera, FolderCamera | SyntheticCamera | OpenCVCamera)
    is_checked = is_checked and not is_replay
    if is_checked or normals:
        return CheckedCamera(camera, normals or {}, is_checked)
    return camera


def _unchecked(
    spec: str,
    limits: tuple[float, float, float, float],
    features: Mapping[str, Feature],
    producer: Path | None,
) -> Camera:
    capture_timeout_s, latency_s, stall_s, _ = limits
    kind, separator, rest = spec.partition(":")
    if not separator or not (rest or kind in ("synthetic", "aravis")):
        raise CameraSpecError(f"camera {masked(spec)!r}: {_ACCEPTED}")
    match kind:
        case "folder":
            return FolderCamera.over_folder(Path(rest))
        case "list":
            return FolderCamera.over_list(Path(rest))
        case "synthetic":
            return _synthetic(spec, rest)
        case "aravis":
            return _genicam(spec, limits, features, lambda: AravisDevice(rest))
        case "opencv":
            return _opencv(rest, capture_timeout_s, latency_s, stall_s)
        case "genicam":
            return _genicam(spec, limits, features, lambda: HarvesterDevice(rest, producer))
        case "snapshot" if rest.lower().startswith(("http://", "https://")):
            return SnapshotCamera(rest, capture_timeout_s, latency_s)
    raise CameraSpecError(f"camera {masked(spec)!r}: unknown kind {kind!r}; {_ACCEPTED}")


def _genicam(
    spec: str,
    limits: tuple[float, float, float, float],
    features: Mapping[str, Feature],
    device: Callable[[], GenicamDevice],
) -> Camera:
    timeout_s, latency_s, stall_s, window_s = limits

    def make(features: Mapping[str, Feature]) -> Camera:
        match triggered_by(features):
            case Triggered.BY_SOFTWARE:
                return GenicamTriggered(device, features, timeout_s)
            case Triggered.BY_WIRE:
                timing = WireTiming(window_s, latency_s, timeout_s)
                if timing.decided_s >= timeout_s:
                    raise CaptureError(
                        f"twice the trigger's window and the latency are {timing.decided_s:g} s, "
                        f"and a capture may take {timeout_s:g} s: no picture would come in time"
                    )
                return WiredCamera(lambda: WiredSource(device(), features, timing), timing)
        source = partial(GenicamSource, features=features, latency_s=latency_s)
        return LiveCamera(lambda: source(device()), timeout_s, stall_s)

    try:
        return FeaturedCamera(make, features)
    except CaptureError as error:
        raise CameraSpecError(f"camera {spec!r}: {error}") from None


def _opencv(rest: str, timeout_s: float, latency_s: float, stall_s: float) -> Camera:
    source = int(rest) if rest.isdigit() else rest
    if not is_live(source):
        return OpenCVCamera(source, timeout_s)
    path = rest.lower().partition("?")[0]
    if path.startswith(("http://", "https://")) and not path.endswith(_VIDEO):
        return LiveCamera(lambda: MjpegSource(rest, timeout_s, latency_s), timeout_s, stall_s)
    return LiveCamera(lambda: OpenCVSource(source, timeout_s, latency_s), timeout_s, stall_s)


def _synthetic(spec: str, rest: str) -> SyntheticCamera:
    options = {"seed": 0.0, "size": 256.0, "defects": 0.2}
    for pair in filter(None, rest.split(",")):
        name, _, value = pair.partition("=")
        try:
            if name not in options:
                raise ValueError(name)
            options[name] = float(value)
        except ValueError:
            raise CameraSpecError(f"camera {spec!r}: cannot read {pair!r}; {_ACCEPTED}") from None
    return SyntheticCamera(int(options["seed"]), int(options["size"]), options["defects"])
