"""Prompts: Jinja2 templates, versioned by content hash, and their renderer."""

from prompts.errors import PromptError
from prompts.render import PictureLayout, Prompt, PromptParts, labels_of, render, template_hash

__all__ = [
    "PictureLayout",
    "Prompt",
    "PromptError",
    "PromptParts",
    "labels_of",
    "render",
    "template_hash",
]
