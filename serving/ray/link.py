"""How processes of ours reach a Ray cluster."""

import socket

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``.

    Raises:
        ValueError: it has another form.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"{address!r}: expected host:port of the Ray head")
    return host.strip("[]"), int(port)


def reachable(address: str, timeout_s: float = 1.0) -> bool:
    """Whether something accepts TCP connections at ``address``."""
    try:
        with socket.create_connection(split_address(address), timeout_s):
            return True
    except OSError:
        return False


def loopback_environment(address: str) -> dict[str, str]:
    """Environment for a process that connects to ``address``, to be set before ``import ray``.

    Ray replaces 127.0.0.1 by the host's first interface unless told that there is no cluster; a
    head that listens on loopback only could then not be reached.
    """
    host, _ = split_address(address)
    if host in _LOOPBACK and reachable(address):
        return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    return {}
