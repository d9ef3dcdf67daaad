"""Understands addresses of services in the forms that people know, or says the right form.

A value that cannot be meant raises ``ValueError`` with the form to write instead; what is returned
is the one form that the clients take.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_HOST: Final = re.compile(r"\[[0-9a-fA-F:.%]+\]|[\w.\-]+")
_QUOTES: Final = " \t\r\n\"'`"


@dataclass(frozen=True)
class HostPort:
    """Where something listens, and the scheme that was written before it."""

    host: str
    port: int | None
    scheme: str = ""
    path: str = ""

    def __str__(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"


def read_host_port(text: str, example: str, default_port: int | None = None) -> HostPort:
    """One address: ``host:port``, with or without a scheme and a trailing slash.

    Args:
        text: as it was given.
        example: the right form, for messages.
        default_port: taken where none is written; None asks for one.

    Raises:
        ValueError: it cannot be read as one host and port.
    """
    given = text.strip(_QUOTES)
    scheme, separator, rest = given.rpartition("://")
    if separator and not re.fullmatch(r"[A-Za-z][\w+.\-]*", scheme):
        raise ValueError(f"is no address; write it like {example}")
    authority, _, path = rest.partition("/")
    if "@" in authority:
        raise ValueError(f"a user or password stands in it; write it like {example}")
    if path.strip("/") or any(sign in rest for sign in "?#"):
        hint = authority or example
        raise ValueError(f"has a path or query; write {hint.split('?')[0].split('#')[0]!r} alone")
    host, port = _split(authority, example)
    if port is None and default_port is None:
        raise ValueError(f"names no port; write it like {example}")
    return HostPort(host, default_port if port is None else port, scheme.lower(), path)


def read_servers(text: str) -> str:
    """Kafka's bootstrap servers, joined by commas.

    Blanks, semicolons, a list in brackets, ``PLAINTEXT://`` and ``kafka://`` are understood; a
    missing port is 9092.

    Raises:
        ValueError: names the server that cannot be used.

    >>> read_servers("PLAINTEXT://a:9092; b")
    'a:9092,b:9092'
    """
    found = []
    listed = re.fullmatch(r"\[\s*([\"'].*[\"'])\s*\]", text.strip(), re.DOTALL)
    for server in re.split(r"[,;\s]+", (listed[1] if listed else text).strip(_QUOTES)):
        server = server.strip(_QUOTES)
        if not server:
            continue
        read = read_host_port(server, "broker:9092", 9092)
        if read.scheme in ("ssl", "sasl_ssl", "sasl_plaintext", "kafka+ssl", "https"):
            raise ValueError(
                f"{read.scheme.upper()}:// is said by ANDON_KAFKA__SECURITY_PROTOCOL; write "
                f"'{read}' alone"
            )
        if read.scheme not in ("", "plaintext", "kafka", "tcp"):
            raise ValueError(f"{read.scheme}:// is not Kafka's; write '{read}'")
        found.append(str(read))
    if not found:
        raise ValueError("names no server; write it like broker1:9092,broker2:9092")
    return ",".join(found)


def read_opcua_url(text: str) -> str:
    """The address of an OPC UA server; a missing port is 4840, which clients take by themselves.

    Raises:
        ValueError: names the right form.

    >>> read_opcua_url("opc.tcp://plc-7/")
    'opc.tcp://plc-7/'
    """
    given = re.sub(r"^opc\.tcp:/?(?=[^/])", "", text.strip(_QUOTES))
    scheme, separator, rest = given.rpartition("://")
    authority = rest.partition("/")[0]
    if "@" in authority:
        raise ValueError(
            "a user or password stands in it; set ANDON_GATEWAY__USER_NAME and "
            "ANDON_GATEWAY__PASSWORD, and write the address like opc.tcp://host:4840"
        )
    if not authority or re.search(r"\s", given):
        raise ValueError("is no address; write it like opc.tcp://host:4840")
    host, port = _split(authority, "opc.tcp://host:4840")
    right = f"opc.tcp://{host}:{port or 4840}"
    if not separator:
        raise ValueError(f"lacks its scheme; write '{right}'")
    if scheme.lower() != "opc.tcp":
        raise ValueError(f"{scheme}:// is not spoken; write '{right}'")
    return f"opc.tcp://{rest}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine and nothing that others reach.

    >>> is_loopback("127.0.0.1"), is_loopback("[::1]"), is_loopback("plc-7")
    (True, True, False)
    """
    plain = host.strip("[]").lower()
    if plain == "localhost":
        return True
    try:
        return ipaddress.ip_address(plain).is_loopback
    except ValueError:
        return False


def _split(authority: str, example: str) -> tuple[str, int | None]:
    if authority.count(":") > 1 and not authority.startswith("["):
        raise ValueError(f"an IPv6 address stands in brackets, like '[::1]:9092' (or {example})")
    try:
        parts = urlsplit(f"//{authority}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"its port is no number of 1 to 65535; write it like {example}") from None
    shown = f"[{host}]" if ":" in host else host
    if not _HOST.fullmatch(shown) or ".." in host or host.startswith(("-", ".")):
        raise ValueError(f"names no host; write it like {example}")
    if port == 0:
        raise ValueError(f"its port is no number of 1 to 65535; write it like {example}")
    return shown, port
