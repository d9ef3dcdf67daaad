"""A policy's version is the hash of its resolved content."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from policies.model import PolicyDocument

Body = Mapping[str, Any]
"""A resolved document as JSON-able data: what is hashed, stored and published."""


def body_of(document: PolicyDocument) -> dict[str, Any]:
    """The document as plain data, defaults included, in an order that does not matter."""
    return document.model_dump(mode="json")


def canonical(body: Body) -> bytes:
    """Canonical JSON: sorted keys, no blanks, UTF-8, no NaN."""
    return json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def content_hash(body: Body) -> str:
    """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(body)).hexdigest()
