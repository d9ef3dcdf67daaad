"""Whether the certificate of the other side is trusted: by the trust list, issuers and revocations.

It is pure: what is trusted, the time and the expected names are given. The order and the names of
the checks are those of OPC 10000-4, 6.1.3. asyncua's own trust store is not used (ADR 0150).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from connectors.pki.certificates import hosts_of, thumbprint, uris_of

LONGEST_CHAIN: Final = 5
"""Certificates between the other side's and a trusted one, both included."""
SHORTEST_KEY: Final = 2048
_WEAK_HASHES: Final = ("md5", "sha1")


class Why(StrEnum):
    """Why a certificate is refused, by the standard's status code."""

    UNTRUSTED = "BadCertificateUntrusted"
    TIME = "BadCertificateTimeInvalid"
    ISSUER_TIME = "BadCertificateIssuerTimeInvalid"
    REVOKED = "BadCertificateRevoked"
    ISSUER_REVOKED = "BadCertificateIssuerRevoked"
    URI = "BadCertificateUriInvalid"
    HOST = "BadCertificateHostNameInvalid"
    USE = "BadCertificateUseNotAllowed"
    WEAK = "BadCertificatePolicyCheckFailed"


@dataclass(frozen=True)
class CertificateRefusal:
    """A certificate is refused; ``words`` continue the sentence that names it."""

    why: Why
    words: str


@dataclass(frozen=True)
class TrustList:
    """What this side trusts.

    Args:
        trusted: applications that are trusted by themselves, and authorities that are trusted for
            all that they signed.
        issuers: authorities that only complete a chain.
        revocations: of any of the authorities.
    """

    trusted: Sequence[x509.Certificate] = ()
    issuers: Sequence[x509.Certificate] = ()
    revocations: Sequence[x509.CertificateRevocationList] = ()


@dataclass(frozen=True)
class Expected:
    """What the certificate of the other side must be for.

    Args:
        use: ``client`` or ``server``.
        uri: the application URI that the other side says it has.
        host: as it is written in the address; None where it is not checked.
    """

    use: str
    uri: str
    host: str | None = None


def refusal(
    chain: Sequence[x509.Certificate], trust: TrustList, expected: Expected, now: datetime
) -> CertificateRefusal | None:
    """Why the certificate is refused; None where it is trusted.

    Args:
        chain: the other side's certificate, then issuers that it told.
        trust: what this side trusts.
        expected: what the certificate must be for.
        now: with its time zone.
    """
    leaf = chain[0]
    path = _path(leaf, trust, chain[1:])
    if path is None:
        return CertificateRefusal(Why.UNTRUSTED, "is not trusted")
    first = next(number for number, one in enumerate(path) if one in trust.trusted)
    return (
        _wrong_time(path[: first + 1], now)
        or _revoked(path, trust.revocations)
        or _weak(leaf)
        or _wrong_use(leaf, expected.use)
        or _wrong_name(leaf, expected)
    )


def _path(
    leaf: x509.Certificate, trust: TrustList, told: Sequence[x509.Certificate]
) -> list[x509.Certificate] | None:
    """The certificate with those that signed it, up to one that signed itself or is last known.

    None where none of them is in the trust list.
    """
    path = [leaf]
    known = (*trust.trusted, *trust.issuers, *told)
    while len(path) < LONGEST_CHAIN:
        above = next((one for one in known if one not in path and _signed(path, one)), None)
        if above is None:
            break
        path.append(above)
    return path if any(one in trust.trusted for one in path) else None


def _signed(path: Sequence[x509.Certificate], authority: x509.Certificate) -> bool:
    """Whether the authority signed the last certificate of the path, and may sign such a path."""
    find = authority.extensions.get_extension_for_class
    try:
        basic = find(x509.BasicConstraints).value
        if not (basic.ca and find(x509.KeyUsage).value.key_cert_sign):
            return False
        if basic.path_length is not None and len(path) - 1 > basic.path_length:
            return False
        path[-1].verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001  # whatever is wrong with the authority, it did not sign this
        return False
    return True


def _wrong_time(path: Sequence[x509.Certificate], now: datetime) -> CertificateRefusal | None:
    for one in path:
        begin, end = one.not_valid_before_utc, one.not_valid_after_utc
        if begin <= now <= end:
            continue
        why = Why.TIME if one is path[0] else Why.ISSUER_TIME
        whose = "" if one is path[0] else f"has an issuer ({thumbprint(one)}) that "
        if now > end:
            return CertificateRefusal(why, f"{whose}expired on {end:%Y-%m-%d %H:%M} UTC")
        return CertificateRefusal(
            why,
            f"{whose}is valid from {begin:%Y-%m-%d %H:%M} UTC only; "
            f"the clock here says {now:%Y-%m-%d %H:%M}",
        )
    return None


def _revoked(
    path: Sequence[x509.Certificate], revocations: Iterable[x509.CertificateRevocationList]
) -> CertificateRefusal | None:
    """Whether a list of an issuer names a certificate of the path.

    A list of an issuer that is not known here counts too: somebody put it into the folder.
    """
    lists = list(revocations)
    for one, issuer in zip(path, (*path[1:], path[-1]), strict=True):
        is_known = issuer.subject == one.issuer
        for listed in lists:
            if listed.issuer != one.issuer or (is_known and not _is_signed_by(listed, issuer)):
                continue
            entry = listed.get_revoked_certificate_by_serial_number(one.serial_number)
            if entry is not None:
                whose = "" if one is path[0] else f"has an issuer ({thumbprint(one)}) that "
                why = Why.REVOKED if one is path[0] else Why.ISSUER_REVOKED
                return CertificateRefusal(
                    why, f"{whose}was revoked on {entry.revocation_date_utc:%Y-%m-%d}"
                )
    return None


def _is_signed_by(listed: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    return isinstance(key, rsa.RSAPublicKey) and listed.is_signature_valid(key)


def _weak(leaf: x509.Certificate) -> CertificateRefusal | None:
    key, algorithm = leaf.public_key(), leaf.signature_hash_algorithm
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < SHORTEST_KEY:
        return CertificateRefusal(
            Why.WEAK, f"has a key that is no RSA of {SHORTEST_KEY} bits or more"
        )
    if algorithm is None or algorithm.name in _WEAK_HASHES:
        return CertificateRefusal(Why.WEAK, "is signed by a hash that can be forged (SHA-1)")
    return None


def _wrong_use(leaf: x509.Certificate, use: str) -> CertificateRefusal | None:
    wanted = {
        "client": ExtendedKeyUsageOID.CLIENT_AUTH,
        "server": ExtendedKeyUsageOID.SERVER_AUTH,
    }[use]
    try:
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None  # it is for everything
    if wanted in uses or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in uses:
        return None
    return CertificateRefusal(Why.USE, f"is not for a {use}")


def _wrong_name(leaf: x509.Certificate, expected: Expected) -> CertificateRefusal | None:
    uris, hosts = uris_of(leaf), hosts_of(leaf)
    if expected.uri not in uris:
        shown = ", ".join(uris) or "none"
        return CertificateRefusal(
            Why.URI, f"is for the application URI {shown}, not for {expected.uri!r} as it is told"
        )
    wanted = None if expected.host is None else expected.host.strip("[]").lower()
    if wanted is not None and wanted not in [host.lower() for host in hosts]:
        return CertificateRefusal(
            Why.HOST, f"is for the host {', '.join(hosts) or '(none)'}, not {wanted!r}"
        )
    return None
