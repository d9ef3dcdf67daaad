"""What goes wrong with versions and with learning; each message says what to do."""

from streams.errors import AndonError


class LearningError(AndonError):
    """A version cannot be put in force, or there is nothing to learn from."""
