"""Builds a classifier by its kind, from the options that a deployment was given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from serving.errors import ServeConfigError
from serving.extensions import named_function
from serving.naming.base import Classifier, OnLate
from serving.naming.cascade import CascadeClassifier, Stage
from serving.naming.endpoint import Endpoint
from serving.naming.references import NoReferences, RandomReferences, ReferenceProvider
from serving.naming.settings import ClassifierSettings, EndpointSettings, VisualSettings
from serving.naming.velm import VelmClassifier
from serving.naming.visual import encode

Bundles = Mapping[str, Path]
"""Folder of the exemplar bundle by product."""
LOCAL = "prototypes"


def build_classifier(
    kind: str, options: Mapping[str, object], bundles: Bundles, on_late: OnLate | None = None
) -> Classifier:
    """The classifier of ``kind``, not yet started.

    Args:
        kind: ``prototypes``, ``velm``, ``cascade``, or ``module:function`` of a builder of one's
            own, which is called with ``options`` and ``bundles``.
        options: what the builder of that kind takes.
        bundles: folder of the exemplar bundle by product.
        on_late: told of calls that outlive their deadline.

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
                return build_velm(options, bundles, on_late)
            case "cascade":
                return build_cascade(options, bundles, on_late)
    except (TypeError, ValueError) as error:
        raise ServeConfigError(f"classifier.options of {kind!r}: {error}") from error
    raise ServeConfigError(
        f"classifier.kind: {kind!r} is none of prototypes, velm, cascade, and no 'module:function'"
    )


def build_velm(
    options: Mapping[str, object], bundles: Bundles, on_late: OnLate | None = None
) -> Classifier:
    """The multimodal classifier. ``options``: ``endpoints``, ``endpoint``, ``velm``.

    Raises:
        ValueError: an option is missing or wrong; the message names it.
    """
    return _velm(_read("velm", options), "", bundles, on_late, "velm")


def build_cascade(
    options: Mapping[str, object], bundles: Bundles, on_late: OnLate | None = None
) -> Classifier:
    """Stages in ``cascade.order``. ``options`` as for VELM, and ``cascade``, ``prototypes``.

    Raises:
        ValueError: an option is missing or wrong; the message names it.
    """
    rest = {name: value for name, value in options.items() if name != LOCAL}
    local = options.get(LOCAL, {})
    if not isinstance(local, Mapping):
        raise ValueError("prototypes: expected options of the local classifier")
    settings = _read("cascade", rest)
    stages = []
    for name in settings.cascade.order:
        classifier = (
            _prototypes(local, bundles)
            if name == LOCAL
            else _velm(settings, name, bundles, on_late, name)
        )
        stages.append(Stage(classifier, settings.cascade.thresholds.get(name, 0.0)))
    return CascadeClassifier(stages, settings.cascade)


def serve_options(settings: ClassifierSettings) -> dict[str, Any]:
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
    hidden: Any = {"endpoints": {"__all__": {"api_key", "headers"}}, "kind": True}
    return settings.model_dump(mode="json", exclude=hidden)


def twin_options(base_url: str, **endpoint: Any) -> dict[str, Any]:
    """``classifier.options`` for VELM or a cascade over a local twin at ``base_url``."""
    twin = {"name": "twin", "base_url": base_url, "model": "twin", "zone": "loopback"}
    return {
        "endpoints": [{**twin, "logprobs": True, **endpoint}],
        "cascade": {"order": [LOCAL, "twin"]},
    }


def _read(kind: Literal["velm", "cascade"], options: Mapping[str, object]) -> ClassifierSettings:
    fields: dict[str, Any] = dict(options)
    try:
        return ClassifierSettings(**(fields | {"kind": kind}))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, e['loc'])) or 'options'}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)
        ]
        raise ValueError("; ".join(problems)) from None


def _velm(
    settings: ClassifierSettings, name: str, bundles: Bundles, late: OnLate | None, stage: str
) -> VelmClassifier:
    wanted = name or settings.endpoint or settings.endpoints[0].name
    endpoint = next(e for e in settings.endpoints if e.name == wanted)
    references = _references(settings.velm.protocol == "velm", bundles)
    return VelmClassifier(Endpoint(endpoint), settings.velm, references, name=stage, on_late=late)


def _references(at_random: bool, bundles: Bundles) -> ReferenceProvider:
    if not bundles:
        return NoReferences()
    if not at_random:
        return _NearestInBundle(bundles)
    from serving.naming.exemplars import load_bundle

    found = {product: load_bundle(path).normals for product, path in bundles.items()}
    return RandomReferences({p: n.images for p, n in found.items() if n is not None})


def _prototypes(options: Mapping[str, Any], bundles: Bundles) -> Classifier:
    from serving.naming.prototypes import PrototypeClassifier

    return PrototypeClassifier(bundles, **options)


class _NearestInBundle:
    """The bundle's normal picture nearest to the query by the backbone's embedding."""

    def __init__(self, bundles: Bundles) -> None:
        from serving.naming.prototypes import BundleReferences

        self._products = tuple(bundles)
        self._bundles = BundleReferences(bundles)

    def prepare(self) -> None:
        """Compile the backbone now: it takes seconds, more than a part has."""
        for product in self._products:
            self._bundles.nearest_reference(product, _blank())

    def reference(self, product_id: str, image: bytes) -> bytes | None:
        """See ``ReferenceProvider``."""
        return self._bundles.nearest_reference(product_id, image)


def _blank() -> bytes:
    return encode(np.zeros((8, 8, 3), dtype=np.uint8), VisualSettings())
