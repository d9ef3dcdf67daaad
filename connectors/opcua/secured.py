"""Connects to a line controller's OPC UA server as the settings say: by which policy, as whom.

The server's certificate is judged before the channel is opened, and again by the session that the
server signed. asyncua has a validator of its own, which is not used (ADR 0150).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import structlog
from asyncua import Client, ua
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from connectors.errors import CertificateError, CertificateRefusedError, LinkError
from connectors.pki.certificates import (
    Identity,
    named,
    read_certificates,
    read_identity,
    thumbprint,
)
from connectors.pki.folder import PkiFolder
from connectors.pki.trust import Expected, TrustList, Why, refusal
from connectors.settings import GatewaySettings
from streams.addresses import is_loopback
from streams.errors import AndonError

log = structlog.get_logger(__name__)
Ends = Mapping[str, datetime]
"""When certificates end, by whose they are."""
POLICIES: Final = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
"""asyncua's policies by the settings' names."""
_ADVICE: Final = {
    Why.UNTRUSTED: "if the thumbprint is the one that the controller shows, run: "
    "andon plc trust accept {thumb}",
    Why.TIME: "set the clocks, or renew it at the controller and run: andon plc trust fetch",
    Why.HOST: "write one of these hosts into ANDON_GATEWAY__PLC_URL, or renew it at the controller "
    "and run: andon plc trust fetch (ANDON_GATEWAY__PLC_CHECK_HOST=false passes this over)",
}
_RENEW: Final = "renew it at the controller, then run: andon plc trust fetch"
_REFUSES_US: Final = (
    "BadSecurityChecksFailed",
    "BadCertificate",
    "BadApplicationSignatureInvalid",
    "BadSecurityPolicyRejected",
)
"""How the statuses begin by which a server refuses the client's certificate."""
_REFUSES_USER: Final = ("BadIdentityToken", "BadUserAccessDenied", "BadUserSignatureInvalid")
_ENDS_SOON_DAYS: Final = 30
CALLS_TO_CONNECT: Final = 16
"""A connection has begun after about so many calls, each of which has its own deadline."""


def pki_of(settings: GatewaySettings) -> PkiFolder:
    """The gateway's folder of certificates."""
    return PkiFolder(settings.pki_dir, settings.certificate, settings.private_key)


def make_client(settings: GatewaySettings, name: str) -> Client:
    """A client that is not connected yet.

    Args:
        settings: address and deadlines.
        name: what the server shows of it.
    """
    # asyncua's own deadline must not fall together with ours: two at once can end a task.
    wait_s = settings.plc_timeout_s
    client = Client(settings.plc_url, timeout=2 * wait_s, watchdog_intervall=wait_s)
    client.name, client.application_uri = name, "urn:andon:gateway"
    return client


@asynccontextmanager
async def connected(settings: GatewaySettings, name: str) -> AsyncIterator[Client]:
    """A client for as long as the context lasts; it raises what ``connect`` raises."""
    client = make_client(settings, name)
    await connect(client, settings)
    try:
        yield client
    finally:
        await client.disconnect()


@asynccontextmanager
async def reached(settings: GatewaySettings, name: str) -> AsyncIterator[Client]:
    """As ``connected``, for a person who waits: what fails on the way is a ``LinkError``."""
    client = make_client(settings, name)
    client.session_timeout = 60_000  # one that broke must not hold a place for an hour
    url = settings.plc_url
    try:
        async with asyncio.timeout(CALLS_TO_CONNECT * settings.plc_timeout_s):
            await connect(client, settings)
    except (OSError, TimeoutError, ua.UaError) as error:
        raise LinkError(f"{url}: {words_of(error)}") from error
    try:
        yield client
    except (OSError, TimeoutError, ua.UaError) as error:
        raise LinkError(f"{url}: the connection broke: {words_of(error)}") from error
    finally:
        with suppress(OSError, TimeoutError, ua.UaError):
            await client.disconnect()


