"""Which of the gateway's signals a controller does not take, and for how long they are left out."""

import time
from collections.abc import Mapping
from typing import Final

import structlog
from asyncua import ua

from connectors.handshake.signals import NEEDED, Signal, SignalValue, SignalValues
from connectors.opcua.node_set import status_name

log = structlog.get_logger(__name__)
FOR_GOOD: Final = frozenset(
    {
        "BadUserAccessDenied",
        "BadNotWritable",
        "BadWriteNotSupported",
        "BadTypeMismatch",
        "BadOutOfRange",
        "BadNodeIdUnknown",
        "BadNodeIdInvalid",
        "BadAttributeIdInvalid",
        "BadNotSupported",
    }
)
"""Statuses of one node that another attempt, or another connection, gets again."""
_AGAIN_S: Final = 10.0
"""After so long a signal that is refused for now is tried again, seconds."""
_LACKED_BY_NO_LINE: Final = NEEDED | {Signal.VISION_HEARTBEAT}
"""Nobody goes on without these: another connection may get them through."""


class Refusals:
    """What a controller refuses to let the gateway write.

    A status that may pass costs the connection, because a new one writes everything again. Where
    the new one gets it again for the same signal, only that signal is out of service, as is a tag
    whose device is away; it is left out then, and tried again with a later write.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._for_good: set[Signal] = set()
        self._for_now: dict[Signal, SignalValue] = {}
        """What these should show."""
        self._again_at = 0.0
        self._gave_up: set[Signal] = set()
        """Signals for which a connection was given up, and which nobody has taken since."""

    @property
    def signals(self) -> frozenset[Signal]:
        """All that are refused now."""
        return frozenset(self._for_good | self._for_now.keys())

    def begin(self) -> None:
        """A connection begins, in which everything is tried."""
        self._for_good.clear()
        self._for_now.clear()

    def sent(self, values: SignalValues) -> dict[Signal, SignalValue]:
        """What is sent where these shall be written: not what is refused, but what is due again."""
        self._for_now.update({s: value for s, value in values.items() if s in self._for_now})
        due: dict[Signal, SignalValue] = {}
        if self._for_now and time.monotonic() >= self._again_at:
            due = dict(self._for_now)
            self._again_at = time.monotonic() + _AGAIN_S
        return {**due, **{s: value for s, value in values.items() if s not in self.signals}}

    def judge(
        self,
        values: SignalValues,
        statuses: Mapping[Signal, ua.StatusCode],
        nodes: Mapping[Signal, object],
    ) -> Signal | None:
        """What a Write came to; the signal for which the connection is to be given up, if any.

        Args:
            values: what was sent.
            statuses: what the controller said to each of the signals.
            nodes: where they are, for the log.
        """
        names = {signal: status_name(status) for signal, status in statuses.items()}
        for signal, name in names.items():
            if name == "Good":
                self._taken(signal)
            elif name in FOR_GOOD and signal not in self._for_now:
                self._for_good.add(signal)
                self.tell(signal, name, nodes[signal])
        passing = [s for s, name in names.items() if name not in FOR_GOOD | {"Good"}]
        fresh = [s for s in passing if s not in self._gave_up or s in _LACKED_BY_NO_LINE]
        self._gave_up.update(passing)
        if fresh:
            return fresh[0]
        for signal in passing:
            if not self._for_now:
                self._again_at = time.monotonic() + _AGAIN_S
            if signal not in self._for_now:
                self._for_now[signal] = values[signal]
                self.tell(signal, names[signal], nodes[signal])
        return None

    def _taken(self, signal: Signal) -> None:
        self._gave_up.discard(signal)
        if self._for_now.pop(signal, None) is not None:
            log.info("plc.signal_taken", url=self._url, signal=signal.wire_name)

    def tell(self, signal: Signal, why: str, node: object) -> None:
        """Say that a signal is not written, and what to do."""
        told = {"signal": signal.wire_name, "node": str(node), "why": why}
        log.error("plc.signal_refused", url=self._url, **told, remedy="run: andon plc check")
