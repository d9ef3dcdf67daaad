"""The signals of the handshake: which there are, who writes them, and of which type.

The one source for the OPC UA client, the simulated controller and ``docs/handshake.md``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, StrEnum

SignalValue = bool | int | float | str | datetime


class Owner(StrEnum):
    """Which side writes a signal."""

    PLC = "PLC"
    GATEWAY = "gateway"


_P, _G = Owner.PLC, Owner.GATEWAY
_DEFAULTS: dict[str, SignalValue] = {
    "Boolean": False,
    "String": "",
    "Int32": 0,
    "UInt32": 0,
    "UInt16": 0,
    "Float": 0.0,
    "DateTime": datetime(1601, 1, 1, tzinfo=UTC),
}


@dataclass(frozen=True, eq=False)
class _SignalRow:
    data_type: str
    """The name of the OPC UA built-in type."""
    owner: Owner
    meaning: str


class Signal(_SignalRow, Enum):
    """Every signal, in the order of the documented table."""

    TRIGGER_ENABLE = "Boolean", _P, "the line may trigger"
    PART_ID = "String", _P, "serial of the part in front of the camera"
    LOT_ID = "String", _P, "lot of that part"
    PRODUCT_ID = "String", _P, "product of that part: selects policy and expert"
    ENCODER_POS = "Int32", _P, "conveyor position at the trigger, counts"
    TAKT_MS = "UInt32", _P, "time between parts, ms; the result window unless overridden"
    TRIGGER_SEQ = "UInt32", _P, "trigger counter, written last; 0 = cold start"
    RESULT_ACK_SEQ = "UInt32", _P, "the ResultSeq that the controller has taken"
    RECIPE_REQ_SEQ = "UInt32", _P, "counts recipe requests"
    FAULT_RESET_SEQ = "UInt32", _P, "counts fault resets"
    RECIPE_REQ = "UInt16", _P, "recipe asked for"
    PLC_HEARTBEAT = "UInt32", _P, "counts up while the controller's program runs"
    PLC_BOOT_ID = "UInt32", _P, "another number after every cold start"
    ONLINE = "Boolean", _G, "the gateway is connected and running"
    READY = "Boolean", _G, "a trigger will be captured"
    BUSY = "Boolean", _G, "an exposure is under way: the part must not move"
    RESULT_OVERRUN = "Boolean", _G, "a result was lost because none were acknowledged"
    STOP_REQUEST = "Boolean", _G, "a limit or a wrongly judged golden part asks to stop"
    TRIGGER_ACK_SEQ = "UInt32", _G, "last trigger seen; the trigger group may change"
    EXPOSURE_DONE_SEQ = "UInt32", _G, "last trigger exposed; the part may move"
    MISSED_COUNT = "UInt32", _G, "triggers that were not captured"
    RESULT_TRIGGER_SEQ = "UInt32", _G, "the trigger that the result belongs to"
    RESULT_PART_ID = "String", _G, "the part that the result belongs to; empty if never read"
    RESULT_CODE = "UInt16", _G, "0 none, 1 pass, 2 rework, 3 scrap, 4 hold"
    REASON_CODE = "UInt16", _G, "why, as a number: see codes.md"
    DECISION_SOURCE = "UInt16", _G, "1 expert, 2 classifier, 3 fallback, 4 watchdog"
    PENDING_RESULTS = "UInt16", _G, "results not yet acknowledged, this one included"
    FAULT_CODE = "UInt16", _G, "what is wrong with the gateway: see codes.md; 0 healthy"
    RECIPE_ACTIVE = "UInt16", _G, "recipe in force"
    CLASS_ID = "Int32", _G, "number of the class in the policy: see codes.md; -1 none"
    SCORE = "Float", _G, "anomaly score"
    RESULT_TIME = "DateTime", _G, "when it was decided, UTC"
    RESULT_SEQ = "UInt32", _G, "result counter, written last, in a Write of its own"
    RECIPE_ACK_SEQ = "UInt32", _G, "the RecipeReqSeq that was answered"
    VISION_HEARTBEAT = "UInt32", _G, "moves while the gateway runs; its upper 16 bits name which"

    @property
    def wire_name(self) -> str:
        """The signal's name on the controller.

        >>> Signal.TRIGGER_SEQ.wire_name
        'TriggerSeq'
        """
        return self.name.title().replace("_", "")

    @property
    def default(self) -> SignalValue:
        """The value before anyone wrote: what a cold-started controller shows."""
        return -1 if self is Signal.CLASS_ID else _DEFAULTS[self.data_type]


SignalValues = Mapping[Signal, SignalValue]

TRIGGER_GROUP: tuple[Signal, ...] = (
    Signal.PLC_BOOT_ID,
    Signal.TRIGGER_SEQ,
    Signal.PART_ID,
    Signal.LOT_ID,
    Signal.PRODUCT_ID,
    Signal.ENCODER_POS,
    Signal.TAKT_MS,
)
"""Read in one service call when ``TriggerSeq`` moves; stable until ``TriggerAckSeq`` follows.

