"""A version comes into force on every replica, or not at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from andon.learning.errors import LearningError
from andon.learning.in_force import Stores, Wish, lacking, put_in_force
from andon.learning.versions import before, find_version
from history.errors import ChangingNowError
from history.model_log import ModelChange
from serving.blobs import FolderBlobs
from serving.bundle_store import open_folder
from serving.errors import StoreError
from serving.ray.replicas import ApplicationStatus, ReplicaStatus
from serving.ray.settings import CLASSIFIER, VISION
from streams.errors import UnavailableError
from tests.serving.ray.tiny import save_tiny


@dataclass
class KeptLog:
    """The audit, in memory."""

    rows: list[ModelChange] = field(default_factory=list)
    down: bool = False
    taken: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def changing(self, product_id: str) -> AsyncIterator[None]:
        if product_id in self.taken:
            raise ChangingNowError(f"somebody changes the models of {product_id!r} at this moment")
        self.taken.add(product_id)
        try:
            yield
        finally:
            self.taken.remove(product_id)

    async def append(
        self,
        product_id: str,
        experts: tuple[str | None, str],
        exemplars: tuple[str | None, str | None],
        applied_by: str,
        reason: str,
    ) -> ModelChange:
        if self.down:
            raise UnavailableError("the database is down")
        made = ModelChange(
            id=len(self.rows) + 1,
            product_id=product_id,
            from_expert=experts[0],
            to_expert=experts[1],
            from_exemplars=exemplars[0],
            to_exemplars=exemplars[1],
            applied_by=applied_by,
            reason=reason,
            applied_at=datetime.now(UTC),
        )
        self.rows.insert(0, made)
        return made

    async def changes(self, product_id: str | None = None, limit: int = 100) -> list[ModelChange]:
        return self.rows[:limit]


@dataclass
class Plant:
    """Two replicas of the expert that follow the store, as far as they are told to."""

    root: Path
    log: KeptLog = field(default_factory=KeptLog)
    stuck: str = ""
    """What a replica says that does not take the version."""
    pinned: bool = False
    listed: dict[str, list[str]] = field(default_factory=dict)
    """Products that the configuration names, by deployment."""
    whole_at: int = 0
    """The look from which on a version may be loaded that was tried and refused before."""
    looks: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def stores(self) -> Stores:
        return Stores(open_folder(self.root / "experts"), open_folder(self.root / "exemplars"))

    async def look(self, timeout_s: float = 0) -> ApplicationStatus:
        self.looks += 1
        if self.looks == self.whole_at:
            self.stuck = ""
        try:
            now = self.stores.experts.products()
        except StoreError:  # a damaged pointer
            now = {"tile": self.first}
        late = {"tile": self.first} if self.stuck or self.looks < 4 else now
        tried = now != {"tile": self.first} or self.whole_at
        problems = {"tile": self.stuck} if self.stuck and tried else {}
        pinned = ["tile"] if self.pinned else []
        return ApplicationStatus(
            replicas=[
                ReplicaStatus(replica="a", deployment=VISION, versions=now, pinned=pinned),
                ReplicaStatus(
                    replica="b",
                    deployment=VISION,
                    versions=late,
                    problems=problems,
                    listed=self.listed.get(VISION),
                ),
                ReplicaStatus(
                    replica="c",
                    deployment=CLASSIFIER,
                    versions=self.stores.exemplars.products(),
                    listed=self.listed.get(CLASSIFIER),
                ),
            ],
            expected={VISION: 2, CLASSIFIER: 1},
        )

    def made(self, note: str) -> str:
        return save_tiny(self.root / "experts", "tile", note=note)

    async def use(self, expert: str, exemplars: str | None = None, wait_s: float = 5) -> str:
        wish = Wish("tile", expert, exemplars, "Ada", "a test")
        change = await put_in_force(wish, self.stores, self.log, self, wait_s, self.said.append)
        return change.to_expert

    def __post_init__(self) -> None:
        self.first = self.made("first")
        self.stores.experts.point("tile", self.first)


@pytest_asyncio.fixture
async def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Plant]:
    monkeypatch.setattr("andon.learning.in_force.LOOK_S", 0.001)
    yield Plant(tmp_path)


@pytest.mark.asyncio
async def test_it_waits_until_every_replica_has_it_and_writes_it_down(plant: Plant) -> None:
    second = plant.made("second")
    exemplars = save_tiny(plant.root / "exemplars", "tile", note="taught")
    assert await plant.use(second, exemplars) == second
    assert plant.stores.experts.pointed("tile") == second
    assert plant.stores.exemplars.pointed("tile") == exemplars
    assert "replica b has" in plant.said[0]
    (row,) = plant.log.rows
    assert (row.from_expert, row.to_expert, row.to_exemplars) == (plant.first, second, exemplars)
    assert (row.applied_by, row.reason) == ("Ada", "a test")
    assert before(plant.log.rows, "tile") == (plant.first, None)


@pytest.mark.asyncio
async def test_a_rollback_returns_to_the_exemplars_before_even_to_none(plant: Plant) -> None:
    second = plant.made("second")
    bundles = [save_tiny(plant.root / "exemplars", "tile", note=note) for note in "ab"]
    plant.stores.exemplars.point("tile", None)
    await plant.use(second, bundles[0])
    await plant.use(*before(plant.log.rows, "tile"))
    assert plant.stores.experts.pointed("tile") == plant.first
    assert plant.stores.exemplars.products() == {}
    await plant.use(plant.first, bundles[0])
    await plant.use(plant.first, bundles[1])
    await plant.use(*before(plant.log.rows, "tile"))
    assert plant.stores.exemplars.pointed("tile") == bundles[0]


@pytest.mark.asyncio
async def test_what_is_in_force_already_leaves_the_way_back(plant: Plant) -> None:
    second = plant.made("second")
    await plant.use(second)
    await plant.use(second)
    assert len(plant.log.rows) == 1
    assert before(plant.log.rows, "tile") == (plant.first, None)
    assert "nothing changed and nothing was written down: Ada" in plant.said[-1]


@pytest.mark.asyncio
async def test_of_two_who_put_versions_in_force_at_once_one_is_refused(plant: Plant) -> None:
    """The first, whose version no replica has yet, would take the other's out of force again."""
    second, third = plant.made("second"), plant.made("third")
    plant.stuck = "busy"
    waiting = asyncio.create_task(plant.use(second, wait_s=60))
    while not plant.said:  # noqa: ASYNC110 - it has no event of its own
        await asyncio.sleep(0.001)
    with pytest.raises(ChangingNowError):
        await plant.use(third)
    assert plant.stores.experts.pointed("tile") == second
    plant.stuck = ""
    assert await waiting == second
    assert await plant.use(third) == third
    assert [row.from_expert for row in plant.log.rows] == [second, plant.first]