def words_of(error: BaseException) -> str:
    """An error of ours says all; another one's text may be empty."""
    named_ = "" if isinstance(error, AndonError) else type(error).__name__
    if named_ in ("BadTooManySessions", "BadMaxConnectionsReached"):
        named_ += (
            ": the controller takes no further client; close others, raise its limit, or wait "
            "until it forgets a session that broke"
        )
    if named_ == "TimeoutError":
        return "no answer in time; where the controller is slow, raise ANDON_GATEWAY__PLC_TIMEOUT_S"
    return f"{named_} {error}".strip()


@dataclass(frozen=True)
class Offered:
    """What a server shows to anyone: its certificate, and how it may be spoken to."""

    certificate: x509.Certificate
    uri: str
    offers: list[str]


async def offered(settings: GatewaySettings) -> Offered:
    """Ask a server for its certificate; nothing is trusted by that.

    Raises:
        LinkError: it has none, or does not answer.
    """
    client = make_client(settings, "Andon gateway")
    try:
        async with asyncio.timeout(CALLS_TO_CONNECT * settings.plc_timeout_s):
            endpoints = await client.connect_and_get_server_endpoints()
    except (OSError, TimeoutError, ua.UaError) as error:
        raise LinkError(f"{settings.plc_url} does not answer: {error!r}") from None
    offers = sorted({_offer(one) for one in endpoints})
    for one in endpoints:
        if one.ServerCertificate:
            found = read_certificates(one.ServerCertificate, "what the controller shows")
            return Offered(found[0], one.Server.ApplicationUri, offers)
    raise LinkError(f"{settings.plc_url} has no certificate; it offers {', '.join(offers)}")


def warn_unless_secured(settings: GatewaySettings) -> None:
    """Say once that anyone on the network between can read and write the signals."""
    host = urlsplit(settings.plc_url).hostname or ""
    if settings.security_policy == "None" and not is_loopback(host):
        told = {"url": settings.plc_url, "set": "ANDON_GATEWAY__SECURITY_POLICY"}
        log.warning("plc.not_secured", **told)


async def connect(client: Client, settings: GatewaySettings) -> Ends:
    """Connect with the security that the settings ask for; the caller sets the deadline.

    Returns:
        When the certificates end that the connection began with; none where it is not secured.

    Raises:
        CertificateRefusedError: the server's certificate is not trusted.
        CertificateError: there is no certificate of the gateway, or a file cannot be read.
        LinkError: the server offers no such policy, or refuses the gateway's certificate or user.
        OSError: nobody listens, or the connection broke.
    """
    if settings.security_policy == "None":
        await client.connect()
        return {}
    identity, ends = await _secure(client, settings)
    try:
        await client.connect()
    except ua.UaStatusCodeError as error:
        status = type(error).__name__
        if status.startswith(_REFUSES_US):
            raise LinkError(
                f"the controller refuses the gateway's certificate ({named(identity.certificate)}):"
                f" {status}; let it trust the file of: andon plc trust export"
            ) from error
        if status.startswith(_REFUSES_USER):
            who = settings.user_name or settings.user_certificate or "anonymous"
            raise LinkError(f"the controller does not accept the user {who}: {status}") from error
        raise
    return ends


async def _secure(client: Client, settings: GatewaySettings) -> tuple[Identity, Ends]:
    """Read the certificates, judge the server's, and set the client's policy and user."""
    pki = pki_of(settings)
    identity, trust = await asyncio.to_thread(_read, pki)
    client.application_uri = identity.uri
    endpoint = _chosen(await client.connect_and_get_server_endpoints(), settings)
    certificate = await _judged(
        endpoint.ServerCertificate, endpoint.Server.ApplicationUri, settings, pki, trust
    )
    _warn_of_its_end(settings, "controller", certificate)
    _warn_of_its_end(settings, "gateway", identity.certificate)
    await client.set_security(
        POLICIES[settings.security_policy],
        CertProperties(identity.certificate_der, "der"),
        CertProperties(identity.key_pem, "pem"),
        server_certificate=CertProperties(certificate.public_bytes(Encoding.DER), "der"),
        mode=ua.MessageSecurityMode[settings.security_mode],
    )

    async def of_session(_: x509.Certificate, told: ua.ApplicationDescription) -> None:
        await _judged(endpoint.ServerCertificate, told.ApplicationUri, settings, pki, trust)

    client.certificate_validator = of_session
    await _set_user(client, settings)
    ends = {
        "the controller's for OPC UA": certificate.not_valid_after_utc,
        "the gateway's for OPC UA, of this connection": identity.certificate.not_valid_after_utc,
    }
    return identity, ends


