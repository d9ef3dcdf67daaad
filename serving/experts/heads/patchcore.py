"""PatchCore (Roth et al. 2022): one coreset of locally aware patches for the whole image."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from serving.experts.heads.base import FitInput, Head, channel_statistics, on_finest_grid, smooth3
from serving.experts.heads.coreset import coreset
from serving.experts.heads.search import smallest_squared, squared_norms

_CHUNK_IMAGES = 256


class PatchCore(Head):
    """Distance to the nearest coreset patch, anywhere in the image.

    Configuration: ``coreset`` (rows), ``patches`` (drawn at random from all before the greedy
    selection; 0 is all), ``reweight`` (neighbours of equation 7; 0 is off).
    """

    kind = "patchcore"
    sees = "odd patches, wherever the part lies"
    layers = ("stage3", "stage4")
    defaults: ClassVar[dict[str, float]] = {"coreset": 768, "patches": 30_000, "reweight": 0}

    @classmethod
    def fit(cls, given: FitInput, **config: float) -> Self:
        """Greedy coreset of all normals' patches."""
        settings = {**cls.defaults, **config}
        layers = [smooth3(given.features[layer]) for layer in cls.layers]
        joined = on_finest_grid(layers)
        mean, inverse = channel_statistics(joined)
        blank = cls({"mean": mean, "inverse": inverse}, **config)

        share = settings["patches"] / max(
            1, layers[0].shape[0] * layers[0].shape[-2] * layers[0].shape[-1]
        )
        generator = torch.Generator().manual_seed(given.seed)

        def chunks() -> Iterator[Tensor]:
            for start in range(0, len(given), _CHUNK_IMAGES):
                rows = blank.scaled(joined[start : start + _CHUNK_IMAGES]).flatten(0, 1)
                if 0 < share < 1:
                    rows = rows[torch.rand(len(rows), generator=generator) < share]
                yield rows

        bank = coreset(chunks(), int(settings["coreset"]), seed=given.seed).contiguous()
        tensors = {"mean": mean, "inverse": inverse, "bank": bank, "norms": squared_norms(bank)}
        return cls(tensors, **config)

    def patches(self, features: Mapping[str, Tensor]) -> Tensor:
        """(N, P, C) channel-standardised, 3x3 averaged patch features of both layers."""
        return self.scaled(on_finest_grid([smooth3(features[layer]) for layer in self.layers]))

    def scaled(self, joined: Tensor) -> Tensor:
        """The same of smoothed layers on one grid, (N, C, h, w)."""
        return ((joined - self.mean) * self.inverse).permute(0, 2, 3, 1).flatten(1, 2)

    def forward(self, features: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
        """Distance map; with ``reweight`` scaled by how rare the neighbourhood is."""
        side = features[self.layers[0]].shape[-2:]
        count = int(self.config["reweight"])
        queries = self.patches(features)
        if not count:
            found = smallest_squared(queries, self.bank, self.norms).sqrt()
        else:
            nearest = smallest_squared(queries, self.bank, self.norms, count + 1).sqrt()
            found = nearest[..., 0] * (1 - functional.softmax(nearest, dim=-1)[..., 0])
        return found.reshape(-1, side[0], side[1])
