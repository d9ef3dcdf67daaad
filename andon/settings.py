"""All settings: environment (``ANDON_KAFKA__BOOTSTRAP_SERVERS``), ``.env``, ``andon.toml``.

The environment wins over ``.env``, ``.env`` over the TOML file (``ANDON_CONFIG`` names another).
Sections with tunables of their own live beside the code that reads them.
"""

import os
from collections.abc import Mapping
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from andon.settings_sources import SettingsError as SettingsError
from andon.settings_sources import explained, gather
from connectors.settings import GatewaySettings
from connectors.vision.settings import VisionServerSettings
from console.oidc_settings import OidcSettings
from console.webhook_settings import WebhookSettings
from history.database_url import read_database_url
from history.plant_times import PlantTimes
from history.retention.rules import RetentionDays
from policies.signing import SigningSettings
from serving.naming.settings import ClassifierSettings
from streams.addresses import HostPort, read_host_port
from streams.kafka.settings import KafkaSettings as KafkaSettings
from streams.mqtt.settings import MqttSettings
from streams.settings import Section
from streams.tracing.settings import TracingSettings

# as pydantic reads a boolean
_YES, _NO = ("true", "1", "yes", "on", "y", "t"), ("false", "0", "no", "off", "n", "f")


class PostgresSettings(Section):
    """The history database."""

    url: SecretStr = SecretStr("postgresql+asyncpg://postgres@127.0.0.1:15432/andon")
    """Address of the database; ``postgres://`` and ``?sslmode=`` are understood."""
    pool_size: Annotated[int, Field(ge=1, le=100)] = 5
    """Most connections that one process holds."""
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    """Seconds for one question or one batch of rows."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: SecretStr) -> SecretStr:
        read_database_url(value.get_secret_value())
        return value


class S3Settings(Section):
    """The object store (MinIO or any S3)."""

    endpoint: str = "127.0.0.1:19000"
    """host:port; ``http://`` and ``https://`` before it say the same as ``secure``."""
    access_key: SecretStr = SecretStr("andon")
    """Who asks: the access key id."""
    secret_key: SecretStr = SecretStr("andon-local-only")
    """The secret of the access key."""
    secure: bool = False
    """Whether the connection uses TLS."""
    region: str = "us-east-1"
    """Must be set against servers other than AWS."""
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = "andon"
    """Where pictures go; created when it is absent and the key may do so."""
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    """Seconds for one object."""

    @model_validator(mode="before")
    @classmethod
    def _take_scheme(cls, values: object) -> object:
        """The scheme of the endpoint says whether TLS is used, unless ``secure`` contradicts."""
        given = values.get("endpoint") if isinstance(values, Mapping) else None
        if not isinstance(values, Mapping) or not isinstance(given, str):
            return values
        said = str(values.get("secure", "")).lower()
        try:
            read = _read_s3(given, said in _YES)
        except ValueError as error:
            raise ValueError(f"endpoint: {error}, not {given!r}") from None
        if said in {"http": _YES, "https": _NO}.get(read.scheme, ()):
            raise ValueError(f"endpoint: it says {read.scheme}:// but secure says {said}")
        secure = {"secure": read.scheme == "https"} if read.scheme else {}
        return {**values, "endpoint": str(read), **secure}


def _read_s3(text: str, is_secure: bool) -> HostPort:
    if text.strip().startswith("s3://"):
        raise ValueError("it is a server, like 127.0.0.1:9000; a bucket goes into ANDON_S3__BUCKET")
    is_secure = is_secure or text.strip().lower().startswith("https://")
    read = read_host_port(text, "127.0.0.1:9000", 443 if is_secure else 80)
    if read.scheme not in ("", "http", "https"):
        raise ValueError(f"{read.scheme}:// is not S3's; write '{read}'")
    return read


class ServeSettings(Section):
    """The Ray cluster that runs the expert and the classifiers."""

    address: str = "127.0.0.1:16379"
    """host:port of the Ray head (GCS), where the application is deployed."""
    ingress: str = "127.0.0.1:16380"
    """host:port of the application's ingress: it listens there, and workers call it there."""
    token_file: Path = Path(".andon/stack/ray_token")
    """Holds the cluster's token (Ray's ``RAY_AUTH_MODE=token``); without the file none is sent."""
    without_token: bool = False
    """Deploy on a Ray that asks nobody for a token: each replica then runs what anyone who reaches
    its port sends."""
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 5.0
    """Seconds for one batch when the frame's deadline leaves more."""

    @field_validator("address", "ingress")
    @classmethod
    def _read_address(cls, value: str) -> str:
        read = read_host_port(value, "127.0.0.1:6379")
        if read.scheme == "ray":
            raise ValueError(
                "ray:// is Ray's client; write host:port of the head (GCS), often 6379"
            )
        if read.scheme not in ("", "grpc", "tcp", "http"):
            raise ValueError(f"{read.scheme}:// is not spoken; write '{read}'")
        return str(read)


