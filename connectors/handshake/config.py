"""Times and limits of the handshake, as a plant sets them."""

from typing import Annotated, Final

from pydantic import Field

from streams.settings import Section

LONGEST_MS: Final = 3_600_000
"""No time of the handshake is longer than an hour, milliseconds."""
Milliseconds = Annotated[int, Field(gt=0, le=LONGEST_MS)]


class HandshakeConfig(Section):
    """What the state machine is told once, before the first input."""

    result_window_ms: Milliseconds | None = None
    """Result window T, milliseconds from the trigger; unset: the controller's ``TaktMs``."""
    watchdog_margin_ms: Annotated[int, Field(ge=0, le=60_000)] = 50
    """The gateway writes the no-decision action this long before T, milliseconds."""
    ack_timeout_ms: Milliseconds = 5000
    """A result written and not acknowledged for this long counts as unacknowledged."""
    heartbeat_ms: Milliseconds = 500
    """Period of both heartbeats, milliseconds."""
    heartbeat_missed: Annotated[int, Field(ge=1, le=100)] = 3
    """Missed heartbeats after which the other side counts as dead."""
    pipelining: bool = True
    """Ready again once the exposure is done, before the result is out."""
    unacknowledged_limit: Annotated[int, Field(ge=1, le=64)] = 8
    """Results waiting for the controller's acknowledgement; one more is an overrun."""
    open_limit: Annotated[int, Field(ge=1, le=4096)] = 128
    """Parts without a closed result; at the limit the gateway drops Ready."""
    missed_limit: Annotated[int, Field(ge=1, le=65_536)] = 1024
    """Missed triggers for which a hold is still written; older ones are only counted."""
    recipes: dict[int, str] = Field({})
    """Recipe number -> name. Empty: every recipe request is accepted."""

    def window_fault(self, takt_ms: int) -> str:
        """Why no result window follows from this ``TaktMs``, in words; empty where one does.

        >>> HandshakeConfig().window_fault(takt_ms=0)
        'TaktMs is 0: there is no result window'
        >>> HandshakeConfig(result_window_ms=2000).window_fault(takt_ms=0)
        ''
        """
        if self.result_window_ms:
            return ""
        if takt_ms == 0:
            return "TaktMs is 0: there is no result window"
        if takt_ms > LONGEST_MS:
            return f"TaktMs is {takt_ms}: over an hour is no result window"
        if takt_ms <= self.watchdog_margin_ms:
            return f"TaktMs is {takt_ms}: no more than watchdog_margin_ms"
        return ""

    def window_s(self, takt_ms: int) -> float:
        """The result window T of a part, seconds.

        >>> HandshakeConfig().window_s(takt_ms=800)
        0.8
        >>> HandshakeConfig(result_window_ms=2000).window_s(takt_ms=800)
        2.0
        """
        return (self.result_window_ms or takt_ms) / 1000

    @property
    def watchdog_margin_s(self) -> float:
        return self.watchdog_margin_ms / 1000

    @property
    def ack_timeout_s(self) -> float:
        return self.ack_timeout_ms / 1000

    @property
    def heartbeat_s(self) -> float:
        return self.heartbeat_ms / 1000

    @property
    def dead_after_s(self) -> float:
        """A heartbeat that stood still for this long means that the other side is dead."""
        return self.heartbeat_s * self.heartbeat_missed
