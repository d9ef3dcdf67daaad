"""What a job asks for and what came of it: frozen values between a client and the line."""

from dataclasses import dataclass
from datetime import datetime

from streams.codes import DecisionSource, ReasonCode, ResultCode


@dataclass(frozen=True)
class Job:
    """One call of StartSingleJob or StartContinuous."""

    job_id: str
    product_id: str
    """The product whose policy and expert judge the part."""
    part_id: str
    recipe: str = ""
    """The recipe by its name outside."""
    meas_id: str = ""
    lot_id: str = ""
    recipe_version: str = ""
    """The hash of the product's policy in force."""


@dataclass(frozen=True)
class JobResult:
    """What was decided for one trigger of a job."""

    job: Job
    result_id: str
    code: ResultCode
    reason: ReasonCode
    source: DecisionSource | None
    """None: nobody decided within the window, and the part is held by default."""
    class_id: int
    score: float
    started_at: datetime
    exposed_at: datetime | None
    decided_at: datetime
    is_simulated: bool = False

    @property
    def is_decided(self) -> bool:
        """Whether somebody looked at the picture and decided; a hold without that is a failure."""
        return self.source in (DecisionSource.EXPERT, DecisionSource.CLASSIFIER)
