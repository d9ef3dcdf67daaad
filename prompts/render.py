"""Render a product's texts into the prompt of VELM (paper: section 3.2 and Figure 4).

Templates are ours; names and descriptions are data. Jinja never evaluates a value, values are
bounded and stripped of control characters, and names appear as JSON strings, so that a quote, a
brace or a line break in one cannot change the structure around it.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from prompts.errors import PromptError
from prompts.names import RESERVED, fold
from streams.names import LONGEST
from streams.ports import ClassificationTexts
from streams.settings import Section

TEMPLATES: Final = Path(__file__).parent / "templates"
MAX_NAME: Final = LONGEST
"""Longest class or product name, characters."""
MAX_DESCRIPTION: Final = 10_240
"""Longest description of the normal product, of a class, or of the strategy, characters."""
MAX_PROMPT: Final = 131_072
"""Longest rendered prompt, characters."""
MAX_CLASSES: Final = 200

_SPACE = re.compile(r"\s+")


class PromptParts(Section):
    """The five parts that the paper ablates (Table 5), each switchable."""

    reference_image: bool = True
    """RI: a picture of a normal part."""
    visual_prompt: bool = True
    """VP: the query once more with the region outlined in red."""
    normal_description: bool = True
    """ND: what a normal part looks like."""
    classification_strategy: bool = True
    """CS: how the classes are told apart."""
    anomaly_descriptions: bool = True
    """AD: without it the classes are listed by name alone."""


@dataclass(frozen=True)
class PictureLayout:
    """How the pictures that travel with the prompt differ from the paper's three."""

    zoom: bool = False
    """A fourth picture: the region enlarged."""
    numbered: bool = False
    """Regions carry numbers in the outlined picture."""
    cropped: bool = False
    """All pictures show a cutout around the region only."""


@dataclass(frozen=True)
class Prompt:
    """One rendered prompt. Equal texts, parts and templates give an equal ``prompt_hash``."""

    system: str
    """Empty where the template has no system part."""
    text: str
    labels: Mapping[str, str]
    """What the model may answer -> the class of the policy, ``normal`` or ``unknown``."""
    prompt_hash: str
    """SHA-256 of system and text, hexadecimal."""


def render(
    texts: ClassificationTexts,
    parts: PromptParts = PromptParts(),
    template: str = "andon",
    layout: PictureLayout = PictureLayout(),
) -> Prompt:
    """The prompt for a product. Nothing of the single part enters it, so it can be cached.

    Args:
        texts: what the policy says of the product and its classes.
        parts: which parts of the prompt there are.
        template: the protocol's: ``andon`` (with ``normal`` and ``unknown`` as answers) or
            ``velm`` (the paper's closed class set, no system message).
        layout: how the pictures beside the prompt differ from the paper's.

    >>> from streams.ports import ClassText
    >>> classes = (ClassText("pore", "gas pore", "a small round dark spot"),)
    >>> prompt = render(ClassificationTexts("bracket", "", "is matt grey", classes=classes))
    >>> prompt.labels
    {'gas pore': 'pore', 'normal': 'normal', 'unknown': 'unknown'}
    >>> prompt.text.splitlines()[0]
    'Image 1: a reference, a normal "bracket".'

    Raises:
        PromptError: a text is too long, names collide, or the template does not exist.
    """
    names = _part_names(template)
    open_set = template == "andon"
    labels = labels_of(texts, open_set)
    where = texts.product_id
    values = {
        "product": _name(texts.product_id, "product"),
        "parts": parts,
        "layout": layout,
        "labels": list(labels),
        "normal_description": _text(texts.normal_description, f"{where}: normal description"),
        "strategy": _text(texts.strategy, f"{where}: classification strategy"),
        "classes": [
            {"label": label, "description": _text(c.description, f"{where}: class {c.name!r}")}
            for label, c in zip(labels, texts.classes, strict=False)
        ],
    }
    rendered = {
        name: _environment().get_template(f"{template}/{name}.jinja").render(values).strip()
        for name in names
    }
    system, text = rendered.get("system", ""), rendered["user"]
    if len(system) + len(text) > MAX_PROMPT:
        raise PromptError(
            f"{where}: the prompt has {len(system) + len(text)} characters, at most {MAX_PROMPT}; "
            "shorten the descriptions"
        )
    digest = hashlib.sha256(f"{system}\0{text}".encode()).hexdigest()
    return Prompt(system, text, labels, digest)


def labels_of(texts: ClassificationTexts, open_set: bool = True) -> dict[str, str]:
    """Answer label -> class name, in the policy's order; the label is the display name.

    Raises:
        PromptError: two labels read alike, one is empty, or one is a reserved answer.
    """
    if len(texts.classes) > MAX_CLASSES:
        raise PromptError(
            f"{texts.product_id}: {len(texts.classes)} classes, at most {MAX_CLASSES} fit a prompt"
        )
    labels: dict[str, str] = {}
    seen: dict[str, str] = {}
    for entry in texts.classes:
        label = _name(entry.display_name or entry.name, f"{texts.product_id}: class {entry.name!r}")
        key = fold(label)
        if key in RESERVED:
            raise PromptError(
                f"{texts.product_id}: class {entry.name!r} reads as {label!r}, which is reserved "
                "for the answer itself; give it another display name"
            )
        if key in seen:
            raise PromptError(
                f"{texts.product_id}: classes {seen[key]!r} and {entry.name!r} both read as "
                f"{label!r}; give one another display name"
            )
        seen[key] = entry.name
        labels[label] = entry.name
    if open_set:
        labels |= {name: name for name in RESERVED}
    return labels


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters["quoted"] = lambda text: json.dumps(text, ensure_ascii=False)
    return environment


@cache
def _part_names(template: str) -> list[str]:
    """The parts that a template has: ``user``, and ``system`` where there is one."""
    known = sorted(p.name for p in TEMPLATES.iterdir() if p.is_dir())
    if template not in known:
        raise PromptError(f"no prompt template {template!r}; there are {', '.join(known)}")
    return sorted(p.stem for p in (TEMPLATES / template).glob("*.jinja"))


def _clean(value: str) -> str:
    """One line: control and format characters dropped, white space collapsed."""
    spaced = _SPACE.sub(" ", value)
    return "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Cs")).strip()


def _name(value: str, what: str) -> str:
    cleaned = _clean(value)
    if not cleaned:
        raise PromptError(f"{what}: the name is empty")
    if len(cleaned) > MAX_NAME:
        raise PromptError(f"{what}: the name has {len(cleaned)} characters, at most {MAX_NAME}")
    return cleaned


def _text(value: str, what: str) -> str:
    if len(value) > MAX_DESCRIPTION:
        raise PromptError(f"{what}: {len(value)} characters, at most {MAX_DESCRIPTION}; shorten it")
    return _clean(value)
