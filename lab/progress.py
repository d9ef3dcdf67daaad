"""How a run that takes long tells people where it is."""

from collections.abc import Callable

Say = Callable[[str], object]
"""Takes a line for people."""
