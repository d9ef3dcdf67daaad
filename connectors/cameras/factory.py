"""A camera from its specification in the settings."""

from pathlib import Path

from connectors.cameras.folder import FolderCamera
from connectors.cameras.opencv import OpenCVCamera
from connectors.cameras.synthetic import SyntheticCamera
from connectors.errors import CameraSpecError
from streams.masking import masked
from streams.ports import Camera

_ACCEPTED = (
    "accepted: folder:PATH, list:FILE (one path per line), "
    "synthetic:seed=N,size=N,defects=SHARE, opencv:INDEX, opencv:/dev/video0, opencv:FILE, "
    "opencv:rtsp://..."
)


def open_camera(spec: str, capture_timeout_s: float = 2.0) -> Camera:
    """The camera that ``spec`` names; not opened yet.

    Raises:
        CameraSpecError: the specification cannot be read; the message lists what is accepted.
    """
    kind, separator, rest = spec.partition(":")
    if not separator or not (rest or kind == "synthetic"):
        raise CameraSpecError(f"camera {masked(spec)!r}: {_ACCEPTED}")
    match kind:
        case "folder":
            return FolderCamera.over_folder(Path(rest))
        case "list":
            return FolderCamera.over_list(Path(rest))
        case "synthetic":
            return _synthetic(spec, rest)
        case "opencv":
            source = int(rest) if rest.isdigit() else rest
            return OpenCVCamera(source, capture_timeout_s)
    raise CameraSpecError(f"camera {masked(spec)!r}: unknown kind {kind!r}; {_ACCEPTED}")


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
    if not 16 <= options["size"] <= 4096 or not 0 <= options["defects"] <= 1:
        raise CameraSpecError(f"camera {spec!r}: size is 16 to 4096 pixels, defects 0 to 1")
    return SyntheticCamera(int(options["seed"]), int(options["size"]), options["defects"])
