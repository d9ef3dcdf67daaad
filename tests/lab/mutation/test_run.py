"""A run over a small module: its own tests kill what changes a result, a hang counts as killed."""

import pytest

from lab.mutation.cores import CORES, Core
from lab.mutation.run import ROOT, MutationError, chosen, figures, run_core

BACKOFF = Core(("streams/backoff.py",), ("tests/streams/test_backoff.py",))


def test_the_tests_of_each_core_exist() -> None:
    for core in CORES.values():
        assert all((ROOT / name).is_file() for name in (*core.modules, *core.tests))


def test_mutants_are_killed_or_named() -> None:
    survived: list[str] = []
    found = run_core("backoff", BACKOFF, survived.append, jobs=1)
    body = figures([found])
    assert found.killed + len(survived) == len(found.tried) > 3
    assert found.killed > 0
    assert body["cores"]["backoff"]["modules"].keys() == {"streams/backoff.py"}
    assert len(body["survivors"]) == len(survived)


def test_tests_that_fail_judge_nothing() -> None:
    nothing = Core(BACKOFF.modules, ("tests/lab/mutation/no_such_test.py",))
    with pytest.raises(MutationError, match="as it is"):
        run_core("none", nothing, lambda _: None, jobs=1)


def test_a_sample_is_drawn_by_its_seed() -> None:
    core = CORES["handshake"]
    drawn = chosen(core, 20, seed=3)
    assert len(drawn) == 20
    assert drawn == chosen(core, 20, seed=3)
    assert drawn != chosen(core, 20, seed=4)
    assert len(chosen(core, None, 0)) == len(chosen(core, 10**6, 0)) > 100
