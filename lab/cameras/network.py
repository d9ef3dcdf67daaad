"""A network camera of the laboratory: a stream of JPEGs, and the latest picture on request.

It sends every frame in order, as late as its delay, and what a slow reader does not take waits in
the connection: the worst that such cameras do.
"""

import http.server
import threading
from types import TracebackType

from lab.cameras.painted import PaintingCamera, painted


class NetworkCamera(PaintingCamera):
    """``/stream.mjpg`` and ``/snapshot.jpg`` on a port of this machine."""

    def __init__(self, fps: float = 25.0, delay_s: float = 0.08) -> None:
        super().__init__(fps, delay_s)
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

    def jpeg(self, number: int) -> bytes:
        import cv2

        data = cv2.imencode(".jpg", painted(self.exposed_ms(number)))[1]
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
        self.switch_off()
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
        number = twin.next_number()
        while twin.wait_to_send(number, twin.delay_s):
            data = twin.jpeg(number)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")
            number += 1

    def _snapshot(self) -> None:
        twin = self.twin
        if not twin.wait_while_stalled():
            return
        number = int((twin.now_ms() / 1000 - twin.delay_s) * twin.fps)
        data = twin.jpeg(max(number, 0))
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""
