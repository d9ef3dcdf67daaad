"""What a vision system is asked for, what it tells, and why it refuses."""

from dataclasses import dataclass

from connectors.errors import ConnectorError
from connectors.vision.jobs import Job, JobResult
from connectors.vision.states import VisionState


class RecipeError(ConnectorError):
    """There is no such recipe, or it is not prepared."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


NO_RECIPE, NOT_PREPARED, NOT_READY, STOP_ASKED = -1, -2, -3, -6
"""The ``Error`` of a method: below 0 are an application's own."""
REFUSED_BY_A_STAGE = -100
"""Less the fault's number: a stage cannot have the recipe."""


@dataclass(frozen=True)
class RecipeInForce:
    """What jobs may be judged by: a recipe of the settings, or a product where there are none."""

    name: str
    """Outside: what clients ask for."""
    product_id: str
    version: str
    """Of the product's policy in force."""
    number: int = 0
    """In ``gateway.recipes``; 0 where there are none, and nothing has to be changed over."""


@dataclass(frozen=True)
class JobAsked:
    """What a client asks of a job; any of it may be empty."""

    recipe: str = ""
    product: str = ""
    part_id: str = ""
    meas_id: str = ""


@dataclass(frozen=True)
class Moved:
    """The machines made one transition."""

    transition: str
    state: VisionState
    """After the last transition of its cause."""


@dataclass(frozen=True)
class JobNotice:
    """A job started, was exposed, or lets the next one start."""

    kind: str
    """``JobStarted``, ``AcquisitionDone`` or ``Ready``, as the standard's event types begin."""
    job_id: str


@dataclass(frozen=True)
class RecipeNotice:
    """Jobs may use the recipe from now on."""

    recipe: RecipeInForce


@dataclass(frozen=True)
class ErrorNotice:
    """The gateway has a fault, or has none any more."""

    transition: str
    is_resolved: bool
    words: str


@dataclass(frozen=True)
class InformationNotice:
    """Something that a person may want to know, and with which jobs go on."""

    cause: str
    """The part of the system that it comes from."""
    words: str
    job: Job | None = None
    """The one that runs, if any does."""


@dataclass(frozen=True)
class DiagnosticNotice:
    """A part that no model decided."""

    result: JobResult


Notice = (
    Moved
    | JobNotice
    | RecipeNotice
    | ErrorNotice
    | InformationNotice
    | DiagnosticNotice
    | JobResult
)
