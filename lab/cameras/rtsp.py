"""A network camera of the laboratory that speaks RTSP: JPEGs over RTP within its TCP connection.

Of RTSP (RFC 2326), RTP (RFC 3550) and its payload of JPEGs (RFC 2435) it speaks what a client needs
that plays one stream.
"""

import contextlib
import socket
import struct
import threading
from types import TracebackType

import numpy as np
import numpy.typing as npt

from lab.cameras.painted import PaintingCamera, painted

_PATH = "/camera"
_PACKET = 1400
_RATE = 90_000
"""Of RTP's time stamps of video, per second."""
_JPEG = 26
_LAST_OF_FRAME = 0x80
_DESCRIPTION = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
    f"m=video 0 RTP/AVP {_JPEG}\r\na=control:track\r\n"
)
_ANSWERS = {
    "OPTIONS": ("Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", ""),
    "DESCRIBE": (
        f"Content-Type: application/sdp\r\nContent-Length: {len(_DESCRIPTION)}\r\n",
        _DESCRIPTION,
    ),
    "SETUP": ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", ""),
}
"""Headers and body of each answer but the plain ones."""


class RtspCamera(PaintingCamera):
    """``stream`` is its address; who plays it last has the frames, in order and none left out."""

    def __init__(self, fps: float = 25.0, delay_s: float = 0.0) -> None:
        super().__init__(fps, delay_s)
        self.sessions = 0
        """How often somebody began to play."""
        self._server = socket.create_server(("127.0.0.1", 0))
        self.stream = f"rtsp://127.0.0.1:{self._server.getsockname()[1]}{_PATH}"
        self._peer: socket.socket | None = None
        self._is_played = threading.Event()
        self._sending = threading.Lock()
        self._packets = 0

    def delay_at(self, played_s: float) -> float:
        """How late a frame is sent that was exposed so long after its session began, seconds."""
        return self.delay_s

    def picture(self, number: int) -> npt.NDArray[np.uint8]:
        """Frame ``number``, shape (height, width) with sides of whole 16 pixels."""
        return painted(self.exposed_ms(number))

    def hang_up(self) -> None:
        """Cut the connection; the next client is answered again."""
        self._is_played.clear()
        peer, self._peer = self._peer, None
        if peer is not None:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "RtspCamera":
        self._threads = [threading.Thread(target=run) for run in (self._serve, self._play)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.switch_off()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.hang_up()
        for thread in self._threads:
            thread.join()

    def _play(self) -> None:
        """Send every frame to whoever plays, one session after the other."""
        while not self._stopped.is_set():
            if not self._is_played.wait(0.02):
                continue
            session, first = self.sessions, self.next_number()
            number = first
            while (
                self._is_played.is_set()
                and self.sessions == session
                and self.wait_to_send(number, self.delay_at((number - first) / self.fps))
            ):
                self._send(self.picture(number), number / self.fps)
                number += 1

    def _send(self, pixels: npt.NDArray[np.uint8], stamp_s: float) -> None:
        tables, scan = _tables_and_scan(pixels)
        height, width = pixels.shape
        stamp = int(stamp_s * _RATE) & 0xFFFFFFFF
        for at in range(0, len(scan), _PACKET):
            piece = scan[at : at + _PACKET]
            jpeg = struct.pack(">IBBBB", at, 1, 255, width // 8, height // 8)
            if at == 0:
                jpeg += struct.pack(">BBH", 0, 0, len(tables)) + tables
            kind = _JPEG | (_LAST_OF_FRAME if at + _PACKET >= len(scan) else 0)
            self._packets += 1
            rtp = struct.pack(">BBHII", 0x80, kind, self._packets & 0xFFFF, stamp, 1)
            body = rtp + jpeg + piece
            peer = self._peer
            if peer is not None:
                with contextlib.suppress(OSError), self._sending:
                    peer.sendall(struct.pack(">cBH", b"$", 0, len(body)) + body)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._server.accept()
                threading.Thread(target=self._speak, args=(peer,), daemon=True).start()

    def _speak(self, peer: socket.socket) -> None:
        """Answer requests; what the client reports within the connection (RTCP) is passed over."""
        with contextlib.suppress(OSError), peer, peer.makefile("rb") as asked:
            while first := asked.read(1):
                if first == b"$":
                    asked.read(struct.unpack(">xH", asked.read(3))[0])
                    continue
                lines = [(first + asked.readline()).decode("latin-1")]
                while lines[-1].strip():
                    lines.append(asked.readline().decode("latin-1"))
                if not self.wait_while_stalled():
                    return
                self._answer(peer, lines)

    def _answer(self, peer: socket.socket, asked: list[str]) -> None:
        method, address = asked[0].split(" ", 2)[:2]
        number = next(line.split(":")[1] for line in asked if line.lower().startswith("cseq:"))
        status, (more, body) = "200 OK", _ANSWERS.get(method, ("", ""))
        if f"{address}/".partition(f"{self.stream}/")[0]:
            status, more, body = "404 Not Found", "", ""
        answer = f"RTSP/1.0 {status}\r\nCSeq: {number.strip()}\r\nSession: 1\r\n{more}\r\n{body}"
        with self._sending:
            peer.sendall(answer.encode())
        if method == "PLAY":
            self._peer = peer
            self.sessions += 1
            self._is_played.set()


def _tables_and_scan(pixels: npt.NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """The quantisation tables and the scan of a JPEG: what RTP carries of it."""
    import cv2

    coloured = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    data = cv2.imencode(".jpg", coloured, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x221111])[1].tobytes()
    tables, at = b"", 2
    while True:
        kind, size = struct.unpack(">xBH", data[at : at + 4])
        if kind == 0xDB:
            segment = data[at + 4 : at + 2 + size]
            tables += b"".join(segment[i + 1 : i + 65] for i in range(0, len(segment), 65))
        at += 2 + size
        if kind == 0xDA:
            return tables, data[at:-2]