A server may read one node after the other while the controller's program runs, which writes
TriggerSeq behind its group: read before it, no trigger is taken with the part before."""

ALL_AS_READ: tuple[Signal, ...] = (
    *TRIGGER_GROUP,
    *(signal for signal in Signal if signal not in TRIGGER_GROUP),
)
"""Every signal, in the order in which they are read at once."""

NEVER_GUESSED = frozenset({Signal.RECIPE_REQ_SEQ, Signal.RECIPE_REQ, Signal.FAULT_RESET_SEQ})
"""What the controller asks for: without good quality a new connection does not tell it."""

WATCHED: tuple[Signal, ...] = (
    Signal.PLC_BOOT_ID,
    Signal.TRIGGER_SEQ,
    Signal.RESULT_ACK_SEQ,
    Signal.RECIPE_REQ_SEQ,
    Signal.FAULT_RESET_SEQ,
    Signal.PLC_HEARTBEAT,
    Signal.TRIGGER_ENABLE,
)
"""What the gateway subscribes to."""


LOSSES: Mapping[Signal, str] = {
    Signal.TRIGGER_ENABLE: "nothing, as long as gateway.use_trigger_enable is off",
    Signal.PART_ID: "parts have no serial; they are told apart by TriggerSeq only",
    Signal.LOT_ID: "parts have no lot",
    Signal.PRODUCT_ID: "set it to a constant (=NAME): it selects policy and expert",
    Signal.ENCODER_POS: "the history has no conveyor position",
    Signal.TAKT_MS: "set gateway.result_window_ms, or a constant (=MS)",
    Signal.RECIPE_REQ_SEQ: "no recipe can be asked for",
    Signal.FAULT_RESET_SEQ: "what stands until a reset (overrun, StopRequest) needs a restart",
    Signal.RECIPE_REQ: "no recipe can be asked for",
    Signal.PLC_HEARTBEAT: "only that the server answers is watched, not that its program runs",
    Signal.ONLINE: "the controller sees only by VisionHeartbeat that the gateway runs",
    Signal.READY: "the controller cannot know when a trigger would be missed",
    Signal.BUSY: "the controller cannot see that an exposure is under way",
    Signal.RESULT_OVERRUN: "a lost result is seen by FaultCode 6 only",
    Signal.STOP_REQUEST: "no limit across parts can ask the line to stop",
    Signal.EXPOSURE_DONE_SEQ: "the part may move only when its result is there",
    Signal.MISSED_COUNT: "missed triggers are seen by their hold only",
    Signal.RESULT_PART_ID: "results are matched by ResultTriggerSeq only",
    Signal.REASON_CODE: "the controller cannot tell why",
    Signal.DECISION_SOURCE: "the controller cannot tell who decided",
    Signal.PENDING_RESULTS: "the controller cannot see how many results wait",
    Signal.FAULT_CODE: "the controller cannot tell what is wrong with the gateway",
    Signal.RECIPE_ACTIVE: "the controller cannot see the recipe in force",
    Signal.CLASS_ID: "the controller cannot tell the class of a defect",
    Signal.SCORE: "the controller cannot see the anomaly score",
    Signal.RESULT_TIME: "the controller cannot see when it was decided",
    Signal.RECIPE_ACK_SEQ: "recipe requests are not answered",
    Signal.VISION_HEARTBEAT: "the controller cannot tell that the gateway stopped",
}
"""What is lost where a controller does not have a signal. The others are ``NEEDED``."""

NEEDED = frozenset(Signal) - LOSSES.keys()
"""Without one of these no connection begins."""

NAMED = frozenset({Signal.RECIPE_REQ})
"""Numbers that a controller may give by name: then their node is of a text type."""

COUNTERS = frozenset(s for s in Signal if s.data_type == "UInt32" and s is not Signal.TAKT_MS)
"""They only count up and wrap: a signed controller shows them as negative half of the time."""


def number(values: SignalValues, signal: Signal) -> int:
    """The value of an integer or boolean signal.

    >>> number({Signal.TRIGGER_SEQ: 7}, Signal.TRIGGER_SEQ)
    7
    """
    value = values[signal]
    assert isinstance(value, int), f"{signal.wire_name} is {value!r}, not a number"
    return value


def text(values: SignalValues, signal: Signal) -> str:
    """The value of a text signal: any characters, at most 512 of them.

    >>> text({Signal.PART_ID: "A" * 600}, Signal.PART_ID) == "A" * 512
    True
    """
    return str(values[signal] or "")[:512]
