"""From a YAML file to a policy that can decide."""

from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML

from policies.errors import InvalidPolicyError, PolicyError, Problem
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument


def load_policy(path: Path | str) -> ResolvedPolicy:
    """Read, check and resolve one product's file.

    Raises:
        InvalidPolicyError: with every problem of the file.
        PolicyError: the file cannot be read.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: cannot be read: {error}") from error
    try:
        document = PolicyDocument.model_validate(YAML(typ="safe", pure=True).load(text))
    except ValidationError as error:
        raise InvalidPolicyError(
            [
                Problem(str(path), 0, 0, "E200", ".".join(map(str, e["loc"])), e["msg"])
                for e in error.errors()
            ]
        ) from None
    return ResolvedPolicy(document)
