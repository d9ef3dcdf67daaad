"""The paper's figures of a pipeline's answers, with time, money and escapes beside them."""

import csv
import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lab.velm.descriptions import write_released
from lab.velm.pipeline import ObjectRun, PipelineOptions
from lab.velm.pipeline_naming import AnsweredPicture, Call
from lab.velm.predictions import GOOD, Scores, our_matching, read_answers, score
from lab.velm.severity import score_severity
from serving.naming.base import NORMAL, UNKNOWN
from streams.codes import Action, Severity
from streams.events import Classification
from streams.ports import Situation

UNANSWERED: Final = "unanswered"
PREDICTIONS, DESCRIPTIONS = "predictions.json", "descriptions.json"
RESULT, PICTURES = "result.json", "pictures.csv"

COLUMNS: Final = (
    "key",
    "path",
    "truth",
    "answer",
    "passed",
    "score",
    "threshold",
    "confidence",
    "reason",
    "ms",
)

Answers = Mapping[str, Sequence[AnsweredPicture]]
"""The answered pictures of each object, by its name."""


@dataclass(frozen=True)
class PipelineResult:
    """One run's figures. Percent where the paper has percent; shares are 0 to 1."""

    scores: Scores
    ours: Scores
    """The same scores with our matching of names."""
    document: dict[str, Any]
    """All of it, for ``--json`` and ``result.json``."""


def predictions_of(runs: Sequence[ObjectRun], answers: Answers) -> dict[str, str]:
    """Key to answer, as in the released predictions: display names, ``good`` where passed."""
    return {
        answered.inspected.item.key: answer_of(run, answered)
        for run in runs
        for answered in answers[run.name]
    }


def answer_of(run: ObjectRun, answered: AnsweredPicture) -> str:
    """One picture's answer in the words of the descriptions."""
    if answered.inspected.passed:
        return GOOD
    if answered.classification is None:
        return UNANSWERED
    name = answered.classification.class_name
    return GOOD if name == NORMAL else run.described.label_of(name)


def summarise(
    runs: Sequence[ObjectRun],
    answers: Answers,
    options: PipelineOptions,
    folder: Path,
    resamples: int = 1000,
) -> PipelineResult:
    """Write predictions and descriptions into ``folder``, score them from there, add the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    predictions, descriptions = folder / PREDICTIONS, folder / DESCRIPTIONS
    body = json.dumps(predictions_of(runs, answers), indent=1, ensure_ascii=False)
    predictions.write_text(body + "\n", encoding="utf-8")
    write_released(descriptions, {run.name: run.described for run in runs})
    scores = score(read_answers(predictions, descriptions), resamples)
    pairs = read_answers(predictions, descriptions, our_matching)
    ours = score(pairs)
    everything = [a for run in runs for a in answers[run.name]]
    document = {
        **scores.as_json(),
        "mean_our_matching": ours.mean,
        "images": {name: scored.images for name, scored in scores.objects.items()},
        "gate": _gate(everything) if options.gate else None,
        "escapes": _escapes(runs, answers),
        "time": _times(everything, options),
        "spent": _spent(everything, options),
        "unknown": dict(_reasons(everything)),
        "unanswered": dict(Counter(a.failure for a in everything if a.failure)),
        "severity": score_severity(pairs, rounds=1).mean if _has_anomalies(everything) else None,
        "options": describe_options(options),
        "files": {"predictions": str(predictions), "descriptions": str(descriptions)},
    }
    _write_pictures(folder / PICTURES, runs, answers)
    (folder / RESULT).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return PipelineResult(scores, ours, document)


def describe_options(options: PipelineOptions) -> dict[str, object]:
    """What was run, without secrets."""
    endpoint = options.endpoint
    asked = options.asks_endpoint and endpoint is not None
    return {
        "classifier": options.classifier,
        "regions": options.regions,
        "gate": options.gate,
        "protocol": options.velm.protocol if asked else None,
        "parts": options.velm.parts.model_dump() if asked else None,
        "calls": options.velm.calls if asked else 0,
        "model": endpoint.model if asked and endpoint else None,
        "endpoint": endpoint.name if asked and endpoint else None,
        "shots": options.shots if options.teaches else None,
        "seed": options.seed,
        "expert": options.expert if options.regions == "expert" else None,
        "false_alarm_rate": options.false_alarm_rate if options.regions == "expert" else None,
    }


def _gate(everything: Sequence[AnsweredPicture]) -> dict[str, object]:
    """What the gate let through, and what it should not have passed."""
    normal = [a for a in everything if not a.inspected.item.sample.anomalous]
    odd = [a for a in everything if a.inspected.item.sample.anomalous]
    return {
        "passed": sum(a.inspected.passed for a in everything),
        "false_alarm_share": _share(not a.inspected.passed for a in normal),
        "missed_share": _share(a.inspected.passed for a in odd),
    }


def _escapes(runs: Sequence[ObjectRun], answers: Answers) -> dict[str, object]:
    """Anomalous pictures that end as good, split by who let them go; the mean over objects.

    With policies the share of the defects that would pass is given as well.
    """
    rows = [_object_escapes(run, answers[run.name]) for run in runs]
    found: dict[str, object] = {
        name: _mean([row[name] for row in rows if name in row])
        for name in ("gate", "classifier", "defects_passed_by_gate", "defects_passed_by_classifier")
        if any(name in row for row in rows)
    }
    return found


def _object_escapes(run: ObjectRun, answered: Sequence[AnsweredPicture]) -> dict[str, float]:
    odd = [a for a in answered if a.inspected.item.sample.anomalous]
    if not odd:
        return {}
    gate = _share(a.inspected.passed for a in odd)
    named = _share(not a.inspected.passed and answer_of(run, a) == GOOD for a in odd)
    found = {"gate": gate, "classifier": named}
    if run.described.policy is None:
        return found
    defects = [a for a in odd if _true_severity(run, a) is Severity.DEFECT]
    if defects:
        by_gate = [a.inspected.passed for a in defects]
        acted = [_acts(run, a) is Action.PASS for a in defects]
        found["defects_passed_by_gate"] = _share(by_gate)
        split = zip(by_gate, acted, strict=True)
        found["defects_passed_by_classifier"] = _share(p and not g for g, p in split)
    return found


def _true_severity(run: ObjectRun, answered: AnsweredPicture) -> Severity:
    assert run.described.policy is not None
    right = Classification(
        class_name=answered.inspected.item.sample.label, confidence=1.0, classifier="truth"
    )
    seen = answered.inspected.inspection
    situation = Situation(inspection=seen, classification=right)
    return run.described.policy.decide(situation).severity


def _acts(run: ObjectRun, answered: AnsweredPicture) -> Action | None:
    """What the policy would do; None where nobody answered (its fallback decides then)."""
    assert run.described.policy is not None
    if answered.inspected.passed:
        return Action.PASS
    if answered.classification is None:
        return None
    seen, given = answered.inspected.inspection, answered.classification
    return run.described.policy.decide(Situation(inspection=seen, classification=given)).action


def _times(
    everything: Sequence[AnsweredPicture], options: PipelineOptions
) -> dict[str, float | None]:
    """Milliseconds: expert per picture, language model per call and per token of its answer."""
    expert = [a.inspected.expert_ms for a in everything if a.inspected.expert_ms is not None]
    calls = _calls(everything)
    tokens = sum(c.tokens_out for c in calls)
    local = [
        a.classification.latency_ms
        for a in everything
        if a.classification is not None and not options.asks_endpoint
    ]
    return {
        "expert_ms_per_image": statistics.median(expert) if expert else None,
        "llm_ms_per_call": statistics.median(c.latency_ms for c in calls) if calls else None,
        "llm_ms_per_token": sum(c.latency_ms for c in calls) / tokens if tokens else None,
        "local_ms_per_image": statistics.median(local) if local else None,
    }


def _spent(everything: Sequence[AnsweredPicture], options: PipelineOptions) -> dict[str, object]:
    """Tokens and money of all answers, and of those that were asked in this run."""
    calls = _calls(everything)
    found: dict[str, object] = {"named": sum(not a.inspected.passed for a in everything)}
    found |= _sums(calls, options)
    found["in_this_run"] = _sums([c for c in calls if c.is_new], options)
    return found


def _sums(calls: Sequence[Call], options: PipelineOptions) -> dict[str, object]:
    tokens_in = sum(c.tokens_in for c in calls)
    tokens_out = sum(c.tokens_out for c in calls)
    found: dict[str, object] = {
        "calls": len(calls),
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
    }
    if options.endpoint is not None:
        prices = options.endpoint.prices
        found |= {"cost": prices.cost(tokens_in, tokens_out), "currency": prices.currency}
    return found


def _calls(everything: Sequence[AnsweredPicture]) -> list[Call]:
    return [call for a in everything for call in a.calls]


def _reasons(everything: Sequence[AnsweredPicture]) -> Counter[str]:
    """How often each reason made an answer ``unknown``; the part before the colon."""
    return Counter(
        a.classification.unknown_reason.partition(":")[0] or UNKNOWN
        for a in everything
        if a.classification is not None and a.classification.class_name == UNKNOWN
    )


def _write_pictures(path: Path, runs: Sequence[ObjectRun], answers: Answers) -> None:
    """One row a picture: what was seen, said and why."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(COLUMNS)
        for run in runs:
            for a in answers[run.name]:
                seen, item, named = a.inspected.inspection, a.inspected.item, a.classification
                truth = run.described.label_of(item.sample.label)
                row = [item.key, item.sample.path, truth, answer_of(run, a), a.inspected.passed]
                row += [f"{seen.score:.6g}", f"{seen.threshold:.6g}"]
                row += (
                    [f"{named.confidence:.4f}", named.unknown_reason, f"{named.latency_ms:.1f}"]
                    if named is not None
                    else ["", a.failure, ""]
                )
                rows.writerow(row)


def _has_anomalies(everything: Sequence[AnsweredPicture]) -> bool:
    return any(a.inspected.item.sample.anomalous for a in everything)


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else 0.0


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else 0.0
