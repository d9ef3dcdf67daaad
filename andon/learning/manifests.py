"""What an expert's manifest says, as the console shows it; older manifests say less. Pure."""

from collections.abc import Mapping, Sequence

from andon.learning.versions import number_of, section_of
from console.model_versions import (
    OddestShown,
    RateShown,
    ScoreHistogram,
    VersionDetail,
)
from history.model_log import DayOfUse, ModelChange, ShadowCount
from serving.expert_versions import Version


def described_detail(
    version: Version,
    manifest: Mapping[str, object],
    changes: Sequence[ModelChange],
    shadows: Sequence[ShadowCount],
    days: Sequence[DayOfUse],
    unknown: Sequence[str],
) -> VersionDetail:
    """Everything that is recorded of a version.

    Args:
        changes: of the audit, those that it took part in, the latest first.
        shadows: what it said in the shadow.
        days: what it decided.
        unknown: what could not be found out.
    """
    trained, calibration = section_of(manifest, "trained"), section_of(manifest, "calibration")
    sensitivity, choice = section_of(trained, "sensitivity"), section_of(trained, "choice")
    heads = section_of(choice, "heads")
    return VersionDetail(
        version=version,
        threshold=number_of(calibration.get("threshold")),
        rate=number_of(calibration.get("rate")),
        histogram=_histogram(section_of(calibration, "histogram")),
        at_rates=_rates(sensitivity, section_of(trained, "taught")),
        by_kind=_numbers(section_of(sensitivity, "by_kind")),
        heads={name: str(section_of(heads, name).get("why", "")) for name in heads},
        oddest=tuple(
            OddestShown(
                row=int(number_of(odd.get("row")) or 0),
                part=str(odd.get("group", "")),
                file=str(odd.get("file", "")),
                score=number_of(odd.get("score")) or 0.0,
            )
            for odd in _rows(sensitivity.get("oddest"))
        ),
        has_pictures="training_sha256" in manifest,
        warnings=tuple(str(words) for words in _list(trained.get("warnings"))),
        options=_texts(section_of(trained, "options")),
        libraries=_texts(section_of(trained, "libraries")),
        changes=tuple(changes),
        shadows=tuple(shadows),
        days=tuple(days),
        unknown=tuple(unknown),
    )


def _histogram(stated: Mapping[str, object]) -> ScoreHistogram | None:
    first, width = number_of(stated.get("first")), number_of(stated.get("width"))
    parts = tuple(number_of(count) or 0.0 for count in _list(stated.get("parts")))
    if first is None or not width or not parts:
        return None
    return ScoreHistogram(first=first, width=width, parts=parts)


def _rates(
    sensitivity: Mapping[str, object], taught: Mapping[str, object]
) -> tuple[RateShown, ...]:
    """The curve over rates: of the taught expert where it was taught, else of the trained one."""
    local = {row.get("asked_rate"): row.get("local") for row in _rows(sensitivity.get("at_rates"))}
    found = _rows(taught.get("at_rates")) or _rows(sensitivity.get("at_rates"))
    return tuple(
        RateShown(
            asked_rate=number_of(row.get("asked_rate")) or 0.0,
            threshold=number_of(row.get("threshold")) or 0.0,
            false_alarms=_share(row, "false_alarms", "share"),
            low=_share(row, "false_alarms", "low"),
            high=_share(row, "false_alarms", "high"),
            found=number_of(local.get(row.get("asked_rate"))) or 0.0,
            classes=_shares(section_of(row, "classes")),
            untaught=_shares(section_of(row, "before")),
        )
        for row in found
    )


def _share(row: Mapping[str, object], name: str, part: str) -> float:
    return number_of(section_of(row, name).get(part)) or 0.0


def _shares(found: Mapping[str, object]) -> dict[str, float]:
    return {name: _share(found, name, "share") for name in found}


def _numbers(found: Mapping[str, object]) -> dict[str, float]:
    return {name: number_of(value) or 0.0 for name, value in found.items()}


def _texts(found: Mapping[str, object]) -> dict[str, str]:
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in found.items()
        if value is not None
    }


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _rows(value: object) -> list[Mapping[str, object]]:
    return [row for row in _list(value) if isinstance(row, dict)]
