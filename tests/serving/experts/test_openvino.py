"""Experts of many products on one compiled backbone."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.experts import openvino
from serving.experts.artifact import load_expert, save_artifact
from serving.experts.composed import ComposedExpert
from serving.experts.forms import BackboneGraph
from serving.experts.head_state import HeadState
from serving.experts.openvino import Lanes
from serving.experts.shared import Shared
from serving.experts.translating import translate
from tests.serving.experts.pictures import surface

pytest.importorskip("openvino")
PICTURES = [surface(i) for i in range(200, 204)]


@pytest.fixture(scope="module")
def artifacts(trained: ComposedExpert, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three products whose heads differ in their tensors alone."""
    root = tmp_path_factory.mktemp("products")
    found = []
    for number in range(3):
        heads = {
            name: replace(head, arrays={**head.arrays, "cell_inverse": inverse})
            for name, head in trained.model.heads.items()
            for inverse in [head.arrays["cell_inverse"] * np.float32(1 + number / 10)]
        }
        model = replace(trained.model, product=f"p{number}", heads=heads)
        found.append(
            root / f"p{number}" / save_artifact(ComposedExpert(model, trained.wanted), root)
        )
    return found


def scores(artifact: Path, threads: int = 1) -> list[float]:
    expert = load_expert(artifact, "openvino", "f32", "cpu", threads)
    return [scored.score for scored in expert.score(PICTURES)]


def test_products_share_what_is_compiled_and_score_as_each_does_alone(
    artifacts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = []
    for artifact in artifacts:
        monkeypatch.setattr(openvino, "_lanes", Shared[Lanes](1))
        alone.append(scores(artifact))
    assert len({tuple(found) for found in alone}) == 3

    compiled = []
    compile_model = openvino.compile_model
    monkeypatch.setattr(openvino, "_lanes", Shared[Lanes](1))
    monkeypatch.setattr(
        openvino, "compile_model", lambda *a, **k: compiled.append(1) or compile_model(*a, **k)
    )
    first = load_expert(artifacts[0], "openvino", "f32", "cpu", 1)
    needed = len(compiled)
    others = [load_expert(artifact, "openvino", "f32", "cpu", 1) for artifact in artifacts[1:]]
    assert len(compiled) == needed
    together = [[] for _ in artifacts]  # type: list[list[float]]
    for picture in PICTURES:
        for own, expert in zip(together, [first, *others], strict=True):
            own.append(expert.score([picture])[0].score)
    assert together == alone


@pytest.mark.slow
def test_several_threads_give_what_one_gives_to_a_batch_and_to_a_lone_picture(
    artifacts: list[Path],
) -> None:
    expert = load_expert(artifacts[0], "openvino", "f32", "cpu", 2)
    batch = [scored.score for scored in expert.score(PICTURES)]
    assert batch == pytest.approx(scores(artifacts[0]), rel=1e-6)
    assert [expert.score([picture])[0].score for picture in PICTURES] == batch


@pytest.fixture(scope="module")
def small() -> tuple[Any, list[Any]]:
    """A graph, and a picture that it is compared on."""
    picture = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), np.uint8)
    return translate(BackboneGraph("efficientnet_lite0", ("stage1",), 64, 64)), [picture]


def test_a_lone_picture_takes_all_threads_where_that_gives_the_same_bits(
    small: tuple[Any, list[Any]],
) -> None:
    compiled = openvino._compile(*small, "f32", 2)
    assert compiled.way(is_lone=True) is not compiled.way(is_lone=False)
    alone, beside = (
        openvino._answers(compiled.way(is_lone), small[1]) for is_lone in (True, False)
    )
    assert [x.tobytes() for x in alone] == [x.tobytes() for x in beside]


def test_a_lone_picture_takes_one_thread_where_more_give_other_bits(
    small: tuple[Any, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    last_bits = itertools.count(1.0, 1e-6)
    monkeypatch.setattr(
        openvino, "_answers", lambda compiled, given: [np.float32([next(last_bits)])]
    )
    compiled = openvino._compile(*small, "f32", 2)
    assert compiled.way(is_lone=True) is compiled.way(is_lone=False)


def test_one_thread_needs_one_graph(small: tuple[Any, list[Any]]) -> None:
    compiled = openvino._compile(*small, "f32", 1)
    assert compiled.alone is compiled.beside


def test_heads_of_other_shapes_are_compiled_for_themselves() -> None:
    built = Lanes.__new__(Lanes)
    built._forms = Shared(4)
    built._features, built._pixels = (), ()
    built._compile = lambda asked, memory: openvino._Graph(
        openvino._Compiled(None, None), len(asked.heads)
    )  # type: ignore[method-assign]

    def scale(count: int) -> HeadState:
        return HeadState("scale", {}, {"scale": np.ones(count, np.float32)})

    one, same, other = (built.bind({"scale": scale(count)}) for count in (3, 3, 4))
    assert one.graph is same.graph
    assert one.graph is not other.graph
