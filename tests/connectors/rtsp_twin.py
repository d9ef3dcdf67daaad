"""A network camera that speaks RTSP, in this process: JPEGs over RTP within its TCP connection.

Of RTSP (RFC 2326) and RTP's JPEGs (RFC 2435) it speaks what a client needs that plays one stream.
The test says which frames come, and when: nothing is sent by itself.
"""

import contextlib
import socket
import struct
import threading
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt

_PACKET = 1400
_RATE = 90_000


class RtspTwin:
    """``stream`` is its address; ``send`` a frame to whoever plays it."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.stream = f"rtsp://127.0.0.1:{self._server.getsockname()[1]}/camera"
        self.playing = threading.Event()
        self.sessions = 0
        """How often somebody began to play."""
        self._peer: socket.socket | None = None
        self._packet = 0

    def send(self, pixels: npt.NDArray[np.uint8], stamp_s: float) -> None:
        """Send one frame, shape (height, width, 3) with sides of whole 16 pixels."""
        tables, scan = _parts_of(pixels)
        height, width = pixels.shape[:2]
        for at in range(0, len(scan), _PACKET):
            piece = scan[at : at + _PACKET]
            head = struct.pack(">IBBBB", at, 1, 255, width // 8, height // 8)
            if at == 0:
                head += struct.pack(">BBH", 0, 0, len(tables)) + tables
            last = at + _PACKET >= len(scan)
            self._packet += 1
            stamp = int(stamp_s * _RATE) & 0xFFFFFFFF
            rtp = struct.pack(
                ">BBHII", 0x80, 26 | (0x80 if last else 0), self._packet & 0xFFFF, stamp, 1
            )
            body = rtp + head + piece
            with contextlib.suppress(OSError):
                peer = self._peer
                if peer is not None:
                    peer.sendall(struct.pack(">cBH", b"$", 0, len(body)) + body)

    def hang_up(self) -> None:
        """Cut the connection; the next client is answered again."""
        peer, self._peer = self._peer, None
        self.playing.clear()
        if peer is not None:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "RtspTwin":
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.hang_up()
        self._thread.join(5)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._server.accept()
                threading.Thread(target=self._speak, args=(peer,), daemon=True).start()

    def _speak(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer:
            asked = b""
            while data := peer.recv(4096):
                asked += data
                while b"\r\n\r\n" in asked:
                    one, _, asked = asked.partition(b"\r\n\r\n")
                    if not one.startswith(b"$"):
                        self._answer(peer, one.decode("latin-1"))

    def _answer(self, peer: socket.socket, asked: str) -> None:
        method = asked.split(" ", 1)[0]
        number = asked.lower().partition("cseq:")[2].split()[0]
        more, body = "", ""
        if method == "DESCRIBE":
            body = (
                "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=twin\r\nt=0 0\r\n"
                "m=video 0 RTP/AVP 26\r\na=control:trackID=0\r\n"
            )
            more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif method == "SETUP":
            more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        elif method == "OPTIONS":
            more = "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        peer.sendall(
            f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 1\r\n{more}\r\n{body}".encode()
        )
        if method == "PLAY":
            self._peer = peer
            self.sessions += 1
            self.playing.set()


def _parts_of(pixels: npt.NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """The quantisation tables and the scan of a JPEG: what RTP carries of it."""
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x221111])[1].tobytes()
    tables, at = b"", 2
    while True:
        kind, size = struct.unpack(">xBH", data[at : at + 4])
        if kind == 0xDB:
            segment = data[at + 4 : at + 2 + size]
            tables += b"".join(segment[i + 1 : i + 65] for i in range(0, len(segment), 65))
        at += 2 + size
        if kind == 0xDA:
            return tables, data[at:-2]
