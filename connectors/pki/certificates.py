"""Application instance certificates of OPC UA: read, named by their thumbprint, and made.

The rules are those of OPC 10000-6, 6.2.2: a certificate carries the application's URI and the names
of its host, and is known by the SHA-1 of its bytes, which controllers show on their screens.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from connectors.errors import CertificateError

KEY_BITS: Final = 2048
"""Length of the keys made here; every policy of today takes 2048 to 4096."""
_EARLIER: Final = timedelta(hours=1)
"""A certificate is valid from a little before it is made: the other side's clock may be behind."""
_USES: Final = {
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
}


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def certificate_der(self) -> bytes:
        """The certificate as it goes over the wire."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        """The private key, not encrypted: for a file that only its owner may read."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def uri(self) -> str:
        """The application's URI; empty where the certificate names none."""
        return next(iter(uris_of(self.certificate)), "")


def thumbprint(certificate: x509.Certificate) -> str:
    """The SHA-1 of the certificate's bytes in hexadecimal capitals, as OPC UA tools show it."""
    return certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303  # the standard's name


def digest(certificate: x509.Certificate) -> str:
    """The SHA-256 of the certificate's bytes in hexadecimal capitals."""
    return certificate.fingerprint(hashes.SHA256()).hex().upper()


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name, or the whole subject where it has none."""
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else certificate.subject.rfc4514_string()


def named(certificate: x509.Certificate) -> str:
    """The certificate in words: its name and its thumbprint."""
    return f"{common_name(certificate)!r}, thumbprint {thumbprint(certificate)}"


def uris_of(certificate: x509.Certificate) -> list[str]:
    """The application URIs that the certificate is for."""
    names = _alternative_names(certificate)
    return [] if names is None else names.get_values_for_type(x509.UniformResourceIdentifier)


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses that the certificate is for."""
    names = _alternative_names(certificate)
    if names is None:
        return []
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None


def read_certificates(data: bytes, where: str) -> list[x509.Certificate]:
    """The certificates of a file or of an answer: PEM, DER, or several DER one after the other.

    Raises:
        CertificateError: names ``where``.
    """
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(one) for one in _split_der(data)]
    except ValueError as error:
        raise CertificateError(f"{where} is no certificate: {error}") from None


def _split_der(data: bytes) -> list[bytes]:
    """Each element of DER that is told one after the other, as OPC UA tells chains."""
    found, rest = [], data
    while rest:
        length, header = rest[1] if len(rest) > 1 else 0, 2
        if length & 0x80:
            header = 2 + (length & 0x7F)
            length = int.from_bytes(rest[2:header], "big")
        end = header + length
        if rest[0] != 0x30 or end > len(rest):
            raise ValueError("its bytes are neither PEM nor DER")
        found.append(rest[:end])
        rest = rest[end:]
    if not found:
        raise ValueError("it is empty")
    return found


def read_key(path: Path) -> rsa.RSAPrivateKey:
    """The RSA private key of a PEM or DER file without a password.

    Raises:
        CertificateError: names the file.
    """
    data = read_file(path)
    try:
        load = load_pem_private_key if b"-----BEGIN" in data else load_der_private_key
        key = load(data, None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{path} is no private key without a password: {error}") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CertificateError(f"{path} is no RSA key; the security policies of OPC UA ask for one")
    return key


def read_identity(certificate: Path, key: Path) -> Identity:
    """A certificate and its key from two files.

    Raises:
        CertificateError: a file cannot be read, or the two do not belong together.
    """
    found = Identity(read_certificates(read_file(certificate), str(certificate))[0], read_key(key))
    if found.certificate.public_key() != found.key.public_key():
        raise CertificateError(f"{key} is not the key of the certificate {certificate}")
    return found


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        CertificateError: names the file.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from None


def make_identity(
    uri: str,
    hosts: Sequence[str],
    name: str,
    use: str,
    valid: tuple[datetime, datetime] | None = None,
    issuer: Identity | None = None,
    days: int = 1825,
) -> Identity:
    """A new key, and a certificate for an application.

    Args:
        uri: the application's URI.
        hosts: names and addresses of the host.
        name: the common name.
        use: ``client`` or ``server``, or ``authority`` for one that signs others.
        valid: first and last moment; None: from an hour ago for ``days``.
        issuer: who signs it; None signs it with its own key.
        days: how long it is valid.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    begin, end = valid or (now - _EARLIER, now + timedelta(days=days))
    signing = key if issuer is None else issuer.key
    is_authority = use == "authority"
    builder = (
        x509.CertificateBuilder(
            issuer_name=subject if issuer is None else issuer.certificate.subject,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=begin,
            not_valid_after=end,
        )
        .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), True)
        .add_extension(_key_usage(is_authority, issuer is None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False
        )
    )
    if not is_authority:
        names = [x509.UniformResourceIdentifier(uri), *(_host_name(host) for host in hosts)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([_USES[use]]), False)
    return Identity(builder.sign(signing, hashes.SHA256()), key)


def _key_usage(is_authority: bool, is_own: bool) -> x509.KeyUsage:
    """What the standard asks of an application, or of an authority, may do with the key."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=not is_authority,
        key_encipherment=not is_authority,
        data_encipherment=not is_authority,
        key_agreement=False,
        key_cert_sign=is_authority or is_own,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise CertificateError(f"{host!r} is no host name: {error}") from None
