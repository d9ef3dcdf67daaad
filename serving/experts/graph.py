"""Backbone and heads as torch modules: what runtimes run, or translate."""

from collections.abc import Mapping

from torch import Tensor, nn

from serving.experts.head_state import TAUGHT, HeadState
from serving.experts.heads import HEADS, Head
from serving.experts.heads.directions import Directions
from serving.experts.mixed_precision import MixedPrecision
from serving.experts.model import part_arrays
from serving.experts.tensors import module_arrays, to_tensors


class Standardised(nn.Module):
    """A head whose map is in deviations of held-out normals, cell by cell."""

    cell_mean: Tensor
    cell_inverse: Tensor

    def __init__(self, head: Head, cell_mean: Tensor, cell_inverse: Tensor) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("cell_mean", cell_mean)
        self.register_buffer("cell_inverse", cell_inverse)

    def forward(self, features: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
        """(N, h, w) in deviations; 0 is as normal as normals are on average."""
        values: Tensor = self.head(features, pixels)
        return (values - self.cell_mean) * self.cell_inverse

    def state(self) -> HeadState:
        """What an artifact holds of it."""
        return HeadState(self.head.kind, self.head.config, module_arrays(self))


class Graph(MixedPrecision):
    """Backbone and heads as one module: uint8 (N, H, W, 3) to standardised maps by head."""

    def __init__(self, network: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.network = network
        self.heads = nn.ModuleDict(dict(heads))

    def network_features(self, batch: Tensor) -> dict[str, Tensor]:
        """Backbone features by layer."""
        found: dict[str, Tensor] = self.network(batch)
        return found

    def judge(self, features: Mapping[str, Tensor], batch: Tensor) -> dict[str, Tensor]:
        """Standardised maps (N, h, w) by head; of the taught one (N, K, h, w)."""
        return {name: head(features, batch) for name, head in self.heads.items()}


def build_head(state: HeadState) -> nn.Module:
    """The head that a state was taken of; its buffers lie where the arrays do."""
    if state.kind == TAUGHT:
        return Directions(**to_tensors(state.arrays))
    head = HEADS[state.kind](to_tensors(part_arrays(state.arrays, "head")), **state.config)
    own = to_tensors({name: state.arrays[name] for name in ("cell_mean", "cell_inverse")})
    return Standardised(head, own["cell_mean"], own["cell_inverse"])


def build_heads(states: Mapping[str, HeadState]) -> dict[str, nn.Module]:
    """The same of several, by name."""
    return {name: build_head(state) for name, state in states.items()}
