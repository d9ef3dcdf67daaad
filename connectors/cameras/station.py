"""The cameras of a station, as its settings name them."""

from connectors.cameras.factory import open_camera
from connectors.cameras.measuring import read_limits
from connectors.errors import CameraSpecError
from connectors.settings import GatewaySettings, ShotSettings
from streams.ports import Camera


def station_cameras(own: GatewaySettings) -> list[Camera]:
    """One camera for each shot, not opened: shots that name the same one share it.

    Raises:
        CameraSpecError: a specification cannot be read, or shots want one camera differently.
        NormalsError: a product's limits cannot be used.
    """
    normals = {product: read_limits(path) for product, path in own.camera_normals.items()}

    def made(name: str, shot: ShotSettings) -> Camera:
        latency_ms = shot.camera_latency_ms
        return open_camera(
            name,
            own.capture_timeout_s,
            (own.camera_latency_ms if latency_ms is None else latency_ms) / 1000,
            own.camera_stall_s,
            {**own.camera_features, **shot.camera_features},
            own.camera_producer,
            own.camera_checks,
            own.camera_trigger_window_ms / 1000,
            normals,
        )

    shots = own.shots or (ShotSettings(name="single"),)
    names = [shot.camera or own.camera for shot in shots]
    first: dict[str, ShotSettings] = {}
    for name, shot in zip(names, shots, strict=True):
        first.setdefault(name, shot)
        if _asked(shot) != _asked(first[name]):
            raise CameraSpecError(
                f"shots {first[name].name!r} and {shot.name!r} share a camera, and give it other "
                "features or another latency: between two shots it cannot be set; write them alike"
            )
    found = {name: made(name, shot) for name, shot in first.items()}
    return [found[name] for name in names]


def _asked(shot: ShotSettings) -> tuple[object, ...]:
    return list(shot.camera_features.items()), shot.camera_latency_ms
