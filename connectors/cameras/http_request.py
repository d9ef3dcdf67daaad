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

from connectors.cameras.http_body import BodyReader
from connectors.errors import CaptureError
from streams.masking import masked

_PAIR = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


class _Unbuffered(http.client.HTTPResponse):
    """Reads the headers byte by byte, so that every byte behind them waits in the socket.

    What waited in a buffer of our own would be taken for a frame that came later than it did.
    """

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp.close()
        self.fp = sock.makefile("rb", 0)  # type: ignore[assignment]


class _OneShot(http.client.HTTPConnection):
    """HTTP 1.0: the camera closes when it is done, and most send no chunks."""

    _http_vsn = 10
    _http_vsn_str = "HTTP/1.0"
    response_class = _Unbuffered


class _OneShotTls(http.client.HTTPSConnection):
    _http_vsn = 10
    _http_vsn_str = "HTTP/1.0"
    response_class = _Unbuffered


@dataclass
class CameraAnswer:
    """A camera's answer whose body is still to be read."""

    response: http.client.HTTPResponse
    sock: socket.socket

    def __post_init__(self) -> None:
        self._body = BodyReader(self.response.headers)

    def more(self) -> bytes | None:
        """The next bytes of the body; empty where none were among those that came, None: it ended.

        Raises:
            OSError: nothing came in time, or the connection broke.
            ValueError: the camera sends no sound chunks.
        """
        if self._body.is_over:
            return None
        data = self.sock.recv(1 << 20)
        return self._body.feed(data) if data else None

    @property
    def is_whole(self) -> bool:
        """Whether all came that the headers announced."""
        return self._body.is_whole

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
        raise CaptureError(f"{name}: cannot be opened: HTTP {status}; {_hint(answer)}")
    return answer


def _hint(answer: CameraAnswer) -> str:
    """What to do about an answer without a picture."""
    status, elsewhere = answer.response.status, answer.response.headers.get("Location")
    if status in (401, 403):
        return "check user and password"
    if 300 <= status < 400 and elsewhere:
        return f"the camera sends on to {masked(elsewhere)}: write that address"
    if status >= 500:
        return "the camera itself fails: start it again, or ask it less often"
    return "check the path"


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
