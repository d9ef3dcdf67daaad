"""Answers in the form in which the authors of VELM released theirs, whatever they left out."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from policies.errors import PolicyError
from policies.review.taxonomy import ClassNote, LabelledAnswer
from prompts.names import NORMAL, fold

GOOD = "good"
"""What the released files call a part that the expert passed, or that is normal."""


class AnswerFileError(PolicyError):
    """A file of answers or descriptions that cannot be read; names the entry."""


@dataclass
class Subject:
    """One object of a file: what was answered, and what is known of its classes."""

    answers: list[LabelledAnswer] = field(default_factory=list)
    notes: dict[str, ClassNote] = field(default_factory=dict)


def read_answer_file(predictions: Path, descriptions: Path) -> dict[str, Subject]:
    """Objects with their answers, from ``"<object>_<class>_<nnn>": "<answer>"`` and descriptions.

    A class without a description, or with another form of one, keeps the name of its folder; an
    object without any is the first word of its keys. An answer counts for the class whose display
    name or folder it is. An answer that is no class's counts for the class without a display name
    to whose parts it is given most often.

    Raises:
        AnswerFileError: not JSON of that form; names the entry.
    """
    described = read_json_object(descriptions)
    subjects = {
        name: Subject(notes=_notes(body))
        for name, body in described.items()
        if isinstance(body, dict)
    }
    for key, answer in read_json_object(predictions).items():
        if not isinstance(answer, str):
            raise AnswerFileError(f"{predictions.name}: the answer of {key!r} is not a text")
        first = key.partition("_")[0]
        objects = described if _belongs(key, described) else {first: None}
        name, folder = split_key(key, objects, predictions.name)
        subject = subjects.setdefault(name, Subject())
        if folder != GOOD:
            subject.notes.setdefault(folder, ClassNote(folder))
        subject.answers.append(LabelledAnswer(key, NORMAL if folder == GOOD else folder, answer))
    for subject in subjects.values():
        known = _names(subject.notes)
        known |= _guessed(subject, known)
        subject.answers = [
            LabelledAnswer(a.part, a.truth, known.get(fold(a.answer), a.answer))
            for a in subject.answers
        ]
    return {name: subject for name, subject in sorted(subjects.items()) if subject.answers}


def _belongs(key: str, objects: Iterable[str]) -> bool:
    return any(key.startswith(f"{name}_") for name in objects)


def _names(notes: Mapping[str, ClassNote]) -> dict[str, str]:
    """The class that is meant by an answer: its folder, in words too, or first its display name."""
    found = {fold(GOOD): NORMAL, NORMAL: NORMAL}
    for name in notes:
        found[fold(name.replace("_", " "))] = name
        found[fold(name)] = name
    for name, note in notes.items():
        if note.display_name:
            found[fold(note.display_name)] = name
    return found


def _guessed(subject: Subject, known: Mapping[str, str]) -> dict[str, str]:
    """What classes without a display name are called, by the answers that nothing explains.

    The most frequent pair of such a class and such an answer is taken first, each of them once.
    """
    unnamed = {name for name, note in subject.notes.items() if not note.display_name}
    foreign = Counter(
        (fold(a.answer), a.truth) for a in subject.answers if fold(a.answer) not in known
    )
    found: dict[str, str] = {}
    for (answer, truth), _ in sorted(foreign.items(), key=lambda item: (-item[1], item[0])):
        if truth in unnamed and truth not in found.values():
            found.setdefault(answer, truth)
    return found


def _notes(body: Mapping[str, object]) -> dict[str, ClassNote]:
    notes = {}
    for name, entry in body.items():
        if name in (NORMAL, GOOD):
            continue
        texts = entry if isinstance(entry, list) else ["", entry]
        words = [text.strip() if isinstance(text, str) else "" for text in (*texts, "", "")]
        notes[name] = ClassNote(name, display_name=words[0], description=words[1])
    return notes


def read_json_object(path: Path) -> dict[str, object]:
    """The object of a JSON file.

    Raises:
        AnswerFileError: it cannot be read, or is none.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise AnswerFileError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise AnswerFileError(f"{path}: not JSON: {error}") from None
    if not isinstance(body, dict):
        raise AnswerFileError(f"{path}: expected one JSON object")
    return body


def split_key(key: str, described: Mapping[str, object], file: str) -> tuple[str, str]:
    """Object and class folder of ``<object>_<class>_<number>``; the longest object name wins.

    Raises:
        AnswerFileError: names the key and the file.
    """
    names = [name for name in described if _belongs(key, [name])]
    folder = key[len(max(names, key=len)) + 1 :].rpartition("_")[0] if names else ""
    if not folder:
        raise AnswerFileError(
            f"{file}: {key!r} is not <object>_<class>_<number> of a described object "
            f"({', '.join(sorted(described))})"
        )
    return max(names, key=len), folder
