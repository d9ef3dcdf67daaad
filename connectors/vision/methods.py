"""The methods that a client calls: arguments to plain values, answers to variants.

A method that the present state does not allow is refused with BadInvalidState. What a client asks
for in vain otherwise (no such recipe, an unknown result) is the method's own ``Error``, below 0.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from inspect import isawaitable
from typing import Final, TypeAlias, TypeVar

from asyncua import ua

from connectors.vision.address_space import MACHINES, VisionMethod
from connectors.vision.controller import NotReadyError
from connectors.vision.encoding import (
    internal,
    named,
    result_fields,
    result_structure,
    structure,
    variant,
)
from connectors.vision.jobs import JobResult
from connectors.vision.notices import NO_RECIPE, NOT_READY, JobAsked, RecipeError, RecipeInForce
from connectors.vision.states import MoveCause, NotNowError
from connectors.vision.system import VisionSystem

NO_RESULT: Final = -4
NO_CONFIGURATION: Final = -5
"""``Error`` of a result or configuration that is not there."""
_NOW: Final = ua.StatusCode(ua.StatusCodes.BadInvalidState)
_PREPARED: Final = {0: False, 1: True}
"""TriStateBoolean; 2 does not care."""
_INT32, _UINT32 = ua.VariantType.Int32, ua.VariantType.UInt32
_COMPONENTS: Final = (
    "IsPartial",
    "IsSimulated",
    "ResultState",
    "MeasId",
    "PartId",
    "ExternalRecipeId",
    "InternalRecipeId",
    "ProductId",
    "ExternalConfigurationId",
    "InternalConfigurationId",
    "JobId",
    "CreationTime",
    "ProcessingTimes",
    "ResultContent",
)
_FILTERED: Final = (
    "MeasId",
    "PartId",
    "ExternalRecipeId",
    "InternalRecipeId",
    "ExternalConfigurationId",
    "InternalConfigurationId",
    "ProductId",
    "JobId",
)
"""What a list of results may be asked for by, in the order of the method's arguments."""
Answer: TypeAlias = list[ua.Variant] | ua.StatusCode
T = TypeVar("T")


