"""What a run listens on, and what each of its sockets does for a client without a credential.

A socket is asked in every protocol that the line speaks, whatever it is thought to be: it must not
serve one of them.
"""

import asyncio
import json
import pickle
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import psutil
from asyncua import Client
from asyncua.ua.uaerrors import UaError

LOOPBACK: Final = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


@dataclass(frozen=True)
class Listening:
    """A socket that a process listens on."""

    process: str
    host: str
    port: int

    @property
    def is_on_loopback(self) -> bool:
        """Whether no other machine reaches it."""
        return self.host in LOOPBACK

    def __str__(self) -> str:
        return f"{self.process} on {self.host}:{self.port}"


def processes_with(variable: str, value: str) -> Iterator[psutil.Process]:
    """Every process whose environment has it: all that a run started, however they were left."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == value:
                yield process
        except psutil.Error:
            continue


def listening(process: psutil.Process) -> list[Listening]:
    """Its sockets that take TCP connections."""
    try:
        name, found = process.name(), process.net_connections(kind="tcp")
    except psutil.Error:
        return []
    return [
        Listening(name, c.laddr.ip, c.laddr.port) for c in found if c.status == psutil.CONN_LISTEN
    ]


def served(
    port: int, ran: Path, host: str = "127.0.0.1", patience_s: float = 5.0
) -> dict[str, str]:
    """What the socket does for a stranger: by protocol, empty where it refuses all.

    Args:
        port: of the socket.
        ran: a file that a replica would write if it ran a stranger's command.
        host: the address that the stranger calls.
        patience_s: how long it may think before its silence is taken for a refusal, seconds.
    """
    asked = Stranger(host, port, patience_s)
    found = {}
    for name, ask in _PROTOCOLS.items():
        try:
            said = ask(asked)
        except (OSError, ssl.SSLError):  # it hangs up, or says nothing
            continue
        if said:
            found[name] = said
    if said := _grpc(asked, ran):
        found["grpc"] = said
    return found


@dataclass(frozen=True)
class Stranger:
    """A client without a credential, before a socket."""

    host: str
    port: int
    patience_s: float

    def reaches(self) -> bool:
        """Whether the connection is taken at all."""
        try:
            self.connected().close()
        except OSError:
            return False
        return True

    def connected(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), self.patience_s)

    def exchange(self, text: bytes, tls: bool = False) -> bytes:
        """What comes back first, or nothing."""
        with closing(self.connected()) as plain:
            if not tls:
                plain.sendall(text)
                return plain.recv(4096)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain) as link:
                link.sendall(text)
                return link.recv(4096)

    def called(self, method: str, body: bytes = b"") -> grpc.StatusCode | None:
        """How a call of gRPC without a token is answered; None where it is served."""
        with grpc.insecure_channel(f"{self.host}:{self.port}") as channel:
            try:
                channel.unary_unary(method)(body, timeout=self.patience_s)
            except grpc.RpcError as error:
                code: grpc.StatusCode = error.code()
                return code
        return None


def _http(asked: Stranger, tls: bool = False) -> str:
    """A page or a listing, for a client that says nothing of itself."""
    for path in ("/", "/api/version", "/api/jobs/", "/metrics", "/-/routes", "/andon?list-type=2"):
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        answer = asked.exchange(request.encode(), tls)
        if not answer.startswith(b"HTTP/"):
            return ""
        if answer.split(b" ", 2)[1].startswith(b"2"):
            return f"GET {path}: {answer.splitlines()[0].decode()}"
    return ""


def _https(asked: Stranger) -> str:
    return _http(asked, tls=True)


def _postgres(asked: Stranger) -> str:
    """A session as the superuser: the server's first word is R, and 0 is "you are in"."""
    words = b"user\0postgres\0database\0andon\0\0"
    body = struct.pack(">i", 3 << 16) + words
    answer = asked.exchange(struct.pack(">i", len(body) + 4) + body)
    is_in = answer[:1] == b"R" and answer[5:9] == b"\0\0\0\0"
    return "lets the superuser in without a password" if is_in else ""


def _kafka(asked: Stranger, tls: bool = False) -> str:
    """What topics there are (Metadata, version 1), before any login."""
    body = struct.pack(">hhih", 3, 1, 7, -1) + struct.pack(">i", -1)
    answer = asked.exchange(struct.pack(">i", len(body)) + body, tls)
    is_answer = len(answer) > 8 and struct.unpack(">i", answer[4:8]) == (7,)
    return "tells its topics" if is_answer else ""


def _kafka_over_tls(asked: Stranger) -> str:
    return _kafka(asked, tls=True)


def _opcua(asked: Stranger) -> str:
    """A session without security. A channel is opened to anyone: it shows the endpoints."""
    url = f"opc.tcp://{asked.host}:{asked.port}"
    hello = struct.pack("<IIIIII", 0, 65536, 65536, 0, 0, len(url)) + url.encode()
    with closing(asked.connected()) as link:
        link.sendall(b"HELF" + struct.pack("<I", len(hello) + 8) + hello)
        if link.recv(4096)[:3] != b"ACK":
            return ""
    return asyncio.run(_session(url, asked.patience_s))


async def _session(url: str, patience_s: float) -> str:
    client = Client(url, timeout=patience_s)
    try:
        await client.connect()
    except (UaError, OSError, TimeoutError):
        return ""
    await client.disconnect()
    return "opens a session that is not secured"


_PROTOCOLS: Final[Mapping[str, Callable[[Stranger], str]]] = {
    "http": _http,
    "https": _https,
    "postgres": _postgres,
    "kafka": _kafka,
    "kafka over tls": _kafka_over_tls,
    "opc ua": _opcua,
}


class Command:
    """Runs a program where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[list[str]]]:
        return subprocess.call, (["touch", str(self.path)],)


def first_field(content: bytes) -> bytes:
    """A protobuf message whose first field holds the bytes."""
    length, size = len(content), b""
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return b"\x0a" + size + bytes([length]) + content


METHODS: Final = (
    "/ray.serve.ASGIService/HandleRequest",
    "/andon.Serving/Status",
    "/ray.rpc.InternalKVGcsService/InternalKVKeys",
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.ObjectManagerService/Pull",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.RayletDriver/ClusterInfo",
    "/ray.rpc.ReporterService/GetTraceback",
)
"""One of each server of Ray's and of ours."""
_REFUSALS: Final = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED)
_SILENT: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
)
"""It speaks no gRPC."""


def _grpc(asked: Stranger, ran: Path) -> str:
    """A server of gRPC must ask for the token; one that knows no method proves nothing."""
    body = first_field(pickle.dumps(Command(ran)))
    refused = False
    for method in METHODS:
        code = asked.called(method, body)
        if code in _SILENT:
            return ""
        if code not in _REFUSALS:
            return f"{method}: {code.name if code else 'served'}"
        refused |= code is grpc.StatusCode.UNAUTHENTICATED
    return "" if refused else "no method of it that is known here asks for the token"


def _main(ran: str, host: str, *ports: str) -> None:
    """Print what each socket that is reached does, as JSON."""
    asked = [Stranger(host, int(port), 5.0) for port in ports]
    told = {one.port: served(one.port, Path(ran), host) for one in asked if one.reaches()}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":  # python -m tests.integration.sockets FILE HOST PORT...
    _main(*sys.argv[1:])
