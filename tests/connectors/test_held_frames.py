"""A stream of JPEGs over a network that loses packets: what it held back is not new."""

import contextlib
import socket
import threading
import time

from connectors.cameras.http import MjpegSource

INTERVAL_S, HELD_S = 0.04, 0.5
HELD = range(20, 30)
"""Frames that wait until packets were sent again."""
COUNT = 60


def test_what_lost_packets_held_back_is_not_taken_for_new() -> None:
    exposed: dict[bytes, float] = {}
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                peer, _ = server.accept()
                with peer:
                    peer.recv(4096)
                    kind = b"multipart/x-mixed-replace; boundary=b"
                    peer.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: " + kind + b"\r\n\r\n")
                    began = time.monotonic()
                    for number in range(COUNT):
                        at = began + number * INTERVAL_S
                        released = began + HELD[0] * INTERVAL_S + HELD_S
                        due = max(at, released) if number >= HELD[0] else at
                        time.sleep(max(due - time.monotonic(), 0))
                        body = b"\xff\xd8 %d" % number
                        exposed[body] = at
                        length = b"Content-Length: %d\r\n\r\n" % len(body)
                        peer.sendall(b"--b\r\n" + length + body + b"\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        source = MjpegSource(f"http://127.0.0.1:{server.getsockname()[1]}/", 5, 0.0)
        source.open()
        found = []
        for _ in range(COUNT):
            frame = source.read()
            found.append((frame.began, frame.encode()[0]))
        source.close()
        thread.join()
    too_new = [
        (body, began - exposed[body])
        for began, body in found
        if began is not None and began > exposed[body] + 0.2
    ]
    assert too_new == []
    assert any(began is not None for began, _ in found)
