"""No mutation of a policy file makes anything but a report, and none takes much memory."""

from pathlib import Path

import pytest

from policies.authoring.loading import check_file
from policies.evaluate import ResolvedPolicy
from streams.errors import AndonError
from tests.fuzz.policies import mutated
from tests.fuzz.rounds import MOST_MIB, peak_mib, rounds


def tried(seed: int, folder: Path) -> bool:
    """Check one mutation as the commands do; whether it is a policy still."""
    path = folder / "mutated.yaml"
    path.write_bytes(mutated(seed))
    try:
        report = check_file(path)
    except AndonError:
        return False
    for problem in (*report.errors, *report.warnings):
        assert 0 < len(problem.reason) < 3000, seed
    if report.policy is not None:
        again = ResolvedPolicy.from_body(dict(report.policy.body), report.policy.policy_hash)
        assert again.policy_hash == report.policy.policy_hash, seed
    return report.ok


def test_mutations_of_policies_are_reported(tmp_path: Path) -> None:
    whole = [tried(seed, tmp_path) for seed in range(rounds(150))]
    assert set(whole) == {True, False}


@pytest.mark.slow
def test_every_mutation_of_policies_is_reported(tmp_path: Path) -> None:
    held = peak_mib()
    for seed in range(rounds(5000)):
        tried(seed, tmp_path)
    assert peak_mib() - held < MOST_MIB
