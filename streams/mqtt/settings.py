"""How an MQTT broker is reached: the ``[mqtt]`` section of the settings."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from streams.addresses import HostPort, is_loopback, read_host_port
from streams.settings import Section
from streams.tls import existing_file

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_EXAMPLE = "mqtts://broker:8883"


class MqttSettings(Section):
    """Where `andon worker mqtt` publishes, and as whom."""

    url: str = "mqtt://127.0.0.1:1883"
    """The broker: ``mqtts://host:port`` is encrypted, ``mqtt://host:port`` is not."""
    username: str = ""
    """Who logs in; empty: nobody, or whom `cert_file` names."""
    password: SecretStr = SecretStr("")
    """The user's password; `ANDON_MQTT__PASSWORD_FILE` names a file that holds it."""
    ca_file: Path | None = None
    """PEM file of the authorities that sign the broker's certificate; the system's without it."""
    cert_file: Path | None = None
    """PEM file of this client's certificate, where the broker asks for one."""
    key_file: Path | None = None
    """PEM file of its private key, not encrypted."""
    client_id: Annotated[str, Field(max_length=128, pattern=r"^[^/+#\x00-\x1f]*$")] = ""
    """What the broker calls this client. Two with one name end each other's connections. Unset:
    ``andon-`` and the worker's instance."""
    topic_prefix: Annotated[str, Field(pattern=r"^[^$/+#\x00-\x1f][^+#\x00-\x1f]*$")] = "andon"
    """Every topic begins with it and a slash."""
    retain: bool = False
    """Whether the broker keeps the last decision of each station, and the last alert of each line,
    for who subscribes later."""
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    """Seconds that connecting or one message may take."""
    keepalive_s: Annotated[int, Field(ge=2, le=3600)] = 15
    """A connection that is silent for one and a half times as long is dead: the broker then says
    that this client is offline. Seconds."""
    most_kib: Annotated[int, Field(ge=1, le=262_144)] = 128
    """Largest message that the broker takes, KiB; a larger one becomes a dead letter."""

    @field_validator("url")
    @classmethod
    def _read_url(cls, value: str) -> str:
        scheme = value.strip().partition("://")[0].lower()
        read = read_host_port(value, _EXAMPLE, _PORTS.get(scheme, 1883))
        if read.scheme not in _PORTS:
            right = f"mqtts://{read.host}:8883"
            said = f"{read.scheme}:// is not spoken" if read.scheme else "lacks its scheme"
            raise ValueError(f"{said}; write '{right}', or mqtt:// without encryption")
        return f"{read.scheme}://{read}"

    @field_validator("ca_file", "cert_file", "key_file")
    @classmethod
    def _is_there(cls, value: Path | None) -> Path | None:
        return existing_file(value)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """What is given belongs together, and no password crosses a network in the clear."""
        if bool(self.username) != bool(self.password.get_secret_value()):
            absent = "password" if self.username else "username"
            raise ValueError(f"{absent}: a user and its password are given together")
        if (self.cert_file is None) != (self.key_file is None):
            absent = "cert_file" if self.cert_file is None else "key_file"
            raise ValueError(f"{absent}: a client's certificate and its key are given together")
        if not self.is_encrypted:
            for name in ("ca_file", "cert_file", "key_file"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name}: mqtt:// is not encrypted; write mqtts://")
            if self.username and not is_loopback(self.place.host):
                raise ValueError(
                    f"url: the password would be sent unencrypted to {self.place}; write mqtts://"
                )
        return self

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection uses TLS."""
        return self.url.startswith("mqtts://")

    @property
    def place(self) -> HostPort:
        """Host and port of the broker."""
        return read_host_port(self.url, _EXAMPLE)
