"""The vision system: what its methods do, and what it tells. No OPC UA, no network.

It joins the state machines to the controller that gives the triggers. Whatever a client or the
gateway does becomes notices, in order, for whoever shows them.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from connectors.errors import ConnectorError
from connectors.vision.controller import ControllerEvents, JobController, NotReadyError
from connectors.vision.jobs import Job, JobResult
from connectors.vision.settings import VisionServerSettings
from connectors.vision.states import AutomaticState, MainState, MoveCause, VisionState, step

log = structlog.get_logger(__name__)
SETTLE_S = 3.0
"""A fault of the gateway while it starts, such as a camera that opens, counts after this long."""


class RecipeError(ConnectorError):
    """There is no such recipe, or it is not prepared."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


NO_RECIPE, NOT_PREPARED, NOT_READY = -1, -2, -3
"""The ``Error`` of a method: below 0 are an application's own."""


@dataclass(frozen=True)
class RecipeInForce:
    """A product that can be inspected, by its name outside and the version in force."""

    product_id: str
    version: str


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


Notice = Moved | JobNotice | RecipeNotice | ErrorNotice | JobResult


class VisionSystem:
    """One station as OPC 40100-1 sees it.

    Args:
        settings: the takt of continuous execution, and how many results are kept.
        controller: gives the triggers; this system takes its events.
        in_force: the recipes by product, each with its version.
        tell: is given every notice, in order; it must not block.
    """

    def __init__(
        self,
        settings: VisionServerSettings,
        controller: JobController,
        in_force: Callable[[], Mapping[str, str]],
        tell: Callable[[Notice], None],
    ) -> None:
        self._settings = settings
        self._controller = controller
        self._in_force = in_force
        self._tell = tell
        self._numbers = itertools.count(1)
        self._job: Job | None = None
        self._is_exposed = False
        self._is_settled = False
        self._looping: asyncio.Task[None] | None = None
        self._free = asyncio.Event()
        self._settling: asyncio.TimerHandle | None = None
        self.state = VisionState()
        self.results: OrderedDict[str, JobResult] = OrderedDict()
        """The last results by their id, newest last."""
        controller.tell = ControllerEvents(self._acquired, self._decided, self._look)

    def start(self) -> None:
        """Faults count from ``SETTLE_S`` on; before, the gateway may be opening its camera."""
        self._settling = asyncio.get_running_loop().call_later(SETTLE_S, self._settled)

    async def close(self) -> None:
        """No further trigger."""
        if self._settling is not None:
            self._settling.cancel()
        await self._end_loop()

    # --- methods: each raises NotNowError where the state does not allow it ----------------

    def prepare(self, name: str) -> RecipeInForce:
        """PrepareRecipe: jobs may use the recipe. Raises ``RecipeError``: there is none."""
        found = self.recipe(name)
        self._move(MoveCause.PREPARED, name)
        self._tell(RecipeNotice(found))
        return found

    def unprepare(self, name: str) -> RecipeInForce:
        """UnprepareRecipe: jobs may use it no longer. Raises ``RecipeError``: it was not."""
        if name not in self.state.prepared:
            raise RecipeError(f"recipe {name!r} is not prepared", NOT_PREPARED)
        self._move(MoveCause.UNPREPARED, name)
        return self.recipe(name)

    def recipe(self, name: str) -> RecipeInForce:
        """The recipe of a name. Raises ``RecipeError``: no policy is in force for the product."""
        version = self._in_force().get(name)
        if version is None:
            raise RecipeError(f"no policy is in force for a product {name!r}", NO_RECIPE)
        return RecipeInForce(name, version)

    def recipes(self) -> list[RecipeInForce]:
        """All recipes, by name."""
        return [RecipeInForce(name, version) for name, version in sorted(self._in_force().items())]

    def start_single(self, asked: JobAsked) -> str:
        """StartSingleJob: one trigger; returns the job's id.

        Raises:
            RecipeError: no such recipe, or not prepared.
            NotReadyError: the gateway would miss the trigger.
        """
        moved = step(self.state, MoveCause.START_SINGLE)
        job = self._new_job(asked)
        if not self._controller.is_ready:
            raise NotReadyError("the gateway is not ready for a trigger")
        self._begin(job, *moved)
        self._controller.trigger(job)
        return job.job_id

    def start_continuous(self, asked: JobAsked) -> str:
        """StartContinuous: triggers until Stop or Abort; returns the job's id. Raises as above."""
        moved = step(self.state, MoveCause.START_CONTINUOUS)
        job = self._new_job(asked)
        self._begin(job, *moved)
        self._looping = asyncio.create_task(self._continuous(job), name="continuous execution")
        return job.job_id

    def end_job(self, cause: MoveCause) -> None:
        """Stop or Abort: no further trigger; a result that is due still comes."""
        self._move(cause)
        self._finish_job()

    def move(self, cause: MoveCause) -> None:
        """Halt, Reset or SelectModeAutomatic."""
        self._move(cause)
        if cause is MoveCause.RESET:
            self._controller.reset_faults()
        self._finish_job()
        self._look()

    # --- from the controller --------------------------------------------------------------

    def _acquired(self, job: Job) -> None:
        self._tell(JobNotice("AcquisitionDone", job.job_id))
        if self._job is not None and job.job_id == self._job.job_id:
            self._is_exposed = True

    def _decided(self, result: JobResult) -> None:
        self.results[result.result_id] = result
        while len(self.results) > self._settings.kept_results:
            self.results.popitem(last=False)
        if self._job is not None and result.job.job_id == self._job.job_id:
            self._is_exposed = True  # a part that was never exposed has its result too
        self._tell(result)
        self._look()

    def _settled(self) -> None:
        self._is_settled = True
        self._look()

    def _look(self) -> None:
        """The gateway wrote something: the machines follow."""
        if self._controller.is_ready:
            self._is_settled = True
            self._free.set()
            self._move(MoveCause.AVAILABLE)
            single = self.state.automatic is AutomaticState.SINGLE_EXECUTION
            if single and self._is_exposed:
                self._move(MoveCause.DONE)
                self._finish_job()
        else:
            self._free.clear()
            if self._controller.is_down and self._is_settled:
                self._move(MoveCause.FAULT)
                if self.state.main is MainState.ERROR:
                    self._finish_job()

    # --- inside ---------------------------------------------------------------------------

    def _new_job(self, asked: JobAsked) -> Job:
        prepared = self.state.prepared
        name = asked.recipe or asked.product or (prepared[-1] if prepared else "")
        if name and name not in prepared:
            self.recipe(name)
            raise RecipeError(f"recipe {name!r} is not prepared", NOT_PREPARED)
        version = self._in_force().get(name, "")
        job_id = f"{self._controller.boot_id}-job{next(self._numbers)}"
        return Job(job_id, name, asked.part_id or job_id, asked.meas_id, recipe_version=version)

    def _begin(self, job: Job, state: VisionState, transitions: tuple[str, ...]) -> None:
        self._job, self._is_exposed = job, False
        self._show(state, transitions)
        self._tell(JobNotice("JobStarted", job.job_id))

    def _finish_job(self) -> None:
        """The next job may start, unless the system left its automatic mode meanwhile."""
        if self._job is None or self.state.executes:
            return
        job, self._job = self._job, None
        if self._looping is not None:
            self._looping.cancel()
        if self.state.automatic is AutomaticState.READY:
            self._tell(JobNotice("Ready", job.job_id))

    async def _continuous(self, job: Job) -> None:
        takt_s, loop = self._settings.continuous_ms / 1000, asyncio.get_running_loop()
        for number in itertools.count(1):
            while not self._controller.is_ready:
                self._free.clear()
                await self._free.wait()
            began = loop.time()
            part = replace(job, part_id=f"{job.part_id}-{number}")
            await asyncio.shield(self._controller.trigger(part))
            await asyncio.sleep(max(0.0, takt_s - (loop.time() - began)))

    async def _end_loop(self) -> None:
        if self._looping is not None:
            self._looping.cancel()
            await asyncio.gather(self._looping, return_exceptions=True)

    def _move(self, cause: MoveCause, recipe: str = "") -> None:
        self._show(*step(self.state, cause, recipe))

    def _show(self, state: VisionState, transitions: tuple[str, ...]) -> None:
        self.state = state
        for name in transitions:
            log.info("vision.moved", transition=name)
            self._tell(Moved(name, state))
            if name.endswith("ToErrorAuto"):
                fault = self._controller.fault
                words = f"fault {fault.value} {fault.name}" if fault else "the gateway is away"
                self._tell(ErrorNotice(name, False, words))
            elif name == "ErrorToOperationalAuto":
                self._tell(ErrorNotice(name, True, "the gateway is ready again"))
