"""The paper's figures from the released answers, and the metrics against scikit-learn."""

import itertools
import json
import random
from pathlib import Path

import pytest
from sklearn import metrics

from lab.velm.predictions import (
    authors_matching,
    our_matching,
    read_answers,
    score,
)
from lab.velm.severity import SEVERITIES, designations, score_severity
from policies.review.answer_files import AnswerFileError


def test_metrics_agree_with_scikit_learn() -> None:
    rng = random.Random(3)
    pairs = [
        (
            rng.choice("abc") if rng.random() < 0.8 else "good",
            rng.choice(["a", "b", "c", "good", "new"]),
        )
        for _ in range(400)
    ]
    figures = score({"thing": pairs}).mean
    truth, answers = zip(*pairs, strict=True)
    assert figures["accuracy"] == pytest.approx(100 * metrics.accuracy_score(truth, answers))
    assert figures["macro_f1"] == pytest.approx(
        100 * metrics.f1_score(truth, answers, average="macro")
    )
    assert figures["kappa"] == pytest.approx(100 * metrics.cohen_kappa_score(truth, answers))
    labels = sorted(set(truth))
    assert figures["jaccard"] == pytest.approx(
        100 * metrics.jaccard_score(truth, answers, labels=labels, average="macro")
    )


@pytest.mark.shared
def test_the_authors_figures(shared: Path) -> None:
    velm = shared / "velm"
    pairs = read_answers(velm / "mvtec_ac_preds_gpt_4o.json", velm / "mvtec_ac_des.json")
    scores = score(pairs)
    published = json.loads((velm / "mvtec_ac_results.json").read_text())
    for ours, theirs in (
        ("accuracy", "accuracy"),
        ("macro_f1", "macro_f1"),
        ("kappa", "cohen_kappa"),
    ):
        assert scores.mean[ours] == pytest.approx(100 * published["overall"][theirs], abs=0.01)
        for name, figures in scores.objects.items():
            assert figures[ours] == pytest.approx(100 * published[name][theirs], abs=0.01)
    assert sum(len(p) for p in pairs.values()) == 1597


@pytest.mark.shared
def test_our_matching_merges_what_differs_by_a_full_stop(shared: Path) -> None:
    velm = shared / "velm"
    files = (velm / "mvtec_ac_preds_gpt_4o.json", velm / "mvtec_ac_des.json")
    theirs = score(read_answers(*files, authors_matching)).mean["accuracy"]
    ours = score(read_answers(*files, our_matching)).mean["accuracy"]
    assert ours == pytest.approx(84.09, abs=0.005)
    assert ours > theirs


@pytest.mark.shared
def test_severity_expectation_and_the_authors_five_seeds(shared: Path) -> None:
    velm = shared / "velm"
    files = (velm / "mvtec_ac_preds_gpt_4o.json", velm / "mvtec_ac_des.json")
    result = score_severity(read_answers(*files, our_matching), rounds=400)
    assert list(result.mean.values()) == pytest.approx([99.30, 80.51, 87.99], abs=0.005)
    published = json.loads((velm / "anom_def_results.json").read_text())["overall_accuracy"]
    for ours, theirs in (("negligible", "anomaly"), ("defect", "defect")):
        span = result.five_seed_means[ours]
        assert span["low"] <= 100 * published[theirs] <= span["high"]
    assert sum(result.escapes.values()) == pytest.approx(100 - result.mean["defect"])
    assert 0 < result.escapes["gate"] < result.escapes["classifier"]


@pytest.mark.shared
def test_one_draw_of_five_designations_explains_each_published_figure(shared: Path) -> None:
    """The 30 % rule and the shares are the authors': their unpublished draws can be found again."""
    velm = shared / "velm"
    files = (velm / "mvtec_ac_preds_gpt_4o.json", velm / "mvtec_ac_des.json")
    published = json.loads((velm / "anom_def_results.json").read_text())["accuracy_per_object"]
    for name, pairs in read_answers(*files, our_matching).items():
        wanted = {"negligible": published[name]["anomaly"], "defect": published[name]["defect"]}
        draws = [
            five
            for five in itertools.combinations_with_replacement(designations(pairs), 5)
            if all(
                abs(sum(row[SEVERITIES.index(severity)] for row in five) / 5 - 100 * share) < 1e-6
                for severity, share in wanted.items()
            )
        ]
        assert len(draws) == 1, name


def write(folder: Path, predictions: object, descriptions: object) -> tuple[Path, Path]:
    files = folder / "p.json", folder / "d.json"
    for path, body in zip(files, (predictions, descriptions), strict=True):
        path.write_text(body if isinstance(body, str) else json.dumps(body))
    return files


DESCRIBED = {"metal": {"a_b": ["a b", "text"]}, "metal_nut": {"bent": ["bent", "text"]}}


def test_the_longest_object_name_wins(tmp_path: Path) -> None:
    files = write(tmp_path, {"metal_nut_bent_001": "Bent", "metal_a_b_002": "good"}, DESCRIBED)
    assert read_answers(*files) == {"metal_nut": [("bent", "bent")], "metal": [("a b", "good")]}


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ("{", "not JSON"),
        ([], "one JSON object"),
        ({}, "no predictions"),
        ({"glass_cut_001": "cut"}, "'glass_cut_001' is not"),
        ({"metal_scratch_001": "scratch"}, "class 'scratch'"),
        ({"metal_a_b_001": 3}, "not a text"),
    ],
)
def test_a_bad_file_names_its_fault(tmp_path: Path, predictions: object, message: str) -> None:
    with pytest.raises(AnswerFileError, match=message):
        read_answers(*write(tmp_path, predictions, DESCRIBED))
