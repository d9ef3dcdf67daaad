"""Certificates of tests: of every kind that must be refused, and the folders of both sides."""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from connectors.pki.certificates import Identity, make_identity
from connectors.pki.folder import PkiFolder

GATEWAY, CONTROLLER = "urn:test:gateway", "urn:test:controller"
HOSTS = ("127.0.0.1", "localhost")
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
PAST, FUTURE = (NOW - 9 * DAY, NOW - DAY), (NOW + DAY, NOW + 9 * DAY)
USER, PASSWORD = "andon", "s3cr3t-of-the-plc"


@cache
def own(use: str = "server", valid: tuple[datetime, datetime] | None = None) -> Identity:
    """A certificate that signed itself; the same one for the same question."""
    uri = CONTROLLER if use == "server" else GATEWAY
    return make_identity(uri, HOSTS, f"test {use}", use, valid)


@cache
def authority(valid: tuple[datetime, datetime] | None = None) -> Identity:
    return make_identity("", (), "test authority", "authority", valid)


@cache
def signed(use: str = "server") -> Identity:
    """A certificate that the authority signed."""
    uri = CONTROLLER if use == "server" else GATEWAY
    return make_identity(uri, HOSTS, f"signed {use}", use, issuer=authority())


def revocation_list(issuer: Identity, *revoked: x509.Certificate) -> x509.CertificateRevocationList:
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=issuer.certificate.subject, last_update=NOW - DAY, next_update=NOW + DAY
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder(one.serial_number, NOW - DAY).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(issuer.key, hashes.SHA256())


def keep_revocations(pki: PkiFolder, listed: x509.CertificateRevocationList) -> None:
    (pki.root / "crl").mkdir(parents=True, exist_ok=True)
    (pki.root / "crl" / "revoked.crl").write_bytes(listed.public_bytes(Encoding.DER))


def folders(root: Path, gateway: Identity, controller: Identity) -> tuple[PkiFolder, PkiFolder]:
    """The gateway's and the controller's folder; each trusts the other."""
    ours, theirs = PkiFolder(root / "gateway"), PkiFolder(root / "controller")
    ours.keep_identity(gateway)
    theirs.keep_identity(controller)
    ours.put("trusted", controller.certificate)
    theirs.put("trusted", gateway.certificate)
    return ours, theirs