class PathSettings(Section):
    """The folders that the processes read and write."""

    policies: Path = Path("policies/products")
    """Folder of the products' policy files, for `policy validate` and the doctor."""
    artifacts: str = ".andon/artifacts"
    """Folder or ``s3://bucket/prefix`` of trained experts."""
    exemplars: str = ".andon/exemplars"
    """Folder or ``s3://bucket/prefix`` of few-shot examples."""
    state: Path = Path(".andon/state")
    """Journals, spools, certificates and caches of this host; must survive a restart."""


class WorkerSettings(Section):
    """How a worker takes its role."""

    instance: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9._-]*$")] = ""
    """Stable name of this worker among those of its role (static membership). Unset: made of the
    host, the state folder and the lowest number that no other worker of the role there has."""
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 64
    """Events in flight per agent."""
    in_flight_mib: Annotated[int, Field(ge=16, le=65536)] = 256
    """Bound on the image bytes held at once, MiB."""
    batch: Annotated[int, Field(ge=1, le=256)] = 8
    """Most frames sent to Serve in one call."""
    batch_wait_ms: Annotated[float, Field(ge=0, le=1000)] = 5.0
    """How long a call waits to fill while another one is under way, milliseconds; the first frame
    at an idle expert is sent at once. Where frames wait in a replica's queue anyway, they wait here
    instead, 200 ms at the most."""
    fallback_margin_ms: Annotated[int, Field(ge=0, le=60_000)] = 150
    """Inspect and classify fall back this long before the deadline, milliseconds."""
    join_margin_ms: Annotated[int, Field(ge=0, le=60_000)] | None = None
    """Join decides a part without its missing shots this long before the deadline, milliseconds:
    after the fallbacks of its shots and before the gateway's ``watchdog_margin_ms``. Unset: two
    thirds of ``fallback_margin_ms``."""
    remembered_parts: Annotated[int, Field(ge=16, le=100_000)] = 1024
    """Limits: parts remembered per line and product, so that each counts once."""
    stop_within_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """Limits: an alert older than this asks for no stop, seconds."""
    drift_alpha: Annotated[float, Field(ge=0, le=0.5)] = 0.01
    """Limits: probability, at most, that the watch over a station's frames of one product ever
    alarms while nothing changes; 0 watches nothing."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Prometheus port, one for each worker of a host; 0 is off."""
    metrics_host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    """Address that the Prometheus port listens on; `0.0.0.0` for every interface."""

    @model_validator(mode="after")
    def _joins_after_the_fallbacks(self) -> Self:
        if self.join_margin_ms is not None and self.join_margin_ms >= self.fallback_margin_ms:
            raise ValueError(
                f"join_margin_ms: {self.join_margin_ms} is not less than fallback_margin_ms "
                f"({self.fallback_margin_ms}): a shot that takes its fallback would be missing"
            )
        return self

    @property
    def join_margin_s(self) -> float:
        """When join decides without the missing shots, seconds before the deadline."""
        margin = self.join_margin_ms
        return (self.fallback_margin_ms * 2 / 3 if margin is None else margin) / 1000


CheckName = Literal[
    "kafka", "postgres", "s3", "ray", "serve", "llm", "policies",
    "workers", "state", "plc", "gateway", "camera", "certificates", "exposure",
]  # fmt: skip
"""What ``andon doctor`` can be asked: ``andon.checks.CHECKS``."""


