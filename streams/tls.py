"""TLS towards a server: one way to trust its authorities and to show a certificate.

Certificates are renewed while processes run: what the files hold by then counts from the next
connection on.
"""

import socket
import ssl
from pathlib import Path
from typing import Self

import structlog

from streams.errors import AndonError

log = structlog.get_logger(__name__)
Seen = tuple[tuple[int, int, int] | None, ...]


class FileContext(ssl.SSLContext):
    """TLS 1.2 or newer by files, which are read again before a handshake once they have changed.

    A process holds one for as long as it runs, and its certificate, or the authorities that it
    trusts, end earlier. Files that cannot be used, such as a certificate whose key is not written
    yet, leave what was read before.

    Args:
        ca: PEM file of the authorities that sign the server's certificate; None: the system's.
        cert: PEM file of the certificate that is shown; None: none is.
        key: PEM file of its key, without a passphrase; None: it stands beside the certificate.

    Raises:
        OSError: a file cannot be read, or is none of PEM; ``ssl.SSLError`` is one.
        ValueError: the key is encrypted.
    """

    def __new__(cls, ca: Path | None, cert: Path | None, key: Path | None) -> Self:
        """A client's."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, ca: Path | None, cert: Path | None, key: Path | None) -> None:
        self._ca, self._cert, self._key = ca, cert, key
        self.minimum_version = ssl.TLSVersion.TLSv1_2
        self._fresh: ssl.SSLContext | None = None
        """What the files hold by now; None: what they held at first, which is this one."""
        self._seen = self._look()
        self._fill(self)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a handshake of asyncio's, by the files of now."""
        fresh = self._renewed()
        begin = super().wrap_bio if fresh is None else fresh.wrap_bio
        return begin(incoming, outgoing, server_side, server_hostname, session)

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """Begin a handshake on a socket, by the files of now."""
        fresh = self._renewed()
        begin = super().wrap_socket if fresh is None else fresh.wrap_socket
        how = server_side, do_handshake_on_connect, suppress_ragged_eofs
        return begin(sock, *how, server_hostname, session)

    def _fill(self, into: ssl.SSLContext) -> None:
        if self._ca is None:
            into.load_default_certs()
        else:  # the system's authorities do not count
            into.load_verify_locations(cafile=self._ca)
        if self._cert is not None:
            into.load_cert_chain(self._cert, self._key, password=_refuse_passphrase)

    def _renewed(self) -> ssl.SSLContext | None:
        now = self._look()
        if now != self._seen:
            self._seen = now
            files = [str(path) for path in (self._ca, self._cert, self._key) if path is not None]
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            made.check_hostname, made.verify_mode = self.check_hostname, self.verify_mode
            made.minimum_version = self.minimum_version
            try:
                self._fill(made)
            except (OSError, ValueError) as error:
                log.warning("tls.files_unusable", files=files, why=str(error))
            else:
                log.info("tls.files_renewed", files=files)
                self._fresh = made
        return self._fresh

    def _look(self) -> Seen:
        """What the files are: otherwise once they are replaced or written to."""
        return tuple(_state(path) for path in (self._ca, self._cert, self._key))


def client_context(
    ca: Path | None, cert: Path | None, key: Path | None, section: str, refused: type[AndonError]
) -> ssl.SSLContext:
    """TLS as ``FileContext``; the broker's certificate and the name in it are always checked.

    Args:
        section: of the settings, for the message: ``KAFKA``.
        refused: the type of the error.

    Raises:
        AndonError: of the type ``refused``; names the setting, the file and what is wrong with it.
    """
    try:
        FileContext(ca, None, None)
    except OSError as error:
        raise refused(
            f"ANDON_{section}__CA_FILE: {ca} holds no PEM certificates that can be read: {error}"
        ) from None
    try:
        return FileContext(ca, cert, key)
    except (OSError, ValueError) as error:
        raise refused(
            f"ANDON_{section}__CERT_FILE: {cert} and the key {key} are no PEM pair: {error}"
        ) from None


def existing_file(path: Path | None) -> Path | None:
    """What a setting that names a file has: the path. Raises ``ValueError``: it is no file, or
    nobody can tell, as below a folder that this process may not enter."""
    try:
        is_there = path is None or path.is_file()
    except OSError as error:
        raise ValueError(f"the file cannot be looked at: {error.strerror}") from None
    if not is_there:
        raise ValueError("there is no such file")
    return path


def _state(path: Path | None) -> tuple[int, int, int] | None:
    try:
        seen = path.stat() if path is not None else None
    except OSError:
        return None
    return (seen.st_ino, seen.st_size, seen.st_mtime_ns) if seen is not None else None


def _refuse_passphrase() -> str:
    """Without it OpenSSL would ask at the terminal."""
    raise ValueError("the key is encrypted; give one without a passphrase")
