"""The classifiers' backbone without torch in the process that runs it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serving.naming.features import DEFAULT_BACKBONE, load_extractor
from serving.naming.graphs import load_graphs
from tests.serving.naming.pictures import plate

_ALONE = """
import sys
import numpy as np
from serving.naming.features import load_extractor
from serving.naming.prototypes import PrototypeClassifier
from tests.serving.naming.pictures import plate
found = load_extractor().features([plate(1), plate(2)])
np.savez(sys.argv[1], **{layer.replace("/", "_"): values for layer, values in found.items()})
sys.exit(3 if "torch" in sys.modules else 0)
"""


@pytest.mark.slow
def test_a_process_that_names_holds_no_torch_and_sees_the_same(tmp_path: Path) -> None:
    file = tmp_path / "features.npz"
    done = subprocess.run([sys.executable, "-c", _ALONE, str(file)], check=False)
    assert done.returncode == 0
    expected = load_extractor(DEFAULT_BACKBONE).features([plate(1), plate(2)])
    found = np.load(file)
    assert {name.replace("_", "/") for name in found} == set(expected)
    for layer, values in expected.items():
        assert np.array_equal(found[layer.replace("/", "_")], values)


def test_a_picture_is_answered_alike_in_any_company() -> None:
    graph = load_graphs(DEFAULT_BACKBONE, {64: ("stage3", "stage5")}, 1)[64]
    pictures = np.random.default_rng(1).integers(0, 255, (3, 64, 64, 3)).astype(np.uint8)
    together, alone = graph(pictures), graph(pictures[1:2])
    assert {layer: values.shape for layer, values in together.items()} == {
        "stage3": (3, 80, 4, 4),
        "stage5": (3, 192, 2, 2),
    }
    for layer, values in alone.items():
        assert np.array_equal(together[layer][1:2], values)