class ConsoleSettings(Section):
    """The console in the browser."""

    lookback_s: Annotated[float, Field(ge=0, le=604_800)] = 3600.0
    """The live page begins with the parts of so many seconds, or with the shift where that is
    longer ago."""
    health_without: Annotated[tuple[CheckName, ...], Field(max_length=32)] = (
        "camera",
        "plc",
        "gateway",
        "llm",
    )
    """Checks of `andon doctor` that the page of health must not ask, as JSON: whoever looks would
    open a camera or a session at the controller, or pay for an answer of a language model."""
    login_timeout_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Seconds that a page waits for the database to say who asks; after that whoever was let in
    before is still let in."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Prometheus port of the console; 0 is off."""
    metrics_host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    """Address that the Prometheus port listens on; `0.0.0.0` for every interface."""
    metrics_every_s: Annotated[float, Field(ge=1, le=3600)] = 30.0
    """How often the console asks, for its metrics, what waits for review and what the replicas
    hold, seconds."""
    second_review: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of the reviewed parts that a second person reviews without seeing the first verdict,
    where the policy that judged them does not say (``second_review``)."""
    second_person: Literal["never", "softening", "always"] = "never"
    """When a change of a policy needs somebody else who approves it at the console: ``never``,
    ``softening`` (where parts could pass that are stopped today, more of their pictures leave the
    plant, or audits, limits and golden parts watch less) or ``always``, where another version of
    an expert or of exemplars needs them too. A prompt that has this setting refuses such a change.
    """
    trusted_proxies: Annotated[tuple[str, ...], Field(max_length=32)] = ("127.0.0.1", "::1")
    """Addresses or networks of the proxies before the console, as JSON. What they say is believed:
    that a browser came by TLS, which the cookie's ``Secure`` mark needs, and from which address,
    by which tries of a password are slowed down and which the audit names."""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for words in value:
            ip_network(words)
        return value


class _AllSources(PydanticBaseSettingsSource):
    """The environment, ``.env`` and the TOML file, gathered by ``andon.settings_sources``."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """Not asked for: all values come at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, object]:
        return gather(self.settings_cls, os.environ)


_BELOW_STATE: Final = ("journal_dir", "spool_dir", "pki_dir")
"""A gateway's folders below ``paths.state``, each under the name that its default has."""


class Settings(BaseSettings):
    """All settings of a process of Andon."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    kafka: KafkaSettings = KafkaSettings()
    postgres: PostgresSettings = PostgresSettings()
    s3: S3Settings = S3Settings()
    serve: ServeSettings = ServeSettings()
    paths: PathSettings = PathSettings()
    worker: WorkerSettings = WorkerSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    gateway: GatewaySettings = GatewaySettings()
    mqtt: MqttSettings = MqttSettings()
    vision: VisionServerSettings = VisionServerSettings()
    plant: PlantTimes = PlantTimes()
    retention: RetentionDays = RetentionDays()
    console: ConsoleSettings = ConsoleSettings()
    oidc: OidcSettings = OidcSettings()
    webhook: WebhookSettings = WebhookSettings()
    tracing: TracingSettings = TracingSettings()
    signing: SigningSettings = SigningSettings()
    secure: bool = False
    """Whether `andon stack up`, `andon demo` and the benchmarks start a secured local stack: with
    certificates, passwords and keys made on the spot, and credentials of its own for each role."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe events that are logged: debug, info, warning or error."""
    stall_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0
    """Work that holds the event loop of gateway or worker for longer is logged, milliseconds,
    where it is asyncio's own (`ANDON_EVENT_LOOP=asyncio`); 0: not measured."""
    status_every_s: Annotated[float, Field(ge=0, le=600)] = 2.0
    """Gateway and workers say on `andon.status` how they are: at once where something changed, and
    at least so often, seconds; 0: they say nothing, and the console's page of the line is empty."""
    log_json: bool = False
    """One JSON object a line instead of text, for machines."""

    @model_validator(mode="before")
    @classmethod
    def _keep_below_state(cls, values: object) -> object:
        """What a gateway keeps is in the folder of this host's state, unless a setting moves it."""
        given = values if isinstance(values, Mapping) else {}
        paths, gateway = given.get("paths"), given.get("gateway", {})
        state = paths.get("state") if isinstance(paths, Mapping) else getattr(paths, "state", None)
        if not state or not isinstance(gateway, Mapping):
            return values
        defaults = GatewaySettings.model_fields
        kept = {name: Path(str(state)) / defaults[name].default.name for name in _BELOW_STATE}
        return {**given, "gateway": {**kept, **gateway}}

    @field_validator("log_level", mode="before")
    @classmethod
    def _read_level(cls, value: object) -> object:
        """Capitals and the names of other languages are understood."""
        text = str(value).strip().lower()
        return {"warn": "warning", "critical": "error", "fatal": "error"}.get(text, text)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _AllSources(settings_cls)


@cache
def load_settings() -> Settings:
    """Read once per process.

    Raises:
        SettingsError: names file, section and setting of each mistake.

    >>> load_settings().kafka.partitions >= 1
    True
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(f"settings: {explained(error, Settings, os.environ)}") from None
