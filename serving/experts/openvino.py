"""OpenVINO for experts of many products: one backbone compiled for all, and heads as its inputs.

A graph is compiled for the form of a product's heads, which is their kinds, their configuration and
the shapes of their tensors. The tensors themselves are inputs of the graph and stay where they are,
be it in a file's pages: another product of the same form takes no compilation and no copy.

Pictures of a batch run side by side, on one thread each; a lone picture runs on all threads. Both
give the same numbers to the last bit, or a lone picture runs on one thread as well.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np

from serving.experts.forms import BackboneGraph, HeadForm, HeadsGraph
from serving.experts.head_state import HeadState
from serving.experts.runtime import CHUNK, Choice, Runner, compile_model
from serving.experts.shared import Shared
from serving.experts.translating import translate
from serving.experts.types import Floats, Image

BACKBONES_KEPT: Final = 8
"""Compiled backbones, one for each shape of input, that stay although no expert uses them."""
FORMS_KEPT: Final = 128
"""Compiled forms of heads that stay although no expert uses them, for each backbone."""


def lanes_runner(
    backbone: str,
    layers: tuple[str, ...],
    heads: Mapping[str, HeadState],
    shape: tuple[int, int],
    choice: Choice,
) -> Runner:
    """A runner of backbone and heads: uint8 (N, height, width, 3) to a map by head.

    Args:
        backbone: name of the network.
        layers: whose features the heads get.
        heads: by name.
        shape: height and width of the input, pixels.
        choice: OpenVINO's precision, of the backbone, and threads; heads run in f32.
    """
    key = (backbone, layers, shape, choice.precision, choice.threads)
    lanes = _lanes.get(key, lambda: Lanes(backbone, layers, shape, choice))
    bound = lanes.bind(heads)
    return Runner(choice, lambda images: lanes.run(bound, images), CHUNK)


@dataclass(frozen=True, eq=False)
class _Compiled:
    """One graph, compiled for two ways to run it that give the same numbers to the last bit."""

    beside: Any
    """For pictures side by side, on one thread each."""
    alone: Any
    """For one picture on all threads; ``beside`` where that would give other numbers."""

    def way(self, is_lone: bool) -> Any:
        """What a picture runs by that is all there is, or that has others beside it."""
        return self.alone if is_lone else self.beside


@dataclass(frozen=True, eq=False)
class _Graph:
    """The graph of all heads of one form: a map by head, in order."""

    compiled: _Compiled
    heads: int


@dataclass(frozen=True, eq=False)
class _Bound:
    """One product's heads: the graph of their form, and their tensors as inputs of it."""

    graph: _Graph
    names: tuple[str, ...]
    """Of the heads, in the order of its outputs."""
    tensors: tuple[Any, ...]
    memory: tuple[Any, ...]
    """What ``tensors`` point at."""


class Lanes:
    """A compiled backbone, and requests that carry a picture through it and on through the heads.

    Calls from several threads each have a lane of their own.
    """

    def __init__(
        self, backbone: str, layers: tuple[str, ...], shape: tuple[int, int], choice: Choice
    ) -> None:
        model = translate(BackboneGraph(backbone, layers, *shape, channels_last=True))
        self._features = tuple((o.get_any_name(), tuple(o.shape)) for o in model.outputs)
        self._pixels = (1, *shape, 3)
        self._threads = choice.threads
        noise = np.random.default_rng(0).integers(0, 256, self._pixels, np.uint8)
        self._compiled = _compile(model, [noise], choice.precision, choice.threads)
        self._example = [*_answers(self._compiled.beside, [noise]), noise]
        self._forms = Shared[_Graph](FORMS_KEPT)
        self._idle: dict[bool, list[_Lane]] = {False: [], True: []}
        self._taking = threading.Lock()
        self._pool = ThreadPoolExecutor(choice.threads, "lane") if choice.threads > 1 else None

    def bind(self, heads: Mapping[str, HeadState]) -> _Bound:
        """The heads ready to run; their form is compiled where none had it before."""
        forms = tuple(HeadForm.of(head) for head in heads.values())
        asked = HeadsGraph(self._features, self._pixels, forms)
        given = (
            head.arrays[name]
            for head, form in zip(heads.values(), forms, strict=True)
            for name, _, _ in form.arrays
        )
        memory = tuple(np.asarray(values, order="C") for values in given)
        graph = self._forms.get(asked, lambda: self._compile(asked, memory))
        return _Bound(graph, tuple(heads), tuple(map(_shared_tensor, memory)), memory)

    def run(self, bound: _Bound, images: Image) -> dict[str, Floats]:
        """Maps by head of uint8 (N, H, W, 3), N at least 1."""
        if self._pool is None or len(images) == 1:
            with self._lane(is_lone=self._pool is not None) as lane:
                found = [lane.run(image, bound) for image in images]
        else:
            found = list(self._pool.map(lambda image: self._one(bound, image), images))
        return {
            name: np.concatenate([maps[i] for maps in found]) for i, name in enumerate(bound.names)
        }

    def _one(self, bound: _Bound, image: Image) -> list[Floats]:
        with self._lane(is_lone=False) as lane:
            return lane.run(image, bound)

    @contextmanager
    def _lane(self, is_lone: bool) -> "Iterator[_Lane]":
        with self._taking:
            idle = self._idle[is_lone]
            lane = idle.pop() if idle else None
        if lane is None:
            lane = _Lane(self._compiled, is_lone, self._pixels)
        yield lane  # one that failed is not used again
        with self._taking:
            self._idle[is_lone].append(lane)

    def _compile(self, asked: HeadsGraph, memory: Sequence[Any]) -> _Graph:
        example = [*self._example, *memory]
        compiled = _compile(translate(asked), example, "f32", self._threads)
        return _Graph(compiled, len(asked.heads))


