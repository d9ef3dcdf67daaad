"""Writes a certificate into a policy file: one block at its end, the rest of the text untouched."""

import json
from typing import Final

from policies.model import Certificate

HEAD: Final = "# Written by `andon certify`; not to be edited by hand."


def with_certificate(text: str, certificate: Certificate) -> str:
    """A policy file's text with this certificate instead of the one that it may have.

    >>> made = {"escape": 0.05, "confidence": 0.95, "issued": "2026-01-31", "decides": "0" * 64,
    ...         "expert_version": "e", "classifier": "prototypes", "classes": {"dust": {}}}
    >>> text = with_certificate("policy: 1\\nproduct: tile\\n", Certificate.model_validate(made))
    >>> text.splitlines()[-2:]
    ['  classes:', '    "dust": {"from_confidence": 0.0, "reviews": 0, "escapes": 0, "bound": 1.0}']
    """
    body = certificate.model_dump(mode="json")
    classes = body.pop("classes")
    lines = [HEAD, "certificate:"]
    lines += [f"  {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in body.items()]
    lines.append("  classes:" if classes else "  classes: {}")
    lines += [
        f"    {json.dumps(name, ensure_ascii=False)}: {json.dumps(entry)}"
        for name, entry in classes.items()
    ]
    kept = _without(text)
    end = "\r" if kept and kept[0].endswith("\r") else ""
    return "\n".join([*kept, *(line + end for line in ("", *lines))]) + "\n"


def _without(text: str) -> list[str]:
    """The lines of a policy file without its certificate and the blank lines at its end.

    A line that ends with CR LF keeps its CR; the other characters that ``str.splitlines`` takes for
    ends of a line may stand in a description.
    """
    kept: list[str] = []
    inside = False
    for line in text.split("\n"):
        inside = line.startswith("certificate:") or (inside and line[:1] in ("", " ", "\t", "\r"))
        if not inside and line.rstrip("\r") != HEAD:
            kept.append(line)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept
