"""The paper's figures of a pipeline's answers, with time, money and escapes beside them."""

import csv
import json
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.velm.descriptions import write_released
from lab.velm.pipeline import PipelineOptions
from lab.velm.pipeline_naming import AnsweredPicture, Call
from lab.velm.predictions import Scores, our_matching, read_answers, score
from lab.velm.severity import is_defect, score_severity
from policies.review.answer_files import GOOD
from serving.naming.base import UNKNOWN
from streams.codes import Action
from streams.ports import Situation

PREDICTIONS, DESCRIPTIONS = "predictions.json", "descriptions.json"
RESULT, PICTURES = "result.json", "pictures.csv"

Answers = Sequence[Sequence[AnsweredPicture]]
"""The answered pictures of each object."""


@dataclass(frozen=True)
class PipelineResult:
    """One run's figures. Percent where the paper has percent; shares are 0 to 1."""

    scores: Scores
    ours: Scores
    """The same scores with our matching of names."""
    document: dict[str, Any]
    """All of it, for ``--json`` and ``result.json``."""


def summarise(
    answers: Answers, options: PipelineOptions, folder: Path, resamples: int = 1000
) -> PipelineResult:
    """Write predictions and descriptions into ``folder``, score them from there, add the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    everything = [a for pictures in answers for a in pictures]
    predictions, descriptions = folder / PREDICTIONS, folder / DESCRIPTIONS
    named = {a.inspected.item.key: a.answer for a in everything}
    body = json.dumps(named, indent=1, ensure_ascii=False)
    predictions.write_text(body + "\n", encoding="utf-8")
    write_released(descriptions, [pictures[0].inspected.item.described for pictures in answers])
    scores = score(read_answers(predictions, descriptions), resamples)
    pairs = read_answers(predictions, descriptions, our_matching)
    ours = score(pairs)
    odd = [a for a in everything if a.inspected.item.sample.anomalous]
    document = {
        **scores.as_json(),
        "mean_our_matching": ours.mean,
        "images": scores.images,
        "gate": _gate(everything) if options.gate else None,
        "escapes": _escapes(answers),
        "time": _times(everything, options),
        "spent": _spent(everything, options),
        "unknown": dict(_reasons(everything)),
        "unanswered": dict(Counter(a.failure for a in everything if a.failure)),
        "severity": score_severity(pairs, rounds=1).mean if odd else None,
        "options": describe_options(options),
        "files": {"predictions": str(predictions), "descriptions": str(descriptions)},
    }
    _write_pictures(folder / PICTURES, everything)
    (folder / RESULT).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return PipelineResult(scores, ours, document)


def describe_options(options: PipelineOptions) -> dict[str, object]:
    """What was run, without secrets."""
    endpoint, outlines = options.asked_endpoint, options.regions == "expert"
    velm = options.velm if endpoint else None
    return {
        "classifier": options.classifier,
        "regions": options.regions,
        "gate": options.gate,
        "protocol": velm and velm.protocol,
        "parts": velm and velm.parts.model_dump(),
        "calls": velm.calls if velm else 0,
        "model": endpoint and endpoint.model,
        "endpoint": endpoint and endpoint.name,
        "shots": options.shots if options.teaches else None,
        "seed": options.seed,
        "expert": options.expert if outlines else None,
        "false_alarm_rate": options.false_alarm_rate if outlines else None,
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


def _escapes(answers: Answers) -> dict[str, float]:
    """Anomalous pictures that end as good, split by who let them go; the mean over objects.

    With policies the share of the defects that would pass is given as well.
    """
    rows = [_object_escapes(pictures) for pictures in answers]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: statistics.fmean(row[name] for row in rows if name in row) for name in names}


def _object_escapes(answered: Sequence[AnsweredPicture]) -> dict[str, float]:
    odd = [a for a in answered if a.inspected.item.sample.anomalous]
    if not odd:
        return {}
    named_good = [not a.inspected.passed and a.answer == GOOD for a in odd]
    found = {"gate": _share(a.inspected.passed for a in odd), "classifier": _share(named_good)}
    policy = odd[0].inspected.item.described.policy
    if policy is None:
        return found
    by_gate, by_classifier = [], []
    for a in odd:
        seen, named = a.inspected.inspection, a.classification
        if is_defect(policy, seen, a.inspected.item.sample.label):
            by_gate.append(a.inspected.passed)
            situation = Situation(inspection=seen, classification=named)
            acts = named is not None and policy.decide(situation).action is Action.PASS
            by_classifier.append(acts)
    if by_gate:
        found["defects_passed_by_gate"] = _share(by_gate)
        found["defects_passed_by_classifier"] = _share(by_classifier)
    return found


def _times(
    everything: Sequence[AnsweredPicture], options: PipelineOptions
) -> dict[str, float | None]:
    """Milliseconds: expert per picture, language model per call and per token of its answer."""
    expert = [a.inspected.expert_ms for a in everything if a.inspected.expert_ms is not None]
    calls = [call for a in everything for call in a.calls]
    tokens = sum(c.tokens_out for c in calls)
    named = [a.classification.latency_ms for a in everything if a.classification is not None]
    local = [] if options.asks_endpoint else named
    return {
        "expert_ms_per_image": statistics.median(expert) if expert else None,
        "llm_ms_per_call": statistics.median(c.latency_ms for c in calls) if calls else None,
        "llm_ms_per_token": sum(c.latency_ms for c in calls) / tokens if tokens else None,
        "local_ms_per_image": statistics.median(local) if local else None,
    }


def _spent(everything: Sequence[AnsweredPicture], options: PipelineOptions) -> dict[str, object]:
    """Tokens and money of all answers, and of those that were asked in this run."""
    calls = [call for a in everything for call in a.calls]
    return {
        "named": sum(not a.inspected.passed for a in everything),
        **_sums(calls, options),
        "in_this_run": _sums([c for c in calls if c.is_new], options),
    }


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


def _reasons(everything: Sequence[AnsweredPicture]) -> Counter[str]:
    """How often each reason made an answer ``unknown``; the part before the colon."""
    return Counter(
        a.classification.unknown_reason.partition(":")[0] or UNKNOWN
        for a in everything
        if a.classification is not None and a.classification.class_name == UNKNOWN
    )


def _write_pictures(path: Path, everything: Sequence[AnsweredPicture]) -> None:
    """One row a picture: what was seen, said and why."""
    rows: list[dict[str, object]] = []
    for a in everything:
        seen, item, named = a.inspected.inspection, a.inspected.item, a.classification
        rows.append(
            {
                "key": item.key,
                "path": item.sample.path,
                "truth": item.truth,
                "answer": a.answer,
                "passed": a.inspected.passed,
                "score": f"{seen.score:.6g}",
                "threshold": f"{seen.threshold:.6g}",
                "confidence": f"{named.confidence:.4f}" if named else "",
                "reason": named.unknown_reason if named else a.failure,
                "ms": f"{named.latency_ms:.1f}" if named else "",
            }
        )
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else 0.0
