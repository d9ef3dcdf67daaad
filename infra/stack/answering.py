"""Whether a server of the local stack answers at all: a port of one that is frozen is still open.

Each protocol has a first word to which a server that runs says something, or ends the connection,
whoever asks; only one that hangs, or that somebody stopped, says nothing.
"""

import socket
import struct
from collections.abc import Mapping
from typing import Final

from infra.stack.server import HOST

ANSWER_S: Final = 5.0
"""Longest wait for that, seconds."""
_VERSIONS: Final = struct.pack(">hhih5s", 18, 0, 7, 5, b"andon")
FIRST_WORDS: Final[Mapping[str, bytes]] = {
    # ApiVersions of the Kafka protocol
    "broker": struct.pack(">i", len(_VERSIONS)) + _VERSIONS,
    # SSLRequest of PostgreSQL's
    "postgres": struct.pack(">ii", 8, 80877103),
    "s3": b"HEAD / HTTP/1.0\r\n\r\n",
    # the preface of HTTP/2, by which gRPC begins, and an empty frame SETTINGS
    "ray": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]),
}
"""By component of the stack."""


def answers(component: str, port: int, timeout_s: float = ANSWER_S) -> bool:
    """Whether the component says something at loopback's ``port``.

    Args:
        component: one of ``FIRST_WORDS``.
        port: where it listens.
        timeout_s: longest wait, seconds.
    """
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            connection.sendall(FIRST_WORDS[component])
            connection.recv(1)
    except ConnectionRefusedError:
        return False
    except ConnectionError:
        return True
    except OSError:
        return False
    return True
