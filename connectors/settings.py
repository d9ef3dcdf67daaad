"""Settings of one line's gateway: ``ANDON_GATEWAY__LINE``, ``[gateway]`` in ``andon.toml``."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from connectors.handshake.config import HandshakeConfig
from streams.addresses import read_opcua_url
from streams.settings import Section

Segment = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^/\x00-\x1f]+$")]
"""One segment of the asset path; a slash would break the Kafka key."""


class ShotSettings(Section):
    """One of several photographs that a station takes of each part."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    """What people, policies and the history call the shot: a side, a light, a camera."""
    camera: str = ""
    """As ``gateway.camera``, which is taken when empty; shots of one camera are taken in turn."""
    delay_ms: Annotated[int, Field(ge=0, le=60_000)] = 0
    """Expose this long after the trigger, milliseconds."""
    light: Annotated[str, Field(max_length=64)] = ""
    """Which light the controller switches for the shot; recorded with the frame."""


class GatewaySettings(HandshakeConfig):
    """One gateway serves one line controller and one station."""

    enterprise: str = ""
    """First part of the asset path, for reports."""
    site: str = ""
    """Second part of the asset path."""
    area: str = ""
    """Third part of the asset path."""
    line: Segment = "line1"
    """The line: with the station it keys every event of this gateway."""
    station: Segment = "station1"
    """The station of this line controller and camera."""
    plc_url: str = "opc.tcp://127.0.0.1:14840"
    """Endpoint of the line controller's OPC UA server, ``opc.tcp://host:port/path``."""
    namespace: str = "urn:andon:line"
    """Namespace URI of the node set in the controller's server."""
    node_prefix: str = "Andon"
    """Node ids are ``s=<node_prefix>.<Signal>`` in that namespace."""
    camera: str = "synthetic:seed=0"
    """``folder:PATH``, ``list:FILE``, ``synthetic:seed=N,size=N`` or ``opencv:0|file|rtsp://``."""
    shots: Annotated[tuple[ShotSettings, ...], Field(max_length=16)] = ()
    """The photographs of each part, as JSON or ``[[gateway.shots]]``; empty: one by ``camera``."""
    is_simulated: bool = False
    """Marks every event as from a demo or test."""

    capture_timeout_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Deadline of one exposure, seconds."""
    plc_timeout_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Deadline of one OPC UA service call, seconds."""
    publishing_interval_ms: Annotated[float, Field(ge=1, le=1000)] = 10.0
    """OPC UA publishing and sampling interval, milliseconds: adds to the trigger's latency."""
    reconnect_max_s: Annotated[float, Field(gt=0, le=300)] = 2.0
    """Cap of the exponential back-off between connection attempts, seconds."""
    publish_timeout_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """The broker may take this long for one message; then it goes to the spool, seconds."""
    object_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    """Deadline for putting one frame over the inline limit into object storage, seconds."""
    feed_lookback_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """After a restart the decisions of this long back are read again, seconds."""

    journal_dir: Path = Path(".andon/state/journal")
    """Must survive a restart; one file per line and station."""
    journal_limit_mib: Annotated[float, Field(ge=0.01, le=1024)] = 4.0
    """Compact the journal when its file exceeds this, MiB."""
    spool_dir: Path = Path(".andon/state/spool")
    """Where messages wait while the broker is down."""
    spool_limit_mib: Annotated[int, Field(ge=1, le=1_048_576)] = 2048
    """Bound of the spool on disk, MiB; full: Ready drops (``FaultCode`` SPOOL_FULL)."""
    in_flight_mib: Annotated[int, Field(ge=9, le=65_536)] = 64
    """Message bytes on their way to the broker; more go to the spool, MiB."""

    @field_validator("plc_url")
    @classmethod
    def _read_plc_url(cls, value: str) -> str:
        return read_opcua_url(value)

    @field_validator("shots")
    @classmethod
    def _told_apart(cls, shots: tuple[ShotSettings, ...]) -> tuple[ShotSettings, ...]:
        names = [shot.name for shot in shots]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two shots are called {name!r}; give each a name of its own")
        return shots