def _read(pki: PkiFolder) -> tuple[Identity, TrustList]:
    if not pki.has_identity:
        raise CertificateError(
            f"the gateway has no certificate in {pki.certificate_file}; run: andon plc trust make"
        )
    return pki.identity(), pki.trust_list()


def _chosen(
    endpoints: list[ua.EndpointDescription], settings: GatewaySettings
) -> ua.EndpointDescription:
    """The endpoint of the policy and mode that are asked for.

    Raises:
        LinkError: the server has none, or would let a password cross the network in the clear.
    """
    uri = POLICIES[settings.security_policy].URI
    mode = ua.MessageSecurityMode[settings.security_mode]
    for one in endpoints:
        if (one.SecurityPolicyUri, one.SecurityMode) == (uri, mode) and one.ServerCertificate:
            break
    else:
        offers = sorted({_offer(one) for one in endpoints})
        raise LinkError(
            f"the controller offers no {settings.security_mode} with {settings.security_policy}, "
            f"but {', '.join(offers) or 'nothing'}; set ANDON_GATEWAY__SECURITY_POLICY"
        )
    if settings.user_name and mode is ua.MessageSecurityMode.Sign:
        none = security_policies.SecurityPolicyNone.URI
        for token in one.UserIdentityTokens:
            if token.TokenType == ua.UserTokenType.UserName and token.SecurityPolicyUri == none:
                raise LinkError(
                    "the controller would take the password in the clear; set "
                    "ANDON_GATEWAY__SECURITY_MODE=SignAndEncrypt"
                )
    return one


def _offer(endpoint: ua.EndpointDescription) -> str:
    policy = str(endpoint.SecurityPolicyUri).rpartition("#")[2]
    return f"{endpoint.SecurityMode.name.rstrip('_')} with {policy}"


async def _judged(
    told: bytes, uri: str, settings: GatewaySettings, pki: PkiFolder, trust: TrustList
) -> x509.Certificate:
    """The server's certificate, which is trusted.

    Raises:
        CertificateRefusedError: it is not; it was put among the rejected ones.
    """
    chain = read_certificates(told, "what the controller shows")
    host = urlsplit(settings.plc_url).hostname if settings.plc_check_host else None
    found = refusal(chain, trust, Expected("server", uri, host), datetime.now(UTC))
    if found is None:
        return chain[0]
    if found.why is Why.UNTRUSTED:
        await asyncio.to_thread(_keep_rejected, pki, chain[0])
    advice = _ADVICE.get(found.why, _RENEW).format(thumb=thumbprint(chain[0]))
    raise CertificateRefusedError(
        f"the controller's certificate ({named(chain[0])}) {found.words}; {advice}"
    )


def _keep_rejected(pki: PkiFolder, certificate: x509.Certificate) -> None:
    if certificate not in pki.listed("rejected"):
        pki.put("rejected", certificate)


async def _set_user(client: Client, settings: GatewaySettings) -> None:
    if settings.user_name:
        client.set_user(settings.user_name)
        assert settings.password is not None  # the settings ask for both
        client.set_password(settings.password.get_secret_value())
    elif settings.user_certificate is not None and settings.user_key is not None:
        paths = settings.user_certificate, settings.user_key
        user = await asyncio.to_thread(read_identity, *paths)
        client.user_certificate, client.user_private_key = user.certificate, user.key


def _warn_of_its_end(settings: GatewaySettings, whose: str, certificate: x509.Certificate) -> None:
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    if left.days < _ENDS_SOON_DAYS:
        told = {"thumbprint": thumbprint(certificate), "days": left.days}
        log.warning("plc.certificate_ends_soon", url=settings.plc_url, whose=whose, **told)
