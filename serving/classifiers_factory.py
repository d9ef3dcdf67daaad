"""Builders of classifier stages by kind; each imports its classifier when it is asked for."""

from collections.abc import Callable, Mapping
from pathlib import Path

from serving.classifiers.base import Classifier
from serving.errors import ServeConfigError
from serving.models import imported
from serving.settings import ClassifierSettings

Bundles = Mapping[str, Path]
"""Folder of the exemplar bundle by product."""
Builder = Callable[[Mapping[str, object], Bundles], Classifier]


def build_classifier(settings: ClassifierSettings, bundles: Bundles) -> Classifier:
    """The classifier that ``settings`` describe, not yet started.

    Raises:
        ServeConfigError: the kind is unknown or its options do not fit.
    """
    return build_kind(settings.kind, settings.options, bundles)


def build_kind(kind: str, options: Mapping[str, object], bundles: Bundles) -> Classifier:
    """As :func:`build_classifier`, for one stage of a cascade."""
    builder = _BUILDERS.get(kind)
    if builder is None:
        if ":" not in kind:
            known = ", ".join(_BUILDERS)
            raise ServeConfigError(
                f"classifier.kind: {kind!r} is none of {known}, and no 'module:function'"
            )
        found = imported(kind, "classifier.kind")(options, bundles)
        if not isinstance(found, Classifier):
            raise ServeConfigError(f"classifier.kind: {kind!r} did not build a classifier")
        return found
    try:
        return builder(options, bundles)
    except (TypeError, ValueError) as error:
        raise ServeConfigError(f"classifier.options of {kind!r}: {error}") from error


def _prototypes(options: Mapping[str, object], bundles: Bundles) -> Classifier:
    from serving.classifiers.prototypes import PrototypeClassifier

    return PrototypeClassifier(bundles, **options)  # type: ignore[arg-type]


def _velm(options: Mapping[str, object], bundles: Bundles) -> Classifier:
    from serving.classifiers.build import build_velm

    return build_velm(options, bundles)


def _cascade(options: Mapping[str, object], bundles: Bundles) -> Classifier:
    from serving.classifiers.build import build_cascade

    return build_cascade(options, bundles)


_BUILDERS: dict[str, Builder] = {"prototypes": _prototypes, "velm": _velm, "cascade": _cascade}
