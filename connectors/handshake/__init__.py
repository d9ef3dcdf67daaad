"""The handshake: a pure state machine (``machine.step``) on frozen values."""

from connectors.handshake.changeover import recipe_of
from connectors.handshake.config import HandshakeConfig
from connectors.handshake.machine import restore, step, trigger_of, trigger_seen_of
from connectors.handshake.state import State, next_wakeup
from connectors.handshake.values import Part, PartKey, Phase, Verdict

__all__ = [
    "HandshakeConfig",
    "Part",
    "PartKey",
    "Phase",
    "State",
    "Verdict",
    "next_wakeup",
    "recipe_of",
    "restore",
    "step",
    "trigger_of",
    "trigger_seen_of",
]
