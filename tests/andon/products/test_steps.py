"""From pictures to the line: trained, taught, drafted, checked, and put in force or not at all."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from andon.cli.product import app
from andon.learning.changing import open_stores
from andon.learning.in_force import Stores, Wish
from andon.products import steps
from andon.products.drafted_policy import check_policy, policy_text
from andon.products.workspace import Workspace
from andon.settings import Settings, load_settings
from console.product_drafts import (
    DraftClass,
    DraftError,
    ProductDraft,
    TaughtDraft,
    TrainedDraft,
    lessons_of,
    next_step,
    pictures_of,
)
from history.model_log import ModelChange
from policies.authoring.drafting import ClassMeaning, draft_policy
from policies.authoring.loading import load_policy
from policies.errors import SecondPersonError, SofteningError
from policies.evaluate import ResolvedPolicy
from serving.bundle_store import open_folder
from serving.naming.exemplars import load_bundle
from streams.codes import Action, Severity
from streams.errors import UnavailableError
from tests.serving.experts.pictures import scratched, surface, write
from tests.serving.ray.tiny import save_tiny

QUICK = ("--set", "size=64", "--set", "synthetic=30", "--set", "threads=1")


class Line:
    """What the last step does to a line: written down instead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wishes: list[Wish] = []
        self.policies: list[tuple[str, str, str]] = []
        self.before: ResolvedPolicy | None = None
        self.is_withdrawn = False
        self.error: Exception | None = None
        self.absent: Exception | None = None

        async def require(_: Settings) -> None:
            if self.absent:
                raise self.absent

        async def put(
            _: Settings, stores: Stores, wish: Wish, wait_s: float, tell: Callable[[str], None]
        ) -> ModelChange:
            if self.error:
                raise self.error
            stores.experts.point(wish.product, wish.expert)
            self.wishes.append(wish)
            return ModelChange(
                id=1,
                product_id=wish.product,
                from_expert=None,
                to_expert=wish.expert,
                from_exemplars=None,
                to_exemplars=wish.exemplars,
                applied_by=wish.by,
                reason=wish.reason,
                applied_at=datetime.now(UTC),
            )

        async def in_force(_: str) -> ResolvedPolicy | None:
            return None if self.is_withdrawn else self.before

        async def last(_: str) -> ResolvedPolicy | None:
            return self.before

        async def apply(
            policy: ResolvedPolicy, replaces: str | None, by: str, why: str, softens: bool
        ) -> None:
            self.policies.append((policy.policy_hash, by, why))

        monkeypatch.setattr(steps, "put", put)
        monkeypatch.setattr(steps, "require_replicas", require)
        monkeypatch.setattr(steps.database, "in_force", in_force)
        monkeypatch.setattr(steps.database, "last", last)
        monkeypatch.setattr(steps.database, "put_in_force", apply)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("artifacts", "exemplars", "state"):
        monkeypatch.setenv(f"ANDON_PATHS__{name.upper()}", str(tmp_path / name))
    load_settings.cache_clear()
    yield load_settings()
    load_settings.cache_clear()


@pytest.fixture
def ready(settings: Settings) -> Workspace:
    """A draft that lacks but the last step; expert and exemplars are tiny."""
    made = Workspace(settings.paths.state / "products" / "tile")
    made.begin("tile", "ada")
    made.add_normal("1.png", cv2.imencode(".png", surface(1))[1].tobytes())
    made.add_defect("2.png", cv2.imencode(".png", scratched(2))[1].tobytes(), "scratch")
    made.set_class("scratch", DraftClass(action=Action.SCRAP))
    expert = save_tiny(made.experts, "tile")
    bundle = save_tiny(made.exemplars, "tile", note="bundle")
    open_folder(made.experts).put_note("tile", expert, b'{"base": "0"}')

    def done(draft: ProductDraft) -> ProductDraft:
        found = TrainedDraft(
            digest=expert,
            pictures=pictures_of(draft),
            images=1,
            parts=1,
            asked_rate=0.02,
            rate=0.02,
            threshold=1.0,
            found=0.5,
        )
        draft = draft.model_copy(update={"trained": found})
        taught = TaughtDraft(expert=expert, exemplars=bundle, lessons=lessons_of(draft))
        return draft.model_copy(update={"taught": taught})

    made.change(done)
    check_policy(made)
    return made


