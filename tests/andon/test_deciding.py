"""Whether a part of a product could be decided now, and if not, why."""

import asyncio
from pathlib import Path

import pytest

from andon.build import build
from andon.checks import examine, examine_products
from andon.checks.findings import Finding
from andon.processes.instance import claimed_instance
from andon.settings import Settings
from andon.wiring import ray_serve, signed_policies, storage
from infra.stack.process import free_port
from serving.ray.replicas import ApplicationStatus, ReplicaStatus
from serving.ray.settings import CLASSIFIER, VISION
from streams.errors import UnavailableError

OLD, NEW = "a" * 64, "b" * 64


def status(*vision: ReplicaStatus, exemplars: dict[str, str] | None = None) -> ApplicationStatus:
    versions, own = exemplars or {}, build()
    named = ReplicaStatus(replica="c", deployment=CLASSIFIER, versions=versions, build=own)
    return ApplicationStatus(replicas=[*vision, named], expected={VISION: 2, CLASSIFIER: 1})


def replica(name: str, version: str = NEW, **more: object) -> ReplicaStatus:
    versions = {"tile": version} if version else {}
    fields = {"replica": name, "deployment": VISION, "versions": versions, "build": build(), **more}
    return ReplicaStatus.model_validate(fields)


FINE = status(replica("a"), replica("b"), exemplars={"tile": OLD})


class Replicas:
    """Answers what a test says."""

    def __init__(self, said: ApplicationStatus | str) -> None:
        self.said = said

    async def look(self, timeout_s: float = 30.0) -> ApplicationStatus:
        if isinstance(self.said, str):
            raise UnavailableError(self.said)
        return self.said

    async def close(self) -> None: ...


class Store:
    """Has one version in force."""

    def products(self) -> dict[str, str]:
        return {"tile": NEW}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    nowhere = f"127.0.0.1:{free_port()}"
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": nowhere, "request_timeout_s": 1.0},
            "gateway": {"plc_url": f"opc.tcp://{nowhere}"},
            "paths": {"state": tmp_path / "state"},
        }
    )


def judged(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    said: ApplicationStatus | str,
    product: str | None = "tile",
    policies: tuple[str, ...] = ("tile",),
    others: tuple[Finding, ...] = (),
) -> list[Finding]:
    async def in_force(_: Settings) -> signed_policies.InForce:
        return signed_policies.InForce(dict.fromkeys(policies, "c" * 64), {}, {})

    monkeypatch.setattr(signed_policies, "policies_in_force", in_force)
    monkeypatch.setattr(ray_serve, "replicas", lambda _: Replicas(said))
    monkeypatch.setattr(storage, "bundle_store", lambda _: Store())
    return asyncio.run(examine_products(settings, product, others))


def test_a_product_with_everything_could_be_decided(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = judged(settings, monkeypatch, FINE)
    assert found.ok
    assert found.detail == (
        "a part could be decided now: policy cccccccccccc, expert bbbbbbbbbbbb on 2 replicas, "
        "exemplars aaaaaaaaaaaa on 1 replicas"
    )


@pytest.mark.parametrize(
    ("said", "product", "why", "remedy"),
    [
        (FINE, "wood", "no policy is in force for it", "`andon policy apply FILE`"),
        (
            status(replica("a"), replica("b", "", problems={"tile": "truncated"})),
            "tile",
            "1 of 2 replicas have no expert of it: truncated",
            "andon train",
        ),
        (
            status(replica("a", OLD), replica("b")),
            "tile",
            "replicas have expert aaaaaaaaaaaa, bbbbbbbbbbbb, and bbbbbbbbbbbb is in force",
            "andon train",
        ),
        (
            status(replica("a"), replica("b")),
            "tile",
            "anomalies would all take the fallback: 1 of 1 replicas have no exemplars of it",
            "andon classify teach",
        ),
        (
            status(exemplars={"tile": OLD}),
            "tile",
            "no VisionExpert replica answers",
            "andon train",
        ),
        ("the ingress is away", "tile", "the ingress is away", "andon deploy"),
    ],
)
def test_what_is_missing_is_named(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    said: ApplicationStatus | str,
    product: str,
    why: str,
    remedy: str,
) -> None:
    (found,) = judged(settings, monkeypatch, said, product)
    assert not found.ok
    assert found.detail.startswith("no part could be decided now: ")
    assert why in found.detail
    assert remedy in found.remedy


def test_a_pinned_version_need_not_be_the_one_in_force(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = [replica(name, OLD, pinned=["tile"]) for name in "ab"]
    (found,) = judged(settings, monkeypatch, status(*pinned, exemplars={"tile": OLD}))
    assert found.ok


def test_what_fails_beside_keeps_every_product_from_being_decided(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = (
        Finding("plc", False, "away", "start it"),
        Finding("postgres", False, "away", "start it"),
        Finding("kafka", True, "there"),
    )
    found = judged(settings, monkeypatch, FINE, None, ("tile", "wood"), others)
    assert [one.name for one in found] == ["product tile", "product wood"]
    assert found[0].detail == "no part could be decided now: plc: see above"
    assert not found[1].ok


def test_replicas_that_are_missing_or_have_a_problem_are_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(said: ApplicationStatus) -> Finding:
        monkeypatch.setattr(ray_serve, "replicas", lambda _: Replicas(said))
        (found,) = asyncio.run(examine(settings, ["serve"]))
        return found

    assert serve(FINE).ok
    alone = serve(status(replica("a"), exemplars={"tile": OLD}))
    assert alone.detail == "replicas that do not answer: 1 of VisionExpert"
    refused = serve(status(replica("a"), replica("b", problems={"tile": "altered"})))
    assert refused.detail == "VisionExpert, tile: altered"
    older = serve(status(replica("a"), replica("b", build=""), exemplars={"tile": OLD}))
    assert (older.ok, older.warns) == (True, True)
    assert f"VisionExpert runs an earlier build, and this process {build()}" in older.detail
    assert older.remedy.startswith("start Ray again")


def test_workers_are_counted_by_role_and_join_is_needed_for_shots(settings: Settings) -> None:
    def workers(own: Settings = settings) -> Finding:
        (found,) = asyncio.run(examine(own, ["workers"]))
        return found

    assert "for: inspect, classify" in workers().detail
    state = settings.paths.state
    with (
        claimed_instance("inspect", "", state) as inspect,
        claimed_instance("classify", "", state) as classify,
    ):
        inspect.joined()
        assert "classify started and has not joined its group yet" in workers().detail
        classify.joined()
        assert workers().ok
        shots = settings.gateway.model_copy(update={"shots": ("left", "right")})
        absent = workers(settings.model_copy(update={"gateway": shots}))
        assert (absent.ok, absent.remedy) == (False, "start `andon worker join`")
