"""Every example in a docstring of the product runs and prints what it says."""

import doctest
import importlib
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


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
