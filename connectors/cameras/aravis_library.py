"""What this package calls of Aravis' shared library (0.8), by ctypes: no binding has to be built.

Aravis is the GenICam library of the Linux distributions; it speaks GigE Vision and USB3 Vision
without any producer of a camera's maker.
"""

import ctypes
import ctypes.util
from collections.abc import Callable, Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_uint32, c_uint64
from ctypes import c_void_p as pointer
from functools import cache

from connectors.errors import CaptureError

_NAMES = ("libaravis-0.8.so.0", "aravis-0.8")
INSTALL = (
    "cameras by aravis: need the library Aravis 0.8; install it (Debian and Ubuntu: "
    "apt-get install libaravis-0.8-0)"
)
_SIGNATURES: dict[str, tuple[object, Sequence[object]]] = {
    "arv_update_device_list": (None, ()),
    "arv_get_n_devices": (c_uint, ()),
    "arv_get_device_id": (c_char_p, (c_uint,)),
    "arv_get_device_serial_nbr": (c_char_p, (c_uint,)),
    "arv_get_device_address": (c_char_p, (c_uint,)),
    "arv_camera_new": (pointer, (c_char_p, pointer)),
    "arv_camera_get_device": (pointer, (pointer,)),
    "arv_camera_is_gv_device": (c_int, (pointer,)),
    "arv_camera_gv_set_stream_options": (None, (pointer, c_int)),
    "arv_camera_create_stream": (pointer, (pointer, pointer, pointer, pointer)),
    "arv_camera_get_payload": (c_uint, (pointer, pointer)),
    "arv_camera_start_acquisition": (None, (pointer, pointer)),
    "arv_camera_stop_acquisition": (None, (pointer, pointer)),
    "arv_device_get_feature": (pointer, (pointer, c_char_p)),
    "arv_device_execute_command": (None, (pointer, c_char_p, pointer)),
    "arv_gc_feature_node_set_value_from_string": (None, (pointer, c_char_p, pointer)),
    "arv_gc_feature_node_get_value_as_string": (c_char_p, (pointer, pointer)),
    "arv_buffer_new_allocate": (pointer, (c_size_t,)),
    "arv_buffer_get_status": (c_int, (pointer,)),
    "arv_buffer_get_data": (pointer, (pointer, POINTER(c_size_t))),
    "arv_buffer_get_image_width": (c_int, (pointer,)),
    "arv_buffer_get_image_height": (c_int, (pointer,)),
    "arv_buffer_get_image_pixel_format": (c_uint32, (pointer,)),
    "arv_buffer_get_timestamp": (c_uint64, (pointer,)),
    "arv_stream_push_buffer": (None, (pointer, pointer)),
    "arv_stream_timeout_pop_buffer": (pointer, (pointer, c_uint64)),
    "g_object_unref": (None, (pointer,)),
    "g_error_free": (None, (pointer,)),
}


class _GError(ctypes.Structure):
    _fields_ = [("domain", c_uint32), ("code", c_int), ("message", c_char_p)]


class AravisLibrary:
    """The functions by their C names, with errors as ``CaptureError``."""

    def __init__(self, loaded: ctypes.CDLL) -> None:
        self._loaded = loaded

    def call(self, name: str, *arguments: object) -> int:
        """A function's answer as an integer or an address; 0 for NULL."""
        found = self._function(name)(*arguments)
        return found if isinstance(found, int) else 0

    def tried(self, name: str, *arguments: object) -> int:
        """As ``call``, of a function whose last parameter takes an error.

        Raises:
            CaptureError: the library's own words.
        """
        failed = POINTER(_GError)()
        found = self.call(name, *arguments, byref(failed))
        self._raise(failed)
        return found

    def text(self, name: str, *arguments: object) -> str:
        """Text of a function without errors; empty for NULL."""
        found = self._function(name)(*arguments)
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else ""

    def value_of(self, node: int) -> str:
        """A feature's value as text. Raises ``CaptureError``."""
        failed = POINTER(_GError)()
        found = self.text("arv_gc_feature_node_get_value_as_string", node, byref(failed))
        self._raise(failed)
        return found

    def set_integer(self, instance: int, name: str, value: int) -> None:
        """An integer property of an object."""
        end = pointer(None)
        self._loaded.g_object_set(pointer(instance), name.encode(), c_int(value), end)

    def _function(self, name: str) -> Callable[..., object]:
        function = getattr(self._loaded, name)
        function.restype, function.argtypes = _SIGNATURES[name]
        called: Callable[..., object] = function
        return called

    def _raise(self, failed: "ctypes._Pointer[_GError]") -> None:
        if failed:
            words = (failed.contents.message or b"").decode("utf-8", "replace")
            self.call("g_error_free", ctypes.cast(failed, pointer))
            raise CaptureError(words)


@cache
def aravis() -> AravisLibrary:
    """The library of this host. Raises ``CaptureError`` where it is not installed."""
    for name in _NAMES:
        try:
            return AravisLibrary(ctypes.CDLL(name))
        except OSError:
            found = ctypes.util.find_library(name)
            if found:
                return AravisLibrary(ctypes.CDLL(found))
    raise CaptureError(INSTALL)
