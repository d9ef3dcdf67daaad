"""What a graph depends on: products of equal forms share it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from serving.experts.head_state import HeadState


@dataclass(frozen=True)
class BackboneGraph:
    """uint8 (1, height, width, 3) to features by layer, (1, C, h, w) each."""

    name: str
    layers: tuple[str, ...]
    height: int
    width: int
    channels_last: bool = False
    """Features (1, h, w, C), as convolutions leave them."""


@dataclass(frozen=True)
class HeadForm:
    """What the graph of a head depends on: all but the values in its arrays."""

    kind: str
    config: tuple[tuple[str, float], ...]
    arrays: tuple[tuple[str, str, tuple[int, ...]], ...]
    """Name, data type and shape of each."""

    @classmethod
    def of(cls, head: HeadState) -> "HeadForm":
        """The form of a head; products of equal forms share their graph."""
        arrays = sorted(head.arrays.items())
        return cls(
            head.kind,
            tuple(sorted(head.config.items())),
            tuple((name, str(v.dtype), tuple(v.shape)) for name, v in arrays),
        )


@dataclass(frozen=True)
class HeadsGraph:
    """Features, pixels and the heads' arrays to a map by head, in order."""

    features: tuple[tuple[str, tuple[int, ...]], ...]
    """Name and shape (1, h, w, C) of each."""
    pixels: tuple[int, ...]
    heads: tuple[HeadForm, ...]

    @property
    def buffers(self) -> list[tuple[int, str]]:
        """The graph's inputs after features and pixels: number of the head, name of the array."""
        return [(at, name) for at, form in enumerate(self.heads) for name, _, _ in form.arrays]


def stated(asked: BackboneGraph | HeadsGraph) -> dict[str, object]:
    """A graph as JSON values."""
    return {type(asked).__name__: asdict(asked)}


def restored(words: Mapping[str, Any]) -> BackboneGraph | HeadsGraph:
    """What ``stated`` came from."""
    backbone = words.get(BackboneGraph.__name__)
    if backbone is not None:
        return BackboneGraph(**{**backbone, "layers": tuple(backbone["layers"])})
    heads = words[HeadsGraph.__name__]
    forms = [
        HeadForm(h["kind"], _nested(h["config"]), _nested(h["arrays"])) for h in heads["heads"]
    ]
    return HeadsGraph(_nested(heads["features"]), _nested(heads["pixels"]), tuple(forms))


def _nested(values: Sequence[Any]) -> Any:
    """Lists of JSON as the tuples that they were."""
    return tuple(_nested(v) if isinstance(v, list) else v for v in values)
