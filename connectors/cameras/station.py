"""The cameras of a station, as its settings name them."""

from connectors.cameras.factory import open_camera
from connectors.cameras.measuring import read_limits
from connectors.settings import GatewaySettings
from streams.ports import Camera


def station_cameras(own: GatewaySettings) -> list[Camera]:
    """One camera for each shot, not opened: shots that name the same one share it.

    Raises:
        CameraSpecError: a specification cannot be read.
        NormalsError: a product's limits cannot be used.
    """
    normals = {product: read_limits(path) for product, path in own.camera_normals.items()}

    def made(name: str) -> Camera:
        return open_camera(
            name,
            own.capture_timeout_s,
            own.camera_latency_ms / 1000,
            own.camera_stall_s,
            own.camera_features,
            own.camera_producer,
            own.camera_checks,
            own.camera_trigger_window_ms / 1000,
            normals,
        )

    names = [shot.camera or own.camera for shot in own.shots] or [own.camera]
    found = {name: made(name) for name in dict.fromkeys(names)}
    return [found[name] for name in names]
