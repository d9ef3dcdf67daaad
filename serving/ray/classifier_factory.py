"""Builders of classifier stages by kind; each imports its classifier when it is asked for."""

from collections.abc import Callable, Mapping
from pathlib import Path

from serving.errors import ServeConfigError
from serving.naming.base import Classifier, OnLate
from serving.ray.models import imported
from serving.ray.settings import ClassifierSettings

Bundles = Mapping[str, Path]
"""Folder of the exemplar bundle by product."""
Builder = Callable[[Mapping[str, object], Bundles, OnLate | None], Classifier]


def build_classifier(
    settings: ClassifierSettings, bundles: Bundles, on_late: OnLate | None = None
) -> Classifier:
    """The classifier that ``settings`` describe, not yet started.

    ``on_late`` is told of calls that outlive their deadline (:func:`answers_late`).

    Raises:
        ServeConfigError: the kind is unknown or its options do not fit.
    """
    return build_kind(settings.kind, settings.options, bundles, on_late)


def answers_late(kind: str) -> bool:
    """Whether classifiers of this kind may answer after their deadline: those over a network."""
    return kind in ("velm", "cascade")


def build_kind(
    kind: str, options: Mapping[str, object], bundles: Bundles, on_late: OnLate | None = None
) -> Classifier:
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
        return builder(options, bundles, on_late)
    except (TypeError, ValueError) as error:
        raise ServeConfigError(f"classifier.options of {kind!r}: {error}") from error


def _prototypes(
    options: Mapping[str, object], bundles: Bundles, on_late: OnLate | None
) -> Classifier:
    from serving.naming.prototypes import PrototypeClassifier

    return PrototypeClassifier(bundles, **options)  # type: ignore[arg-type]


def _velm(options: Mapping[str, object], bundles: Bundles, on_late: OnLate | None) -> Classifier:
    from serving.naming.build import build_velm

    return build_velm(options, bundles, on_late)


def _cascade(options: Mapping[str, object], bundles: Bundles, on_late: OnLate | None) -> Classifier:
    from serving.naming.build import build_cascade

    return build_cascade(options, bundles, on_late)


_BUILDERS: dict[str, Builder] = {"prototypes": _prototypes, "velm": _velm, "cascade": _cascade}
