"""Errors of the edge: camera, line controller, journal, spool."""

from typing import TYPE_CHECKING

from streams.errors import AndonError

if TYPE_CHECKING:
    from streams.ports import Picture


class ConnectorError(AndonError):
    """Root of the edge's errors."""


class CaptureError(ConnectorError):
    """The camera gave no picture for a trigger. The part is held, the reason recorded.

    Args:
        message: why, in words.
        picture: what it gave and nobody may judge the part by, for people to look at.
    """

    def __init__(self, message: str, picture: "Picture | None" = None) -> None:
        super().__init__(message)
        self.picture = picture


class NormalsError(ConnectorError):
    """Normals, or the limits measured from them, cannot be used."""


class CameraLostError(CaptureError):
    """The camera could not be set, nor opened again as it was."""


class CameraSpecError(ConnectorError):
    """A camera specification that cannot be read; the message lists what is accepted."""


class LinkError(ConnectorError):
    """The line controller did not take a read or a write in time, or is not connected."""


class NodeSetError(ConnectorError):
    """The OPC UA server lacks the documented node set (``docs/handshake.md``), or types differ."""


class JournalError(ConnectorError):
    """The journal cannot be read or written; without it no trigger may be accepted."""


class JournalBusyError(JournalError):
    """Another gateway serves this line and station, and holds its journal."""


class GatewayBusyError(ConnectorError):
    """Another gateway is in charge of the line controller."""


class SpoolFullError(ConnectorError):
    """The spool has reached its limit in bytes; frames cannot be kept."""


class CertificateError(ConnectorError):
    """A certificate, a key or a revocation list cannot be read, or is not what it is taken for."""


class CertificateRefusedError(CertificateError):
    """The line controller's certificate is not trusted; the message says why and what to run."""
