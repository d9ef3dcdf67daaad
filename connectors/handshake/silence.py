"""What a silence of the gateway leaves in doubt.

A controller that hears no heartbeat for the dead time holds its open parts by itself, and
acknowledges the results that come afterwards all the same: only the gateway can know that its
acknowledgement may be worth nothing.
"""

from dataclasses import replace

from connectors.handshake.state import State
from connectors.handshake.values import Phase

_UNTOLD = (Phase.OPEN, Phase.QUEUED, Phase.WRITING)


def over_silence(state: State, now: float) -> State:
    """The state after something was written or read, with the parts in doubt marked.

    The controller had the newest heartbeat no earlier than it was sent and the next one no later
    than it was confirmed, so the silence that it saw was no longer than the time between.
    """
    if now - state.spoke_at < state.config.dead_after_s:
        return state
    parts = {
        key: replace(part, unheard=True) if part.phase in _UNTOLD else part
        for key, part in state.parts.items()
    }
    return replace(state, parts=parts, silent_until=now)


def just_ended(state: State, now: float) -> bool:
    """Whether a trigger that is seen now may have been given during the last silence."""
    return now - state.silent_until < state.config.heartbeat_s
