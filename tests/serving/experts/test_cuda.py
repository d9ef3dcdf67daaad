"""The CUDA path as far as a CPU can tell: plans, copies, devices. The rest: ``test_gpu.py``."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from serving.experts import cuda
from serving.experts.backbone import Network
from serving.experts.composed import ComposedExpert
from serving.experts.cuda import LEAST_GAIN, TOLERANCES, Attempt, Plan, Program, fastest, plans
from serving.experts.ddad.distance import Extractor
from serving.experts.ddad.expert import Comparison, Distances, Running
from serving.experts.ddad.fitting import _random_at
from serving.experts.ddad.options import SIZES, DdadOptions
from serving.experts.ddad.unet import UNet
from serving.experts.errors import RuntimeUnavailable
from serving.experts.graph import Graph, build_heads
from serving.experts.heads import HEADS, FitInput
from serving.experts.mixed_precision import MixedPrecision, run_mixed
from serving.experts.runtime import choose
from tests.serving.experts.pictures import SIDE, surface

LAYERS = ("stage2", "stage3", "stage4")
PICTURES = np.stack([surface(i) for i in range(6)])
EAGER, GRAPH = Plan("f32", False, False), Plan("f32", False, True)
SMALL = DdadOptions(unet="small", start=100, skip=50)


class Sums(MixedPrecision):
    """Two outputs that differ in shape; ``fails`` in the named autocast."""

    def __init__(self, odd_in: torch.dtype | None = None, fails: bool = False) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(3, 4, 3, padding=1)
        self.odd_in, self.fails = odd_in, fails

    def network_features(self, batch: Tensor) -> dict[str, Tensor]:
        """Filtered pixels."""
        low = torch.is_autocast_enabled("cpu")
        if low and self.odd_in is torch.get_autocast_dtype("cpu"):
            if self.fails:
                raise RuntimeError("no such kernel\nat line 7")
            return {"x": batch.permute(0, 3, 1, 2).float() * float("nan")}
        return {"x": self.weigh(batch.permute(0, 3, 1, 2).float() / 255)}

    def judge(self, features: Mapping[str, Tensor], batch: Tensor) -> dict[str, Tensor]:
        """A map and a number."""
        x = features["x"]
        return {"map": x.square().mean(dim=1), "whole": x.mean(dim=(1, 2, 3))}


def _attempt(plan: Plan, latency_ms: float, refused: str = "") -> Attempt:
    return Attempt(plan, latency_ms, 0.0, refused)


def test_the_plainest_plan_is_tried_first_and_graphs_only_where_there_are_any() -> None:
    assert plans(("f32",), graphs=False) == [EAGER, Plan("f32", True, False)]
    found = plans(("f32", "bf16"), graphs=True)
    assert len(found) == len(set(found)) == 8
    assert found[0] == EAGER
    assert [p.precision for p in found] == ["f32"] * 4 + ["bf16"] * 4


def test_a_more_elaborate_plan_must_pay() -> None:
    within_noise = _attempt(GRAPH, 1 - LEAST_GAIN / 2)
    assert fastest([_attempt(EAGER, 1.0), within_noise]).plan == EAGER
    clearly = _attempt(GRAPH, 1 - 2 * LEAST_GAIN)
    assert fastest([_attempt(EAGER, 1.0), within_noise, clearly]) is clearly


def test_what_is_refused_is_never_the_fastest() -> None:
    refused = _attempt(GRAPH, float("nan"), "off by nan")
    assert fastest([refused, _attempt(EAGER, 5.0)]).plan == EAGER
    with pytest.raises(RuntimeUnavailable, match="off by nan"):
        fastest([refused])


@pytest.mark.parametrize("count", [1, 5, 8])
def test_a_program_gives_what_its_module_gives(count: int) -> None:
    torch.manual_seed(0)
    module = Sums()
    images = np.random.default_rng(1).integers(0, 256, (count, 24, 40, 3), dtype=np.uint8)
    program = Program(module, 24, 40, "cpu")
    with torch.inference_mode():
        expected = run_mixed(module, torch.from_numpy(images), "f32")
    found = program(images)
    program(255 - images)
    assert {k: v.shape for k, v in found.items()} == {"map": (count, 24, 40), "whole": (count,)}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [0, 9])
def test_a_program_takes_one_micro_batch(count: int) -> None:
    program = Program(Sums(), 16, 16, "cpu")
    with pytest.raises(ValueError, match=f"{count} images; a micro-batch is 1 to 8"):
        program(np.zeros((count, 16, 16, 3), np.uint8))


def test_a_programs_module_stays_as_it_was() -> None:
    """An artifact is saved and counted from the module; half precision must not leak into it."""
    module = Sums()
    before = module.weigh.weight.detach().clone()
    program = Program(module, 16, 16, "cpu", ("bf16",))
    assert program.plan.precision == "bf16"
    assert module.weigh.weight.dtype == torch.float32
    assert torch.equal(module.weigh.weight, before)
    assert module.weigh.weight.requires_grad


@pytest.mark.parametrize(("fails", "why"), [(False, "off by nan"), (True, "no such kernel$")])
def test_a_precision_that_breaks_the_module_is_refused(fails: bool, why: str) -> None:
    module = Sums(odd_in=torch.bfloat16, fails=fails)
    program = Program(module, 16, 16, "cpu", ("f32", "bf16"))
    assert program.plan.precision == "f32"
    refused = [t.refused for t in program.attempts if t.plan.precision == "bf16"]
    assert len(refused) == 2
    with pytest.raises(RuntimeUnavailable, match=why):
        Program(module, 16, 16, "cpu", ("bf16",))


def test_reduced_precision_of_a_trained_expert_is_within_the_tolerance(
    trained: ComposedExpert,
) -> None:
    """This runs on a CPU, but with the weights cast once as on CUDA."""
    program = Program(_graph(trained), SIDE, SIDE, "cpu", ("bf16",))
    errors = [t.error for t in program.attempts]
    assert 1e-5 < max(errors) < TOLERANCES["bf16"] / 2


def test_the_place_in_the_batch_does_not_count(trained: ComposedExpert) -> None:
    program = Program(_graph(trained), SIDE, SIDE, "cpu")
    together = program(PICTURES)
    for i, picture in enumerate(PICTURES):
        alone = program(picture[None])
        for name, values in alone.items():
            np.testing.assert_allclose(together[name][i], values[0], rtol=1e-5, atol=1e-5)


def test_a_captured_run_warms_up_and_then_replays_on_its_own_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The order of calls that CUDA asks for, with a recorder in its place."""
    calls: list[str] = []

    class Stream:
        def __init__(self, device: object) -> None:
            calls.append("stream")

        def wait_stream(self, other: object) -> None:
            calls.append("wait")

        def synchronize(self) -> None:
            calls.append("synchronize")

    @contextmanager
    def scope(name: str) -> Iterator[None]:
        calls.append(f"enter {name}")
        yield
        calls.append(f"leave {name}")

    def capture(graph: object, stream: Stream, capture_error_mode: str) -> object:
        assert capture_error_mode == "thread_local", "a scoring thread must not break a capture"
        return scope("capture")

    graph = SimpleNamespace(replay=lambda: calls.append("replay"))
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: scope("stream"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    seen: list[Tensor] = []

    def run(pixels: Tensor) -> Tensor:
        calls.append("run")
        seen.append(pixels)
        return pixels.sum()[None]

    example = torch.ones(4, dtype=torch.uint8)
    captured = cuda._Captured(run, example, torch.device("cpu"))
    assert calls[:3] == ["stream", "wait", "enter stream"]
    assert calls.index("leave stream") < calls.index("synchronize") < calls.index("enter capture")
    assert calls[-3:] == ["enter capture", "run", "leave capture"]
    calls.clear()
    captured(torch.full((4,), 3, dtype=torch.uint8))
    assert calls == ["replay"]
    assert seen[-1].tolist() == [3, 3, 3, 3]


def test_every_head_runs_on_cuda_without_asking_the_host() -> None:
    """On make-believe CUDA tensors: a tensor left on the CPU, or a wait for a value, raises."""
    network = Network("efficientnet_lite0", LAYERS)
    pixels = torch.from_numpy(np.stack([surface(i) for i in range(16)]))
    with torch.inference_mode():
        given = FitInput(network(pixels), pixels)
        heads = {name: kind.fit(given) for name, kind in HEADS.items()}
    heads["again"] = HEADS["patchcore"].fit(given, coreset=32, reweight=3)
    graph = Graph(network, heads)  # type: ignore[arg-type]
    found = _imagined(graph, len(PICTURES))
    assert set(found) == set(heads)
    assert {v.device.type for v in found.values()} == {"cuda"}
    assert {len(v) for v in found.values()} == {len(PICTURES)}


def test_ddads_comparison_runs_on_cuda_without_asking_the_host() -> None:
    found = _imagined(_comparison(SIDE), 2)
    assert {k: tuple(v.shape) for k, v in found.items()} == {
        "pixel": (2, SIDE, SIDE),
        "feature": (2, SIDE, SIDE),
    }
    assert {v.device.type for v in found.values()} == {"cuda"}


def test_a_tensor_left_behind_is_noticed() -> None:
    """The two tests above can fail."""
    comparison = _comparison(SIDE)
    shape = comparison.noise.shape
    with pytest.raises(RuntimeError, match="same device"):
        _imagined(
            comparison, 2, after=lambda module: module.register_buffer("noise", torch.empty(shape))
        )


def test_ddads_comparison_is_what_the_cpu_computes() -> None:
    comparison = _comparison(32)
    running = Running("cpu", "f32", 1)
    images = np.stack([surface(i, 32) for i in range(3)])
    distances = Distances(comparison.unet, comparison.extractor, SMALL, (32, 32), 0, running)
    expected = distances(images, comparison.guidance)
    program = Program(comparison, 32, 32, "cpu")
    found = program(images)
    for name, values in zip(("pixel", "feature"), expected, strict=True):
        np.testing.assert_allclose(found[name], values.numpy(), rtol=1e-4, atol=1e-5)


def test_cudnn_stays_on_while_ddad_trains() -> None:
    with _random_at("cpu", 0, 0, 0):
        assert torch.backends.cudnn.enabled
        assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.deterministic


def test_fp16_is_for_cuda_alone() -> None:
    with pytest.raises(RuntimeUnavailable, match="fp16"):
        choose(precision="fp16", device="cpu")


def test_f32_may_replace_a_precision_that_nobody_asked_for_by_name() -> None:
    assert choose(device="cpu").f32_if_faster
    assert not choose(precision="bf16", device="cpu").f32_if_faster


def _graph(expert: ComposedExpert) -> Graph:
    model = expert.model
    return Graph(Network(model.backbone, model.layers), build_heads(model.heads))


def _comparison(side: int) -> Comparison:
    torch.manual_seed(0)
    unet = UNet(SIZES["small"]).requires_grad_(False)
    running = Running("cpu", "f32", 1)
    extractor = Extractor("efficientnet_lite0")
    return Comparison(Distances(unet, extractor, SMALL, (side, side), 0, running), 2.0)


def _imagined(
    module: nn.Module, count: int, after: Callable[[nn.Module], None] = lambda module: None
) -> dict[str, Tensor]:
    """Outputs of a copy on tensors that only say that they are on CUDA."""
    own, mode = copy.deepcopy(module).eval(), FakeTensorMode()
    with mode, torch.inference_mode():
        for part in own.modules():
            for held in (part._parameters, part._buffers):
                for name, value in held.items():
                    if value is not None:
                        empty = torch.empty(tuple(value.shape), dtype=value.dtype, device="cuda")
                        held[name] = nn.Parameter(empty, requires_grad=False)
        after(own)
        pixels = torch.empty((count, SIDE, SIDE, 3), dtype=torch.uint8, device="cuda")
        return run_mixed(own, pixels, "f32")
