"""The security page says what the data says, and names tests that are there."""

import re
from pathlib import Path

from history.object_rights import RIGHTS
from history.rights import TABLES, DatabaseRole, Verb, may
from streams.principals import ACCESS, Role

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")


def test_every_topic_has_its_writers_and_readers() -> None:
    for access in ACCESS.values():
        writers, readers = (
            ", ".join(role.value for role in Role if role in roles)
            for roles in (access.writers, access.readers)
        )
        assert f"| `{access.topic.name}` | {writers} | {readers} |" in PAGE


def test_every_role_of_the_database_has_its_inserts() -> None:
    for role in set(DatabaseRole) - {DatabaseRole.OWNER}:
        (row,) = re.findall(rf"^\| `{role}` \|.*$", PAGE, re.MULTILINE)
        inserts = row.split("|")[3]
        meant = {table for table in TABLES if may(role, Verb.INSERT, table)}
        assert set(re.findall(r"`(\w+)`", inserts)) == meant


def test_every_user_of_the_object_store_has_its_places() -> None:
    for role, (puts, gets) in RIGHTS.items():
        (row,) = re.findall(rf"^\|[^|]*`andon-{role}`.*$", PAGE, re.MULTILINE)
        places = [tuple(re.findall(r"`(\w+/)`", cell)) for cell in row.split("|")[2:4]]
        assert places == [puts, gets]


def test_the_named_tests_are_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", PAGE)
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]
