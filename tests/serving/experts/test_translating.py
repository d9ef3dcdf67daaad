"""Experts in a process that holds no torch, and the child that translates for it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.forms import BackboneGraph, HeadForm, HeadsGraph
from serving.experts.head_state import HeadState
from serving.experts.translating import translate
from tests.serving.experts.pictures import surface

pytest.importorskip("openvino")
_ALONE = """
import json, sys
from pathlib import Path
from serving.experts import translating
from serving.experts.artifact import load_expert
from tests.serving.experts.pictures import surface
expert = load_expert(Path(sys.argv[1]), threads=1)
pictures = [surface(i) for i in range(200, 204)]
scores = [scored.score for scored in expert.score(pictures)]
child = translating._child._process
translating.end_child()
print(json.dumps([scores, "torch" in sys.modules, child.pid, child.returncode]))
"""
_UNKNOWN = """
from serving.experts import forms, translating
asked = forms.BackboneGraph("no_such_backbone", ("stage4",), 64, 64)
try:
    translating.translate(asked)
finally:
    translating.end_child()
"""
_DYING = """
from serving.experts import forms, translating
translating._start = lambda: translating.subprocess.Popen(
    ["false"], stdin=translating.subprocess.PIPE, stdout=translating.subprocess.PIPE)
translating.translate(forms.BackboneGraph("efficientnet_lite0", ("stage4",), 64, 64))
"""


def alone(program: str, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_an_expert_scores_without_torch_what_it_scores_with_it(
    trained: ComposedExpert, tmp_path: Path
) -> None:
    artifact = tmp_path / "part" / save_artifact(trained, tmp_path)
    done = alone(_ALONE, str(artifact))
    assert done.returncode == 0, done.stderr
    scores, has_torch, _, ended = json.loads(done.stdout.splitlines()[-1])
    expert = load_expert(artifact, threads=1)
    assert "torch" in sys.modules
    assert not has_torch
    assert ended is not None
    assert scores == [s.score for s in expert.score([surface(i) for i in range(200, 204)])]


@pytest.mark.slow
def test_the_child_says_what_it_cannot_translate() -> None:
    last = alone(_UNKNOWN).stderr.strip().splitlines()[-1]
    assert last.startswith("serving.experts.errors.RuntimeUnavailable: ")
    assert "no_such_backbone" in last


def test_a_child_that_dies_is_told() -> None:
    last = alone(_DYING).stderr.strip().splitlines()[-1]
    assert last.startswith("serving.experts.errors.RuntimeUnavailable: a graph could not be")


def test_forms_differ_by_shape_and_configuration_and_not_by_values() -> None:
    def form(length: int, value: float, **config: float) -> HeadForm:
        return HeadForm.of(HeadState("cells", config, {"bank": np.full((length, 2), value)}))

    assert form(3, 0.0, rows=3) == form(3, 1.0, rows=3)
    assert len({form(3, 0.0, rows=3), form(4, 0.0, rows=3), form(3, 0.0, rows=4)}) == 3


def test_a_graph_has_its_arrays_as_inputs_after_features_and_pixels() -> None:
    asked_of = ("efficientnet_lite0", ("stage3",), 64, 64)
    plain = translate(BackboneGraph(*asked_of))
    assert tuple(plain.outputs[0].shape) == (1, 80, 4, 4)
    backbone = translate(BackboneGraph(*asked_of, channels_last=True))
    features = tuple((o.get_any_name(), tuple(o.shape)) for o in backbone.outputs)
    assert features == (("stage3", (1, 4, 4, 80)),)
    arrays = {"weights": np.ones((2, 3), np.float32)}
    asked = HeadsGraph(features, (1, 64, 64, 3), (HeadForm.of(HeadState("x", {}, arrays)),) * 2)
    assert asked.buffers == [(0, "weights"), (1, "weights")]
