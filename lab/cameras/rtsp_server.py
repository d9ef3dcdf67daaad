"""An RTSP camera by GStreamer's own server; started as a program by the system's Python.

It needs Debian's `gir1.2-gst-rtsp-server-1.0`, whose bindings are not those of a virtual
environment, so nothing of the project and no package is imported here. Each picture has 32 bars,
one for each bit of the milliseconds from ``--epoch`` (``time.monotonic``) to its exposure. The port
is printed once the server listens.
"""

import argparse
import sys
import time
from typing import Any

BITS, BAR, HEIGHT = 32, 8, 64


def painted(milliseconds: int) -> bytes:
    """Grey pixels of 256 x 64, then the grey chroma of I420."""
    row = b"".join(bytes([245 if milliseconds >> bit & 1 else 10]) * BAR for bit in range(BITS))
    return row * HEIGHT + bytes([128]) * (BITS * BAR * HEIGHT // 2)


def main() -> None:
    """Serve until killed."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    parser = argparse.ArgumentParser()
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--epoch", type=float, required=True)
    parser.add_argument("--delay", type=float, default=0.0)
    options = parser.parse_args()
    Gst.init(None)
    caps = f"video/x-raw,format=I420,width=256,height={HEIGHT},framerate={options.fps}/1"
    launch = (
        f"( appsrc name=camera is-live=true format=time caps={caps} ! videoconvert ! "
        "video/x-raw,format=I420 ! jpegenc quality=90 ! rtpjpegpay name=pay0 pt=26 )"
    )

    def configure(_: Any, media: Any) -> None:
        source = media.get_element().get_child_by_name("camera")
        first = time.monotonic()
        is_open = True

        def expose() -> bool:
            now_ms = int(1000 * (time.monotonic() - options.epoch))
            data = Gst.Buffer.new_wrapped(painted(now_ms))
            data.pts = int((time.monotonic() - first) * Gst.SECOND)
            data.duration = Gst.SECOND // options.fps

            def send() -> bool:
                nonlocal is_open
                is_open = source.emit("push-buffer", data) == Gst.FlowReturn.OK
                return False

            GLib.timeout_add(int(1000 * options.delay), send)
            return is_open

        GLib.timeout_add(1000 // options.fps, expose)

    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch)
    factory.set_shared(True)
    factory.connect("media-configure", configure)
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
