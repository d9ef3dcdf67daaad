"""Says in words why a broker does not let a client in, or does not let it do something."""

import asyncio
import ssl
from collections.abc import Iterator
from typing import Final

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from streams.addresses import read_host_port
from streams.kafka.connection import KafkaConnection
from streams.kafka.security import KafkaSecurity

AUTHORIZATION: Final = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
"""The broker knows who asks, and that it may not."""
AUTHENTICATION: Final = (
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    IllegalSaslStateError,
    ssl.SSLError,
)
"""The broker does not know who asks, or is not known itself."""
REMEDY: Final = (
    "`andon topics acl` shows what each role may do, and applies it with --apply as the "
    "administrator"
)
_NAME_MISMATCH: Final = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_EXPIRED: Final = 10
_NOT_YET: Final = 9
_UNKNOWN_CA: Final = (2, 7, 18, 19, 20, 21)
_PROBE_S: Final = 5.0
_CLOSE_S: Final = 1.0
_HUNG_UP: Final = (KafkaConnectionError, ConnectionResetError, TimeoutError)
"""It took the connection, and does not understand what it is told."""


def is_refusal(error: BaseException) -> bool:
    """Whether the broker, or the client, refused: trying again as the same does not help."""
    return isinstance(error, AUTHENTICATION + AUTHORIZATION)


async def explained(error: BaseException, connection: KafkaConnection) -> str:
    """A client's error in words; where it says only that it could not connect, asks once more.

    aiokafka reports a refused login or certificate as "unable to bootstrap", and logs the cause.
    """
    if is_refusal(error):
        return in_words(error, connection.security, connection.bootstrap_servers)
    if isinstance(error, KafkaConnectionError):
        found = await why_refused(connection)
        if found is not None:
            return found
    return f"{type(error).__name__} {error}".strip()


async def why_refused(connection: KafkaConnection) -> str | None:
    """Connects to each server by itself; the first refusal in words, or None."""
    for host, port in _servers(connection.bootstrap_servers):
        said = await _why(host, port, connection)
        if said is not None:
            return said
    return None


async def _why(host: str, port: int, connection: KafkaConnection) -> str | None:
    security, where = connection.security, f"{host}:{port}"
    made = AIOKafkaConnection(
        host,
        port,
        client_id="andon-why",
        request_timeout_ms=int(min(connection.request_timeout_s, _PROBE_S) * 1000),
        **security.client_options(),
    )
    try:
        await made.connect()
    except (*_HUNG_UP, KafkaError, OSError) as error:
        return in_words(error, security, where) if _is_about_us(error) else None
    else:
        return await _why_not_served(made, security, where)
    finally:
        closed = made.close()
        if made._protocol is not None:  # it was connected
            await asyncio.wait([closed], timeout=_CLOSE_S)


async def _why_not_served(
    made: AIOKafkaConnection, security: KafkaSecurity, where: str
) -> str | None:
    """A listener that wants a login tells versions to everybody, and hangs up on the rest."""
    try:
        await made.send(MetadataRequest([]))
    except _HUNG_UP:
        wanted = "SASL_SSL" if security.is_encrypted else "SASL_PLAINTEXT"
        return (
            f"{where} closes the connection of {security.who}: if its listener asks for a login, "
            f"set ANDON_KAFKA__SECURITY_PROTOCOL to {wanted}"
        )
    return None


def _is_about_us(error: BaseException) -> bool:
    return is_refusal(error) or isinstance(error, _HUNG_UP)


def in_words(error: BaseException, security: KafkaSecurity, where: str) -> str:
    """What a refusal means and what to do; other errors as they are."""
    if isinstance(error, AUTHORIZATION):
        return _not_allowed(error, security, where)
    if isinstance(error, SaslAuthenticationFailed):
        return (
            f"the broker {where} refuses {security.who}: the user name or the password is wrong "
            "(ANDON_KAFKA__USERNAME, ANDON_KAFKA__PASSWORD)"
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return (
            f"the broker {where} does not take {security.mechanism}: set "
            "ANDON_KAFKA__SASL_MECHANISM to one that its listener has"
        )
    if isinstance(error, IllegalSaslStateError):
        return (
            f"the listener {where} takes no login: set ANDON_KAFKA__SECURITY_PROTOCOL to "
            f"{'SSL' if security.is_encrypted else 'PLAINTEXT'}, or name the listener that does"
        )
    if isinstance(error, ssl.SSLError):
        return _tls(error, security, where)
    if isinstance(error, _HUNG_UP):
        other = "PLAINTEXT or SASL_PLAINTEXT" if security.is_encrypted else "SSL or SASL_SSL"
        return (
            f"{where} takes the connection and does not answer Kafka over {security.protocol}: if "
            f"the listener speaks {other}, set ANDON_KAFKA__SECURITY_PROTOCOL"
        )
    return f"{where}: {type(error).__name__} {error}".strip()


def _not_allowed(error: BaseException, security: KafkaSecurity, where: str) -> str:
    kinds = {
        TopicAuthorizationFailedError: "topic",
        GroupAuthorizationFailedError: "consumer group",
        TransactionalIdAuthorizationFailed: "transactional id",
    }
    kind = kinds.get(type(error), "the cluster")
    about = ", ".join(_words(error.args[0])) if error.args else ""
    what = f"{kind} {about}".strip() if kind != "the cluster" else kind
    return (
        f"the broker {where} does not allow {security.who} to use {what}: its access control list "
        f"lacks that right, or the credentials are another role's. {REMEDY}"
    )


def _words(given: object) -> Iterator[str]:
    if isinstance(given, set | frozenset | list | tuple):
        yield from sorted(str(one) for one in given)
    else:
        yield str(given)


def _tls(error: ssl.SSLError, security: KafkaSecurity, where: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        code, ca = error.verify_code, security.ca_file
        if code in _NAME_MISMATCH:
            return (
                f"the certificate of {where} is for another name: write the host in "
                "ANDON_KAFKA__BOOTSTRAP_SERVERS as the certificate has it, and let the broker "
                "advertise that name, or issue a certificate for this one"
            )
        if code in (_EXPIRED, _NOT_YET):
            when = "has expired" if code == _EXPIRED else "is not valid yet"
            return f"the certificate of {where} {when}: renew it, or set this host's clock"
        if code in _UNKNOWN_CA:
            known = f"{ca} (ANDON_KAFKA__CA_FILE)" if ca else "the system's authorities"
            return (
                f"the certificate of {where} is signed by none of {known}: name the PEM file of "
                "the authority that signed it as ANDON_KAFKA__CA_FILE"
            )
        return f"the certificate of {where} cannot be trusted: {error.verify_message}"
    reason = error.reason or str(error)
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason or "HANDSHAKE_FAILURE" in reason:
        return (
            f"{where} refuses this client's certificate, or asks for one ({reason}): set "
            "ANDON_KAFKA__CERT_FILE and ANDON_KAFKA__KEY_FILE to a pair that the broker trusts"
        )
    return (
        f"{where} does not speak TLS ({reason}): name its SSL listener, or set "
        "ANDON_KAFKA__SECURITY_PROTOCOL to what this one speaks"
    )


def _servers(bootstrap_servers: str) -> Iterator[tuple[str, int]]:
    for server in bootstrap_servers.split(","):
        read = read_host_port(server, "broker:9092", 9092)
        yield read.host.strip("[]"), read.port or 9092
