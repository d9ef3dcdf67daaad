"""The copy of the policies on disk: processes that share the folder do not disturb each other."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from structlog.testing import capture_logs

from policies.authoring.loading import load_policy
from policies.disk_cache import DiskCache

TILE = load_policy(Path(__file__).parents[2] / "policies" / "products" / "magnetic_tile.yaml")
BODIES = {TILE.policy_hash: TILE.body}


def test_many_processes_write_one_copy(tmp_path: Path) -> None:
    caches = [DiskCache(tmp_path) for _ in range(6)]

    def write(cache: DiskCache) -> None:
        for _ in range(30):
            cache.write(BODIES)
            assert [policy.policy_hash for policy in cache.read()] == [TILE.policy_hash]

    with capture_logs() as said, ThreadPoolExecutor(len(caches)) as pool:
        list(pool.map(write, caches))
    assert not said
    assert [path.name for path in tmp_path.iterdir()] == ["policies.json"]


def test_a_disk_that_takes_nothing_is_said_and_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "policies.json").mkdir()
    (tmp_path / "policies.json" / "in the way").touch()
    with capture_logs() as said:
        DiskCache(tmp_path).write(BODIES)
    assert [line["event"] for line in said] == ["policy cache not written"]
    assert [path.name for path in tmp_path.iterdir()] == ["policies.json"]