@pytest.mark.asyncio
async def test_a_store_that_refuses_half_way_brings_everything_back(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = plant.made("second")
    old, new = (save_tiny(plant.root / "exemplars", "tile", note=note) for note in "ab")
    plant.stores.exemplars.point("tile", old)
    refuse_pointers(monkeypatch, {second})
    with pytest.raises(StoreError, match="access denied"):
        await plant.use(second, new)
    assert plant.stores.exemplars.pointed("tile") == old
    assert plant.stores.experts.pointed("tile") == plant.first
    refuse_pointers(monkeypatch, {second, old})
    with pytest.raises(UnavailableError, match=r"could not be put in force again.*access denied"):
        await plant.use(second, new)
    assert plant.log.rows == []


def refuse_pointers(monkeypatch: pytest.MonkeyPatch, digests: set[str]) -> None:
    """The store takes no pointer to these versions from now on."""
    put = FolderBlobs.put

    def refuse(blobs: FolderBlobs, key: str, body: bytes) -> None:
        if any(digest.encode() in body for digest in digests):
            raise StoreError(f"{key}: access denied")
        put(blobs, key, body)

    monkeypatch.setattr(FolderBlobs, "put", refuse)


@pytest.mark.asyncio
@pytest.mark.parametrize("audited", [True, False])
async def test_a_damaged_pointer_is_mended_by_using_a_version(plant: Plant, audited: bool) -> None:
    """As its message says."""
    if audited:
        await plant.use(plant.first)
    second = plant.made("second")
    pointer = plant.root / "experts" / "tile" / "latest.json"
    pointer.write_text("{")
    plant.stuck = "busy"
    with pytest.raises(LearningError, match="did not have it"):
        await plant.use(second, wait_s=0.01)
    assert plant.stores.experts.pointed("tile") == (plant.first if audited else second)
    pointer.write_text("{")
    plant.stuck = ""
    assert await plant.use(second) == second


@pytest.mark.asyncio
async def test_what_was_refused_while_it_was_copied_is_tried_again(plant: Plant) -> None:
    second = plant.made("second")
    plant.stuck = f"{second[:12]}: truncated"
    plant.whole_at = plant.looks + 6
    assert await plant.use(second) == second


@pytest.mark.asyncio
@pytest.mark.parametrize("refuses", [True, False])
async def test_a_replica_that_does_not_take_it_brings_the_version_before_back(
    plant: Plant, refuses: bool
) -> None:
    second = plant.made("second")
    plant.stuck = f"{second[:12]}: truncated" if refuses else "busy"
    words = "refused it.*truncated" if refuses else "did not have it"
    with pytest.raises(LearningError, match=words):
        await plant.use(second, wait_s=60 if refuses else 0.01)
    assert plant.stores.experts.pointed("tile") == plant.first
    assert plant.log.rows == []


@pytest.mark.asyncio
async def test_what_cannot_be_is_refused_before_anything_changes(plant: Plant) -> None:
    second = plant.made("second")
    with pytest.raises(StoreError, match="not in the store"):
        await plant.use("0" * 64)
    plant.pinned = True
    with pytest.raises(LearningError, match="products: latest"):
        await plant.use(second)
    assert plant.stores.experts.pointed("tile") == plant.first


@pytest.mark.parametrize(("deployment", "field"), [(VISION, "products"), (CLASSIFIER, "exemplars")])
@pytest.mark.asyncio
async def test_a_product_that_the_configuration_does_not_name_is_refused_at_once(
    plant: Plant, deployment: str, field: str
) -> None:
    second, exemplars = plant.made("second"), save_tiny(plant.root / "exemplars", "tile", note="e")
    plant.listed = {deployment: ["cloth"]}
    with pytest.raises(LearningError, match=f"{deployment} names its {field}, and tile is not"):
        await plant.use(second, exemplars, wait_s=60)
    assert plant.looks == 1
    plant.listed = {deployment: ["cloth", "tile"]}
    assert await plant.use(second, exemplars) == second


@pytest.mark.asyncio
async def test_a_missing_audit_entry_is_said_and_made_up_for(plant: Plant) -> None:
    await plant.use(plant.first)
    second = plant.made("second")
    plant.log.down = True
    with pytest.raises(UnavailableError, match="audit entry is missing"):
        await plant.use(second)
    plant.log.down = False
    await plant.use(second)
    assert before(plant.log.rows, "tile") == (plant.first, None)


def test_a_replica_that_is_not_there_is_lacking() -> None:
    wish = Wish("tile", "a" * 64, None, "Ada", "")
    has = ReplicaStatus(replica="a", deployment=VISION, versions={"tile": "a" * 64})
    assert lacking(ApplicationStatus(replicas=[has], expected={VISION: 1}), wish) == []
    assert "1 replicas" in lacking(ApplicationStatus(replicas=[has], expected={VISION: 2}), wish)[0]
    assert "no replica runs" in lacking(ApplicationStatus(replicas=[], expected={}), wish)[0]


def test_versions_are_named_by_their_beginning() -> None:
    assert find_version("ab", ["abc0", "b000"], "tile") == "abc0"
    for words in ("", "x", "b"):
        with pytest.raises(LearningError, match="andon models list"):
            find_version(words, ["b000", "b111"], "tile")
    with pytest.raises(LearningError, match="andon models use tile"):
        before([], "tile")
