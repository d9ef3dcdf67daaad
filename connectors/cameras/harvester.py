"""``GenicamDevice`` by harvesters, over a GenTL producer (a maker's ``.cti``)."""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from connectors.cameras.adjustable import Feature
from connectors.cameras.genicam import CLOCKS, RawImage, is_as_set
from connectors.errors import CaptureError

_ONE = threading.Lock()
"""Producers are opened one after another."""


class HarvesterDevice:
    """One camera of a producer.

    Args:
        serial: its serial number, or empty for the only one.
        producer: the ``.cti``; None: those of ``GENICAM_GENTL64_PATH``.
    """

    def __init__(self, serial: str, producer: Path | None) -> None:
        self.name = f"genicam:{serial}"
        self._serial = serial
        self._producer = producer
        self._harvester: Any = None
        self._acquirer: Any = None
        self.incomplete = 0

    def open(self, features: Mapping[str, Feature]) -> None:
        try:
            from harvesters.core import Harvester
        except ImportError:
            raise CaptureError(
                f"{self.name}: GenICam needs the extra: pip install 'andon[genicam]'"
            ) from None
        with _ONE:
            self._harvester = harvester = Harvester()
            for path in self._producers():
                harvester.add_file(str(path))
            harvester.update()
            self._acquirer = harvester.create(self._which(harvester.device_info_list))
        nodes = self._acquirer.remote_device.node_map
        for name, value in features.items():
            self._set(nodes, name, value)
        self._acquirer.start()

    def fetch(self, timeout_s: float) -> RawImage | None:
        deadline = time.monotonic() + timeout_s
        while (buffer := self._acquirer.try_fetch(timeout=timeout_s)) is None:
            timeout_s = deadline - time.monotonic()
            if timeout_s <= 0:
                return None
            self.incomplete += 1  # it comes back before its time for such a frame, and others wait
        with buffer:
            part = buffer.payload.components[0]
            data, stamp_ns = part.data.tobytes(), _stamp_ns(buffer)
            return RawImage(data, part.width, part.height, part.data_format, stamp_ns)

    def trigger(self) -> None:
        self._acquirer.remote_device.node_map.TriggerSoftware.execute()

    def clock_ns(self) -> int | None:
        nodes = self._acquirer.remote_device.node_map
        for latch, value, frequency in CLOCKS:
            if nodes.has_node(latch) and nodes.has_node(value):
                nodes.get_node(latch).execute()
                ticks = int(nodes.get_node(value).value)
                hertz = int(nodes.get_node(frequency).value) if frequency else 10**9
                return ticks * 10**9 // hertz if hertz else None
        return None

    def close(self) -> None:
        acquirer, self._acquirer = self._acquirer, None
        harvester, self._harvester = self._harvester, None
        with _ONE:
            if acquirer is not None:
                acquirer.stop()
                acquirer.destroy()
            if harvester is not None:
                harvester.reset()

    def _producers(self) -> list[Path]:
        if self._producer is not None:
            found = [self._producer]
        else:
            folders = os.environ.get("GENICAM_GENTL64_PATH", "").split(os.pathsep)
            found = [path for folder in folders if folder for path in Path(folder).glob("*.cti")]
        missing = [path for path in found if not path.is_file()]
        if missing or not found:
            what = f"no file {missing[0]}" if missing else "no GenTL producer"
            raise CaptureError(
                f"{self.name}: {what}; install the camera maker's (.cti) and set "
                "ANDON_GATEWAY__CAMERA_PRODUCER or GENICAM_GENTL64_PATH"
            )
        return found

    def _which(self, devices: list[Any]) -> int:
        serials = [str(device.property_dict.get("serial_number", "")) for device in devices]
        if self._serial in serials:
            return serials.index(self._serial)
        if not self._serial and len(serials) == 1:
            return 0
        shown = ", ".join(serials) or "none"
        raise CaptureError(f"{self.name}: no such camera; serial numbers found: {shown}")

    def _set(self, nodes: Any, name: str, value: Feature) -> None:
        if not nodes.has_node(name):
            raise CaptureError(f"{self.name}: the camera has no feature {name}")
        node = nodes.get_node(name)
        try:
            node.value = value
            found = node.value
        except Exception as error:  # noqa: BLE001 - the bindings' own kinds have no common root
            raise CaptureError(f"{self.name}: {name} = {value!r} was refused: {error}") from None
        if not is_as_set(found, value):
            raise CaptureError(f"{self.name}: {name} is {found!r}, and {value!r} was set")


def _stamp_ns(buffer: Any) -> int:
    """The frame's time stamp; not every producer tells it in nanoseconds."""
    try:
        return int(buffer.timestamp_ns or 0)
    except Exception:  # noqa: BLE001 - the bindings' own kinds have no common root
        return 0
