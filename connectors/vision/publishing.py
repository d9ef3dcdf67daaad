"""Shows a vision system's notices in its OPC UA server: variables, then events.

Each event goes to who watches the vision system, and to who watches the Server object, as clients
expect of every server.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from asyncua import ua
from asyncua.common.event_objects import BaseEvent

from connectors.vision.address_space import MACHINES, AddressSpace
from connectors.vision.encoding import (
    internal,
    named,
    recipe_outside,
    result_fields,
    system_state,
    variant,
    vision_fields,
)
from connectors.vision.jobs import JobResult
from connectors.vision.node_table import NodeRow, nodes, number_of
from connectors.vision.notices import (
    DiagnosticNotice,
    ErrorNotice,
    InformationNotice,
    JobNotice,
    Moved,
    Notice,
    RecipeNotice,
)
from connectors.vision.states import VisionState

_VISION, _AUTOMATIC = MACHINES
_MACHINE_TYPES: Final = {
    _VISION: "VisionStateMachineType",
    _AUTOMATIC: "VisionAutomaticModeStateMachineType",
}
_SEVERITY: Final = {
    "ErrorEventType": 800,
    "VisionInformationEventType": 100,
    "VisionDiagnosticInfoEventType": 50,
}
_USUAL_SEVERITY: Final = 200
Fields = Mapping[str, ua.Variant]


class Publishing:
    """Turns notices into what clients see.

    Args:
        space: the nodes.
        configuration: the identity of the station's one configuration.
    """

    def __init__(self, space: AddressSpace, configuration: object) -> None:
        self._space = space
        self._configuration = configuration

    async def show(self, notice: Notice) -> None:
        """One notice."""
        match notice:
            case Moved(transition, state):
                await self._moved(transition, state)
            case JobNotice(kind, job_id):
                told = {"JobId": variant("JobId", named("JobIdDataType", job_id))}
                await self._event(f"{kind}EventType", _AUTOMATIC, f"{kind}: {job_id}", told)
            case RecipeNotice(recipe):
                given = {
                    "ExternalId": recipe_outside(recipe.name),
                    "InternalId": internal(recipe),
                    "ProductId": named("ProductIdDataType", recipe.product_id),
                }
                fields = {name: variant(name, value) for name, value in given.items()}
                words = f"recipe {recipe.name} is prepared"
                await self._event("RecipePreparedEventType", _AUTOMATIC, words, fields)
            case ErrorNotice(transition, is_resolved, words):
                kind = "ErrorResolvedEventType" if is_resolved else "ErrorEventType"
                await self._event(kind, _VISION, words, self._transition(transition))
            case InformationNotice(cause, words, job):
                fields = vision_fields(self._configuration, cause, job)
                await self._event("VisionInformationEventType", "", words, fields)
            case DiagnosticNotice(result):
                source = result.source.value if result.source else "nobody"
                words = f"part {result.job.part_id}: {source} decided, {result.reason.name.lower()}"
                fields = vision_fields(self._configuration, source, result.job, result.result_id)
                await self._event("VisionDiagnosticInfoEventType", "", words, fields)
            case JobResult():
                await self._result(notice)

    async def states(self, state: VisionState) -> None:
        """Both machines as they are."""
        await self._current(_VISION, state.main.value)
        await self._current(_AUTOMATIC, state.automatic.value if state.automatic else None)
        now = ua.Variant(system_state(state), ua.VariantType.ExtensionObject)
        await self._space.write("SystemState", now)

    async def _moved(self, transition: str, state: VisionState) -> None:
        machine, row = _row_of(transition)
        await self.states(state)
        await self._last(machine, transition, row)
        await self._event(
            "StateChangedEventType", machine, transition, self._transition(transition)
        )

    async def _result(self, result: JobResult) -> None:
        fields = result_fields(result, self._configuration)
        told = {name: variant(name, value) for name, value in fields.items()}
        words = f"part {result.job.part_id}: {result.code.name.lower()}"
        await self._event("ResultReadyEventType", _AUTOMATIC, words, told)

    # --- variables ------------------------------------------------------------------------

    async def _current(self, machine: str, name: str | None) -> None:
        """A machine below a state that is not active has no current state (OPC 10000-5, B.4.3)."""
        path = f"{machine}.CurrentState"
        if name is None:
            idle = ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadStateNotActive))
            for part in ("", ".Id", ".Number"):
                await self._space.write(path + part, idle)
            return
        row = _state_row(machine, name)
        await self._three(path, row)

    async def _last(self, machine: str, name: str, row: NodeRow) -> None:
        await self._three(f"{machine}.LastTransition", row)

    async def _three(self, path: str, row: NodeRow) -> None:
        await self._space.write(path, _text(row))
        await self._space.write(f"{path}.Id", self._id(row))
        number = ua.Variant(_number(row), ua.VariantType.UInt32)
        await self._space.write(f"{path}.Number", number)

    def _id(self, row: NodeRow) -> ua.Variant:
        return ua.Variant(self._space.type_id(row.number), ua.VariantType.NodeId)

    # --- events ---------------------------------------------------------------------------

    def _transition(self, transition: str) -> dict[str, ua.Variant]:
        """From where to where, as every TransitionEventType says."""
        _, row = _row_of(transition)
        ends = {
            "Transition": row,
            "FromState": nodes()[row.more["FromState"]],
            "ToState": nodes()[row.more["ToState"]],
        }
        found: dict[str, ua.Variant] = {}
        for name, end in ends.items():
            found |= {name: _text(end), f"{name}/Id": self._id(end)}
        return found

    async def _event(self, kind: str, machine: str, words: str, fields: Fields) -> None:
        event = BaseEvent()
        now = datetime.now(UTC)
        source = self._space.nodes[machine]
        event.EventType = self._space.event_type(kind)
        event.EventId = uuid.uuid4().bytes
        name = machine.rpartition(".")[2] or self._space.name
        event.SourceNode, event.SourceName = source.nodeid, name
        event.Time = event.ReceiveTime = now
        event.LocalTime = ua.TimeZoneDataType(Offset=0, DaylightSavingInOffset=False)
        event.Message = ua.LocalizedText(words)
        event.Severity = _SEVERITY.get(kind, _USUAL_SEVERITY)
        for name, value in fields.items():
            event.add_property(name, value.Value, value.VariantType)
        session = self._space.server.iserver.isession
        for watched in (self._space.nodes[""].nodeid, ua.NodeId(ua.ObjectIds.Server)):
            event.emitting_node = watched
            await session.subscription_service.trigger_event(event)


def _row_of(transition: str) -> tuple[str, NodeRow]:
    """The machine that has a transition, and the transition."""
    for machine, type_name in _MACHINE_TYPES.items():
        for row in nodes().values():
            if row.parent == number_of(type_name) and row.plain_name == transition:
                return machine, row
    raise KeyError(transition)


def _state_row(machine: str, name: str) -> NodeRow:
    parent = number_of(_MACHINE_TYPES[machine])
    return next(r for r in nodes().values() if r.parent == parent and r.plain_name == name)


def _number(row: NodeRow) -> int:
    """StateNumber or TransitionNumber."""
    return next(int(r.more["value"]) for r in nodes().values() if r.parent == row.number)


def _text(row: NodeRow) -> ua.Variant:
    return ua.Variant(ua.LocalizedText(row.plain_name), ua.VariantType.LocalizedText)
