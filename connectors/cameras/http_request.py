"""One GET of a camera's address, with its password, a time-out and the socket to look at."""

import base64
import hashlib
import http.client
import re
import secrets
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from connectors.errors import CaptureError

_PAIR = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


class _OneShot(http.client.HTTPConnection):
    """HTTP 1.0: the camera sends no chunks, and closes when it is done."""

    _http_vsn = 10
    _http_vsn_str = "HTTP/1.0"


class _OneShotTls(http.client.HTTPSConnection):
    _http_vsn = 10
    _http_vsn_str = "HTTP/1.0"


@dataclass(frozen=True)
class CameraAnswer:
    """A camera's answer whose body is still to be read."""

    response: http.client.HTTPResponse
    sock: socket.socket

    def is_waiting(self) -> bool:
        """Whether a TLS layer holds bytes that no socket shows any more."""
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0

    def close(self) -> None:
        self.response.close()
        self.sock.close()


def get(address: str, name: str, timeout_s: float) -> CameraAnswer:
    """Ask the camera; Basic or Digest as it demands. Raises ``CaptureError`` with the masked name.

    Args:
        address: with user and password, where the camera has them.
        name: the address as messages may show it.
        timeout_s: of the connection and of every read, seconds.
    """
    try:
        answer = _ask(address, timeout_s, "")
        if answer.response.status == 401:
            demanded = answer.response.headers.get("WWW-Authenticate", "")
            answer.close()
            answer = _ask(address, timeout_s, authorization(address, demanded))
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = str(error) or type(error).__name__
        raise CaptureError(f"{name}: cannot be opened: {why}; check the address") from None
    status = answer.response.status
    if status != 200:
        answer.close()
        hint = "check user and password" if status in (401, 403) else "check the path"
        raise CaptureError(f"{name}: cannot be opened: HTTP {status}; {hint}")
    return answer


def _ask(address: str, timeout_s: float, credentials: str) -> CameraAnswer:
    url = urlsplit(address)
    kind = _OneShotTls if url.scheme == "https" else _OneShot
    connection = kind(url.hostname or "", url.port, timeout=timeout_s)
    try:
        connection.connect()
        sock = connection.sock
        headers = {"Accept": "multipart/x-mixed-replace, image/*", "Connection": "close"}
        if credentials:
            headers["Authorization"] = credentials
        connection.request("GET", _target(address), headers=headers)
        return CameraAnswer(connection.getresponse(), sock)
    except BaseException:
        connection.close()
        raise


def _target(address: str) -> str:
    url = urlsplit(address)
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def authorization(address: str, demanded: str) -> str:
    """The header that answers a ``WWW-Authenticate``; empty where the address names no user."""
    url = urlsplit(address)
    if url.username is None:
        return ""
    user, password = unquote(url.username), unquote(url.password or "")
    if not demanded.lower().startswith("digest"):
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    told = {name.lower(): quoted or bare for name, quoted, bare in _PAIR.findall(demanded)}
    algorithm = told.get("algorithm", "MD5")
    digest = {"MD5": "md5", "SHA-256": "sha256"}.get(algorithm.upper())
    if digest is None:
        raise ValueError(f"it demands digest {algorithm}")

    def hashed(text: str) -> str:
        return hashlib.new(digest, text.encode(), usedforsecurity=False).hexdigest()

    realm, nonce, target = told.get("realm", ""), told.get("nonce", ""), _target(address)
    first, second = hashed(f"{user}:{realm}:{password}"), hashed(f"GET:{target}")
    fields = f'username="{user}", realm="{realm}", nonce="{nonce}", uri="{target}"'
    if "auth" in told.get("qop", ""):
        own = secrets.token_hex(8)
        proof = hashed(f"{first}:{nonce}:00000001:{own}:auth:{second}")
        fields += f', qop=auth, nc=00000001, cnonce="{own}"'
    else:
        proof = hashed(f"{first}:{nonce}:{second}")
    if "opaque" in told:
        fields += f', opaque="{told["opaque"]}"'
    return f'Digest {fields}, algorithm={algorithm}, response="{proof}"'
