"""Prompts: Jinja2 templates and their renderer, which hashes what it rendered."""

from prompts.errors import PromptError
from prompts.render import PictureLayout, Prompt, PromptParts, labels_of, render

__all__ = [
    "PictureLayout",
    "Prompt",
    "PromptError",
    "PromptParts",
    "labels_of",
    "render",
]
