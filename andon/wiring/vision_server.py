"""The vision server and the line controller within its process."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from andon.build import build
from andon.settings import Settings

if TYPE_CHECKING:
    from connectors.vision.controller import JobController
    from connectors.vision.server import VisionServer


def job_controller(settings: Settings) -> "JobController":
    """The line controller within the process: jobs are its triggers."""
    from connectors.vision.controller import JobController

    own = settings.gateway
    return JobController(own, settings.vision.window_ms, own.is_simulated)


def vision_server(
    settings: Settings, controller: "JobController", in_force: Callable[[], Mapping[str, str]]
) -> "VisionServer":
    """The OPC UA server over a controller that a gateway serves.

    Args:
        settings: of the server and its station.
        controller: that the gateway serves.
        in_force: the hash of the policy in force, by product.
    """
    from connectors.vision.server import VisionServer

    own = settings.gateway
    station = "/".join(filter(None, (own.site, own.area, own.line, own.station)))
    return VisionServer(settings.vision, controller, in_force, station, build())
