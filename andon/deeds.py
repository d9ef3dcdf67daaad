"""What somebody does at a prompt, as the console's audit writes it down."""

import getpass
import socket

from history.console_audit import DECLARED, Deed


def deed_here(action: str, object: str = "", after: str = "", reason: str = "") -> Deed:
    """A deed of whoever this host says is at the prompt."""
    return Deed(
        actor=getpass.getuser(),
        action=action,
        object=object,
        login="host",
        via="cli",
        after=after,
        reason=reason,
        address=socket.gethostname(),
    )


def declared_deed(
    action: str, object: str, by: str, reason: str, before: str = "", after: str = ""
) -> Deed:
    """A deed of whoever somebody at the prompt claims to be (``--by``), and whom the host knows."""
    return Deed(
        actor=by,
        action=action,
        object=object,
        login=DECLARED,
        via="cli",
        before=before,
        after=after,
        reason=reason,
        address=socket.gethostname(),
        agent=f"host user {getpass.getuser()}",
    )
