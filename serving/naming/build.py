"""Builds a classifier by its kind, from the options that a deployment was given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from serving.errors import ServeConfigError
from serving.extensions import named_function
from serving.naming.base import Classifier
from serving.naming.cascade import CascadeClassifier, CascadeStage
from serving.naming.endpoint import Endpoint
from serving.naming.guard import CallBill, HourlyBudget
from serving.naming.references import NoReferences, RandomReferences, ReferenceProvider
from serving.naming.settings import BudgetSettings, ClassifierSettings, EndpointSettings
from serving.naming.velm import VelmClassifier

Bundles = Mapping[str, Path]
"""Folder of the exemplar bundle by product."""
LOCAL = "prototypes"
_BUDGETS: dict[tuple[str, str, str], HourlyBudget] = {}
"""By name, address and model of an endpoint."""


def build_classifier(
    kind: str, options: Mapping[str, object], bundles: Bundles, replicas: int = 1
) -> Classifier:
    """The classifier of ``kind``, not yet started.

    Args:
        kind: ``prototypes``, ``velm``, ``cascade``, or ``module:function`` of a builder of one's
            own, which is called with ``options`` and ``bundles``.
        options: what the classifier of that kind takes: ``prototypes`` the arguments of
            ``PrototypeClassifier``, ``velm`` the fields ``endpoints``, ``endpoint`` and ``velm`` of
            ``ClassifierSettings``, ``cascade`` those with ``cascade`` and ``prototypes``.
        bundles: folder of the exemplar bundle by product.
        replicas: how many such classifiers share an endpoint's budget and places.

    Raises:
        ServeConfigError: the kind is unknown or its options do not fit.
    """
    if ":" in kind:
        found = named_function(kind, "classifier.kind")(options, bundles)
        if not isinstance(found, Classifier):
            raise ServeConfigError(f"classifier.kind: {kind!r} did not build a classifier")
        return found
    try:
        match kind:
            case "prototypes":
                return _prototypes(options, bundles)
            case "velm":
                return _velm(_read("velm", options, replicas), bundles)
            case "cascade":
                return _cascade(options, bundles, replicas)
    except (TypeError, ValueError) as error:
        raise ServeConfigError(f"classifier.options of {kind!r}: {error}") from error
    raise ServeConfigError(
        f"classifier.kind: {kind!r} is none of prototypes, velm, cascade, and no 'module:function'"
    )


def serve_options(settings: ClassifierSettings) -> dict[str, object]:
    """Andon's settings as ``classifier.options`` of ``infra/serve.yaml``: JSON, without secrets.

    Raises:
        ValueError: an endpoint holds its key itself; it would show in Ray's configuration.
    """
    if settings.kind == LOCAL:
        return {}
    for endpoint in settings.endpoints:
        if endpoint.headers or endpoint.api_key != EndpointSettings.model_fields["api_key"].default:
            raise ValueError(
                f"endpoint {endpoint.name!r}: name the key's environment variable in api_key_env; "
                "a key or header given directly would be readable in Ray's dashboard"
            )
    return settings.model_dump(
        mode="json", exclude={"endpoints": {"__all__": {"api_key", "headers"}}, "kind": True}
    )


def asks_endpoints(kind: str) -> bool:
    """Whether a classifier of this kind asks endpoints, which all replicas share."""
    return kind in ("velm", "cascade")


def bills() -> dict[str, CallBill]:
    """What the calls of this process took, by the endpoint's name."""
    return {name: budget.bill for (name, *_), budget in _BUDGETS.items()}


def _read(
    kind: Literal["velm", "cascade"], options: Mapping[str, object], replicas: int
) -> ClassifierSettings:
    try:
        found = ClassifierSettings.model_validate({**options, "kind": kind})
        endpoints = tuple(endpoint.shared_by(replicas) for endpoint in found.endpoints)
        return found.model_copy(update={"endpoints": endpoints})
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, e['loc'])) or 'options'}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)
        ]
        raise ValueError("; ".join(problems)) from None


def _prototypes(options: Mapping[str, object], bundles: Bundles) -> Classifier:
    from serving.naming.prototypes import PrototypeClassifier

    return PrototypeClassifier(bundles, **options)  # type: ignore[arg-type]


def _velm(settings: ClassifierSettings, bundles: Bundles, stage: str = "") -> Classifier:
    """Over the endpoint that the cascade's ``stage`` names, else over the one configured."""
    wanted = stage or settings.endpoint or settings.endpoints[0].name
    endpoint = next(e for e in settings.endpoints if e.name == wanted)
    references = _references(settings.velm.protocol == "velm", bundles)
    spent = _budget(endpoint.name, endpoint.base_url, endpoint.model, endpoint.budget)
    asked = Endpoint(endpoint, budget=spent)
    return VelmClassifier(asked, settings.velm, references, name=stage or "velm")


def _budget(name: str, base_url: str, model: str, settings: BudgetSettings) -> HourlyBudget:
    """The process's budget of an endpoint: new exemplars or another number of replicas build the
    classifier anew, and the hour goes on."""
    found = _BUDGETS.setdefault((name, base_url, model), HourlyBudget(settings))
    found.settings = settings
    return found


def _cascade(options: Mapping[str, object], bundles: Bundles, replicas: int) -> Classifier:
    local = options.get(LOCAL, {})
    if not isinstance(local, Mapping):
        raise ValueError("prototypes: expected options of the local classifier")
    settings = _read("cascade", {n: v for n, v in options.items() if n != LOCAL}, replicas)
    stages = []
    for name in settings.cascade.order:
        own = _prototypes(local, bundles) if name == LOCAL else _velm(settings, bundles, name)
        least = settings.cascade.thresholds.get(name, 0.0)
        stages.append(CascadeStage(own, least, is_remote=name != LOCAL))
    return CascadeClassifier(stages, settings.cascade)


def _references(at_random: bool, bundles: Bundles) -> ReferenceProvider:
    if not bundles:
        return NoReferences()
    if not at_random:
        from serving.naming.prototypes import NearestReferences

        return NearestReferences(bundles)
    from serving.naming.exemplars import load_bundle

    found = {product: load_bundle(path).normals for product, path in bundles.items()}
    return RandomReferences({p: [n.image for n in normals] for p, normals in found.items()})
