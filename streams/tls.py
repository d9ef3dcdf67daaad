"""TLS towards a broker: one way to trust its authorities and to show a certificate."""

import ssl
from pathlib import Path

from streams.errors import AndonError


def client_context(
    ca: Path | None, cert: Path | None, key: Path | None, section: str, refused: type[AndonError]
) -> ssl.SSLContext:
    """TLS 1.2 or newer; the broker's certificate and the name in it are always checked.

    Args:
        ca: PEM file of the authorities that sign the broker's certificate; None: the system's.
        cert: PEM file of the certificate that is shown; None: none is.
        key: PEM file of its key, without a passphrase; None: it stands beside the certificate.
        section: of the settings, for the message: ``KAFKA``.
        refused: the type of the error.

    Raises:
        AndonError: of the type ``refused``; names the setting, the file and what is wrong with it.
    """
    context = ssl.create_default_context()
    if ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the system's authorities do not count
        try:
            context.load_verify_locations(cafile=ca)
        except OSError as error:
            raise refused(
                f"ANDON_{section}__CA_FILE: {ca} holds no PEM certificates that can be read: "
                f"{error}"
            ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert is not None:
        try:
            context.load_cert_chain(cert, key, password=_refuse_passphrase)
        except (OSError, ValueError) as error:
            raise refused(
                f"ANDON_{section}__CERT_FILE: {cert} and the key {key} are no PEM pair: {error}"
            ) from None
    return context


def _refuse_passphrase() -> str:
    """Without it OpenSSL would ask at the terminal."""
    raise ValueError("the key is encrypted; give one without a passphrase")
