"""How Kafka is reached: the ``[kafka]`` section of the settings."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from streams.addresses import read_host_port, read_servers
from streams.kafka.security import KafkaSecurity, Mechanism, Protocol
from streams.settings import Section
from streams.tls import existing_file
from streams.topics import PARTITIONS

_TLS = ("SSL", "SASL_SSL")
_LOGIN = ("SASL_SSL", "SASL_PLAINTEXT")


class KafkaSettings(Section):
    """How Kafka is reached, and how topics are created."""

    bootstrap_servers: str = "127.0.0.1:19092"
    """Comma-separated host:port of brokers."""
    security_protocol: Protocol = "PLAINTEXT"
    """`SASL_SSL` encrypts and logs in, `SSL` encrypts (and shows a certificate, if one is named),
    `PLAINTEXT` does neither. `SASL_PLAINTEXT` would send a login unencrypted and is taken on
    loopback only."""
    sasl_mechanism: Mechanism = "SCRAM-SHA-512"
    """How a login is proven: by `SCRAM-SHA-512`, which keeps the password from the broker's
    network, or `PLAIN`."""
    username: str = ""
    """Who logs in. Each role has a user of its own (`andon topics acl`)."""
    password: SecretStr = SecretStr("")
    """The user's password."""
    ca_file: Path | None = None
    """PEM file of the authorities that sign the brokers' certificates; the system's without it."""
    cert_file: Path | None = None
    """PEM file of this client's certificate, where the brokers ask for one."""
    key_file: Path | None = None
    """PEM file of its private key, not encrypted."""
    idempotent_producer: bool = False
    """Switched on for Apache Kafka; the embedded broker does not support it."""
    replication_factor: Annotated[int, Field(ge=1, le=7)] | None = None
    """Copies of each partition of a topic. Unset: 3, and 1 where every broker is on this host."""
    min_insync_replicas: Annotated[int, Field(ge=1, le=7)] | None = None
    """So many copies have a message before its sender is told. Unset: 2 of 3, else 1."""
    partitions: Annotated[int, Field(ge=1, le=256)] = PARTITIONS
    """Partitions of a topic that is created here and keyed by line: as many workers share it."""
    request_timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    """Seconds the broker may take for one request."""
    slowest_kib_s: Annotated[float, Field(ge=1, le=1_048_576)] = 64.0
    """The slowest link that is still good, KiB/s: a message may take so much longer for its size
    before its connection counts as stuck."""
    fetch_max_wait_ms: Annotated[int, Field(ge=1, le=5000)] = 50
    """Milliseconds a fetch may wait at the broker; the latency of an idle line."""
    static_membership: bool = True
    """A worker keeps its partitions across a restart, under its ``instance`` name."""

    @field_validator("bootstrap_servers")
    @classmethod
    def _read_servers(cls, value: str) -> str:
        return read_servers(value)

    @field_validator("security_protocol", "sasl_mechanism", mode="before")
    @classmethod
    def _read_word(cls, value: object) -> object:
        """Small letters are understood, and ``TLS`` where Kafka says ``SSL``."""
        text = str(value).strip().upper()
        return {"TLS": "SSL", "SASL_TLS": "SASL_SSL"}.get(text, text)

    @field_validator("ca_file", "cert_file", "key_file")
    @classmethod
    def _is_there(cls, value: Path | None) -> Path | None:
        return existing_file(value)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """What is given belongs to the protocol, and what the protocol needs is given."""
        protocol, logs_in = self.security_protocol, self.security_protocol in _LOGIN
        secret = self.password.get_secret_value()
        if protocol == "SASL_PLAINTEXT" and not _is_loopback(self.bootstrap_servers):
            raise ValueError(
                "security_protocol: SASL_PLAINTEXT sends the login unencrypted to "
                f"{self.bootstrap_servers}; use SASL_SSL"
            )
        for name, given in (("username", self.username), ("password", secret)):
            if logs_in and not given:
                raise ValueError(f"{name}: {protocol} logs in, and needs one")
            if given and not logs_in:
                raise ValueError(
                    f"{name}: {protocol} does not log in; set ANDON_KAFKA__SECURITY_PROTOCOL to "
                    "SASL_SSL"
                )
        for name in ("ca_file", "cert_file", "key_file"):
            if getattr(self, name) is not None and protocol not in _TLS:
                raise ValueError(
                    f"{name}: {protocol} is not encrypted; set ANDON_KAFKA__SECURITY_PROTOCOL to "
                    "SSL or SASL_SSL"
                )
        if (self.cert_file is None) != (self.key_file is None):
            absent = "cert_file" if self.cert_file is None else "key_file"
            raise ValueError(f"{absent}: a client's certificate and its key are given together")
        return self

    @property
    def security(self) -> KafkaSecurity:
        """What every client of Kafka is given."""
        return KafkaSecurity(
            protocol=self.security_protocol,
            mechanism=self.sasl_mechanism,
            username=self.username,
            password=self.password.get_secret_value(),
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
        )

    @property
    def is_open(self) -> bool:
        """Whether whoever reaches the brokers over a network may read and write all."""
        return self.security_protocol == "PLAINTEXT" and not _is_loopback(self.bootstrap_servers)


def _is_loopback(servers: str) -> bool:
    hosts = [read_host_port(one, "broker:9092").host.strip("[]") for one in servers.split(",")]
    return all(host == "localhost" or _is_loopback_address(host) for host in hosts)


def _is_loopback_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
