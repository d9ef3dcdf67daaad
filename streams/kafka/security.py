"""TLS and SASL towards the brokers: what every client is given, and what a refusal means."""

import ssl
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from streams.errors import AndonError
from streams.tls import client_context

Protocol = Literal["PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT"]
Mechanism = Literal["SCRAM-SHA-512", "PLAIN"]


class KafkaSecurityError(AndonError):
    """A certificate or key that is named for Kafka cannot be used."""


@dataclass(frozen=True)
class KafkaSecurity:
    """How a client proves who it is, and how it knows the brokers; by default it does neither."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    """PEM file of the authorities that sign the brokers' certificates; None: the system's."""
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection uses TLS."""
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def logs_in(self) -> bool:
        """Whether a user and password are given."""
        return self.protocol in ("SASL_SSL", "SASL_PLAINTEXT")

    @property
    def who(self) -> str:
        """The client as the broker sees it, in words."""
        if self.logs_in:
            return f"user {self.username!r}"
        return f"the certificate {self.cert_file}" if self.cert_file else "a client without a login"

    def client_options(self) -> dict[str, object]:
        """The arguments of aiokafka's clients.

        Raises:
            KafkaSecurityError: a file cannot be used.
        """
        options: dict[str, object] = {"security_protocol": self.protocol}
        if self.is_encrypted:
            options["ssl_context"] = ssl_context(self)
        if self.logs_in:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options

    def faust_credentials(self) -> object | None:
        """Faust's ``broker_credentials``; None for a connection without TLS and login.

        Raises:
            KafkaSecurityError: a file cannot be used.
        """
        import faust

        context = ssl_context(self) if self.is_encrypted else None
        if self.logs_in:
            made: object = faust.SASLCredentials(
                username=self.username,
                password=self.password,
                mechanism=self.mechanism,
                ssl_context=context,
            )
            return made
        return faust.SSLCredentials(context) if context is not None else None


@cache
def ssl_context(security: KafkaSecurity) -> ssl.SSLContext:
    """TLS 1.2 or newer; the broker's certificate and the name in it are always checked.

    Raises:
        KafkaSecurityError: names the file and what is wrong with it.
    """
    ca, cert, key = security.ca_file, security.cert_file, security.key_file
    return client_context(ca, cert, key, "KAFKA", KafkaSecurityError)
