"""Who may do what in the object store: the policies of S3 and MinIO, by role, as data.

``python -m history.object_rights`` writes ``s3/<role>.json`` from it, for the bucket ``andon``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

BUCKET: Final = "andon"
FOLDER: Final = Path(__file__).parent / "s3"
Rights = tuple[tuple[str, ...], tuple[str, ...]]
"""Prefixes that may be put below, and prefixes that may be read and listed below."""
RIGHTS: Final[Mapping[str, Rights]] = {
    "gateway": (("frames/",), ()),
    "inspect": ((), ("frames/",)),
    "classify": ((), ("frames/",)),
    "record": (("inspections/", "dead/"), ("frames/",)),
    "console": (
        ("artifacts/", "exemplars/"),
        ("artifacts/", "exemplars/", "inspections/", "dead/"),
    ),
    "process": ((), ("inspections/", "dead/")),
    "serving": ((), ("artifacts/", "exemplars/")),
    "ml": (("artifacts/", "exemplars/"), ("artifacts/", "exemplars/", "inspections/")),
}
"""No role may remove an object: `andon history retain` is run with a key that may. A bucket is made
by its administrator."""
PROBES: Final = ("doctor/probe", "doctor-probe")
"""How the keys end that `andon doctor` puts: a store that is new has them too."""


def policy_text(role: str, bucket: str = BUCKET) -> str:
    """The policy of a role as ``mc admin policy create`` and AWS take it."""
    puts, gets = RIGHTS[role]
    arn = f"arn:aws:s3:::{bucket}"
    statements: list[dict[str, object]] = []
    for action, prefixes in (("s3:PutObject", puts), ("s3:GetObject", gets)):
        if prefixes:
            places = [f"{arn}/{prefix}*" for prefix in prefixes]
            statements.append({"Effect": "Allow", "Action": [action], "Resource": places})
    listed: dict[str, object] = {
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": [arn],
        "Condition": {"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in gets]}},
    }
    if gets:
        statements.append(listed)
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2) + "\n"


if __name__ == "__main__":
    for name in RIGHTS:
        (FOLDER / f"{name}.json").write_text(policy_text(name), "utf-8")
