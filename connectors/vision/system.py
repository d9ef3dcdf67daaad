"""The vision system: what its methods do, and what it tells. No OPC UA, no network.

It joins the state machines to the controller that gives the triggers. Whatever a client or the
gateway does becomes notices, in order, for whoever shows them.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from connectors.vision.controller import ControllerEvents, JobController, NotReadyError
from connectors.vision.jobs import Job, JobResult
from connectors.vision.notices import (
    NO_RECIPE,
    NOT_PREPARED,
    REFUSED_BY_A_STAGE,
    STOP_ASKED,
    DiagnosticNotice,
    ErrorNotice,
    InformationNotice,
    JobAsked,
    JobNotice,
    Moved,
    Notice,
    RecipeError,
    RecipeInForce,
    RecipeNotice,
)
from connectors.vision.settings import VisionServerSettings
from connectors.vision.states import AutomaticState, MoveCause, VisionState, step
from streams.codes import FaultCode

log = structlog.get_logger(__name__)
SETTLE_S = 3.0
"""A fault of the gateway while it starts, such as a camera that opens, counts after this long."""
PREPARE_WAIT_S = 2.0
"""PrepareRecipe answers after so long at the latest; then RecipePrepared says when it is done."""


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
        self._changing: set[asyncio.Task[None]] = set()
        self._free = asyncio.Event()
        self._informed = (FaultCode.NONE, False)
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
        for task in self._changing:
            task.cancel()
        await asyncio.gather(*self._changing, return_exceptions=True)
        await self._end_loop()

    # --- methods: each raises NotNowError where the state does not allow it ----------------

    async def prepare(self, name: str) -> tuple[RecipeInForce, bool]:
        """PrepareRecipe: jobs may use the recipe, once every stage has it.

        Returns:
            The recipe, and whether it is prepared; otherwise a notice follows when it is.

        Raises:
            RecipeError: there is none, or a stage cannot have it.
        """
        found = self.recipe(name)
        step(self.state, MoveCause.PREPARED, found.name)
        if not found.number:
            self._prepared(found)
            return found, True
        changing = asyncio.create_task(self._change_over(found), name="change-over")
        self._changing.add(changing)
        changing.add_done_callback(self._changing.discard)
        done, _ = await asyncio.wait({changing}, timeout=PREPARE_WAIT_S)
        if done:
            changing.result()
        return found, bool(done)

    def unprepare(self, name: str) -> RecipeInForce:
        """UnprepareRecipe: jobs may use it no longer. Raises ``RecipeError``: it was not."""
        if name not in self.state.prepared:
            raise RecipeError(f"recipe {name!r} is not prepared", NOT_PREPARED)
        self._move(MoveCause.UNPREPARED, name)
        return self.recipe(name)

    def recipe(self, name: str) -> RecipeInForce:
        """The recipe of a name. Raises ``RecipeError``: there is none with a policy in force."""
        for found in self.recipes():
            if found.name == name:
                return found
        raise RecipeError(f"there is no recipe {name!r} with a policy in force", NO_RECIPE)

    def recipes(self) -> list[RecipeInForce]:
        """All recipes whose product has a policy in force, by name."""
        in_force, configured = self._in_force(), self._controller.config.recipes
        if not configured:
            return [RecipeInForce(name, name, hash_) for name, hash_ in sorted(in_force.items())]
        found = [
            RecipeInForce(recipe.called, recipe.product, in_force[recipe.product], number)
            for number, recipe in configured.items()
            if recipe.product in in_force
        ]
        return sorted(found, key=lambda one: one.name)

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
        if self._controller.asks_to_stop:
            raise RecipeError("a limit asks the line to stop; Reset ends that", STOP_ASKED)
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
        if not result.is_decided:
            self._tell(DiagnosticNotice(result))
        self._look()

    def _settled(self) -> None:
        self._is_settled = True
        self._look()

    def _look(self) -> None:
        """The gateway wrote something: the machines follow."""
        self._inform()
        if self._controller.is_down:
            self._free.clear()
            if self._is_settled:
                self._move(MoveCause.FAULT)
                self._finish_job()
            return
        if self._controller.is_ready or self._controller.config.recipes:
            # where recipes are configured the gateway is not ready before one is prepared
            self._is_settled = True
            self._move(MoveCause.AVAILABLE)
        is_continuous = self.state.automatic is AutomaticState.CONTINUOUS_EXECUTION
        if self._controller.is_ready:
            self._free.set()
            if self._is_exposed and self.state.executes and not is_continuous:
                self._move(MoveCause.DONE)
        if is_continuous and self._controller.asks_to_stop:
            log.warning("vision.stopped_by_a_limit")
            self._move(MoveCause.DONE)
        self._finish_job()

    def _inform(self) -> None:
        """Tell which faults with which jobs go on came and went, and that the line shall stop."""
        fault, asks = self._controller.small_fault, self._controller.asks_to_stop
        before, asked = self._informed
        self._informed = (fault, asks)
        told = []
        if before and fault is not before:
            told.append(("gateway", f"fault {before.value} {before.name} is over"))
        if fault and fault is not before:
            told.append(("gateway", f"fault {fault.value} {fault.name}"))
        if asks is not asked:
            words = "asks the line to stop" if asks else "no longer asks the line to stop"
            told.append(("limits", f"a limit {words}"))
        for cause, words in told:
            self._tell(InformationNotice(cause, words, self._job))

    # --- inside ---------------------------------------------------------------------------

    def _new_job(self, asked: JobAsked) -> Job:
        found = self._chosen(asked)
        job_id = f"{self._controller.boot_id}-job{next(self._numbers)}"
        return Job(
            job_id,
            found.product_id,
            asked.part_id or job_id,
            found.name,
            asked.meas_id,
            recipe_version=found.version,
        )

    def _chosen(self, asked: JobAsked) -> RecipeInForce:
        """By the recipe's name, else by its product, else the one prepared last."""
        known = {recipe.name: recipe for recipe in self.recipes()}
        for found in (known[name] for name in reversed(self.state.prepared) if name in known):
            wanted = asked.recipe or asked.product or found.name
            if wanted == found.name or (not asked.recipe and wanted == found.product_id):
                return found
        wanted = asked.recipe or asked.product
        if asked.recipe:
            self.recipe(wanted)
        raise RecipeError(f"recipe {wanted!r} is not prepared", NOT_PREPARED)

    async def _change_over(self, recipe: RecipeInForce) -> None:
        """Until every stage has the recipe. Raises ``RecipeError``: one cannot have it."""
        try:
            async with asyncio.timeout(self._controller.config.recipe_timeout_s + 1):
                fault = await self._controller.request_recipe(recipe.number)
                if not fault:
                    await self._until_ready()
        except TimeoutError:
            fault = FaultCode.RECIPE_TIMEOUT
        if fault:
            why = f"recipe {recipe.name!r} was refused: {fault.name}"
            raise RecipeError(why, REFUSED_BY_A_STAGE - fault)
        self.state = replace(self.state, prepared=())  # one recipe is in force at a time
        self._prepared(recipe)

    def _prepared(self, recipe: RecipeInForce) -> None:
        self._move(MoveCause.PREPARED, recipe.name)
        self._tell(RecipeNotice(recipe))

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
            await self._until_ready()
            began = loop.time()
            part = replace(job, part_id=f"{job.part_id}-{number}")
            await asyncio.shield(self._controller.trigger(part))
            await asyncio.sleep(max(0.0, takt_s - (loop.time() - began)))

    async def _until_ready(self) -> None:
        while not self._controller.is_ready:
            self._free.clear()
            await self._free.wait()

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
