"""The event of a line's change of recipe: it is asked for, each stage answers, and it ends."""

from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID, uuid5

from pydantic import Field

from streams.codes import FaultCode, Stage
from streams.inspections import Event, Moment, Real, Text


class ChangeoverPhase(StrEnum):
    """Where a change of the recipe stands."""

    REQUESTED = "requested"
    PREPARED = "prepared"
    """A stage has the recipe."""
    REFUSED = "refused"
    ACKNOWLEDGED = "acknowledged"
    """Every stage has it, and the controller is told."""


class ChangeoverStep(Event):
    """One step of one change-over of a station.

    The gateway asks (``requested``), a worker that inspects the station's frames answers
    (``prepared`` or ``refused``), the gateway says that its own policy and camera have it
    (``prepared``), and how it ended (``acknowledged`` or ``refused``).

    ``policy_hash`` and ``expert_version`` are what the recipe asks for in a request, empty for
    whatever is in force, and what the stage found in an answer.
    """

    event_type: ClassVar[str] = "andon.changeover.v1"
    step_id: UUID
    """UUIDv5 of change-over, stage and phase: redelivery repeats it."""
    changeover_id: UUID
    phase: ChangeoverPhase
    stage: Stage
    line: Text
    station: Text
    recipe: Annotated[int, Field(ge=0, le=0xFFFF)]
    recipe_name: Text = ""
    recipe_before: Annotated[int, Field(ge=0, le=0xFFFF)] = 0
    """The recipe in force until then; 0: none."""
    product_id: Text = ""
    policy_hash: Text = ""
    expert_version: Text = ""
    fault_code: FaultCode = FaultCode.NONE
    """Why it was refused, as the controller is told."""
    reason: Annotated[str, Field(max_length=2048)] = ""
    deadline: Moment
    """An answer after this is in vain."""
    at: Moment
    took_ms: Real = 0.0
    """From the request: until this step, milliseconds."""
    is_simulated: bool = False

    @property
    def key(self) -> str:
        """The Kafka key: the station's, as that of its frames."""
        return f"{self.line}/{self.station}"


def step_id(changeover_id: UUID, stage: Stage, phase: ChangeoverPhase) -> UUID:
    """The identity of a step: redelivery repeats it."""
    return uuid5(changeover_id, f"{stage.value}/{phase.value}")