class Methods:
    """What each method does.

    Args:
        system: the station.
        configuration: a ConfigurationDataType, the one that is active.
        shown: returns once clients can see all that happened, so that the state that follows a call
            stands when its answer is sent.
    """

    def __init__(
        self,
        system: VisionSystem,
        configuration: object,
        shown: Callable[[], Awaitable[None]],
    ) -> None:
        self._system = system
        self._configuration = configuration
        self._shown = shown

    def by_path(self) -> Mapping[str, VisionMethod]:
        """Every method by its path below the vision system."""
        vision, automatic = MACHINES
        own: dict[str, Callable[..., Answer | Awaitable[Answer]]] = {
            f"{vision}.Halt": partial(self._moves, MoveCause.HALT),
            f"{vision}.Reset": partial(self._moves, MoveCause.RESET),
            f"{vision}.SelectModeAutomatic": partial(self._moves, MoveCause.SELECT_AUTOMATIC),
            f"{automatic}.StartSingleJob": partial(self._starts, self._system.start_single),
            f"{automatic}.StartContinuous": partial(self._starts, self._system.start_continuous),
            f"{automatic}.Stop": partial(self._ends, MoveCause.STOP),
            f"{automatic}.Abort": partial(self._ends, MoveCause.ABORT),
            "RecipeManagement.GetRecipeListFiltered": self._list_recipes,
            "RecipeManagement.PrepareRecipe": self._prepare,
            "RecipeManagement.UnprepareRecipe": self._unprepare,
            "ResultManagement.GetResultById": self._result,
            "ResultManagement.GetResultComponentsById": self._components,
            "ResultManagement.GetResultListFiltered": self._list_results,
            "ConfigurationManagement.ActivateConfiguration": self._activate,
            "ConfigurationManagement.GetConfigurationById": self._configuration_by_id,
            "ConfigurationManagement.GetConfigurationList": self._list_configurations,
        }
        return {path: self._method(one) for path, one in own.items()}

    def _method(self, call: Callable[..., Answer | Awaitable[Answer]]) -> VisionMethod:
        """What asyncua calls; a method that the state does not allow has the status of it."""

        async def called(parent: ua.NodeId, *given: ua.Variant) -> Answer:
            try:
                answer = call(*given)
                told = await answer if isawaitable(answer) else answer
            except NotNowError:
                return _NOW
            await self._shown()
            return told

        return called

    # --- state machines -------------------------------------------------------------------

    def _moves(self, cause: MoveCause, *_: ua.Variant) -> Answer:
        self._system.move(cause)
        return [_error(0)]

    def _ends(self, cause: MoveCause, *_: ua.Variant) -> Answer:
        self._system.end_job(cause)
        return [_error(0)]

    def _starts(
        self,
        start: Callable[[JobAsked], str],
        meas: ua.Variant,
        part: ua.Variant,
        recipe: ua.Variant,
        product: ua.Variant,
        _: ua.Variant,
    ) -> Answer:
        asked = JobAsked(_id(recipe), _id(product), _id(part), _id(meas))
        job_id, error = _tried(lambda: start(asked), "")
        return [variant("JobId", named("JobIdDataType", job_id)), _error(error)]

    # --- recipes --------------------------------------------------------------------------

    async def _prepare(self, outside: ua.Variant, inside: ua.Variant) -> Answer:
        found, is_done, error = None, False, 0
        try:
            found, is_done = await self._system.prepare(self._named(outside, inside))
        except RecipeError as refusal:
            error = refusal.code
        return [_recipe(found), ua.Variant(is_done, ua.VariantType.Boolean), _error(error)]

    def _unprepare(self, outside: ua.Variant, inside: ua.Variant) -> Answer:
        found, error = _tried(lambda: self._system.unprepare(self._named(outside, inside)), None)
        return [_recipe(found), _error(error)]

    def _named(self, outside: ua.Variant, inside: ua.Variant) -> str:
        """The name outside goes before the one inside, whose version must be in force."""
        if name := _id(outside):
            return name
        given = _id(inside)
        for recipe in self._system.recipes():
            if given in (recipe.name, f"{recipe.name}@{recipe.version}"):
                return recipe.name
        raise RecipeError(f"no recipe {given!r} is in force", NO_RECIPE)

    def _list_recipes(
        self,
        outside: ua.Variant,
        product: ua.Variant,
        prepared: ua.Variant,
        most: ua.Variant,
        start: ua.Variant,
        _: ua.Variant,
    ) -> Answer:
        name, product_id = _id(outside), _id(product)
        wanted = _PREPARED.get(int(prepared.Value if prepared.Value is not None else 2))
        found = [
            recipe
            for recipe in self._system.recipes()
            if name in ("", recipe.name)
            and product_id in ("", recipe.product_id)
            and (wanted is None or wanted == (recipe.name in self._system.state.prepared))
        ]
        return _listed([internal(one) for one in found], most, start)

    # --- results --------------------------------------------------------------------------

    def _result(self, asked: ua.Variant, _: ua.Variant) -> Answer:
        found = self._system.results.get(_id(asked))
        told = structure("ResultDataType")
        if found is not None:
            told = result_structure(found, self._configuration_id)
        error = 0 if found is not None else NO_RESULT
        return [_handle(), variant("Result", told), _error(error)]

    def _components(self, asked: ua.Variant, _: ua.Variant) -> Answer:
        found = self._system.results.get(_id(asked))
        if found is None:
            none = structure("ResultDataType")
            fields = {name: getattr(none, name) for name in _COMPONENTS}
        else:
            fields = result_fields(found, self._configuration_id)
        no_file = ua.Variant(False, ua.VariantType.Boolean)
        told = [variant(name, fields[name]) for name in _COMPONENTS]
        return [no_file, _handle(), *told, _error(0 if found is not None else NO_RESULT)]

    def _list_results(self, state: ua.Variant, *given: ua.Variant) -> Answer:
        *ids, most, start, _ = given
        wanted = [_id(one) for one in ids]
        found = [
            result_structure(result, self._configuration_id)
            for result in reversed(self._system.results.values())
            if self._fits(result, int(state.Value or 0), wanted)
        ]
        return _listed(found, most, start)

    def _fits(self, result: JobResult, state: int, wanted: Sequence[str]) -> bool:
        """Whether a result has the state, 0 for any, and each identity that is not empty."""
        fields = result_fields(result, self._configuration_id)
        is_state = state in (0, fields["ResultState"])
        pairs = zip(_FILTERED, wanted, strict=True)
        return is_state and all(
            not given or getattr(fields[name], "Id", "") == given for name, given in pairs
        )

    # --- configurations -------------------------------------------------------------------

    @property
    def _configuration_id(self) -> object:
        identity: object = getattr(self._configuration, "InternalId", None)
        return identity

    def _is_active(self, asked: ua.Variant) -> bool:
        return _id(asked) == getattr(self._configuration_id, "Id", "")

    def _activate(self, asked: ua.Variant) -> Answer:
        return [_error(0 if self._is_active(asked) else NO_CONFIGURATION)]

    def _configuration_by_id(self, asked: ua.Variant, _: ua.Variant) -> Answer:
        is_there = self._is_active(asked)
        told = self._configuration if is_there else structure("ConfigurationDataType")
        error = 0 if is_there else NO_CONFIGURATION
        return [_handle(), variant("Configuration", told), _error(error)]

    def _list_configurations(self, most: ua.Variant, start: ua.Variant, _: ua.Variant) -> Answer:
        return _listed([self._configuration], most, start)


def _tried(call: Callable[[], T], otherwise: T) -> tuple[T, int]:
    """What the call returns, and the ``Error`` of the method."""
    try:
        return call(), 0
    except RecipeError as error:
        return otherwise, error.code
    except NotReadyError:
        return otherwise, NOT_READY


def _id(given: ua.Variant) -> str:
    """The identity in a structure; empty where a client gives none."""
    return str(getattr(given.Value, "Id", None) or "").strip()


def _recipe(found: RecipeInForce | None) -> ua.Variant:
    told = internal(found) if found else structure("RecipeIdInternalDataType")
    return variant("InternalIdOut", told)


def _listed(found: list[object], most: ua.Variant, start: ua.Variant) -> list[ua.Variant]:
    first = int(start.Value or 0)
    page = found[first : first + int(most.Value)] if most.Value else found[first:]
    return [
        ua.Variant(first + len(page) >= len(found), ua.VariantType.Boolean),
        ua.Variant(len(page), _UINT32),
        _handle(),
        ua.Variant(page, ua.VariantType.ExtensionObject, is_array=True),
        _error(0),
    ]


def _handle() -> ua.Variant:
    """Nothing is held for a client, so there is nothing that it must release."""
    return ua.Variant(0, _UINT32)


def _error(code: int) -> ua.Variant:
    return ua.Variant(code, _INT32)
