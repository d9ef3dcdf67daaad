"""Checks of the line's edge: the controller, the gateway that serves it, the cameras."""

from typing import Final

from andon.checks.findings import CheckFailed
from andon.settings import Settings
from andon.wiring import edge
from connectors.handshake.signals import Signal, number
from streams.codes import FaultCode

NODES: Final = (
    "check ANDON_GATEWAY__NAMESPACE, ANDON_GATEWAY__NODE_PREFIX and the controller's node set "
    "(docs/handshake.md)"
)
SECURITY: Final = "`andon plc trust` exchanges certificates (docs/plc-security.md)"


async def check_plc(settings: Settings) -> str:
    """The controller's node set is whole and of the right types, and its heartbeat moves."""
    from connectors.errors import CertificateError, LinkError, NodeSetError

    try:
        found = await edge.probe_controller(settings)
    except NodeSetError as error:
        raise CheckFailed(str(error), NODES) from None
    except (CertificateError, LinkError) as error:
        raise CheckFailed(str(error), SECURITY) from None
    if not found.plc_beats:
        raise CheckFailed(
            f"PlcHeartbeat stands at {number(found.values, Signal.PLC_HEARTBEAT)}",
            "start the controller's program: without its heartbeat Ready stays off",
        )
    boot = number(found.values, Signal.PLC_BOOT_ID)
    own = settings.gateway
    return f"{own.plc_url}, {own.namespace}: {len(found.values)} signals, PlcBootId {boot}"


async def check_gateway(settings: Settings) -> str:
    """A gateway serves the controller and is ready, as the controller itself shows it."""
    found = await edge.probe_controller(settings)
    fault = FaultCode(number(found.values, Signal.FAULT_CODE))
    if not found.gateway_beats:
        raise CheckFailed(
            "no gateway counts VisionHeartbeat on the controller", "start `andon gateway`"
        )
    if fault is not FaultCode.NONE:
        raise CheckFailed(
            f"FaultCode {int(fault)} ({fault.name}), Ready {bool(found.values[Signal.READY])}",
            "docs/codes.md says what to do; the gateway's log says since when and why",
        )
    ready, busy = found.values[Signal.READY], found.values[Signal.BUSY]
    return f"VisionHeartbeat moves, Ready {ready}, Busy {busy}"


async def check_camera(settings: Settings) -> str:
    """Every camera of the station opens."""
    own = settings.gateway
    cameras = {id(camera): camera for camera in edge.cameras(settings)}
    for camera in cameras.values():
        await camera.open()
        await camera.close()
    return ", ".join(f"{shot.name} {shot.camera or own.camera}" for shot in own.shots) or own.camera
