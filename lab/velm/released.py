"""Imports class descriptions as the authors of VELM released them.

Their ``normal`` texts hold two parts of the prompt in one: the description of the normal object
(ND) and, for ten of fourteen objects, the classification strategy (CS). The importer separates
them at the first sentence that speaks of classifying.
"""

import json
import re
from pathlib import Path
from typing import Final

from prompts import PromptError
from streams.ports import ClassificationTexts, ClassText

_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_STRATEGY: Final = re.compile(
    r"\bclassif\w+\b|\bassessing anomalies\b|\bhierarchy\b", re.IGNORECASE
)


def split_normal(text: str) -> tuple[str, str]:
    """Normal description and classification strategy ('' where there is none).

    >>> split_normal("has a clean bore. To classify the defect follow this. First look.")
    ('has a clean bore.', 'To classify the defect follow this. First look.')
    """
    sentences = _SENTENCE.split(text.strip())
    for i, sentence in enumerate(sentences):
        if _STRATEGY.search(sentence):
            return " ".join(sentences[:i]), " ".join(sentences[i:])
    return " ".join(sentences), ""


def read_released(path: Path) -> dict[str, ClassificationTexts]:
    """Texts of every object of a released descriptions file, by name; classes by their folder.

    Raises:
        PromptError: the file is missing or not of the released form; names object and class.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PromptError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise PromptError(f"{path}: expected an object of object categories")
    return {name: _texts(f"{path}: {name}", name, body) for name, body in document.items()}


def _texts(where: str, name: str, body: object) -> ClassificationTexts:
    if not isinstance(body, dict) or "normal" not in body:
        raise PromptError(f"{where}: expected 'normal' and one entry per class")
    normal, strategy = split_normal(_strings(f"{where}.normal", body["normal"], 1)[0])
    classes = tuple(
        ClassText(folder, *_strings(f"{where}.{folder}", entry, 2))
        for folder, entry in body.items()
        if folder != "normal"
    )
    return ClassificationTexts(name, "", normal, strategy, classes)


def _strings(where: str, value: object, count: int) -> list[str]:
    texts = [v.strip() for v in value if isinstance(v, str)] if isinstance(value, list) else []
    if not isinstance(value, list) or not len(texts) == len(value) == count:
        raise PromptError(f"{where}: expected a list of {count} text(s)")
    return texts
