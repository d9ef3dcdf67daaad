"""Certificates and a user between the gateway and the simulated controller of a secured stack."""

import os
import secrets
from pathlib import Path
from typing import Final

from connectors.pki.certificates import make_identity
from connectors.pki.folder import PkiFolder

USER: Final = "andon-gateway"
HOSTS: Final = ("127.0.0.1", "localhost")


def gateway_pki(folder: Path) -> Path:
    """The gateway's folder of certificates, below a stack's security folder."""
    return folder / "plc" / "gateway"


def controller_pki(folder: Path) -> Path:
    """The controller's, which ``andon plc simulate --security FOLDER`` takes."""
    return folder / "plc" / "controller"


def make_plc_security(folder: Path) -> str:
    """Make what is missing; both sides trust each other's certificate.

    Args:
        folder: the stack's security folder.

    Returns:
        The password of the gateway's user.
    """
    gateway, controller = PkiFolder(gateway_pki(folder)), PkiFolder(controller_pki(folder))
    password_file = controller.root / "users" / USER
    if not password_file.exists():
        ours = make_identity("urn:andon:gateway", HOSTS, "Andon gateway", "client")
        theirs = make_identity("urn:andon:simulated", HOSTS, "Simulated controller", "server")
        gateway.keep_identity(ours)
        controller.keep_identity(theirs)
        gateway.put("trusted", theirs.certificate)
        controller.put("trusted", ours.certificate)
        password_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
    return password_file.read_text()
