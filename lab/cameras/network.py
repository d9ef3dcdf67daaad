"""A network camera of the laboratory: a stream of JPEGs, and the latest picture on request.

It sends every frame in order, as late as its delay, and what a slow reader does not take waits in
the connection: the worst that such cameras do.
"""

import http.server
import threading
import time
from types import TracebackType

from lab.cameras.painted import painted


class NetworkCamera:
    """``/stream.mjpg`` and ``/snapshot.jpg`` on a port of this machine.

    Args:
        fps: frames per second.
        delay_s: from an exposure to its first byte, seconds.
    """

    def __init__(self, fps: float = 25.0, delay_s: float = 0.08) -> None:
        self.fps = fps
        self.delay_s = delay_s
        self.started = time.monotonic()
        self.frozen = threading.Event()
        """Set: the connection stays, and no frame comes any more."""
        self._stopped = threading.Event()
        camera = self

        class Handler(_Handler):
            twin = camera

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def stream(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/stream.mjpg"

    @property
    def snapshot(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/snapshot.jpg"

    def stall(self) -> None:
        """The connection stays, and nothing comes any more."""
        self.frozen.set()

    def now_ms(self) -> float:
        """What a picture exposed now would say, with its fraction."""
        return 1000 * (time.monotonic() - self.started)

    def exposed_at(self, number: int) -> float:
        return self.started + number / self.fps

    def wait_until(self, at: float) -> bool:
        """Sleep; False: the camera was switched off."""
        return not self._stopped.wait(max(at - time.monotonic(), 0))

    def wait_while_frozen(self) -> bool:
        while self.frozen.is_set():
            if self._stopped.wait(0.02):
                return False
        return True

    def jpeg(self, number: int) -> bytes:
        import cv2

        data = cv2.imencode(".jpg", painted(round(1000 * number / self.fps)))[1]
        return bytes(data.tobytes())

    def __enter__(self) -> "NetworkCamera":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    twin: NetworkCamera

    def do_GET(self) -> None:
        try:
            if self.path == "/stream.mjpg":
                self._stream()
            elif self.path == "/snapshot.jpg":
                self._snapshot()
            else:
                self.send_error(404)
        except OSError:
            self.close_connection = True

    def _stream(self) -> None:
        twin = self.twin
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = int((time.monotonic() - twin.started) * twin.fps) + 1
        while twin.wait_until(twin.exposed_at(number) + twin.delay_s) and twin.wait_while_frozen():
            data = twin.jpeg(number)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")
            number += 1

    def _snapshot(self) -> None:
        twin = self.twin
        if not twin.wait_while_frozen():
            return
        number = int((time.monotonic() - twin.started - twin.delay_s) * twin.fps)
        data = twin.jpeg(max(number, 0))
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""