class _Lane:
    """Memory for one picture at a time, and the requests that work on it."""

    def __init__(self, backbone: _Compiled, is_lone: bool, shape: tuple[int, ...]) -> None:
        compiled, self._is_lone = backbone.way(is_lone), is_lone
        self._pixels = np.empty(shape, np.uint8)
        self._request = compiled.create_infer_request()
        self._given = [_shared_tensor(self._pixels)]
        self._request.set_input_tensor(0, self._given[0])
        features = [np.empty(tuple(output.shape), np.float32) for output in compiled.outputs]
        self._given[:0] = [_shared_tensor(array) for array in features]
        for i, tensor in enumerate(self._given[:-1]):
            self._request.set_output_tensor(i, tensor)
        self._memory = features
        self._heads: WeakKeyDictionary[_Graph, _HeadsRequest] = WeakKeyDictionary()

    def run(self, image: Image, bound: _Bound) -> list[Floats]:
        """Maps, (1, ...) each, in the order of the heads."""
        self._pixels[0] = image
        self._request.infer(share_outputs=True)
        heads = self._heads.get(bound.graph)
        if heads is None:
            heads = _HeadsRequest(bound.graph, self._is_lone, self._given)
            self._heads[bound.graph] = heads
        return heads.run(bound)


class _HeadsRequest:
    """A request of a form's graph; its features and pixels are those of its lane."""

    def __init__(self, graph: _Graph, is_lone: bool, given: list[Any]) -> None:
        self._request = graph.compiled.way(is_lone).create_infer_request()
        self._outputs = range(graph.heads)
        for i, tensor in enumerate(given):
            self._request.set_input_tensor(i, tensor)
        self._first = len(given)
        self._bound: _Bound | None = None

    def run(self, bound: _Bound) -> list[Floats]:
        """The maps of one product's heads, copies."""
        if self._bound is not bound:
            for i, tensor in enumerate(bound.tensors):
                self._request.set_input_tensor(self._first + i, tensor)
            self._bound = bound
        self._request.infer(share_outputs=True)
        found = (self._request.get_output_tensor(i).data for i in self._outputs)
        return [np.array(values, dtype=np.float32) for values in found]


def _compile(model: Any, example: Sequence[Any], precision: str, threads: int) -> _Compiled:
    """A model compiled both ways, and compared on the arrays of ``example``.

    Another number of threads may add in another order, and a score must not depend on its batch.
    Whether it does is a matter of the shapes and of the machine, not of the numbers.
    """
    beside = compile_model(model, precision, threads)
    if threads == 1:
        return _Compiled(beside, beside)
    alone = compile_model(model, precision, threads, streams=1)
    both = zip(_answers(alone, example), _answers(beside, example), strict=True)
    is_same = all(one.tobytes() == other.tobytes() for one, other in both)
    return _Compiled(beside, alone if is_same else beside)


def _answers(compiled: Any, given: Sequence[Any]) -> list[Floats]:
    request = compiled.create_infer_request()
    request.infer(list(map(_shared_tensor, given)))
    outputs = range(len(compiled.outputs))
    return [np.array(request.get_output_tensor(i).data, np.float32) for i in outputs]


def _shared_tensor(array: Any) -> Any:
    import openvino as ov

    return ov.Tensor(array, shared_memory=True)


_lanes = Shared[Lanes](BACKBONES_KEPT)
