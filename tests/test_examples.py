"""Every example in a docstring of the product runs and prints what it says."""

import doctest
import importlib
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_USED = (
    "andon.cli.options.read_options",
    "andon.settings.load_settings",
    "connectors.handshake.sequence.steps",
    "history.text.clean",
    "infra.stack.process.free_port",
    "lab.datasets.folders.load_dataset",
    "lab.metrics.image_auroc",
    "policies.authoring.loading.load_policy",
    "prompts.names.fold",
    "serving.experts.fusion.fuse_surprises",
    "serving.experts.heads.base.smooth3",
    "serving.experts.images.decode_image",
    "serving.experts.images.read_image",
    "serving.experts.regions.make_region",
    "serving.naming.features.unit",
    "streams.backoff.backoff_s",
    "streams.envelope.from_message",
    "streams.envelope.to_message",
    "streams.ids.new_frame_id",
    "streams.ids.image_key",
    "streams.regions.encode_mask",
    "streams.regions.region_mask",
)
"""The public functions that the most modules of the product take from another one, by a count of
references. What opens connections, starts servers, draws progress bars or needs a trained expert is
left out for the next ones."""


def modules_with_examples() -> list[str]:
    """Names of product modules that hold a ``>>>``."""
    found = subprocess.run(
        ["git", "grep", "-l", "-e", ">>> ", "--", "*.py", ":!tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return [name.removesuffix(".py").replace("/", ".") for name in found.stdout.split()]


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0, "the examples stand where doctest does not look"
    assert result.failed == 0


@pytest.mark.parametrize("name", MOST_USED)
def test_a_much_used_function_has_an_example(name: str) -> None:
    module, _, function = name.rpartition(".")
    assert ">>> " in (getattr(importlib.import_module(module), function).__doc__ or "")