async def go(workspace: Workspace, settings: Settings, softly: bool = False) -> ProductDraft:
    return await steps.put_live(workspace, settings, "ada", "", lambda _: None, softly)


@pytest.mark.asyncio
async def test_expert_exemplars_and_policy_come_into_force(
    ready: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(monkeypatch)
    draft = await go(ready, settings)
    assert draft.taught is not None
    assert draft.live is not None
    assert draft.checked is not None
    expert, exemplars = draft.taught.expert, draft.taught.exemplars
    assert line.wishes == [Wish("tile", expert, exemplars, "ada", "a new product")]
    assert line.policies == [(draft.checked.policy_hash, "ada", "a new product")]
    store = open_folder(Path(settings.paths.artifacts))
    assert store.pointed("tile") == expert
    assert store.note("tile", expert) == b'{"base": "0"}'
    assert exemplars in open_folder(Path(settings.paths.exemplars)).versions("tile")
    assert next_step(draft) is None


@pytest.mark.asyncio
async def test_an_expert_in_force_gives_way_to_no_one_person(
    ready: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy was the one in force, and the last step put another expert in force alone."""
    line, root = Line(monkeypatch), Path(settings.paths.artifacts)
    before = save_tiny(root, "tile", note="before")
    monkeypatch.setenv("ANDON_CONSOLE__SECOND_PERSON", "always")
    load_settings.cache_clear()
    draft = ready.read()
    assert draft.taught is not None
    expert = draft.taught.expert
    with pytest.raises(SecondPersonError, match="page Models"):
        await go(ready, load_settings())
    stores = open_stores(settings)
    assert (stores.experts.in_force("tile"), line.wishes) == (before, [])
    assert stores.experts.note("tile", expert) is not None, "the page Models can put it in force"
    stores.experts.point("tile", expert)
    stores.exemplars.point("tile", draft.taught.exemplars)
    assert (await go(ready, load_settings())).live is not None, "what was approved goes on"


@pytest.mark.asyncio
async def test_where_no_replica_takes_it_nothing_is_in_force(
    ready: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(monkeypatch)
    line.error = UnavailableError("no replica answers")
    with pytest.raises(UnavailableError):
        await go(ready, settings)
    assert open_folder(Path(settings.paths.artifacts)).products() == {}
    assert not line.policies
    line.error = None
    assert (await go(ready, settings)).live is not None


@pytest.mark.asyncio
async def test_where_nothing_is_deployed_nothing_is_written(
    ready: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(monkeypatch)
    line.absent = UnavailableError("`andon deploy infra/serve.yaml` starts the experts")
    with pytest.raises(UnavailableError, match="andon deploy"):
        await go(ready, settings)
    assert open_folder(Path(settings.paths.artifacts)).versions("tile") == {}
    assert open_folder(Path(settings.paths.artifacts)).products() == {}
    line.absent = None
    assert (await go(ready, settings)).live is not None


@pytest.mark.asyncio
@pytest.mark.parametrize("is_withdrawn", [False, True])
async def test_what_lets_more_pass_must_be_asked_for(
    ready: Workspace,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    is_withdrawn: bool,
) -> None:
    line = Line(monkeypatch)
    line.is_withdrawn = is_withdrawn
    place = tmp_path / "before.yaml"
    place.write_text(
        draft_policy("tile", {"scratch": ClassMeaning(Severity.DEFECT, Action.SCRAP)}), "utf-8"
    )
    line.before = load_policy(place)
    ready.set_class("scratch", DraftClass(severity=Severity.NEGLIGIBLE, action=Action.PASS))
    check_policy(ready)
    with pytest.raises(SofteningError):
        await go(ready, settings)
    assert not line.wishes
    await go(ready, settings, softly=True)
    assert line.wishes


@pytest.mark.asyncio
async def test_a_policy_that_changed_since_it_was_checked_is_checked_again(
    ready: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(monkeypatch)
    ready.policy_file.write_text(ready.policy_file.read_text() + "title: other\n")
    with pytest.raises(DraftError, match="check it again"):
        await go(ready, settings)
    ready.name_defect("2.png", "dent", [])
    with pytest.raises(DraftError, match="'teach' comes first"):
        await go(ready, settings)
    assert not line.wishes


def test_a_text_of_ones_own_stays_until_it_is_emptied(ready: Workspace) -> None:
    own = ready.policy_file.read_text().replace("scrap", "rework")
    checked = check_policy(ready, own.replace("\n", "\r\n")).checked
    assert checked is not None
    assert checked.edited
    assert not checked.errors
    assert policy_text(ready, ready.read()) == own
    ready.set_class("scratch", DraftClass(action=Action.HOLD))
    check_policy(ready)
    assert ready.policy_file.read_text() == own
    again = check_policy(ready, " ").checked
    assert again is not None
    assert not again.edited
    assert "action: hold" in ready.policy_file.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [("policy: 1", "product"), ("nothing", "line 1"), ("policy: 1\nproduct: other\n", "'other'")],
)
def test_errors_of_a_policy_keep_it_from_the_line(ready: Workspace, text: str, said: str) -> None:
    checked = check_policy(ready, text).checked
    assert checked is not None
    assert said in " ".join(checked.errors)
    assert checked.policy_hash == ""
    assert next_step(ready.read()) == "policy"


def test_an_outline_is_a_mask(ready: Workspace) -> None:
    square = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]
    (defect,) = ready.name_defect("2.png", "scratch", square).defects
    mask = steps.drawn_mask(scratched(2, 40), defect)
    assert mask[20, 20]
    assert not mask[5, 5]
    assert mask.sum() == pytest.approx(20 * 20, rel=0.12)


@pytest.mark.slow
def test_from_a_data_set_to_a_draft_in_one_command(settings: Settings, tmp_path: Path) -> None:
    root = tmp_path / "set"
    write(root / "train" / "good", [surface(i) for i in range(24)])
    write(root / "test" / "scratch", [scratched(500 + i) for i in range(3)])
    marked = [cv2.line(surface(0) * 0, (48, 48), (84, 76), (255,) * 3, 4) for _ in range(3)]
    write(root / "ground_truth" / "scratch", marked)
    words = ["new", "AB/12", "--images", str(root), "--exemplars", str(root / "test"), "--json"]
    words += ["--set", f"masks={root / 'ground_truth'}", "--set", "actions=scratch:scrap", *QUICK]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "left out: " in result.stderr
    draft = json.loads(result.stdout)
    assert (draft["product"], draft["trained"]["images"]) == ("AB/12", 24)
    assert draft["classes"]["scratch"]["action"] == "scrap"
    assert "not tried on the history" in draft["notes"][0]
    workspace = Workspace(Path(draft["folder"]))
    odd = draft["trained"]["odd"]
    assert len(list((workspace.folder / "odd").iterdir())) == len(odd) > 0
    bundle = load_bundle(workspace.exemplars / draft["key"] / draft["taught"]["exemplars"])
    assert [(e.class_name, e.drawn) for e in bundle.exemplars] == [("scratch", True)] * 3
    assert not Path(settings.paths.artifacts).exists()

    again = CliRunner().invoke(app, ["new", "AB/12", "--without", odd[0]["name"], "--json"])
    after = json.loads(again.stdout)
    assert after["trained"]["images"] == 23
    assert after["trained"]["digest"] != draft["trained"]["digest"]
    assert odd[0]["name"] not in {o["name"] for o in after["trained"]["odd"]}
