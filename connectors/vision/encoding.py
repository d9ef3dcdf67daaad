"""Results, recipes and states as the standard's structures; no field of theirs is left Null.

The classes of ``ua`` are made when the types are loaded, so they are looked up by name here.
"""

from datetime import timedelta
from typing import Final

from asyncua import ua

from connectors.vision.jobs import Job, JobResult
from connectors.vision.notices import RecipeInForce
from connectors.vision.states import MainState, VisionState

COMPLETED, FAILED = 1, 4
"""``ResultState``: somebody decided, or the part is held because nobody did."""
_SYSTEM_STATES: Final = {
    MainState.PREOPERATIONAL: 6,  # NST: non-scheduled time
    MainState.HALTED: 4,  # SDT: scheduled downtime
    MainState.ERROR: 5,  # UDT: unscheduled downtime
    MainState.OPERATIONAL: 2,  # SBY: stand by
}
_PRODUCTION: Final = 1
_BINARY: Final = ua.VariantType.ExtensionObject


def structure(name: str, **fields: object) -> object:
    """A structure of a data type, by its name."""
    made: object = getattr(ua, name)(**fields)
    return made


def named(kind: str, identity: str) -> object:
    """One of the structures that are an identity in the first place."""
    return structure(kind, Id=identity)


def recipe_inside(name: str, version: str) -> object:
    """A recipe by its name inside: its name, and the hash of its product's policy in force."""
    return structure(
        "RecipeIdInternalDataType",
        Id=f"{name}@{version}" if version else name,
        Version=version,
        Description=ua.LocalizedText(name),
    )


def recipe_outside(name: str) -> object:
    """A recipe by its name outside."""
    return named("RecipeIdExternalDataType", name)


def internal(recipe: RecipeInForce) -> object:
    """A recipe by its name inside."""
    return recipe_inside(recipe.name, recipe.version)


def configuration_id(station: str, version: str) -> object:
    """The one configuration of a station: what runs there."""
    return structure("ConfigurationIdDataType", Id=station, Version=version)


def content_of(result: JobResult) -> list[ua.Variant]:
    """What was decided: action, its code, reason, its code, source, class number, score."""
    source = result.source.value if result.source else ""
    return [
        ua.Variant(result.code.name.lower(), ua.VariantType.String),
        ua.Variant(int(result.code), ua.VariantType.UInt16),
        ua.Variant(result.reason.name.lower(), ua.VariantType.String),
        ua.Variant(int(result.reason), ua.VariantType.UInt16),
        ua.Variant(source, ua.VariantType.String),
        ua.Variant(result.class_id, ua.VariantType.Int32),
        ua.Variant(result.score, ua.VariantType.Float),
    ]


def result_fields(result: JobResult, configuration: object) -> dict[str, object]:
    """A result, by the names that ResultReadyEventType and ResultDataType have in common."""
    job = result.job
    exposed = result.exposed_at or result.decided_at
    return {
        "ResultId": named("ResultIdDataType", result.result_id),
        "IsPartial": False,
        "IsSimulated": result.is_simulated,
        "ResultState": COMPLETED if result.is_decided else FAILED,
        "MeasId": named("MeasIdDataType", job.meas_id),
        "PartId": named("PartIdDataType", job.part_id),
        "ExternalRecipeId": recipe_outside(job.recipe),
        "InternalRecipeId": recipe_inside(job.recipe, job.recipe_version),
        "ProductId": named("ProductIdDataType", job.product_id),
        "ExternalConfigurationId": configuration,
        "InternalConfigurationId": configuration,
        "JobId": named("JobIdDataType", job.job_id),
        "CreationTime": result.decided_at,
        "ProcessingTimes": structure(
            "ProcessingTimesDataType",
            StartTime=result.started_at,
            EndTime=result.decided_at,
            AcquisitionDuration=_ms(exposed - result.started_at),
            ProcessingDuration=_ms(result.decided_at - exposed),
        ),
        "ResultContent": content_of(result),
    }


def result_structure(result: JobResult, configuration: object) -> object:
    """The same as a ResultDataType."""
    fields = result_fields(result, configuration)
    return structure("ResultDataType", HasTransferableDataOnFile=False, **fields)


def vision_fields(
    configuration: object, cause: str, job: Job | None, result_id: str = ""
) -> dict[str, ua.Variant]:
    """What VisionEventType has, as much of it as there is: without a job only the cause."""
    found: dict[str, object] = {
        "CausePath": cause,
        "ExternalConfigurationId": configuration,
        "InternalConfigurationId": configuration,
    }
    if job is not None:
        found |= {
            "MeasId": named("MeasIdDataType", job.meas_id),
            "PartId": named("PartIdDataType", job.part_id),
            "ExternalRecipeId": recipe_outside(job.recipe),
            "InternalRecipeId": recipe_inside(job.recipe, job.recipe_version),
            "ProductId": named("ProductIdDataType", job.product_id),
            "JobId": named("JobIdDataType", job.job_id),
        }
    if result_id:
        found["ResultId"] = named("ResultIdDataType", result_id)
    return {name: variant(name, value) for name, value in found.items()}


VARIANT_TYPES: Final = {
    "CausePath": ua.VariantType.String,
    "IsPartial": ua.VariantType.Boolean,
    "IsSimulated": ua.VariantType.Boolean,
    "ResultState": ua.VariantType.Int32,
    "CreationTime": ua.VariantType.DateTime,
    "ResultContent": ua.VariantType.Variant,
}
"""By field; the others are structures."""


def variant(name: str, value: object) -> ua.Variant:
    """A field's value with its type."""
    return ua.Variant(value, VARIANT_TYPES.get(name, _BINARY))


def system_state(state: VisionState) -> object:
    """``SystemState``: production while a job runs, else what the machine says."""
    number = _PRODUCTION if state.executes else _SYSTEM_STATES[state.main]
    words = state.main.value if state.automatic is None else state.automatic.value
    value = ua.SystemStateDataType(number)
    return structure("SystemStateDescriptionDataType", State=value, StateDescription=words)


def _ms(span: timedelta) -> float:
    return max(span.total_seconds() * 1000, 0.0)
