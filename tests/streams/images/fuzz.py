"""Mutations of pictures of every kind: a picture, or the one error, in bounded time and memory.

.venv/bin/python -m tests.streams.images.fuzz --count 20000
.venv/bin/python -m tests.streams.images.fuzz --count 400 --holes
"""

import argparse
import json
import resource
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

import numpy as np

from streams.errors import UndecodableImageError
from streams.images.decoding import decode
from tests.streams.images.made import by_kind

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF)


@dataclass
class Found:
    """What a run of mutations found."""

    mutations: int = 0
    decoded: int = 0
    refused: int = 0
    others: Counter[str] = field(default_factory=Counter)
    """Exceptions of any other kind, by what they said; none is right."""
    slowest_s: float = 0.0
    """CPU time of the slowest mutation, seconds."""
    slowest: str = ""
    memory_mib: float = 0.0
    """Growth of the process's peak memory over the run, MiB: at least the hungriest mutation's."""


def mutated(data: bytes, donor: bytes, rng: np.random.Generator) -> bytes:
    """The file with one to three of the things that happen to files."""
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, len(data))) if rng.random() < 0.5 else int(rng.integers(0, 300))
        at = min(at, len(data) - 1)
        length = int(2 ** rng.uniform(0, np.log2(len(data) + 1)))
        match int(rng.integers(0, 9)):
            case 0:
                data = data[:at] + data[at + length :]
            case 1:
                data = data[:at] + bytes(min(length, len(data) - at)) + data[at + length :]
            case 2:
                data = data[: max(at, 1)]
            case 3:
                data = data[: max(at, 1)] + b"\xff\xd9"
            case 4:
                data = data[:at] + rng.bytes(int(rng.integers(1, 20))) + data[at:]
            case 5:
                filler = bytes([EXTREMES[int(rng.integers(0, 5))]]) * int(rng.integers(1, 9))
                data = data[:at] + filler + data[at + len(filler) :]
            case 6:
                flipped = bytearray(data)
                for place in rng.integers(0, len(data), int(rng.integers(1, 9))):
                    flipped[place] ^= 1 << int(rng.integers(0, 8))
                data = bytes(flipped)
            case 7:
                data = data[:at] + data[at : at + length] + data[at:]
            case _:
                data = data[:at] + donor[at : at + length] + data[at + length :]
        if not data:
            break
    return data


def run(count: int, seed: int = 0) -> Found:
    """Decode ``count`` mutations, the same for every seed."""
    rng = np.random.default_rng(seed)
    kinds = by_kind()
    names = sorted(kinds)
    for name in names:
        decode(kinds[name])
    found = Found()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        name, donor = names[number % len(names)], names[int(rng.integers(0, len(names)))]
        data = mutated(kinds[name], kinds[donor], rng)
        began = time.process_time()
        try:
            decode(data)
            found.decoded += 1
        except UndecodableImageError:
            found.refused += 1
        except Exception as error:
            found.others[f"{name}: {type(error).__name__}: {error}"] += 1
        took = time.process_time() - began
        if took > found.slowest_s:
            found.slowest_s, found.slowest = took, f"{name}, mutation {number}"
    found.mutations = count
    found.memory_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return found


def holes(count: int, seed: int = 0) -> dict[str, dict[str, int]]:
    """What becomes of ``count`` files of each kind that lost 1 byte to half of themselves.

    ``same`` lost only what is not read, such as later pages; ``other`` is decoded and wrong.
    """
    rng = np.random.default_rng(seed)
    found = {}
    for name, whole in by_kind().items():
        expected = decode(whole).pixels
        counts = {"refused": 0, "same": 0, "other": 0}
        for _ in range(count):
            length = int(2 ** rng.uniform(0, np.log2(len(whole) / 2)))
            at = int(rng.integers(2, len(whole) - length))
            try:
                pixels = decode(whole[:at] + whole[at + length :]).pixels
            except UndecodableImageError:
                counts["refused"] += 1
                continue
            counts["same" if np.array_equal(pixels, expected) else "other"] += 1
        found[name] = counts
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--holes", action="store_true", help="Lost bytes instead, by kind.")
    given = parser.parse_args()
    figures = (
        holes(given.count, given.seed) if given.holes else asdict(run(given.count, given.seed))
    )
    print(json.dumps(figures, indent=1))  # noqa: T201
