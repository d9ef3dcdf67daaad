"""Readiness for a supervisor: the ``sd_notify`` protocol of systemd (``Type=notify``)."""

import contextlib
import os
import socket


def notify_ready() -> None:
    """Tell the supervisor, if there is one, that this process now does its work."""
    _send(b"READY=1")


def notify_stopping() -> None:
    """Tell the supervisor that a graceful shutdown has begun."""
    _send(b"STOPPING=1")


def _send(message: bytes) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.sendto(message, address)
