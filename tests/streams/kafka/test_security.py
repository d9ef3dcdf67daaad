"""Contexts, Faust's credentials, and what a refused connection is called."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from infra.stack.certificates import LocalAuthority
from streams.kafka.connection import KafkaConnection
from streams.kafka.refusals import explained, in_words, why_refused
from streams.kafka.security import KafkaSecurity, KafkaSecurityError, ssl_context

TLS = KafkaSecurity(protocol="SSL")
LOGIN = KafkaSecurity(protocol="SASL_SSL", username="andon-limits", password="pw")


def test_the_brokers_name_is_always_checked_and_old_tls_refused(tmp_path: Path) -> None:
    ca = LocalAuthority(tmp_path).open().ca
    for security in (TLS, replace(TLS, ca_file=ca)):
        context = ssl_context(security)
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_named_authority_stands_alone(tmp_path: Path) -> None:
    ca = LocalAuthority(tmp_path).open().ca
    assert len(ssl_context(replace(TLS, ca_file=ca)).get_ca_certs()) == 1


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("not a certificate")
    with pytest.raises(KafkaSecurityError, match=r"ANDON_KAFKA__CA_FILE: .*ca\.pem holds no PEM"):
        ssl_context(replace(TLS, ca_file=wrong))
    with pytest.raises(KafkaSecurityError, match="ANDON_KAFKA__CERT_FILE"):
        ssl_context(replace(TLS, cert_file=wrong, key_file=wrong))


def test_a_certificate_with_its_key_is_shown(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path).open()
    pair = authority.issue("client")
    assert ssl_context(replace(TLS, ca_file=authority.ca, cert_file=pair.cert, key_file=pair.key))
    other = authority.issue("other")
    with pytest.raises(KafkaSecurityError, match="no PEM pair"):
        ssl_context(replace(TLS, cert_file=pair.cert, key_file=other.key))


def test_faust_gets_the_same() -> None:
    from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth as options_of

    for security in (TLS, LOGIN, replace(LOGIN, mechanism="PLAIN")):
        made = options_of(security.faust_credentials(), None)
        assert dict(made) == security.client_options()
    assert KafkaSecurity().faust_credentials() is None
    local = replace(LOGIN, protocol="SASL_PLAINTEXT")
    made = options_of(local.faust_credentials(), None)
    assert {k: v for k, v in made.items() if v is not None} == local.client_options()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TopicAuthorizationFailedError("andon.decisions"), "topic andon.decisions"),
        (TopicAuthorizationFailedError({"b", "a"}), "topic a, b"),
        (GroupAuthorizationFailedError("andon-inspect"), "consumer group andon-inspect"),
        (SaslAuthenticationFailed("x"), "the user name or the password is wrong"),
        (UnsupportedSaslMechanismError("x"), "ANDON_KAFKA__SASL_MECHANISM"),
        (KafkaConnectionError("x"), "if the listener speaks PLAINTEXT"),
    ],
)
def test_a_refusal_says_who_and_what_to_do(error: Exception, words: str) -> None:
    said = in_words(error, LOGIN, "broker:9093")
    assert words in said
    assert "broker:9093" in said
    if isinstance(error, TopicAuthorizationFailedError | GroupAuthorizationFailedError):
        assert "user 'andon-limits'" in said
        assert "andon topics acl" in said


@asynccontextmanager
async def tls_server(context: ssl.SSLContext | None) -> AsyncIterator[str]:
    """A server that shakes hands and closes; where it listens."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def context_for(authority: LocalAuthority, host: str) -> ssl.SSLContext:
    pair = authority.issue(f"server-{host}", [host])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return context


@pytest.mark.asyncio
async def test_a_certificate_for_another_host_is_explained(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path).open()
    async with tls_server(context_for(authority, "kafka.plant")) as server:
        security = replace(TLS, ca_file=authority.ca)
        said = await why_refused(KafkaConnection(server, security=security)) or ""
    assert "is for another name" in said
    assert "ANDON_KAFKA__BOOTSTRAP_SERVERS" in said


@pytest.mark.asyncio
async def test_an_authority_that_is_missing_is_explained(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path / "a").open()
    other = LocalAuthority(tmp_path / "b").open()
    async with tls_server(context_for(authority, "127.0.0.1")) as server:
        unknown = KafkaConnection(server, security=TLS)
        said = await why_refused(unknown) or ""
        assert "ANDON_KAFKA__CA_FILE" in said
        assert "the system's authorities" in said
        wrong = KafkaConnection(server, security=replace(TLS, ca_file=other.ca))
        said = await explained(KafkaConnectionError("unable to bootstrap"), wrong)
        assert str(other.ca) in said


@pytest.mark.asyncio
async def test_a_listener_without_tls_is_explained(tmp_path: Path) -> None:
    async with tls_server(None) as server:
        said = await why_refused(KafkaConnection(server, 2.0, security=TLS)) or ""
    assert "ANDON_KAFKA__SECURITY_PROTOCOL" in said


@pytest.mark.asyncio
async def test_a_broker_that_is_away_is_not_a_refusal() -> None:
    nobody = KafkaConnection("127.0.0.1:1", 1.0)
    assert await why_refused(nobody) is None
    said = await explained(KafkaConnectionError("unable to bootstrap"), nobody)
    assert "unable to bootstrap" in said
