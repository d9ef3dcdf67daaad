"""The local authority: what it signs is believed, and nobody else may read its keys."""

import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from infra.stack.certificates import LocalAuthority, password_of


def test_a_certificate_is_signed_for_its_hosts(tmp_path: Path) -> None:
    authority = LocalAuthority(tmp_path / "security").open()
    pair = authority.issue("server", ["127.0.0.1", "kafka.plant"])
    ca = x509.load_pem_x509_certificate(authority.ca.read_bytes())
    found = x509.load_pem_x509_certificate(pair.cert.read_bytes())
    found.verify_directly_issued_by(ca)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kafka.plant"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert isinstance(found.public_key(), ec.EllipticCurvePublicKey)


def test_what_was_made_stays(tmp_path: Path) -> None:
    first = LocalAuthority(tmp_path).open()
    pair, ca = first.issue("server"), first.ca.read_bytes()
    cert, password = pair.cert.read_bytes(), password_of(tmp_path, "andon-inspect")
    again = LocalAuthority(tmp_path).open()
    assert again.ca.read_bytes() == ca
    assert again.issue("server").cert.read_bytes() == cert
    assert password_of(tmp_path, "andon-inspect") == password
    assert password_of(tmp_path, "andon-classify") != password
    assert len(password) >= 32


def test_nobody_but_the_owner_may_read_them(tmp_path: Path) -> None:
    folder = tmp_path / "stack" / "security"
    LocalAuthority(folder).open().issue("server")
    password_of(folder, "andon-inspect")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert len(files) == 5
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
