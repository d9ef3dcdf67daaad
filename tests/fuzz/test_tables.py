"""No mutation of a table or list raises anything but the error that names its file."""

import random
from pathlib import Path

import pytest

from streams.images.parts import read_parts, require_match
from streams.tables import TableError, located, read_lines
from tests.fuzz.rounds import MOST_MIB, peak_mib, rounds
from tests.streams.test_tables import ENCODINGS, ROWS, written

WHOLE = [written(d).encode(e) for e in ENCODINGS for d in ",;\t|"]
ODD = (b'"', b";", b",", b"\t", b"\r", b"\n", b"\x00")
MARKS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\x00\x00\xfe\xff")


def mutated(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        length = rng.choice((1, 1, 2, 8, 40))
        data = rng.choice(
            (
                data[:at] + data[at + length :],
                data[:at] + rng.randbytes(length) + data[at:],
                data[:at] + rng.choice(ODD) + data[at:],
                data[:at] + data[at : at + length] * 3 + data[at + length :],
                rng.choice(MARKS) + data,
                data[:at],
            )
        )
    return data


def tried(seed: int, folder: Path) -> bool:
    """Read one mutation as a table of parts and as a list of files; whether it is a table still."""
    path, pictures = folder / "t.csv", [folder / name for name, _ in ROWS]
    path.write_bytes(mutated(WHOLE[seed % len(WHOLE)], random.Random(seed)))
    try:
        for _, line in read_lines(path):
            located(folder, line)
    except TableError as error:
        assert str(path) in str(error)  # noqa: PT017 - the message is what is tested
    try:
        require_match(read_parts(path, pictures), pictures)
    except TableError as error:
        assert str(path) in str(error)  # noqa: PT017 - the message is what is tested
        return False
    return True


def test_mutations_of_tables_are_tables_or_named(tmp_path: Path) -> None:
    whole = [tried(seed, tmp_path) for seed in range(rounds(600))]
    assert set(whole) == {True, False}


@pytest.mark.slow
def test_every_mutation_of_tables_is_a_table_or_named(tmp_path: Path) -> None:
    held = peak_mib()
    whole = [tried(seed, tmp_path) for seed in range(rounds(5000))]
    assert set(whole) == {True, False}
    assert peak_mib() - held < MOST_MIB
