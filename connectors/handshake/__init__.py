"""The handshake: a pure state machine (``machine.step``) on frozen values."""

from connectors.handshake.machine import restore, step, text, trigger_of
from connectors.handshake.state import State, next_wakeup
from connectors.handshake.values import HandshakeConfig, Part, PartKey, Phase, Verdict

__all__ = [
    "HandshakeConfig",
    "Part",
    "PartKey",
    "Phase",
    "State",
    "Verdict",
    "next_wakeup",
    "restore",
    "step",
    "text",
    "trigger_of",
]
