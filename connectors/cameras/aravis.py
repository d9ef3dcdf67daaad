"""``GenicamDevice`` by Aravis: GigE Vision and USB3 Vision without a maker's producer."""

import ctypes
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from connectors.cameras.adjustable import Feature
from connectors.cameras.aravis_library import AravisLibrary, aravis
from connectors.cameras.genicam import CLOCKS, RawImage, is_as_set
from connectors.cameras.pixels import name_of_code
from connectors.errors import CaptureError

_ONE = threading.Lock()
"""Cameras are looked for one after another."""
_BUFFERS = 16
"""Frames that may wait in the host."""
_NO_PACKET_SOCKET = 1
_AUTO_SOCKET_BUFFER = 1
_COMPLETE = 0


class AravisDevice:
    """One camera by its serial number, its Aravis name, or the IP address of a GigE camera.

    Frames of GigE cameras come by an ordinary socket, which needs no rights, with a buffer that
    is as large as a frame needs.

    Args:
        which: the camera, or empty for the only one.
    """

    def __init__(self, which: str) -> None:
        self.name = f"aravis:{which}"
        self._which = which
        self._library: AravisLibrary | None = None
        self._camera = self._stream = 0
        self._buffers: list[int] = []
        self.incomplete = 0

    def open(self, features: Mapping[str, Feature]) -> None:
        self._library = library = aravis()
        try:
            with _ONE:
                self._camera = library.tried("arv_camera_new", self._found(library))
            for name, value in features.items():
                self._set(library, name, value)
            self._acquire(library)
        except CaptureError as error:
            self.close()
            raise CaptureError(f"{self.name}: {error}") from None

    def fetch(self, timeout_s: float) -> RawImage | None:
        library, deadline = self._open(), time.monotonic() + timeout_s
        while True:
            left_us = max(int(1e6 * (deadline - time.monotonic())), 1)
            buffer = library.call("arv_stream_timeout_pop_buffer", self._stream, left_us)
            if not buffer:
                return None
            try:
                if library.call("arv_buffer_get_status", buffer) == _COMPLETE:
                    return self._image(library, buffer)
                self.incomplete += 1
            finally:
                library.call("arv_stream_push_buffer", self._stream, buffer)

    def trigger(self) -> None:
        self._execute("TriggerSoftware")

    def clock_ns(self) -> int | None:
        """The camera's clock now, ns; None where it cannot be read."""
        for latch, value, frequency in CLOCKS:
            with suppress(CaptureError):
                self._execute(latch)
                ticks = int(float(self._value(value)))
                hertz = int(float(self._value(frequency))) if frequency else 10**9
                return ticks * 10**9 // hertz if hertz else None
        return None

    def close(self) -> None:
        library, camera, stream = self._library, self._camera, self._stream
        self._camera = self._stream = 0
        if library is None or not camera:
            return
        with suppress(CaptureError):
            library.tried("arv_camera_stop_acquisition", camera)
        if stream:
            library.call("g_object_unref", stream)
        library.call("g_object_unref", camera)

    def _open(self) -> AravisLibrary:
        if self._library is None or not self._stream:
            raise CaptureError(f"camera {self.name}: not open")
        return self._library

    def _found(self, library: AravisLibrary) -> bytes | None:
        """What the library opens: a camera's name, or an address that it asks by itself."""
        library.call("arv_update_device_list")
        known = {}
        for n in range(library.call("arv_get_n_devices")):
            name = library.text("arv_get_device_id", n)
            known[library.text("arv_get_device_serial_nbr", n)] = name
            known[library.text("arv_get_device_address", n)] = name
            known[name] = name
        names = sorted(set(known.values()))
        if self._which in known:
            return known[self._which].encode()
        if not self._which and len(names) == 1:
            return names[0].encode()
        if self._which.count(".") == 3:  # a camera behind a router answers no broadcast
            return self._which.encode()
        raise CaptureError(f"no such camera; found: {', '.join(names) or 'none'}")

    def _acquire(self, library: AravisLibrary) -> None:
        camera = self._camera
        if library.call("arv_camera_is_gv_device", camera):
            library.call("arv_camera_gv_set_stream_options", camera, _NO_PACKET_SOCKET)
        self._stream = stream = library.tried("arv_camera_create_stream", camera, None, None)
        if library.call("arv_camera_is_gv_device", camera):
            library.set_integer(stream, "socket-buffer", _AUTO_SOCKET_BUFFER)
        payload = library.tried("arv_camera_get_payload", camera)
        for _ in range(_BUFFERS):
            buffer = library.call("arv_buffer_new_allocate", payload)
            library.call("arv_stream_push_buffer", stream, buffer)
        library.tried("arv_camera_start_acquisition", camera)

    def _image(self, library: AravisLibrary, buffer: int) -> RawImage:
        size = ctypes.c_size_t()
        data = library.call("arv_buffer_get_data", buffer, ctypes.byref(size))
        return RawImage(
            ctypes.string_at(data, size.value),
            library.call("arv_buffer_get_image_width", buffer),
            library.call("arv_buffer_get_image_height", buffer),
            name_of_code(library.call("arv_buffer_get_image_pixel_format", buffer)),
            library.call("arv_buffer_get_timestamp", buffer),
        )

    def _node(self, library: AravisLibrary, name: str) -> int:
        device = library.call("arv_camera_get_device", self._camera)
        return library.call("arv_device_get_feature", device, name.encode())

    def _set(self, library: AravisLibrary, name: str, value: Feature) -> None:
        node = self._node(library, name)
        if not node:
            raise CaptureError(f"the camera has no feature {name}")
        written = str(value).lower() if isinstance(value, bool) else str(value)
        try:
            library.tried("arv_gc_feature_node_set_value_from_string", node, written.encode())
            found = library.value_of(node)
        except CaptureError as error:
            raise CaptureError(f"{name} = {value!r} was refused: {error}") from None
        if not is_as_set(_read(found, value), value):
            raise CaptureError(f"{name} is {found!r}, and {value!r} was set")

    def _value(self, name: str) -> str:
        library = self._open()
        node = self._node(library, name)
        if not node:
            raise CaptureError(f"the camera has no feature {name}")
        return library.value_of(node)

    def _execute(self, command: str) -> None:
        library = self._open()
        if not self._node(library, command):
            raise CaptureError(f"camera {self.name}: has no command {command}")
        device = library.call("arv_camera_get_device", self._camera)
        library.tried("arv_device_execute_command", device, command.encode())


def _read(found: str, value: Feature) -> Feature:
    """A feature's text as the kind of value that was set."""
    if isinstance(value, bool):
        return found.lower() in ("1", "true")
    if isinstance(value, int | float):
        with suppress(ValueError):
            return float(found)
    return found
