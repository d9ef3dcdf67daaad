"""The check of a policy, and whether its texts can become the language model's prompt."""

from dataclasses import replace
from pathlib import Path

from policies.authoring.loading import Report, check_file, check_text
from policies.errors import Problem
from prompts import PromptError, PromptParts, render

CODE = "E401"
"""The error's code; the others are in ``policies.authoring.schema.ERRORS``."""


def check_with_prompt(path: Path | str) -> Report:
    """The validator's report on a file, with an error more when no prompt can be made of it.

    Two classes whose display names read alike (``prompts.names.fold``), or one that reads as
    ``normal`` or ``unknown``, would make an answer ambiguous; too long a prompt would not be sent.

    Raises:
        PolicyError: the file is not there or cannot be opened.
    """
    return _with_prompt(check_file(path))


def check_text_with_prompt(text: str, name: str = "policy.yaml") -> Report:
    """The same report on a text that is in no file; it stands by itself, without a base.

    Args:
        text: the policy as it is written.
        name: what problems call the text.
    """
    return _with_prompt(check_text(text, name))


def _with_prompt(report: Report) -> Report:
    if report.policy is None:
        return report
    try:
        render(report.policy.texts(""), PromptParts())
    except PromptError as error:
        problem = Problem(report.file, 0, 0, CODE, "classes", str(error))
        return replace(report, errors=(problem,), policy=None)
    return report
