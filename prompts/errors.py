"""What can be wrong with the words of a prompt."""

from streams.errors import AndonError


class PromptError(AndonError):
    """A product's texts, or a template, cannot become a prompt. The message names which."""
