"""Many products in one replica: memory, change-overs to a product that is not in memory, scores.

One expert is trained on a made-up set, and every product gets its heads with cells standardised a
little differently: as large as any other product's, and with scores of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from lab.benchmarks.products_replica import ReplicaAsked, ReplicaFigures, ReplicaFound
from lab.datasets.folders import load_dataset
from lab.datasets.made_up import cheaply, write_smoke_set
from lab.progress import Say
from serving.experts.artifact import save_artifact
from serving.experts.composed import ComposedExpert, Model
from serving.experts.head_state import HeadState
from serving.experts.options import TrainOptions
from serving.experts.training import train

MIB = 1 << 20
MOST_MIB = 3072
"""Bar: what the process of a replica may take, with the child that translates its graphs."""
MOST_CHANGE_S = 1.0
"""Bar: the longest change-over to a product that is not in memory."""


@dataclass(frozen=True)
class ProductsBenchmark:
    """What is measured."""

    products: int
    heads_mib: int
    """As ``vision.heads_mib``."""
    parts: int
    """Frames of each measurement of a rate."""
    changes: int
    """Change-overs to products that are not in memory."""
    alone: int
    """Products whose scores are compared with those of their expert in a process of its own."""
    rounds: int = 3
    seed: int = 0


class Figures(ReplicaFigures):
    """What came out."""

    products: int
    heads_mib: int
    head_mib: float
    """One product's heads."""
    mixed_ratio: float
    all_ratio: float
    alone_compared: int
    alone_unequal: int


def benchmark_products(options: ProductsBenchmark, folder: Path, say: Say) -> Figures:
    """Make the products below ``folder``, serve them, and load some alone."""
    made, root = folder / "made-up", folder / "artifacts"
    write_smoke_set(made)
    data = load_dataset(made, "disjoint")
    say("training one expert")
    training = replace(cheaply(TrainOptions(threads=1)), runtime="torch")
    expert = train("model", [s.path for s in data.train], training, data.groups or None)
    say(f"writing {options.products} products")
    assert isinstance(expert, ComposedExpert)
    digests = {name: _write(expert, name, i, root) for i, name in enumerate(_names(options))}
    os.sync()  # what is written may leave the kernel's cache
    pictures = [str(s.path) for s in data.test[:8]]
    asked = ReplicaAsked(str(root), pictures, **_shared(options))
    say("one replica serves them")
    found = cast(ReplicaFound, _child("replica", asdict(asked)))
    say(f"{options.alone} of them alone, each in a process of its own")
    compared = unequal = 0
    for name in list(digests)[:: max(1, len(digests) // options.alone)][: options.alone]:
        artifact = root / name / digests[name]
        given = {"artifact": str(artifact), "pictures": pictures}
        scores = cast(list[float], _child("alone", given))
        compared += len(scores)
        unequal += sum(a != b for a, b in zip(scores, found["scores"][name], strict=True))
    tensors = sum(head.nbytes for head in expert.model.heads.values())
    figures = found["figures"]
    return {
        "products": options.products,
        "heads_mib": options.heads_mib,
        "head_mib": round(tensors / MIB, 1),
        **figures,
        "mixed_ratio": round(figures["mixed_per_s"] / figures["one_per_s"], 3),
        "all_ratio": round(figures["all_per_s"] / figures["one_per_s"], 3),
        "alone_compared": compared,
        "alone_unequal": unequal,
    }


def missed(found: Figures) -> list[str]:
    """The bars that were not held, in words."""
    taken = found["peak_mib"] + found["translator_mib"]
    bars = {
        f"the process and its child took {taken:.0f} MiB": taken > MOST_MIB,
        f"a change-over took {found['change_max_ms']:.0f} ms": (
            found["change_max_ms"] > 1000 * MOST_CHANGE_S
        ),
        f"{found['failed']} frames failed": found["failed"] > 0,
        "scores differ": found["scores_unequal"] + found["alone_unequal"] > 0,
    }
    return [words for words, is_missed in bars.items() if is_missed]


def _names(options: ProductsBenchmark) -> list[str]:
    return [f"product-{i:04d}" for i in range(options.products)]


def _shared(options: ProductsBenchmark) -> dict[str, int]:
    names = ("heads_mib", "parts", "changes", "rounds", "seed")
    return {name: getattr(options, name) for name in names}


def _write(expert: ComposedExpert, product: str, number: int, root: Path) -> str:
    """The digest of an artifact for a product like ``expert``, but with cells of its own."""
    rng = np.random.default_rng(number)

    def own(head: HeadState) -> HeadState:
        inverse = head.arrays["cell_inverse"]
        inverse = np.asarray(inverse * rng.uniform(0.9, 1.1, inverse.shape), np.float32)
        return replace(head, arrays={**head.arrays, "cell_inverse": inverse})

    heads = {name: own(head) for name, head in expert.model.heads.items()}
    model: Model = replace(expert.model, product=product, heads=heads)
    return save_artifact(ComposedExpert(model, expert.wanted), root)


def _child(what: str, asked: Mapping[str, object]) -> object:
    """What the other module prints, run in a process of its own."""
    with tempfile.TemporaryFile() as answer:
        command = [sys.executable, "-m", "lab.benchmarks.products_replica", what]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        subprocess.run(
            command, input=json.dumps(asked).encode(), stdout=answer, check=True, env=environment
        )
        answer.seek(0)
        found: object = json.load(answer)
        return found
