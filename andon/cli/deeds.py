"""What somebody does at a prompt, as the console's audit writes it down."""

import getpass
import socket

from history.console_audit import Deed


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
