"""Settings of one line's gateway: ``ANDON_GATEWAY__LINE``, ``[gateway]`` in ``andon.toml``."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.handshake.config import HandshakeConfig
from connectors.signal_map import NAMESPACE, SignalMap, read_signal_map
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
    camera_features: dict[str, bool | int | float | str] = Field(
        default_factory=dict, max_length=64
    )
    """Features of the shot's camera on top of `gateway.camera_features`."""
    camera_latency_ms: Annotated[float, Field(ge=0, le=10_000)] | None = None
    """As `gateway.camera_latency_ms`, which is taken without it, of the shot's camera."""


SecurityPolicy = Literal["None", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"]
_POLICIES: Final = {name.lower(): name for name in get_args(SecurityPolicy)}


class PlcSecurity(Section):
    """How the line controller is reached: by which security policy, and as which user."""

    security_policy: SecurityPolicy = "None"
    """OPC UA security policy; with `None` anyone on the network can read and write the signals."""
    security_mode: Literal["Sign", "SignAndEncrypt"] = "SignAndEncrypt"
    """What the policy does to each message: only sign it, or encrypt it too."""
    pki_dir: Path = Path(".andon/state/pki")
    """The gateway's certificate and key (`own/`), the certificates that it trusts (`trusted/`),
    authorities (`issuers/`) and their revocation lists (`crl/`); see `andon plc trust`. Unset:
    `pki` below `ANDON_PATHS__STATE`."""
    certificate: Path | None = None
    """The gateway's own certificate, PEM or DER, where it is not in `pki_dir`."""
    private_key: Path | None = None
    """Its RSA key without a password, PEM or DER, where it is not in `pki_dir`."""
    plc_check_host: bool = True
    """Whether the controller's certificate must name the host of `plc_url`."""
    user_name: str = ""
    """The user at the controller; empty: anonymous, or the one of `user_certificate`."""
    password: SecretStr | None = None
    """The user's password; `ANDON_GATEWAY__PASSWORD_FILE` names a file that holds it."""
    user_certificate: Path | None = None
    """The user's certificate instead of a name and password, PEM or DER."""
    user_key: Path | None = None
    """The RSA key of `user_certificate`, PEM or DER, without a password."""

    @field_validator("security_policy", mode="before")
    @classmethod
    def _read_policy(cls, value: object) -> object:
        """Capitals, dashes and underscores are passed over, and the URI is understood."""
        name = re.sub(r"[-_ ]", "", str(value).rpartition("#")[2])
        return _POLICIES.get(name.lower(), value)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """Each half of a pair asks for the other, and a user for a policy."""
        pairs = (
            ("user_name", "password", "the user's password"),
            ("password", "user_name", "whose password it is"),
            ("user_certificate", "user_key", "the key of the user's certificate"),
            ("user_key", "user_certificate", "the certificate of the key"),
            ("certificate", "private_key", "the key of the gateway's certificate"),
            ("private_key", "certificate", "the certificate of the key"),
        )
        for name, other, words in pairs:
            if getattr(self, name) and not getattr(self, other):
                raise ValueError(f"{other}: {name} is set, and {words} is not")
        if self.user_name and self.user_certificate:
            raise ValueError("user_certificate: user_name is set too; one of them says who it is")
        if self.security_policy == "None" and (self.user_name or self.user_certificate):
            raise ValueError(
                "security_policy: a user is set, and without a policy the password could be read "
                "on the network; set it to Basic256Sha256, or to what the controller offers"
            )
        return self


class GatewaySettings(HandshakeConfig, PlcSecurity):
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
    namespace: str = NAMESPACE
    """Namespace URI of the node set in the controller's server."""
    node_prefix: str = "Andon"
    """Node ids are ``s=<node_prefix>.<Signal>`` in that namespace, unless a pattern is set."""
    node_pattern: str = ""
    """Node ids by one pattern, such as ``ns=4;s=MAIN.Andon.{signal}``, or a make:
    ``siemens``, ``beckhoff``, ``codesys``, ``ignition``, ``kepware``."""
    signals: dict[str, str] = Field({})
    """Node ids of single signals: ``none`` where the controller has none, ``=VALUE`` where a
    signal of the controller's always has this value."""
    camera: str = "synthetic:seed=0"
    """``folder:PATH``, ``list:FILE``, ``synthetic:seed=N,size=N,defects=SHARE``,
    ``opencv:0|file|rtsp://|http://``, ``snapshot:http://``, ``genicam:SERIAL`` or
    ``aravis:SERIAL``; see docs/cameras.md."""
    shots: Annotated[tuple[ShotSettings, ...], Field(max_length=16)] = ()
    """The photographs of each part, as JSON or ``[[gateway.shots]]``; empty: one by ``camera``."""
    standby: bool = False
    """Wait while another gateway is in charge of the controller, and take over when it dies;
    without it such a gateway ends with an error."""
    is_simulated: bool = False
    """Marks every event as from a demo or test."""

    capture_timeout_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Deadline of one exposure, seconds."""
    camera_latency_ms: Annotated[float, Field(ge=0, le=10_000)] = 200.0
    """Longest time from the start of a live camera's exposure to its arrival or time stamp, ms; a
    frame that may have been exposed before the trigger is never taken."""
    camera_stall_s: Annotated[float, Field(gt=0, le=60)] = 0.8
    """A live camera without a frame for this long is a fault, and opened again, seconds."""
    camera_trigger_window_ms: Annotated[float, Field(gt=0, le=5000)] = 20.0
    """A camera that is triggered by wire exposes within this before or after the controller's
    trigger, ms; parts must be more than twice as far apart."""
    camera_checks: bool = True
    """A live camera's picture that has the bytes of one of the last 32, is black, saturated or of
    another size is no picture; false where good parts look so, or an emulator plays pictures."""
    camera_normals: dict[str, Path] = Field(default_factory=dict, max_length=1024)
    """Limits of focus and exposure by product, `PRODUCT/SHOT`, or `*` for all others: files of
    `andon camera normals`, as JSON or ``[gateway.camera_normals]``."""
    camera_features: dict[str, bool | int | float | str] = Field(
        default_factory=dict, max_length=64
    )
    """Features of a GenICam camera by their names, set in this order and read back, as JSON or
    ``[gateway.camera_features]``: ``{"ExposureTime": 5000, "TriggerMode": "On"}``."""
    camera_producer: Path | None = None
    """The camera maker's GenTL producer (``.cti``) for ``genicam:``; without it, those of
    ``GENICAM_GENTL64_PATH``."""
    plc_timeout_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Deadline of one OPC UA service call, seconds."""
    publishing_interval_ms: Annotated[float, Field(ge=1, le=1000)] = 5.0
    """OPC UA publishing and sampling interval, milliseconds: adds to the trigger's latency."""
    reconnect_max_s: Annotated[float, Field(gt=0, le=300)] = 0.5
    """Cap of the exponential back-off between connection attempts, seconds."""
    publish_timeout_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """A message that takes longer is kept in the spool until the broker has it, seconds."""
    picture_connections: Annotated[int, Field(ge=1, le=256)] = 24
    """Most connections to the broker for pictures; as many are opened as keep the link busy."""
    object_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    """Deadline for putting one frame over the inline limit into object storage, seconds; it grows
    with the frame's size."""
    feed_lookback_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """After a restart the decisions of this long back are read again, seconds."""

    journal_dir: Path = Path(".andon/state/journal")
    """Must survive a restart; one file per line and station. Unset: `journal` below
    `ANDON_PATHS__STATE`."""
    journal_limit_mib: Annotated[float, Field(ge=0.01, le=1024)] = 4.0
    """Compact the journal when its file exceeds this, MiB."""
    spool_dir: Path = Path(".andon/state/spool")
    """Where messages wait while the broker is down. Unset: `spool` below `ANDON_PATHS__STATE`."""
    spool_limit_mib: Annotated[int, Field(ge=1, le=1_048_576)] = 2048
    """Bound of the spool on disk, MiB; full: Ready drops (``FaultCode`` SPOOL_FULL)."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """TCP port on which this gateway's metrics are exposed for Prometheus; 0: none."""
    metrics_host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    """Address that the metrics' port listens on."""
    in_flight_mib: Annotated[int, Field(ge=9, le=65_536)] = 128
    """Message bytes on their way to the broker, of each lane; more wait in the spool, MiB. A link
    is kept busy where this is a third more than its speed times its round trip."""

    @field_validator("plc_url")
    @classmethod
    def _read_plc_url(cls, value: str) -> str:
        return read_opcua_url(value)

    @model_validator(mode="after")
    def _maps_the_signals(self) -> Self:
        self.signal_map()
        return self

    def signal_map(self) -> SignalMap:
        """Where each signal is at the controller."""
        return read_signal_map(self.node_pattern, self.namespace, self.node_prefix, self.signals)

    @field_validator("shots")
    @classmethod
    def _told_apart(cls, shots: tuple[ShotSettings, ...]) -> tuple[ShotSettings, ...]:
        names = [shot.name for shot in shots]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two shots are called {name!r}; give each a name of its own")
        return shots
